//go:build !small

package comet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dbm "github.com/cometbft/cometbft-db"
	cometbft "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/store"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/comet"
)

func keyOf(t testing.TB, dir string) cometbft.PrivKey {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "validator_key.json"))
	if err != nil {
		t.Fatal(err)
	}
	var key privval.FilePVKey
	if err := cmtjson.Unmarshal(raw, &key); err != nil {
		t.Fatal(err)
	}
	return key.PrivKey.(cometbft.PrivKey)
}

// A folder whose key or whose record of what was signed is missing, damaged or another's is refused with words that say
// so: a member that starts without the record could sign two blocks of one height.
func TestKeyFiles(t *testing.T) {
	t.Parallel()
	const key, record = "validator_key.json", "validator_state.json"
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"no record":      {func(t *testing.T, dir string) { remove(t, dir, record) }, "signed last"},
		"damaged record": {func(t *testing.T, dir string) { write(t, dir, record, "{") }, "signed last"},
		"no key":         {func(t *testing.T, dir string) { remove(t, dir, key) }, "has blocks and no key"},
		"damaged key":    {func(t *testing.T, dir string) { write(t, dir, key, "{}") }, "holds no Ed25519 key"},
		"another's key": {func(t *testing.T, dir string) {
			remove(t, dir, key)
			useKey(t, dir, cometbft.GenPrivKey())
		}, "is not that of member"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := seats(t, 1)[0]
			s.start()
			s.must("first")
			s.stop()
			c.spoil(t, s.cfg.Dir)
			s.start()
			if err := s.end(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run = %v, want %q", err, c.want)
			}
		})
	}
}

func remove(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The record of what was signed is on disk: after a block it names its height.
func TestRecordOfSigned(t *testing.T) {
	t.Parallel()
	s := seats(t, 1)[0]
	s.start()
	s.must("first")
	s.stop()
	raw, err := os.ReadFile(filepath.Join(s.cfg.Dir, "validator_state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ Height string }
	if err := json.Unmarshal(raw, &record); err != nil || record.Height == "" || record.Height == "0" {
		t.Errorf("the record is %s (%v)", raw, err)
	}
}

// Blocks that the App needs no more and that are older than the time for members who were away leave the store.
func TestKeep(t *testing.T) {
	t.Parallel()
	s := seats(t, 1)[0]
	s.cfg.Keep, s.app.forgets = 1, true
	s.start()
	for _, tx := range []string{"a", "b", "c"} {
		s.must(tx)
	}
	s.stop()
	db, err := dbm.NewGoLevelDB("blockstore", filepath.Join(s.cfg.Dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if b := store.NewBlockStore(db); b.Base() < 3 {
		t.Errorf("blocks %d to %d are kept", b.Base(), b.Height())
	}
	s.app.forgets = false
}

// Goal: what the engine says that its files have forgotten is in none of them, the log of messages included; it starts again from
// what is left.
func TestForgotten(t *testing.T) {
	t.Parallel()
	s := seats(t, 1)[0]
	s.cfg.Keep, s.app.forgets = 1, true
	s.start()
	secret := "the secret that must be forgotten"
	s.must(secret)
	at := s.app.Last().Cursor
	if len(held(t, s.cfg.Dir, secret)) == 0 {
		t.Fatal("the files do not hold what was ordered: this test looks at the wrong place")
	}
	if s.engine.Forgotten() >= at {
		t.Error("the files are said to have forgotten what they hold")
	}
	for i := 0; s.engine.Forgotten() < at; i++ {
		if i == 100 {
			t.Fatalf("the files have forgotten up to %d, want %d", s.engine.Forgotten(), at)
		}
		s.must(fmt.Sprint("more", i))
	}
	if where := held(t, s.cfg.Dir, secret); len(where) > 0 {
		t.Errorf("%v hold what was forgotten", where)
	}
	s.stop()
	s.start()
	s.must("after the start")
	s.stop()
	s.app.forgets = false
}

// held returns the files of a folder that have a text in them.
func held(t *testing.T, dir, text string) (where []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(text)) {
			where = append(where, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// What cannot work is refused before anything is written.
func TestConfig(t *testing.T) {
	t.Parallel()
	good := seats(t, 2)[0].cfg
	for want, spoil := range map[string]func(*comet.Config){
		"a folder, a clock":       func(c *comet.Config) { c.Dir = "" },
		"must have 1 to 50 bytes": func(c *comet.Config) { c.Network = strings.Repeat("n", 51) },
		"time of the founding":    func(c *comet.Config) { c.Founded = 0 },
		"has 3 bytes, not 32":     func(c *comet.Config) { c.Founders[1].Key = []byte("key") },
		"listed twice":            func(c *comet.Config) { c.Founders[1].Key = c.Founders[0].Key },
		"members' addresses":      func(c *comet.Config) { c.Address = nil },
		"has no name":             func(c *comet.Config) { c.Member = "" },
		"no member was there":     func(c *comet.Config) { c.Founders = nil },
	} {
		c := good
		c.Founders = slices.Clone(good.Founders)
		spoil(&c)
		if _, err := comet.New(c, newApp(), newApp()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q", err, want)
		}
	}
}

// A ledger that does not fit the network file is refused when it is opened.
func TestLedgerFits(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*seat){
		"before this engine's start": func(s *seat) { s.cfg.Start = 5 },
		"is not before the founding": func(s *seat) { s.app.last.Time = s.cfg.Founded },
		"has another key":            func(s *seat) { s.app.last.Members = []lamppost.Member{{ID: "b", Key: make([]byte, 32)}} },
		"founders were [a b]":        func(s *seat) { s.app.last.Members = s.cfg.Founders[:1] },
		"not that of member":         func(s *seat) { s.cfg.Member = "b" },
	} {
		s := seats(t, 2)[0]
		spoil(s)
		e, err := comet.New(s.cfg, s.app, s.app)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Run(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want %q", err, want)
		}
	}
}

// An engine that takes over where another stopped goes on with the ledger's heights, and its cursor with the other's.
func TestStart(t *testing.T) {
	t.Parallel()
	s := seats(t, 1)[0]
	s.cfg.Start, s.app.last.Cursor, s.app.last.Height, s.app.last.Time, s.app.last.Root = 100, 100, 7, s.cfg.Founded-1, lamppost.Hash{1}
	for i := range 2 {
		s.start()
		if d := s.must([]string{"a", "b"}[i]); d.Height != lamppost.Height(8+i) {
			t.Errorf("the block after height %d has %d", 7+i, d.Height)
		}
		s.stop()
	}
	if c := s.app.last.Cursor; c < 102 {
		t.Errorf("the cursor is %d", c)
	}
}
