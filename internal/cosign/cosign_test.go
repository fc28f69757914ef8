package cosign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/cosign"
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

// A member keeps a log and publishes it.
type member struct {
	t     testing.TB
	store *kv.Mem
	log   *tilelog.Log
	pub   *tilelog.Publisher
	vkey  string
}

func newMember(t testing.TB) *member {
	t.Helper()
	seed := sha256.Sum256([]byte(origin))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), origin)
	must(t, err)
	m := &member{t: t, store: kv.NewMem(), vkey: vkey, pub: &tilelog.Publisher{Origin: origin, Storage: new(tilelog.MemStorage)}}
	m.pub.Signer, err = note.NewSigner(skey)
	must(t, err)
	m.pub.Verifier, err = note.NewVerifier(vkey)
	must(t, err)
	m.log, err = tilelog.Open(m.store)
	must(t, err)
	return m
}

func (m *member) grow(n int, what string) *member {
	m.t.Helper()
	for range n {
		var b kv.Batch
		must(m.t, m.log.Append(&b, fmt.Appendf(nil, "%s %d", what, m.log.Size())))
		must(m.t, m.store.Apply(&b))
		m.log.Committed()
		_, err := m.pub.Publish(m.store)
		must(m.t, err)
	}
	return m
}

// checkpoint is signed at a size.
func (m *member) checkpoint(size int64) []byte {
	m.t.Helper()
	latest, err := m.pub.Publish(m.store)
	must(m.t, err)
	c, _, err := lamppost.OpenCheckpoint(latest, note.VerifierList(m.pub.Verifier))
	must(m.t, err)
	root, err := tilelog.NewTree(m.pub.Storage, c.Size, tlog.Hash(c.Root)).RootAt(size)
	must(m.t, err)
	signed, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: origin, Size: size, Root: lamppost.Hash(root)}, m.pub.Signer)
	must(m.t, err)
	return signed
}

// follower is a real witness that follows the member.
func (m *member) follower(name string) (cosign.Witness, *witness.Witness) {
	m.t.Helper()
	w, err := witness.New(witness.Config{Store: kv.NewMem(), Name: name})
	must(m.t, err)
	must(m.t, w.Add(witness.Log{Origin: origin, Keys: []string{m.vkey}}))
	server := httptest.NewServer(w.Handler("0123456789abcdef0123456789abcdef"))
	m.t.Cleanup(server.Close)
	return cosign.Witness{Key: w.Key(), URL: server.URL}, w
}

func (m *member) asker(witnesses ...cosign.Witness) *cosign.Asker {
	return cosign.New(cosign.Config{Witnesses: witnesses, Own: m.pub.Verifier, Files: m.pub.Storage,
		Now: func() lamppost.TimeMS { return lamppost.TimeMS(time.Now().UnixMilli()) }, Timeout: 20 * time.Second})
}

// ask returns the last signatures that were told.
func ask(t testing.TB, a *cosign.Asker, signed []byte, enough int) (sigs []note.Signature, against []cosign.Contradiction) {
	t.Helper()
	against, err := a.Ask(t.Context(), signed, enough, func(s []note.Signature) { sigs = s })
	must(t, err)
	return sigs, against
}

// An honest log is cosigned by all, from the first checkpoint on, as it grows, when it stands still, and by an asker who
// does not know where the witnesses are. What comes back makes a note that verifies.
func TestAsk(t *testing.T) {
	t.Parallel()
	m := newMember(t).grow(300, "entry")
	one, _ := m.follower("b.example")
	two, w2 := m.follower("a.example")
	a := m.asker(one, two)
	for i, size := range []int64{1, 7, 256, 256, 300} {
		if i == 3 {
			a = m.asker(one, two)
		}
		signed := m.checkpoint(size)
		sigs, against := ask(t, a, signed, 2)
		if len(sigs) != 2 || len(against) > 0 {
			t.Fatalf("size %d: %v, %v, %+v", size, sigs, against, a.States())
		}
		c, own, err := lamppost.OpenCheckpoint(signed, note.VerifierList(m.pub.Verifier))
		must(t, err)
		cosigned, err := lamppost.SignedNote(c.Text(), append(own, sigs...)...)
		must(t, err)
		if _, got, err := lamppost.OpenCheckpoint(cosigned, note.VerifierList(m.pub.Verifier, one.Key, two.Key)); err != nil || len(got) != 3 {
			t.Errorf("size %d: %q does not verify: %v", size, cosigned, err)
		}
		keys := []string{one.Key.String(), two.Key.String()}
		slices.Sort(keys)
		if name, _, _ := strings.Cut(keys[0], "+"); sigs[0].Name != name {
			t.Errorf("first is %s, want the order of the keys", sigs[0].Name)
		}
		for _, s := range a.States() {
			if s.Size != size || s.Error != "" || s.At == 0 {
				t.Errorf("size %d: state %+v", size, s)
			}
		}
	}
	must(t, w2.Remove(origin))
	sigs, against := ask(t, a, m.checkpoint(300), 1)
	if s := a.States()[1]; len(sigs) != 1 || len(against) > 0 || s.Size != 300 || !strings.Contains(s.Error, "does not follow this log") || s.FailedAt == 0 {
		t.Errorf("one witness is gone: %v, %v, %+v", sigs, against, s)
	}
	if sigs, _ := ask(t, a, m.checkpoint(300), 2); sigs != nil {
		t.Errorf("one of two: told %v", sigs)
	}
}

