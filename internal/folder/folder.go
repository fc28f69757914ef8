// Package folder knows what stands where in a node's data folder, for whoever checks, copies or makes one. It does not know what is
// in the parts.
package folder

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost/internal/kv"
)

// What stands in a data folder.
const (
	DB        = "db"        // the store: kv/pebble
	Log       = "log"       // the published log: tilelog
	Archive   = "archive"   // older bodies: archive/dir
	Snapshots = "snapshots" // the ledger's state: snapshot/dir
	MemberKey = "member.key"
	Token     = "admin.token"
	Pin       = "network.pin" // written again at every start
	URL       = "node.url"    // likewise
	Erasures  = "erasures.again"
	Raft      = "raft"          // the engine's log
	Comet     = "comet"         // the engine's blocks, votes and key
	Evidence  = "evidence"      // what members signed that proves that one of them lied
	Network   = "network.yaml"  // the founding, of several members
	Card      = "member.yaml"   // which of them this folder is
	Staging   = "backup.tmp"    // while a backup is made
	Turning   = "turning"       // what is needed to turn to raft, until it is in its place
	Arrived   = "arrived.state" // another member's state, until this node has it: replica.State
)

// ReadSecret reads so many bytes in hexadecimal from a file.
func ReadSecret(data, name string, size int) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(data, name))
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(secret) != size {
		return nil, fmt.Errorf("%q does not hold %d bytes in hexadecimal", filepath.Join(data, name), size)
	}
	return secret, nil
}

// tokenKey holds the digest of the administrator's token as of the last start, so that a changed one is noticed.
var tokenKey = []byte("nA")

// KnowsToken says whether the token is that of the last start, or there was none.
func KnowsToken(r kv.Reader, token string) (bool, error) {
	have, err := r.Get(tokenKey)
	if errors.Is(err, kv.ErrNotFound) {
		return true, nil
	}
	return string(have) == digest(token), err
}

// RememberToken remembers the token of this start.
func RememberToken(s kv.Store, token string) error {
	if have, err := s.Get(tokenKey); err == nil && string(have) == digest(token) {
		return nil
	}
	var b kv.Batch
	b.Set(tokenKey, []byte(digest(token)))
	return s.Apply(&b)
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return string(sum[:])
}

// Secret reads size bytes in hexadecimal from a file that only the owner may read, and makes them if it is not there.
func Secret(data, name string, size int) ([]byte, error) {
	secret, err := ReadSecret(data, name, size)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, size)
		rand.Read(secret) // never fails
		return secret, WriteDurably(filepath.Join(data, name), hex.EncodeToString(secret)+"\n", 0o600)
	}
	return secret, err
}
