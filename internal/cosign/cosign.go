// Package cosign asks witnesses to cosign the checkpoints of one log (C2SP tlog-witness, the log's side), and notices
// when one of them remembers another history than the log itself.
//
// It promises that a returned cosignature verifies, and that a contradiction that is called proven holds a checkpoint
// which the log's own key signed and the published log does not continue. It decides neither how often to ask nor
// what becomes of the answers.
//
// Start reading at [Asker.Ask]. Limits are in limits.go.
package cosign

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/internal/witness"
)

// A Witness is one that is asked.
type Witness struct {
	Key *lamppost.WitnessKey
	URL string // submission and monitoring prefix of C2SP tlog-witness
}

// Config is what an Asker needs to know. All but Client and Timeout is required.
type Config struct {
	Witnesses []Witness
	Own       note.Verifier  // of the log; its name is the log's origin
	Files     tilelog.Source // where the log is published
	Now       func() lamppost.TimeMS
	Client    *http.Client
	Timeout   time.Duration // default DefaultTimeout
}

// An Asker remembers how far each witness is. Ask is called by one goroutine, State by any.
type Asker struct {
	cfg   Config
	known []int64 // size that each witness is believed to have cosigned last; between calls of Ask, its own goroutine's in one

	mu     sync.Mutex
	states []State
}

// A State is how it stands with one witness.
type State struct {
	Name     string
	URL      string
	Size     int64           // cosigned last, since the start
	At       lamppost.TimeMS // when that came
	Error    string          // why the last request brought nothing; empty: it did
	FailedAt lamppost.TimeMS
}

// A Contradiction is a witness's word that it cosigned what this log does not continue. Shown is what proves it: a
// checkpoint signed by the log's own key. Without that it is only its word.
type Contradiction struct {
	Witness string
	Size    int64  // of what it cosigned
	Shown   string // signed note, or empty
	Text    string
}

// New returns an Asker that knows nothing yet: the first answer of each witness tells its size.
func New(cfg Config) *Asker {
	if cfg.Client == nil {
		cfg.Client = &http.Client{}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	a := &Asker{cfg: cfg, known: make([]int64, len(cfg.Witnesses))}
	for _, w := range cfg.Witnesses {
		a.states = append(a.states, State{Name: w.Key.Name(), URL: w.URL})
	}
	return a
}

// States lists the witnesses as they were configured.
func (a *Asker) States() []State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.states)
}

// An answer is what came of asking one witness.
type answer struct {
	of  int
	sig note.Signature
	no  *Contradiction
	err error
}

// Ask asks all witnesses for a checkpoint that is published, at the same time, and returns when all have answered or the
// time is over. As soon as enough have cosigned, and again at the end if there are more by then, it calls got with their
// signatures, in the order of the verifier keys. It returns who contradicts the log.
func (a *Asker) Ask(ctx context.Context, signed []byte, enough int, got func([]note.Signature)) (against []Contradiction, err error) {
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(a.cfg.Own))
	if err != nil {
		return nil, fmt.Errorf("asking witnesses: %w", err)
	}
	own, err := ownNote(signed, a.cfg.Own)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	answers := make(chan answer, len(a.cfg.Witnesses))
	for i := range a.cfg.Witnesses {
		go func() {
			x := exchange{a: a, of: i, w: a.cfg.Witnesses[i], own: own, c: c, old: a.known[i]}
			sig, no, err := x.run(ctx)
			answers <- answer{i, sig, no, err}
		}()
	}
	sigs := map[string]note.Signature{}
	told := 0
	for range a.cfg.Witnesses {
		x := <-answers
		a.note(x, c)
		switch {
		case x.no != nil:
			against = append(against, *x.no)
		case x.err == nil:
			sigs[a.cfg.Witnesses[x.of].Key.String()] = x.sig
		}
		if told == 0 && len(sigs) >= enough {
			told = len(sigs)
			got(inOrder(sigs))
		}
	}
	if told > 0 && len(sigs) > told {
		got(inOrder(sigs))
	}
	return against, nil
}

