package witness_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/witness"
)

// The way of a log that is honest: the first checkpoint is taken on trust, each further one by its proof, the same one
// again for a newer time.
func TestHonestLog(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 300, "entry")
	store := kv.NewMem()
	w := open(t, store, h)
	takes(t, w, h, 0, 5)
	takes(t, w, h, 5, 6)
	first := takes(t, w, h, 6, 256)
	if again := takes(t, w, h, 256, 256); again == first {
		t.Error("the second cosignature of a checkpoint has the time of the first")
	}
	takes(t, w, h, 256, 300)
	s := status(t, w, origin)
	if s.Size != 300 || s.Root != lamppost.Hash(h.root(t, 300)).String() || s.At == 0 || len(s.Forks)+len(s.Unresolved) > 0 || len(s.Refused) > 0 {
		t.Errorf("status %+v", s)
	}
	again := open(t, store)
	if got := status(t, again, origin); got.Size != 300 || got.Checkpoint != s.Checkpoint || again.Key().String() != w.Key().String() {
		t.Errorf("after a restart: %+v", got)
	}
	latest := again.Latest(witness.OriginHash(origin))
	if _, err := note.Open([]byte(latest), note.VerifierList(h.verifier)); err != nil || latest != s.Checkpoint {
		t.Errorf("the latest checkpoint is %q: %v", latest, err)
	}
	if _, err := note.Open([]byte(latest), note.VerifierList(w.Key())); err != nil {
		t.Errorf("the latest checkpoint %q is not cosigned: %v", latest, err)
	}
}

// What anybody can submit again and again costs one write a second, and the answer is the same that is durable.
func TestAgainCostsNothing(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 9, "entry")
	store := kv.NewFaulty(kv.NewMem(), func(int) kv.Fault { return kv.Works })
	at := time.Unix(1_800_000_000, 0)
	w, err := witness.New(witness.Config{Store: store, Now: func() time.Time { return at }})
	must(t, err)
	must(t, w.Add(witness.Log{Origin: origin, Keys: []string{h.vkey}}))
	first := takes(t, w, h, 0, 9)
	writes := store.Applies()
	for range 5 {
		if again := takes(t, w, h, 9, 9); again != first || store.Applies() != writes || !strings.HasSuffix(status(t, w, origin).Checkpoint, again) {
			t.Fatalf("again: %q after %q, %d writes more", again, first, store.Applies()-writes)
		}
	}
	at = at.Add(time.Second)
	if again := takes(t, w, h, 9, 9); again == first || store.Applies() != writes+1 || !strings.HasSuffix(status(t, w, origin).Checkpoint, again) {
		t.Errorf("a second later: %q, %d writes more", again, store.Applies()-writes)
	}
}

// A log may begin empty, carry extension lines, several signatures and a name that is not that of its key.
func TestUnusualLogs(t *testing.T) {
	t.Parallel()
	h := newHistory(t, "example.com").grow(t, 4, "entry")
	w := open(t, kv.NewMem())
	const name = "behind the sofa, with spaces"
	must(t, w.Add(witness.Log{Origin: name, Keys: []string{h.vkey}}))
	h.origin = name
	text := func(size int64, more string) string {
		root := h.root(t, size)
		return fmt.Sprintf("%s\n%d\n%s\n%s", name, size, root, more)
	}
	body := func(old int64, note string) []byte {
		return (&witness.Request{Old: old, Checkpoint: []byte(note)}).Append(nil)
	}
	empty := h.signed(t, text(0, ""))
	for range 2 {
		line, err := w.AddCheckpoint(body(0, empty))
		must(t, err)
		check(t, w, empty, line)
	}
	stranger := newHistory(t, "example.net")
	extended, err := note.Sign(&note.Note{Text: text(4, "extension one\nextension two\n")}, stranger.signer, h.signer)
	must(t, err)
	line, err := w.AddCheckpoint(body(0, string(extended)))
	must(t, err)
	check(t, w, string(extended), line)
	s := status(t, w, name)
	if s.Size != 4 || !strings.Contains(s.Checkpoint, "extension two\n\n— example.com ") || strings.Contains(s.Checkpoint, "example.net") {
		t.Errorf("kept is %+v, want the log's signature and ours alone", s)
	}
	refuses(t, w, body(0, h.signed(t, text(4, "\n"))), witness.Malformed)
}