// A witness that does not answer delays nobody: the others' signatures are told while it is still waited for.
func TestSlowWitness(t *testing.T) {
	t.Parallel()
	m := newMember(t).grow(9, "entry")
	quick, _ := m.follower("quick.example")
	told := make(chan bool)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select { // nothing is answered before the quick one was told
		case <-told:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	key := newKey(t, "slow.example")
	a := m.asker(cosign.Witness{Key: key.Key(), URL: slow.URL}, quick)
	calls := 0
	_, err := a.Ask(t.Context(), m.checkpoint(9), 1, func(s []note.Signature) {
		calls++
		close(told)
	})
	must(t, err)
	if s := a.States(); calls != 1 || s[1].Size != 9 || s[0].Error == "" {
		t.Errorf("told %d times, states %+v", calls, s)
	}
}

func newKey(t testing.TB, name string) *lamppost.Cosigner {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	c, err := lamppost.NewCosigner(name, seed[:])
	must(t, err)
	return c
}

// A log that was restored from an older copy, or went on differently from one, is told so with the checkpoint that its
// own key signed. Method: a witness cosigns the true log; another store under the same key asks it.
func TestContradicted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		witnessed  int64 // of the true log
		kept, more int   // entries of the true log in the other store, and its own after them
		size       int64 // asked for
		says       string
	}{
		"restored from a backup":           {300, 200, 0, 200, "has only 200"},
		"restored and gone on":             {300, 200, 50, 250, "has only 250"},
		"restored and gone on beyond":      {300, 200, 150, 350, "another root at that size"},
		"restored, gone on to the size":    {300, 200, 100, 300, "another root at that size"},
		"restored, beyond a power of two":  {256, 200, 100, 300, "another root at that size"},
		"restored, its size not yet grown": {300, 200, 150, 210, "another root at that size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMember(t).grow(300, "entry")
			w, _ := m.follower("w.example")
			if sigs, _ := ask(t, m.asker(w), m.checkpoint(c.witnessed), 1); len(sigs) != 1 {
				t.Fatal("the true log is not cosigned")
			}
			other := newMember(t).grow(c.kept, "entry").grow(c.more, "after the backup")
			a := other.asker(w)
			for range 2 {
				sigs, against := ask(t, a, other.checkpoint(c.size), 1)
				if len(sigs) > 0 || len(against) != 1 || against[0].Size != c.witnessed || !strings.Contains(against[0].Text, c.says) {
					t.Fatalf("cosigned %v, contradicted %+v, want %q", sigs, against, c.says)
				}
				shown, _, err := lamppost.OpenCheckpoint([]byte(against[0].Shown), note.VerifierList(m.pub.Verifier))
				if err != nil || shown.Size != c.witnessed {
					t.Errorf("what is shown is no proof: %+v, %v", shown, err)
				}
			}
		})
	}
}

// A witness that shows nothing, or something else, has only its word; one that is merely further on contradicts nobody.
func TestOnlyItsWord(t *testing.T) {
	t.Parallel()
	m := newMember(t).grow(100, "entry")
	foreign := newMember(t).grow(300, "entry").checkpoint(300) // of the same key: but this fake shows it under another origin
	foreign = bytes.Replace(foreign, []byte(origin), []byte("lantern/node2"), 1)
	key := newKey(t, "w.example")
	for name, c := range map[string]struct {
		status int
		size   string // of a 409
		shows  []byte
		word   bool   // a contradiction without proof
		says   string // else an error
	}{
		"ahead, shows nothing":          {409, "300", nil, true, ""},
		"ahead, shows another's":        {409, "300", foreign, true, ""},
		"another root, shows nothing":   {422, "", nil, true, ""},
		"another root, an older answer": {409, "", nil, true, ""},
		"further on, within the log":    {409, "90", nil, false, "cosigned size 90 already"},
		"further on, and shows it":      {409, "90", m.checkpoint(90), false, "is of this log"},
		"refuses what it cosigned":      {422, "", m.checkpoint(70), false, "is of this log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet && c.shows == nil:
					http.NotFound(w, r)
				case r.Method == http.MethodGet:
					w.Write(c.shows)
				case c.size != "":
					w.Header().Set("Content-Type", "text/x.tlog.size")
					w.WriteHeader(c.status)
					io.WriteString(w, c.size+"\n")
				default:
					http.Error(w, "no", c.status)
				}
			}))
			t.Cleanup(server.Close)
			a := m.asker(cosign.Witness{Key: key.Key(), URL: server.URL + "/"})
			sigs, against := ask(t, a, m.checkpoint(80), 1)
			if len(sigs) > 0 || c.word != (len(against) == 1 && against[0].Shown == "") {
				t.Fatalf("cosigned %v, contradicted %+v", sigs, against)
			}
			if !c.word && (len(against) > 0 || !strings.Contains(a.States()[0].Error, c.says)) {
				t.Errorf("contradicted %+v, state %+v, want %q", against, a.States()[0], c.says)
			}
		})
	}
}