func inOrder(sigs map[string]note.Signature) (list []note.Signature) {
	keys := make([]string, 0, len(sigs))
	for k := range sigs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		list = append(list, sigs[k])
	}
	return list
}

// ownNote is a checkpoint without what others signed below it: a witness is not told who cosigned before.
func ownNote(signed []byte, own note.Verifier) ([]byte, error) {
	n, err := note.Open(signed, note.VerifierList(own))
	if err != nil {
		return nil, err
	}
	return lamppost.SignedNote(n.Text, n.Sigs...)
}

// note remembers how far a witness is, and what to show for it.
func (a *Asker) note(x answer, c lamppost.Checkpoint) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.states[x.of]
	switch {
	case x.no != nil:
		s.Error, s.FailedAt = x.no.Text, a.cfg.Now()
	case x.err != nil:
		s.Error, s.FailedAt = x.err.Error(), a.cfg.Now()
	default:
		s.Error, s.Size, s.At = "", c.Size, a.cfg.Now()
		a.known[x.of] = c.Size
	}
}

// An exchange is what is said between a log and one witness about one checkpoint.
type exchange struct {
	a   *Asker
	of  int // which witness
	w   Witness
	own []byte
	c   lamppost.Checkpoint
	old int64 // what the witness is told it cosigned last
}

func (x *exchange) run(ctx context.Context) (note.Signature, *Contradiction, error) {
	for range maxTries {
		body, err := x.request()
		if err != nil {
			return note.Signature{}, nil, err
		}
		status, kind, answer, err := x.send(ctx, http.MethodPost, "/add-checkpoint", body)
		if err != nil {
			return note.Signature{}, nil, err
		}
		size, told := toldSize(status, kind, answer)
		switch {
		case status == http.StatusOK:
			sig, err := x.read(answer)
			return sig, nil, err
		case told && size == x.old:
			return note.Signature{}, nil, fmt.Errorf("it says that it cosigned size %d last, which is what it was told", size)
		case told && size > x.c.Size:
			no, err := x.contradicted(ctx, size, fmt.Sprintf("witness %s says that it cosigned size %d of this log", x.w.Key.Name(), size))
			return note.Signature{}, no, err
		case told:
			x.old = size
		case status == http.StatusUnprocessableEntity || status == http.StatusConflict:
			no, err := x.contradicted(ctx, x.old, fmt.Sprintf("witness %s says that what it cosigned at size %d is of another history", x.w.Key.Name(), x.old))
			return note.Signature{}, no, err
		default:
			return note.Signature{}, nil, refusal(status, answer)
		}
	}
	return note.Signature{}, nil, fmt.Errorf("its size changed %d times while it was asked", maxTries)
}

// toldSize reads the answer of a witness that knows another size.
func toldSize(status int, kind string, body []byte) (int64, bool) {
	if status != http.StatusConflict || !strings.HasPrefix(kind, "text/x.tlog.size") {
		return 0, false
	}
	size, err := strconv.ParseInt(strings.TrimSuffix(string(body), "\n"), 10, 64)
	return size, err == nil && size >= 0
}

func refusal(status int, body []byte) error {
	words := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(body[:min(len(body), maxWords)]))
	switch status {
	case http.StatusNotFound:
		return fmt.Errorf("it does not follow this log: whoever runs it says `lamppost witness add` (%s)", strings.TrimSpace(words))
	case http.StatusForbidden:
		return fmt.Errorf("it knows another key for this log: whoever runs it says `lamppost witness add` (%s)", strings.TrimSpace(words))
	}
	return fmt.Errorf("it answers with status %d: %s", status, strings.TrimSpace(words))
}

// request writes the request with the proof from the size the witness is believed to have.
func (x *exchange) request() ([]byte, error) {
	r := witness.Request{Old: min(x.old, x.c.Size), Checkpoint: x.own}
	x.old = r.Old
	if 0 < r.Old && r.Old < x.c.Size {
		var err error
		if r.Proof, err = tilelog.NewTree(x.a.cfg.Files, x.c.Size, tlog.Hash(x.c.Root)).ProveConsistency(r.Old); err != nil {
			return nil, err
		}
	}
	return r.Append(nil), nil
}

