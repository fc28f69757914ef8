// Package witness follows the logs of others and cosigns their checkpoints (C2SP tlog-witness), so that a log cannot show
// two histories to people who know the witness.
//
// It promises that all checkpoints of one origin that it ever cosigned are of one history: each is the beginning of the
// next. What it cosigns is durable before the cosignature leaves, so no crash makes it forget. If it is shown that a log
// signed two histories it keeps both notes. It does not look at what stands in a log, does not know who submits a
// checkpoint, and does not compare logs of different origins.
//
// Start reading at [Witness.AddCheckpoint], then [Fork] (what is evidence) and [Witness.Resolve]; server.go runs it on a
// folder and an address. Limits are in limits.go.
package witness

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// Config is what a witness is made of. Store is required.
type Config struct {
	Store  kv.Store // all of it is the witness's; writes are never concurrent
	Name   string   // of the key, at the first start; empty: one is made up
	Now    func() time.Time
	Log    *slog.Logger
	Client *http.Client // fetches files of logs
}

// A Log is one that a witness follows.
type Log struct {
	Origin string   `cbor:"1,keyasint" json:"origin"`
	Keys   []string `cbor:"2,keyasint" json:"keys"` // verifier keys, any of which signs for it
	URL    string   `cbor:"3,keyasint" json:"url"`  // where its files are (C2SP tlog-tiles), if known
}

// A Witness cosigns. All methods may be called concurrently.
//
// Locks are taken in this order: one log's mu, then writing; mu of the Witness is held for moments only, inside any.
type Witness struct {
	cfg     Config
	key     *lamppost.Cosigner
	pending chan struct{} // a fork to be resolved was kept

	writing sync.Mutex            // held by Store.Apply
	failed  atomic.Pointer[error] // why the store takes no more; then nothing is cosigned

	mu     sync.RWMutex         // guards the maps
	logs   map[string]*followed // by origin; none is ever deleted
	hashes map[string]*followed // by OriginHash
}

// followed is a log. All but its origin is guarded by mu; requests of one log are decided one after the other.
type followed struct {
	origin string

	mu     sync.Mutex
	record record
	keys   note.Verifiers
	state  state
	forks  []*keptFork

	refused map[Reason]uint64 // since the start
	last    *Refusal          // the latest
	lastAt  lamppost.TimeMS
}

func newFollowed(origin string) *followed {
	return &followed{origin: origin, state: emptyState(origin), refused: map[Reason]uint64{},
		record: record{Version: recordVersion, Log: Log{Origin: origin}, Removed: true}}
}

// New opens what the store holds.
func New(cfg Config) (*Witness, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{}
	}
	w := &Witness{cfg: cfg, pending: make(chan struct{}, 1), logs: map[string]*followed{}, hashes: map[string]*followed{}}
	var err error
	if w.key, err = loadIdentity(cfg.Store, cfg.Name); err != nil {
		return nil, err
	}
	return w, w.load()
}

// Key is the witness's public key.
func (w *Witness) Key() *lamppost.WitnessKey { return w.key.Key() }

func (w *Witness) now() lamppost.TimeMS { return lamppost.TimeMS(w.cfg.Now().UnixMilli()) }

func (w *Witness) followed(origin string) *followed {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.logs[origin]
}

// emptyState is what is known of a log before its first checkpoint.
func emptyState(origin string) state {
	root, _ := tlog.TreeHash(0, nil)
	return state{Version: recordVersion, head: head{origin: origin, root: root}}
}

// Add follows a log from now on. Adding one that is followed adds keys to it and changes its URL if one is given, and one
// that was removed goes on from the checkpoint that was cosigned last.
func (w *Witness) Add(l Log) error {
	if err := l.check(); err != nil {
		return err
	}
	f, err := w.place(l.Origin)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.record
	next.Removed, next.Log.Keys = false, slices.Clone(f.record.Log.Keys)
	for _, k := range l.Keys {
		if !slices.Contains(next.Log.Keys, k) {
			next.Log.Keys = append(next.Log.Keys, k)
		}
	}
	if len(next.Log.Keys) > MaxKeys {
		return fmt.Errorf("log %q: %d keys are over the limit of %d", l.Origin, len(next.Log.Keys), MaxKeys)
	}
	if l.URL != "" {
		next.Log.URL = l.URL
	}
	return w.keep(f, next)
}

// place returns where a log is kept, which is new for a new one.
func (w *Witness) place(origin string) (*followed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.logs[origin]
	if f == nil {
		if len(w.logs) >= MaxLogs {
			return nil, fmt.Errorf("log %q: a witness follows at most %d, removed ones included", origin, MaxLogs)
		}
		f = newFollowed(origin)
		w.put(f)
	}
	return f, nil
}