// Goal: whatever is submitted in whatever order, and however often the witness is started again, all it ever cosigned is
// one history. Method: three histories of one log that part at drawn sizes; requests with drawn old sizes, true, false and
// foreign proofs. A model keeps the history that was cosigned and says of each request what must come of it.
func TestOneHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		trunk := newHistory(t, origin).grow(t, rapid.IntRange(0, 9).Draw(rt, "trunk"), "trunk")
		branches := []*history{trunk, trunk.fork(), trunk.fork()}
		for i, b := range branches {
			b.grow(t, rapid.IntRange(1, 20).Draw(rt, "branch"), fmt.Sprintf("branch %d", i))
		}
		store := kv.NewMem()
		w := open(t, store, trunk)
		var last tlog.Hash
		var size int64
		for range rapid.IntRange(1, 40).Draw(rt, "requests") {
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				w = open(t, store)
			}
			b := branches[rapid.IntRange(0, 2).Draw(rt, "of")]
			to := rapid.Int64Range(0, b.size()).Draw(rt, "to")
			old := size
			if rapid.IntRange(0, 4).Draw(rt, "guess") == 0 {
				old = rapid.Int64Range(0, to).Draw(rt, "old")
			}
			r := witness.Request{Old: old, Checkpoint: []byte(b.checkpoint(t, to))}
			if prover := branches[rapid.IntRange(0, 2).Draw(rt, "proof of")]; old > 0 && old < to && to <= prover.size() {
				whole, err := witness.ParseRequest(prover.request(t, old, to))
				must(t, err)
				r.Proof = whole.Proof
			}
			line, err := w.AddCheckpoint(r.Append(nil))
			if err != nil {
				continue
			}
			if old != size || to < size || size > 0 && b.root(t, size) != last {
				rt.Fatalf("after size %d the size %d of another history was cosigned", size, to)
			}
			check(t, w, b.checkpoint(t, to), line)
			size, last = to, b.root(t, to)
		}
		if s := status(t, w, origin); s.Size != size {
			rt.Fatalf("the status says size %d, cosigned was %d", s.Size, size)
		}
	})
}

// Goal: two histories that are submitted at the same moment are never both cosigned, and logs do not wait for one another's
// mistakes. Method: for each of several logs, submitters of two histories at once, each retrying with the size it is told.
func TestConcurrentForks(t *testing.T) {
	t.Parallel()
	const logs, rounds, submitters = 5, 12, 3
	w := open(t, hesitant{kv.NewMem()})
	var all sync.WaitGroup
	var mu sync.Mutex
	cosigned := map[string][]*history{} // by log: whose checkpoints beyond the trunk
	for i := range logs {
		trunk := newHistory(t, fmt.Sprintf("net/log%d", i)).grow(t, 3, "trunk")
		must(t, w.Add(witness.Log{Origin: trunk.origin, Keys: []string{trunk.vkey}}))
		for j := range 2 {
			branch := trunk.fork().grow(t, rounds, fmt.Sprintf("branch %d", j))
			var bodies [rounds + 4][rounds + 4][]byte // made before: the submitters do nothing but submit
			for old := range int64(rounds + 4) {
				for to := max(old, 4); to < rounds+4; to++ {
					bodies[old][to] = branch.request(t, old, to)
				}
			}
			for range submitters {
				all.Go(func() {
					old := int64(0)
					for to := int64(4); to < rounds+4; {
						_, err := w.AddCheckpoint(bodies[old][to])
						var r *witness.Refusal
						switch {
						case err == nil:
							mu.Lock()
							cosigned[branch.origin] = append(cosigned[branch.origin], branch)
							mu.Unlock()
							old, to = to, to+1
						case asRefusal(err, &r) && r.Reason == witness.Stale && r.Size <= to:
							old = r.Size
						default:
							to++
						}
					}
				})
			}
		}
	}
	all.Wait()
	if len(cosigned) != logs {
		t.Errorf("%d of %d logs were cosigned", len(cosigned), logs)
	}
	for origin, of := range cosigned {
		for _, h := range of {
			if h != of[0] {
				t.Errorf("log %s: checkpoints of both histories were cosigned", origin)
			}
		}
	}
}

// A hesitant store lets others go first, so that what is not guarded comes apart.
type hesitant struct{ *kv.Mem }

// Apply implements kv.Store.
func (h hesitant) Apply(b *kv.Batch) error {
	for range 50 {
		runtime.Gosched()
	}
	return h.Mem.Apply(b)
}

func asRefusal(err error, to **witness.Refusal) bool {
	r, ok := err.(*witness.Refusal)
	*to = r
	return ok
}

