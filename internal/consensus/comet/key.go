//go:build !small

package comet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
)

// Files of the member's key and of what it has signed, in comet's own form.
const (
	keyFile  = "validator_key.json"
	signFile = "validator_state.json"
)

// PublicKey returns the public half of the key in an engine's folder, and makes the key if the folder has none.
func PublicKey(dir string) ([]byte, error) {
	s, err := openSigner(dir, nil)
	if err != nil {
		return nil, err
	}
	return s.Key.PubKey.Bytes(), nil
}

// A signer signs votes and proposals, never two for one step: what it signed last is durable before anybody sees it.
type signer struct {
	*privval.FilePV
	dir string
}

// openSigner reads the key and what was signed with it. Comet's own loader ends the process where a file is damaged. A folder without a
// key takes the one that is given, or draws one.
func openSigner(dir string, given []byte) (*signer, error) {
	key, err := readKey(filepath.Join(dir, keyFile))
	made := errors.Is(err, fs.ErrNotExist)
	switch {
	case made && given != nil:
		key = ed25519.PrivKey(given)
	case made:
		key = ed25519.GenPrivKey()
	case err != nil:
		return nil, err
	case given != nil && !bytes.Equal(key.Bytes(), given):
		return nil, fmt.Errorf("comet: %q holds another key than this member's", filepath.Join(dir, keyFile))
	}
	s := &signer{privval.NewFilePV(key, filepath.Join(dir, keyFile), filepath.Join(dir, signFile)), dir}
	if made {
		return s, s.create()
	}
	var last privval.FilePVLastSignState
	if err := readJSON(filepath.Join(dir, signFile), &last); err != nil {
		return nil, fmt.Errorf("comet: what this member signed last: %w; without it, it could sign two blocks of one height: "+
			"bring the file back from this disk, or join again as a new member", err)
	}
	to := &s.LastSignState
	to.Height, to.Round, to.Step, to.Signature, to.SignBytes = last.Height, last.Round, last.Step, last.Signature, last.SignBytes
	return s, nil
}

func readKey(path string) (crypto.PrivKey, error) {
	var key privval.FilePVKey
	if err := readJSON(path, &key); err != nil {
		return nil, err
	}
	if k, ok := key.PrivKey.(ed25519.PrivKey); ok && len(k) == ed25519.PrivateKeySize {
		return k, nil
	}
	return nil, fmt.Errorf("comet: %q holds no Ed25519 key", path)
}

func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := cmtjson.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	return nil
}

// create writes what was signed, nothing, before the key: a key without it is never trusted.
func (s *signer) create() error {
	if _, err := os.Stat(filepath.Join(s.dir, dataDir)); err == nil {
		return fmt.Errorf("comet: %q has blocks and no key: bring %s and %s back, or join again as a new member", s.dir, keyFile, signFile)
	}
	return s.durably(func() error {
		s.LastSignState.Save()
		s.Key.Save()
		return nil
	})
}

// SignVote implements types.PrivValidator.
func (s *signer) SignVote(chain string, vote *cmtproto.Vote) error {
	return s.durably(func() error { return s.FilePV.SignVote(chain, vote) })
}

// SignProposal implements types.PrivValidator.
func (s *signer) SignProposal(chain string, p *cmtproto.Proposal) error {
	return s.durably(func() error { return s.FilePV.SignProposal(chain, p) })
}

// durably also makes the new name of the file durable, which comet only renames, and turns its panics into errors.
func (s *signer) durably(write func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("comet: writing what was signed: %v", r)
		}
	}()
	if err := write(); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