func (w *Witness) put(f *followed) { w.logs[f.origin], w.hashes[OriginHash(f.origin)] = f, f }

// Remove stops following a log. What was cosigned is not forgotten.
func (w *Witness) Remove(origin string) error {
	f := w.followed(origin)
	if f == nil {
		return fmt.Errorf("log %q is not followed", origin)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.record.Removed {
		return fmt.Errorf("log %q is not followed", origin)
	}
	next := f.record
	next.Removed, next.Log.Keys = true, nil // whoever adds it again says which keys count
	return w.keep(f, next)
}

// keep makes a record durable, then valid.
func (w *Witness) keep(f *followed, next record) error {
	var b kv.Batch
	b.Set(key(logKind, f.origin), lamppost.Marshal(next))
	if err := w.write(&b); err != nil {
		return err
	}
	f.record = next
	return f.setKeys()
}

// write makes changes durable. If that fails nobody knows what the store holds: only opening it again tells.
func (w *Witness) write(b *kv.Batch) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.cfg.Store.Apply(b); err != nil {
		err = fmt.Errorf("nothing is cosigned until this witness starts again: %w", err)
		w.failed.Store(&err)
		w.cfg.Log.Error("a write failed", "err", err)
		return err
	}
	return nil
}

func (f *followed) setKeys() error {
	var known []note.Verifier
	for _, vkey := range f.record.Log.Keys {
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return err
		}
		known = append(known, v)
	}
	f.keys = note.VerifierList(known...)
	return nil
}

// ParseKey reads a log's verifier key, whose name is the origin of its checkpoints unless the log says otherwise.
func ParseKey(vkey string) (Log, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return Log{}, fmt.Errorf("%.100q is not the verifier key of a log (C2SP signed-note, Ed25519)", vkey)
	}
	return Log{Origin: v.Name(), Keys: []string{vkey}}, nil
}

