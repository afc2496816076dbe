<?php
function encode(string $data): string {
    return rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
}

/** A token for a user. Add ['scope' => 'kairan:publish'] to publish. */
function sign(string $userId, string $secret, int $seconds = 3600, array $claims = []): string {
    $claims = [...$claims, 'sub' => $userId, 'iat' => time(), 'exp' => time() + $seconds];
    $header = encode(json_encode(['alg' => 'HS256', 'typ' => 'JWT']));
    $unsigned = $header . '.' . encode(json_encode($claims, JSON_THROW_ON_ERROR));
    return $unsigned . '.' . encode(hash_hmac('sha256', $unsigned, $secret, true));
}

echo sign($argv[1], getenv('JWT_SECRET')), "\n";