// Goal: whichever write fails, and whether or not it reached the store, no two histories are ever cosigned, before or after
// the restart. Method: a run that adds a log, cosigns, is shown two kinds of forks and removes the log, with a fork tried
// after every step; for every write of it and each fate, the same with that write failing and the witness starting again.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	writes := crashRun(t, func(int) kv.Fault { return kv.Works })
	if writes < 10 {
		t.Fatalf("only %d writes: the table is not worth much", writes)
	}
	for _, fault := range []kv.Fault{kv.Fails, kv.FailsWritten} {
		for at := range writes {
			crashRun(t, func(n int) kv.Fault {
				if n == at {
					return fault
				}
				return kv.Works
			})
		}
	}
}

// crashRun returns how many writes there were.
func crashRun(t *testing.T, plan func(int) kv.Fault) int {
	t.Helper()
	store := kv.NewFaulty(kv.NewMem(), plan)
	honest := newHistory(t, origin).grow(t, 40, "entry")
	forked := newHistory(t, origin).grow(t, 4, "entry").grow(t, 60, "other")
	type signed struct {
		size int64
		root tlog.Hash
	}
	var cosigned []signed
	var w *witness.Witness
	start := func() bool {
		var err error
		w, err = witness.New(witness.Config{Store: store, Name: "w.example", Now: new(clock).now})
		return err == nil
	}
	restart := func() {
		store.Reopen()
		if !start() {
			t.Fatal("the witness does not start")
		}
	}
	submit := func(h *history, old, to int64) {
		if _, err := w.AddCheckpoint(h.request(t, old, to)); err == nil {
			cosigned = append(cosigned, signed{to, h.root(t, to)})
		} else if r := err.(*witness.Refusal); r.Reason == witness.Unavailable {
			if _, err := w.AddCheckpoint(h.request(t, old, to)); err.(*witness.Refusal).Reason != witness.Unavailable || w.Status().Failed == "" {
				t.Fatalf("after a failed write logs are served: %v", err)
			}
			restart()
		}
	}
	add := func() {
		l := witness.Log{Origin: origin, Keys: []string{honest.vkey}}
		if w.Add(l) != nil {
			restart()
			must(t, w.Add(l))
		}
	}
	if !start() {
		restart()
	}
	add()
	size := int64(0)
	for _, to := range []int64{5, 6, 8, 8, 13, 30} {
		submit(honest, size, to)
		submit(honest, size, to)
		if s := status(t, w, origin).Size; s != size && s != to {
			t.Fatalf("size %d after %d to %d", s, size, to)
		}
		size = status(t, w, origin).Size
		for fork := max(size, 5); fork < size+3; fork++ { // the same size, and larger ones with the fork's own proof
			submit(forked, size, fork)
		}
	}
	if w.Remove(origin) != nil {
		restart()
		_ = w.Remove(origin)
	}
	add()
	submit(forked, 0, 50)
	for range 2 {
		submit(honest, status(t, w, origin).Size, 40)
	}
	for i, c := range cosigned {
		if c.root != honest.root(t, c.size) || i > 0 && c.size < cosigned[i-1].size {
			t.Fatalf("cosigned number %d is of size %d and root %v, of another history or older than the one before", i, c.size, c.root)
		}
	}
	if s := status(t, w, origin); s.Size != 40 {
		t.Fatalf("the honest log was left at size %d: %+v", s.Size, s)
	}
	return store.Applies()
}

// Whoever stops following a log and starts again goes on where it was: forgetting would let the log begin anew.
func TestRemoveForgetsNothing(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 9, "entry")
	other := newHistory(t, origin).grow(t, 20, "other")
	w := open(t, kv.NewMem(), h)
	takes(t, w, h, 0, 7)
	must(t, w.Remove(origin))
	refuses(t, w, h.request(t, 7, 9), witness.UnknownLog)
	if err := w.Remove(origin); err == nil {
		t.Error("removed twice")
	}
	if len(w.Status().Logs) != 0 {
		t.Errorf("status %+v", w.Status())
	}
	must(t, w.Add(witness.Log{Origin: origin, Keys: []string{h.vkey}}))
	if r := refuses(t, w, other.request(t, 0, 20), witness.Stale); r.Size != 7 {
		t.Errorf("told size %d, want 7", r.Size)
	}
	takes(t, w, h, 7, 9)
}