// read takes the witness's line out of its answer: put below the checkpoint, it must verify and change nothing else.
func (x *exchange) read(lines []byte) (note.Signature, error) {
	n, err := note.Open(append([]byte(x.c.Text()+"\n"), lines...), note.VerifierList(x.w.Key))
	if err != nil {
		return note.Signature{}, fmt.Errorf("its answer is no cosignature with its key: %w", err)
	}
	if n.Text != x.c.Text() {
		return note.Signature{}, fmt.Errorf("its answer is no list of signatures")
	}
	return n.Sigs[0], nil
}

// contradicted asks a witness for the checkpoint it cosigned and compares it with the published log. An error says that
// there is no contradiction: the witness is only further on, or does not say what it means.
func (x *exchange) contradicted(ctx context.Context, size int64, text string) (*Contradiction, error) {
	shown, err := x.shown(ctx)
	log, err2 := x.a.published() // after it was shown: the log may have grown
	if err2 != nil {
		return nil, err2
	}
	if err != nil {
		if size > x.c.Size && size <= log.Size() {
			return nil, fmt.Errorf("it cosigned size %d already", size)
		}
		return &Contradiction{Witness: x.w.Key.Name(), Size: size, Text: fmt.Sprintf("%s, and shows no checkpoint for it (%v)", text, err)}, nil
	}
	c, _, err := lamppost.OpenCheckpoint(shown, note.VerifierList(x.a.cfg.Own))
	if err != nil {
		return nil, err
	}
	no := &Contradiction{Witness: x.w.Key.Name(), Size: c.Size, Shown: string(shown)}
	if c.Size > log.Size() {
		no.Text = fmt.Sprintf("witness %s holds a checkpoint of %d entries signed with this log's key; the log here has only %d", no.Witness, c.Size, log.Size())
		return no, nil
	}
	root, err := log.RootAt(c.Size)
	if err != nil {
		return nil, err
	}
	if root != tlog.Hash(c.Root) {
		no.Text = fmt.Sprintf("witness %s holds a checkpoint of %d entries signed with this log's key; the log here has another root at that size", no.Witness, c.Size)
		return no, nil
	}
	x.a.known[x.of] = c.Size
	return nil, fmt.Errorf("%s, but what it shows is of this log: it is asked again from size %d", strings.TrimPrefix(text, "witness "+no.Witness+" "), c.Size)
}

// published reads what is published now.
func (a *Asker) published() (*tilelog.Tree, error) {
	signed, err := a.cfg.Files.Get(tilelog.CheckpointPath)
	if err != nil {
		return nil, fmt.Errorf("reading the published checkpoint: %w", err)
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(a.cfg.Own))
	if err != nil {
		return nil, fmt.Errorf("reading the published checkpoint: %w", err)
	}
	return tilelog.NewTree(a.cfg.Files, c.Size, tlog.Hash(c.Root)), nil
}

// shown fetches the checkpoint that a witness cosigned last and checks that the log's key signed it.
func (x *exchange) shown(ctx context.Context) ([]byte, error) {
	status, _, body, err := x.send(ctx, http.MethodGet, "/"+witness.OriginHash(x.c.Origin)+"/checkpoint", nil)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d", status)
	}
	_, _, err = lamppost.OpenCheckpoint(body, note.VerifierList(x.a.cfg.Own))
	return body, err
}

func (x *exchange) send(ctx context.Context, method, path string, body []byte) (status int, kind string, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(x.w.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	res, err := x.a.cfg.Client.Do(req)
	if err != nil {
		return 0, "", nil, fmt.Errorf("it cannot be reached: %w", err)
	}
	defer res.Body.Close()
	limit := int64(maxAnswerBytes)
	if method == http.MethodGet {
		limit = lamppost.MaxCheckpointBytes
	}
	answer, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(answer)) > limit {
		err = fmt.Errorf("its answer is longer than %d bytes", limit)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), answer, err
}