func (l *Log) check() error {
	bad := func(r rune) bool { return unicode.IsControl(r) }
	if l.Origin == "" || len(l.Origin) > MaxOriginBytes || !utf8.ValidString(l.Origin) || strings.ContainsFunc(l.Origin, bad) {
		return fmt.Errorf("origin %.60q: a log's origin is one line of 1 to %d bytes", l.Origin, MaxOriginBytes)
	}
	if len(l.Keys) == 0 {
		return fmt.Errorf("log %q: without a key nobody can sign for it", l.Origin)
	}
	for _, vkey := range l.Keys {
		if _, err := ParseKey(vkey); err != nil {
			return fmt.Errorf("log %q: %w", l.Origin, err)
		}
	}
	if l.URL == "" {
		return nil
	}
	if u, err := url.Parse(l.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(l.URL) > maxURLBytes {
		return fmt.Errorf("log %q: %.100q is not an address such as https://node.example/log", l.Origin, l.URL)
	}
	return nil
}

// A Reason is why a request was refused.
type Reason string

// Reasons, with the HTTP status that C2SP tlog-witness gives each.
const (
	Malformed    Reason = "malformed"     // 400: not a request, or the old size is larger than the checkpoint's
	UnknownLog   Reason = "unknown_log"   // 404: nobody told this witness to follow it
	BadSignature Reason = "bad_signature" // 403: no valid signature of a key of the log
	Stale        Reason = "stale"         // 409: the old size is not that of the checkpoint cosigned last
	Inconsistent Reason = "inconsistent"  // 422: the proof does not lead from there to the checkpoint
	Unavailable  Reason = "unavailable"   // 500: the state is not known since a write failed; opening the store again tells
)

// A Refusal says why a checkpoint was not cosigned.
type Refusal struct {
	Reason Reason
	Size   int64 // cosigned last, of Stale
	Text   string
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// AddCheckpoint decides a request and returns the line of the cosignature. Errors are *Refusal. When it returns a line,
// the checkpoint is durable as the last one cosigned of its log.
func (w *Witness) AddCheckpoint(body []byte) (string, error) {
	req, err := ParseRequest(body)
	if err != nil {
		return "", refuse(Malformed, "%v", err)
	}
	origin, _, _ := strings.Cut(string(req.Checkpoint), "\n")
	f := w.followed(origin)
	if f == nil {
		return "", refuse(UnknownLog, "this witness does not follow the log %.100q", origin)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	line, refusal := w.decide(f, req)
	if refusal == nil {
		return line, nil
	}
	f.refused[refusal.Reason]++
	f.last, f.lastAt = refusal, w.now()
	return "", refusal
}

// decide checks in the order of the specification, so that the status tells a client what to do next.
func (w *Witness) decide(f *followed, req *Request) (string, *Refusal) {
	if f.record.Removed {
		return "", refuse(UnknownLog, "this witness does not follow the log %q any more", f.origin)
	}
	n, err := note.Open(req.Checkpoint, f.keys)
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	if errors.As(err, &unverified) || errors.As(err, &invalid) {
		return "", refuse(BadSignature, "none of the keys of %q signed this checkpoint: %v", f.origin, err)
	}
	if err != nil {
		return "", refuse(Malformed, "the checkpoint: %v", err)
	}
	h, err := parseHead(n.Text)
	if err != nil {
		return "", refuse(Malformed, "%v", err)
	}
	if err := w.failed.Load(); err != nil {
		return "", refuse(Unavailable, "%v", *err)
	}
	if refusal := w.consistent(f, req, h, n); refusal != nil {
		return "", refusal
	}
	return w.cosign(f, h, n)
}

// consistent checks that a checkpoint continues the one cosigned last. What contradicts it is kept.
func (w *Witness) consistent(f *followed, req *Request, h head, n *note.Note) *Refusal {
	s := &f.state
	if h.size == s.size && h.root != s.root && s.Note != "" && h.size > 0 {
		if err := w.contradicted(f, n, nil); err != nil {
			return refuse(Unavailable, "%v", err)
		}
	}
	empty := emptyState("").root
	switch {
	case req.Old > h.size:
		return refuse(Malformed, "the old size %d is larger than that of the checkpoint, %d", req.Old, h.size)
	case req.Old != s.size:
		return &Refusal{Stale, s.size, fmt.Sprintf("the checkpoint cosigned last has size %d, not %d", s.size, req.Old)}
	case h.size == 0 && h.root != empty:
		return refuse(Inconsistent, "a tree of no leaves has another root")
	case h.size == s.size && h.root != s.root:
		return refuse(Inconsistent, "another root was cosigned at size %d", h.size)
	case (h.size == s.size || s.size == 0) && len(req.Proof) > 0:
		return refuse(Inconsistent, "a proof from size %d to %d has no hashes", s.size, h.size)
	case h.size == s.size || s.size == 0:
		return nil
	}
	if err := tlog.CheckTree(req.Proof, h.size, h.root, s.size, s.root); err == nil {
		return nil
	}
	if err := w.contradicted(f, n, req.Proof); err != nil {
		return refuse(Unavailable, "%v", err)
	}
	return refuse(Inconsistent, "the proof does not lead from the checkpoint cosigned at size %d to this one of size %d", s.size, h.size)
}

// cosign makes a checkpoint the last one, durably, and then returns the cosignature. It is signed before, so that one
// write holds it too; should that fail, nobody ever sees it. The same checkpoint within the same second has the same
// cosignature, which is durable already: anybody can submit what is public, and shall not cost a write each time.
func (w *Witness) cosign(f *followed, h head, n *note.Note) (string, *Refusal) {
	now := w.cfg.Now()
	sig, err := w.key.Cosign(n.Text, now.Unix())
	if err != nil {
		return "", refuse(Unavailable, "%v", err)
	}
	line := "— " + sig.Name + " " + sig.Base64 + "\n"
	if strings.HasPrefix(f.state.Note, n.Text+"\n") && strings.HasSuffix(f.state.Note, "\n"+line) {
		return line, nil
	}
	signed, err := lamppost.SignedNote(n.Text, append(n.Sigs, sig)...)
	if err != nil {
		return "", refuse(Malformed, "%v", err)
	}
	next := state{Version: recordVersion, Note: string(signed), At: lamppost.TimeMS(now.UnixMilli()), head: h}
	var b kv.Batch
	b.Set(key(stateKind, f.origin), lamppost.Marshal(next))
	kept := f.cleared(&b, h)
	if err := w.write(&b); err != nil {
		return "", refuse(Unavailable, "%v", err)
	}
	f.state, f.forks = next, kept
	return line, nil
}

// Latest returns the checkpoint of a log that was cosigned last, with the log's signature and ours, or "" (C2SP
// tlog-witness, the monitoring prefix). The log is named by [OriginHash] and need not be followed any more.
func (w *Witness) Latest(originHash string) string {
	w.mu.RLock()
	f := w.hashes[originHash]
	w.mu.RUnlock()
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Note
}

// all returns the logs by origin.
func (w *Witness) all() []*followed {
	w.mu.RLock()
	defer w.mu.RUnlock()
	list := make([]*followed, 0, len(w.logs))
	for _, f := range w.logs {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *followed) int { return strings.Compare(a.origin, b.origin) })
	return list
}