// Whatever a witness answers, only its own signature on this very checkpoint counts.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	m := newMember(t).grow(9, "entry")
	key, other := newKey(t, "w.example"), newKey(t, "other.example")
	signed := m.checkpoint(9)
	text := strings.SplitAfterN(string(signed), "\n\n", 2)[0]
	text = strings.TrimSuffix(text, "\n")
	line := func(c *lamppost.Cosigner, text string) string {
		s, err := c.Cosign(text, 1_800_000_000)
		must(t, err)
		return "— " + s.Name + " " + s.Base64 + "\n"
	}
	longer := text + "\nmore\n"
	for name, c := range map[string]struct {
		status int
		body   string
		ok     bool
	}{
		"its line":                    {200, line(key, text), true},
		"among others":                {200, line(other, text) + line(key, text), true},
		"nothing":                     {200, "", false},
		"words":                       {200, "thank you\n", false},
		"another's line":              {200, line(other, text), false},
		"another checkpoint's":        {200, line(key, strings.Replace(text, "9", "8", 1)), false},
		"a text smuggled in":          {200, "more\n\n" + line(key, longer), false},
		"its line and a smuggled one": {200, line(key, text) + "\n" + line(key, text), false},
		"no end":                      {200, strings.TrimSuffix(line(key, text), "\n"), false},
		"endless":                     {200, strings.Repeat(line(key, text), 200), false},
		"busy":                        {503, "later", false},
		"a page":                      {404, "<html>", false},
		"forbidden":                   {403, "\x1b[2Jno", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			t.Cleanup(server.Close)
			a := m.asker(cosign.Witness{Key: key.Key(), URL: server.URL})
			sigs, against := ask(t, a, signed, 1)
			if c.ok != (len(sigs) == 1) || len(against) > 0 || c.ok != (a.States()[0].Error == "") || strings.Contains(a.States()[0].Error, "\x1b") {
				t.Errorf("cosigned %v, contradicted %+v, state %+v", sigs, against, a.States()[0])
			}
		})
	}
}

// A witness that names ever new sizes is given up, and an end of the context ends the asking.
func TestEndless(t *testing.T) {
	t.Parallel()
	m := newMember(t).grow(90, "entry")
	key := newKey(t, "w.example")
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(409)
		fmt.Fprintln(w, n)
	}))
	t.Cleanup(server.Close)
	a := m.asker(cosign.Witness{Key: key.Key(), URL: server.URL})
	if sigs, against := ask(t, a, m.checkpoint(80), 1); sigs != nil || against != nil || !strings.Contains(a.States()[0].Error, "changed 4 times") {
		t.Errorf("cosigned %v, contradicted %v, state %+v", sigs, against, a.States()[0])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Ask(ctx, m.checkpoint(80), 1, nil); err != nil || !strings.Contains(a.States()[0].Error, "cancel") {
		t.Errorf("cancelled: %v, %+v", err, a.States()[0])
	}
	if _, err := a.Ask(t.Context(), []byte("x"), 1, nil); err == nil {
		t.Error("what is no checkpoint was asked for")
	}
	broken := cosign.New(cosign.Config{Witnesses: []cosign.Witness{{Key: key.Key(), URL: server.URL}}, Own: m.pub.Verifier,
		Files: nowhere{}, Now: func() lamppost.TimeMS { return 1 }})
	n = 0
	if _, err := broken.Ask(t.Context(), m.checkpoint(80), 1, nil); err != nil || !strings.Contains(broken.States()[0].Error, "no disk") {
		t.Errorf("without files: %v, %+v", err, broken.States()[0])
	}
}

// nowhere is a Source that cannot be read.
type nowhere struct{}

func (nowhere) Get(string) ([]byte, error) { return nil, errors.New("no disk") }
