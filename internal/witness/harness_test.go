package witness_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/internal/witness"
)

const origin = "lantern/node1"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A history is a log as its operator tells it: with a key that follows from its origin, so that two histories of one
// origin are a fork.
type history struct {
	origin   string
	signer   note.Signer
	verifier note.Verifier
	vkey     string
	leaves   [][]byte
	hashes   []tlog.Hash // as tlog.StoredHashIndex numbers them
}

func newHistory(t testing.TB, origin string) *history {
	t.Helper()
	seed := sha256.Sum256([]byte(origin))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), origin)
	must(t, err)
	h := &history{origin: origin, vkey: vkey}
	h.signer, err = note.NewSigner(skey)
	must(t, err)
	h.verifier, err = note.NewVerifier(vkey)
	must(t, err)
	return h
}

// ReadHashes implements tlog.HashReader.
func (h *history) ReadHashes(indexes []int64) (list []tlog.Hash, err error) {
	for _, i := range indexes {
		list = append(list, h.hashes[i])
	}
	return list, nil
}

// grow appends leaves that say which history they are of.
func (h *history) grow(t testing.TB, n int, what string) *history {
	t.Helper()
	for range n {
		leaf := fmt.Appendf(nil, "%s %d", what, len(h.leaves))
		add, err := tlog.StoredHashes(int64(len(h.leaves)), leaf, h)
		must(t, err)
		h.leaves, h.hashes = append(h.leaves, leaf), append(h.hashes, add...)
	}
	return h
}

// fork is a copy that can go on differently.
func (h *history) fork() *history {
	g := *h
	g.leaves, g.hashes = slices.Clone(h.leaves), slices.Clone(h.hashes)
	return &g
}

func (h *history) size() int64 { return int64(len(h.leaves)) }

func (h *history) root(t testing.TB, size int64) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(size, h)
	must(t, err)
	return root
}

// checkpoint is signed at a size the history has.
func (h *history) checkpoint(t testing.TB, size int64) string {
	t.Helper()
	return h.signed(t, lamppost.Checkpoint{Origin: h.origin, Size: size, Root: lamppost.Hash(h.root(t, size))}.Text())
}

func (h *history) signed(t testing.TB, text string) string {
	t.Helper()
	msg, err := note.Sign(&note.Note{Text: text}, h.signer)
	must(t, err)
	return string(msg)
}

// request asks to cosign size after old, with the proof of this history.
func (h *history) request(t testing.TB, old, size int64) []byte {
	t.Helper()
	r := witness.Request{Old: old, Checkpoint: []byte(h.checkpoint(t, size))}
	if old > 0 && old < size {
		proof, err := tlog.ProveTree(size, old, h)
		must(t, err)
		r.Proof = proof
	}
	return r.Append(nil)
}

// publish puts the history's files up to a size where a web server would show them.
func (h *history) publish(t testing.TB, dir string, size int64) {
	t.Helper()
	storage, err := tilelog.OpenDir(dir)
	must(t, err)
	store := kv.NewMem()
	h.copyTo(t, store, size)
	p := tilelog.Publisher{Origin: h.origin, Signer: h.signer, Verifier: h.verifier, Storage: storage}
	_, err = p.Publish(store)
	must(t, err)
}

// copyTo makes a store the history's log up to a size.
func (h *history) copyTo(t testing.TB, store kv.Store, size int64) {
	t.Helper()
	log, err := tilelog.Open(store)
	must(t, err)
	var b kv.Batch
	must(t, log.Append(&b, h.leaves[:size]...))
	must(t, store.Apply(&b))
}

// A clock goes on by a second whenever it is asked, so that no two cosignatures are equal.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1_800_000_000+c.at.Add(1), 0) }

func open(t testing.TB, store kv.Store, logs ...*history) *witness.Witness {
	t.Helper()
	w, err := witness.New(witness.Config{Store: store, Name: "w.example", Now: new(clock).now})
	must(t, err)
	for _, h := range logs {
		must(t, w.Add(witness.Log{Origin: h.origin, Keys: []string{h.vkey}}))
	}
	return w
}

// takes demands a valid cosignature.
func takes(t testing.TB, w *witness.Witness, h *history, old, size int64) string {
	t.Helper()
	line, err := w.AddCheckpoint(h.request(t, old, size))
	if err != nil {
		t.Fatalf("from size %d to %d: refused: %v", old, size, err)
	}
	check(t, w, h.checkpoint(t, size), line)
	return line
}

func check(t testing.TB, w *witness.Witness, signed, line string) {
	t.Helper()
	n, err := note.Open([]byte(signed+line), note.VerifierList(w.Key()))
	if err != nil || len(n.Sigs) != 1 || lamppost.CosignatureTime(n.Sigs[0]) < 1_800_000_000 {
		t.Fatalf("%q is no cosignature of\n%s: %v", line, signed, err)
	}
}

// refuses demands a refusal with a reason.
func refuses(t testing.TB, w *witness.Witness, body []byte, reason witness.Reason) *witness.Refusal {
	t.Helper()
	line, err := w.AddCheckpoint(body)
	var r *witness.Refusal
	if !errors.As(err, &r) || r.Reason != reason || line != "" || r.Text == "" {
		t.Fatalf("AddCheckpoint = %q, %v; want it refused as %s\n%s", line, err, reason, body)
	}
	return r
}

// status is that of a log.
func status(t testing.TB, w *witness.Witness, origin string) witness.LogStatus {
	t.Helper()
	for _, l := range w.Status().Logs {
		if l.Origin == origin {
			return l
		}
	}
	t.Fatalf("the status has no log %q", origin)
	return witness.LogStatus{}
}

// serve shows a folder as a log's address.
func serve(t testing.TB, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

// proven demands that what a status calls a fork is one by its notes and the log's key alone.
func proven(t testing.TB, h *history, f witness.ForkStatus) {
	t.Helper()
	fork := witness.Fork{Smaller: f.Smaller, Larger: f.Larger}
	if f.Begin != "" {
		var err error
		fork.Begin, err = lamppost.ParseHash(f.Begin)
		must(t, err)
	}
	for _, text := range f.Proof {
		p, err := lamppost.ParseHash(text)
		must(t, err)
		fork.Proof = append(fork.Proof, p)
	}
	if err := fork.Check(note.VerifierList(h.verifier)); err != nil {
		t.Errorf("it is no proof: %v\n%s\n%s\n%s", err, f.Words, f.Smaller, f.Larger)
	}
	if !strings.Contains(f.Words, "signed two histories") {
		t.Errorf("the words are %q", f.Words)
	}
}
