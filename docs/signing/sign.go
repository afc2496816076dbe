package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Sign returns a token for a user. Add "scope": "kairan:publish" to the claims to publish.
func Sign(userID, secret string, valid time.Duration) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"sub": userID, "iat": now.Unix(), "exp": now.Add(valid).Unix(),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	unsigned := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(unsigned))
	return unsigned + "." + encode(mac.Sum(nil)), nil
}

func main() {
	token, err := Sign(os.Args[1], os.Getenv("JWT_SECRET"), time.Hour)
	if err != nil {
		panic(err)
	}
	fmt.Println(token)
}