// A log that changes its key is followed under both, and one key is not another's.
func TestKeysOfLog(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 9, "entry")
	next := newHistory(t, "newer")
	w := open(t, kv.NewMem(), h)
	takes(t, w, h, 0, 5)
	renewed := *h
	renewed.signer, renewed.vkey = next.signer, next.vkey
	refuses(t, w, renewed.request(t, 5, 9), witness.BadSignature)
	bad := &witness.Log{Origin: origin, Keys: []string{"nonsense"}}
	if err := w.Add(*bad); err == nil {
		t.Error("a log with no key that can be read was added")
	}
	must(t, w.Add(witness.Log{Origin: origin, Keys: []string{renewed.vkey}}))
	takes(t, w, &renewed, 5, 9)
	for i := range witness.MaxKeys {
		err := w.Add(witness.Log{Origin: origin, Keys: []string{newHistory(t, fmt.Sprintf("k%d", i)).vkey}})
		if over := i >= witness.MaxKeys-2; over != (err != nil) {
			t.Errorf("key %d: %v", i+3, err)
		}
	}
	for name, l := range map[string]witness.Log{
		"no origin":  {Keys: []string{h.vkey}},
		"two lines":  {Origin: "a\nb", Keys: []string{h.vkey}},
		"no key":     {Origin: "a"},
		"ftp":        {Origin: "a", Keys: []string{h.vkey}, URL: "ftp://x/"},
		"no address": {Origin: "a", Keys: []string{h.vkey}, URL: "x"},
		"too long":   {Origin: strings.Repeat("a", 256), Keys: []string{h.vkey}},
	} {
		if err := w.Add(l); err == nil {
			t.Errorf("%s: added", name)
		}
	}
}

// A folder is one witness: it keeps its name and key, and another name needs another folder.
func TestIdentity(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	w := open(t, store)
	if w.Key().Name() != "w.example" {
		t.Errorf("name %q", w.Key().Name())
	}
	if _, err := witness.New(witness.Config{Store: store, Name: "other.example"}); err == nil || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("another name on the same folder: %v", err)
	}
	foreign := kv.NewMem()
	newHistory(t, origin).grow(t, 1, "entry").copyTo(t, foreign, 1)
	if _, err := witness.New(witness.Config{Store: foreign}); err == nil || !strings.Contains(err.Error(), "not a witness's") {
		t.Errorf("a witness in a node's store: %v", err)
	}
	a, err := witness.New(witness.Config{Store: kv.NewMem()})
	must(t, err)
	b, err := witness.New(witness.Config{Store: kv.NewMem()})
	must(t, err)
	if a.Key().Name() == b.Key().Name() || bytes.Equal(a.Key().Public(), b.Key().Public()) {
		t.Errorf("two new witnesses are %s and %s", a.Key(), b.Key())
	}
}

// Goal: a request never panics, and reading and writing it are inverse.
func FuzzParseRequest(f *testing.F) {
	h := newHistory(f, origin).grow(f, 9, "entry")
	f.Add(h.request(f, 3, 9))
	f.Add([]byte("old 0\n\nx"))
	f.Add([]byte("old 01\n\nx"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := witness.ParseRequest(body)
		if err == nil && !bytes.Equal(r.Append(nil), body) {
			t.Errorf("%q is read as %+v", body, r)
		}
	})
}

// Goal: whatever comes in, nothing panics, and what is cosigned was signed by the log and continues what was before.
func FuzzAddCheckpoint(f *testing.F) {
	h := newHistory(f, origin).grow(f, 9, "entry")
	other := newHistory(f, origin).grow(f, 9, "other")
	f.Add(h.request(f, 5, 9))
	f.Add(h.request(f, 5, 5))
	f.Add(other.request(f, 5, 9))
	f.Add(other.request(f, 5, 5))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := open(t, kv.NewMem(), h)
		takes(t, w, h, 0, 5)
		line, err := w.AddCheckpoint(body)
		if err != nil {
			if _, ok := err.(*witness.Refusal); !ok {
				t.Errorf("%T %v", err, err)
			}
			return
		}
		r, err := witness.ParseRequest(body)
		must(t, err)
		n, err := note.Open(append(r.Checkpoint, line...), note.VerifierList(h.verifier, w.Key()))
		must(t, err)
		if text := n.Text; len(n.Sigs) != 2 || !strings.HasPrefix(h.checkpoint(t, 5), text) && !strings.HasPrefix(h.checkpoint(t, 9), text) {
			t.Errorf("cosigned was %q", text)
		}
	})
}
