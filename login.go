package lamppost

import (
	"encoding/base64"
	"fmt"

	"github.com/lamppost/lamppost/sig"
)

// Login returns what a device with a key of its own gives as password to any member of its network: its word that it is who it says,
// signed with the key of an epoch. It is the same every time and good as long as the key counts, so it is as secret as a token.
// In bytes it is a [KeyChange] of the key to itself, of purpose [PurposeLogin], in unpadded base64url (RFC 4648 §5).
func Login(network string, id DeviceID, epoch uint32, key *sig.PrivateKey) (string, error) {
	c := KeyChange{ID: string(id), Epoch: epoch, Next: epoch, Suite: key.Suite(), Key: key.Public().Bytes()}
	raw, err := c.Sign(network, PurposeLogin, key)
	if err != nil {
		return "", fmt.Errorf("logging in as %q: %w", id, err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// LoginEpoch returns the key epoch that a password claims, and false for one that is no login.
func LoginEpoch(password string) (epoch uint32, ok bool) {
	c, ok := readLogin(password)
	return c.Epoch, ok
}

func readLogin(password string) (c KeyChange, ok bool) {
	if len(password) > base64.RawURLEncoding.EncodedLen(MaxKeyChangeBytes) {
		return c, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(password)
	return c, err == nil && c.Decode(raw) == nil
}

// CheckLogin reports whether a password is the login of a device with a public key.
func CheckLogin(password, network string, id DeviceID, epoch uint32, key *sig.PublicKey) bool {
	c, ok := readLogin(password)
	return ok && c.ID == string(id) && c.Epoch == epoch && c.Next == epoch && c.Verify(network, PurposeLogin, key)
}
