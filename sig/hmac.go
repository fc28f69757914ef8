package sig

import (
	"crypto/hmac"
	"crypto/sha256"
)

// signHMAC returns the full 32-byte tag (COSE "HMAC 256/256", RFC 9053 §3.1).
func signHMAC(key, msg []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(msg)
	return mac.Sum(nil)
}

func verifyHMAC(key, msg, tag []byte) bool {
	return hmac.Equal(signHMAC(key, msg), tag)
}
