import base64, hashlib, hmac, json, os, sys, time


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(user_id, secret, seconds=3600, **claims):
    """A token for a user. Add scope="kairan:publish" to publish."""
    now = int(time.time())
    body = {**claims, "sub": str(user_id), "iat": now, "exp": now + seconds}
    parts = [{"alg": "HS256", "typ": "JWT"}, body]
    unsigned = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(secret.encode(), unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{encode(signature)}"


print(sign(sys.argv[1], os.environ["JWT_SECRET"]))
