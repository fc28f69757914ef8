// Package notify tells people's programs of alarms, by webhook, and shows those that stand, by MQTT. It follows the ledger: what it has told, and what is still to be told, is one
// record of the node, written before anything is sent. So a crash loses no notification; one may come twice, under the same id.
//
// Alarms of one device and kind with the same first reason are one notification until their refractory time is over; it says how many there
// were when it is resolved. A member tells of its own verdicts alone, so a cluster tells once.
//
// Start reading at [Notifier.Run]. Messages are signed as Standard Webhooks are (standardwebhooks.com): receivers check the signature, and drop
// ids that they know. docs/alarms.md has the message.
package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
)

// Limits.
const (
	MaxWebhooks = 16
	maxQueue    = 256 // messages that wait; while there are as many, alarms wait in the ledger
	maxOpen     = 10_000
	sendTimeout = 10 * time.Second
	minBackoff  = time.Second
	maxBackoff  = 5 * time.Minute
)

// A Webhook is where messages go. Secret is a file with the key of the signature.
type Webhook struct {
	URL    string `yaml:"url"`
	Secret string `yaml:"secret"`
}

// Config is what an operator says of notifications.
type Config struct {
	Webhooks   []Webhook     `yaml:"webhooks"`
	Refractory time.Duration `yaml:"refractory"` // default 1h
	Lang       string        `yaml:"lang"`       // of the words; default English
	Zone       string        `yaml:"zone"`       // IANA; default UTC
}

// Check fills in defaults and refuses what cannot be sent to.
func (c *Config) Check() error {
	c.Refractory = cmp.Or(c.Refractory, time.Hour)
	switch {
	case len(c.Webhooks) > MaxWebhooks:
		return fmt.Errorf("notify: %d webhooks, at most %d", len(c.Webhooks), MaxWebhooks)
	case c.Refractory < time.Second || c.Refractory > 30*24*time.Hour:
		return errors.New("notify: refractory is from 1s to 720h")
	}
	for i, w := range c.Webhooks {
		u, err := url.Parse(w.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			return fmt.Errorf("notify: webhook %d: %q is no https:// address; http:// is for this machine alone", i+1, w.URL)
		}
		if w.Secret == "" {
			return fmt.Errorf("notify: webhook %d: name a file with its secret", i+1)
		}
		if slices.ContainsFunc(c.Webhooks[:i], func(x Webhook) bool { return x.URL == w.URL }) {
			return fmt.Errorf("notify: webhook %q is there twice", w.URL)
		}
	}
	if _, err := time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" {
		return fmt.Errorf("notify: zone %q is not in the time zone database", c.Zone)
	}
	if _, err := render.AlarmOf(render.Judged{Verdict: new(lamppost.Verdict)}, render.Reader{Lang: c.Lang}); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A Ledger is where verdicts stand: a ledger.View of the latest state.
type Ledger interface {
	Verdicts(before lamppost.VerdictID, fn func(*ledger.Verdict) error) error
	Verdict(id lamppost.VerdictID) (ledger.Verdict, error)
}

// Options are what the node gives to its Notifier. All but Show and Log are required.
type Options struct {
	Config
	Ledger   Ledger
	Store    kv.Store
	Network  string
	Member   lamppost.MemberID
	Now      func() lamppost.TimeMS
	Register func(lamppost.DeviceID, string) bool // whether a reading is a running total
	// Show shows a device's alarm, and takes it back where body is nil. Nil: alarms are shown nowhere. Run alone calls it.
	Show func(device lamppost.DeviceID, body []byte) error
	Log  *slog.Logger
}

// A Notifier sends. Run drives it; Wake may be called by anybody.
type Notifier struct {
	o      Options
	client *http.Client
	loc    *time.Location
	wake   chan struct{}

	turn  sync.Mutex                   // held by Gather; taken before mu
	shown map[lamppost.DeviceID]string // under turn: of which verdict the message is that stands there

	mu    sync.Mutex // state, between the goroutine that gathers and those that send
	state state
	moved chan struct{} // closed, and made anew, when the queue grows
}

// New reads what was told before.
func New(o Options) (*Notifier, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	loc, err := time.LoadLocation(o.Zone)
	if err != nil {
		return nil, err
	}
	n := &Notifier{o: o, loc: loc, wake: make(chan struct{}, 1), moved: make(chan struct{}), shown: map[lamppost.DeviceID]string{},
		client: &http.Client{Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if err := n.open(); err != nil {
		return nil, fmt.Errorf("reading what was notified: %w", err)
	}
	return n, nil
}

// open reads the record, or begins one where there is none, or none that can be used.
func (n *Notifier) open() error {
	s, err := readState(n.o.Store)
	var bad *damaged
	switch {
	case errors.As(err, &bad):
		n.o.Log.Warn("what was notified cannot be read; what is found from now on is notified", "why", err)
		fallthrough
	case errors.Is(err, kv.ErrNotFound):
		s, err = &state{Version: stateVersion, Delivered: map[string]uint64{}, Began: n.o.Now()}, nil
	}
	if err == nil {
		s.keep(n.o.Webhooks)
		err = s.forget(n.o.Ledger)
	}
	if err != nil {
		return err
	}
	n.state = *s
	return s.write(n.o.Store)
}

// Wake says that there may be a verdict or an answer.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run gathers and sends until ctx is done.
func (n *Notifier) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	defer sending.Wait()
	for _, w := range n.o.Webhooks {
		sending.Go(func() { n.send(ctx, w) })
	}
	tick := time.NewTicker(5 * time.Second) // refractory times end
	defer tick.Stop()
	for {
		if err := n.Gather(); err != nil {
			n.o.Log.Warn("alarms cannot be read to notify of them; trying again", "error", err)
		}
		select {
		case <-n.wake:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Gather reads what the ledger has that was not told, writes what is to be told, and shows what stands. Run calls it; who has erased something
// calls it too, and after that no message of it is kept.
func (n *Notifier) Gather() error {
	n.turn.Lock()
	defer n.turn.Unlock()
	return errors.Join(n.gather(), n.show())
}

func (n *Notifier) gather() error {
	fresh, latest, err := n.fresh()
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.state.clone()
	if err := next.forget(n.o.Ledger); err != nil {
		return err
	}
	for i := range fresh {
		if len(next.Queue) >= maxQueue {
			latest = next.Position // the rest stays in the ledger
			break
		}
		if err := n.note(next, &fresh[i]); err != nil {
			return err
		}
		next.Position = fresh[i].ID
	}
	next.Position = latest
	if err := n.resolve(next); err != nil {
		return err
	}
	if next.same(&n.state) {
		return nil
	}
	if err := next.write(n.o.Store); err != nil {
		return err
	}
	n.state = *next
	close(n.moved)
	n.moved = make(chan struct{})
	return nil
}

// Told is how many messages there were so far.
func (n *Notifier) Told() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state.Next
}

// fresh is this member's verdicts after those that were told, the oldest first, and the latest of anybody's. Of what was found before the
// record began, it is what still holds something back: that is shown, and not told.
func (n *Notifier) fresh() (all []ledger.Verdict, latest lamppost.VerdictID, err error) {
	n.mu.Lock()
	position, began := n.state.Position, n.state.Began
	n.mu.Unlock()
	latest = position
	err = n.o.Ledger.Verdicts(lamppost.VerdictID{}, func(v *ledger.Verdict) error {
		if compare(v.ID, position) <= 0 {
			return kv.ErrStop
		}
		if compare(v.ID, latest) > 0 {
			latest = v.ID
		}
		if v.By == n.o.Member && (v.Time >= began || v.Suspending()) {
			all = append(all, *v)
		}
		return nil
	})
	slices.Reverse(all)
	return all, latest, err
}

func compare(a, b lamppost.VerdictID) int {
	return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Tx, b.Tx), cmp.Compare(a.Index, b.Index))
}

// note counts an alarm that goes with an open one, or tells of a new one.
func (n *Notifier) note(s *state, v *ledger.Verdict) error {
	now, code := n.o.Now(), v.Body.Reasons[0].Code
	for i := range s.Open {
		o := &s.Open[i]
		if o.Device == v.Body.Device && o.Name == v.Body.Name && o.Kind == v.Body.Kind && o.Code == code {
			o.Count, o.Last, o.Until = o.Count+1, v.ID, now+lamppost.TimeMS(n.o.Refractory.Milliseconds())
			return nil
		}
	}
	m, err := n.alarm(v)
	if err != nil {
		return err
	}
	if len(s.Open) < maxOpen {
		s.Open = append(s.Open, open{Device: v.Body.Device, Name: v.Body.Name, Kind: v.Body.Kind, Code: code, First: v.ID, Last: v.ID, Count: 1, Suspends: v.Body.Suspends,
			Until: now + lamppost.TimeMS(n.o.Refractory.Milliseconds()), Told: now})
	}
	if v.Time >= s.Began {
		n.put(s, m, now)
	}
	return nil
}

// alarm is the message of a verdict, but for who tells and when.
func (n *Notifier) alarm(v *ledger.Verdict) (*Message, error) {
	words, err := render.TellAlarm(render.Judged{Verdict: &v.Body, Register: n.o.Register(v.Body.Device, v.Body.Name)}, n.o.Lang, n.loc)
	if err != nil {
		return nil, err
	}
	return &Message{Event: "alarm", Verdict: v.ID, Device: v.Body.Device, Name: v.Body.Name, Kind: v.Body.Kind, Code: v.Body.Reasons[0].Code, Count: 1, Since: v.Body.Since,
		At: v.Body.At, Suspends: v.Body.Suspends, Title: words.Title, Why: words.Why}, nil
}

// show shows of each device the latest alarm that was told and is not resolved.
func (n *Notifier) show() error {
	if n.o.Show == nil {
		return nil
	}
	n.mu.Lock()
	all := n.state.Open
	n.mu.Unlock()
	latest := map[lamppost.DeviceID]*open{}
	for i := range all {
		if o := latest[all[i].Device]; o == nil || compare(o.First, all[i].First) < 0 {
			latest[all[i].Device] = &all[i]
		}
	}
	var failed error
	for device := range n.shown {
		if latest[device] == nil {
			delete(n.shown, device)
			failed = errors.Join(failed, n.o.Show(device, nil))
		}
	}
	for device, o := range latest {
		if n.shown[device] == o.First.String() {
			continue
		}
		body, err := n.body(o)
		if err == nil {
			n.shown[device] = o.First.String()
			err = n.o.Show(device, body)
		}
		if err != nil && !errors.Is(err, kv.ErrNotFound) { // it is being erased
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// body is the message of an alarm, as webhooks got it.
func (n *Notifier) body(o *open) ([]byte, error) {
	v, err := n.o.Ledger.Verdict(o.First)
	if err != nil {
		return nil, err
	}
	m, err := n.alarm(&v)
	if err != nil {
		return nil, err
	}
	n.stamp(m, o.Told)
	return json.Marshal(m)
}

// resolve tells that alarms are over: somebody answered the latest, it was erased, or none came for the refractory time and nothing is held back.
func (n *Notifier) resolve(s *state) error {
	now, kept := n.o.Now(), s.Open[:0:0]
	for _, o := range s.Open {
		v, err := n.o.Ledger.Verdict(o.Last)
		erased := errors.Is(err, kv.ErrNotFound)
		if err != nil && !erased {
			return err
		}
		answered := !erased && !v.Open()
		ended := !o.Suspends && now >= o.Until
		if len(s.Queue) >= maxQueue || !erased && !answered && !ended {
			kept = append(kept, o)
			continue
		}
		m := &Message{Event: "resolved", Verdict: o.First, Device: o.Device, Name: o.Name, Kind: o.Kind, Code: o.Code, Count: o.Count, Suspends: o.Suspends, Because: "ended"}
		switch {
		case erased: // says no more of it than what to forget
			m = &Message{Event: "resolved", Verdict: o.First, Device: o.Device, Count: o.Count, Because: "erased"}
		case answered:
			m.Because = v.Answer().Answer.String()
		}
		n.put(s, m, now)
	}
	s.Open = kept
	return nil
}

// put queues a message, for as long as there is a webhook that has not got it.
func (n *Notifier) put(s *state, m *Message, told lamppost.TimeMS) {
	s.Next++
	n.stamp(m, told)
	s.Queue = append(s.Queue, queued{Number: s.Next, Message: *m})
	s.drop()
}

// stamp says who tells, and when. The id is of the verdict, so that a node that was restored uses none twice for different things.
func (n *Notifier) stamp(m *Message, told lamppost.TimeMS) {
	m.ID = fmt.Sprintf("%s/%s/%s", n.o.Network, n.o.Member, m.Verdict)
	if m.Event == "resolved" {
		m.ID += "/resolved"
	}
	m.Network, m.Member, m.Time = n.o.Network, n.o.Member, told
}

// send hands one webhook its messages in order. One that does not take them is tried again, more and more seldom.
func (n *Notifier) send(ctx context.Context, w Webhook) {
	wait := minBackoff
	for {
		n.mu.Lock()
		q, moved := n.state.first(w.URL), n.moved
		n.mu.Unlock()
		if q == nil {
			select {
			case <-moved:
				continue
			case <-ctx.Done():
				return
			}
		}
		r := n.post(ctx, w, &q.Message)
		if r.Error == "" {
			wait = minBackoff
			if err := n.delivered(w.URL, q.Number); err == nil {
				continue
			}
		} else if ctx.Err() == nil {
			n.o.Log.Warn("a notification was not taken; trying again", "url", w.URL, "in", wait, "error", r.Error)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, maxBackoff)
	}
}

// delivered drops what all webhooks have.
func (n *Notifier) delivered(url string, number uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.state.clone()
	next.delivered(url, number)
	if err := next.write(n.o.Store); err != nil {
		return err
	}
	if len(n.state.Queue) == maxQueue && len(next.Queue) < maxQueue {
		n.Wake()
	}
	n.state = *next
	return nil
}

// A Result is what a webhook said of a message.
type Result struct {
	URL    string `json:"url"`
	Status int    `json:"status"` // of HTTP; 0: there was no answer
	Error  string `json:"error"`  // empty: it was taken
}

// Test sends a message to each webhook, past the queue.
func (n *Notifier) Test(ctx context.Context) []Result {
	all := []Result{}
	for _, w := range n.o.Webhooks {
		m := Message{ID: fmt.Sprintf("%s/%s/test-%d", n.o.Network, n.o.Member, n.o.Now()), Event: "test", Network: n.o.Network, Member: n.o.Member, Time: n.o.Now()}
		all = append(all, n.post(ctx, w, &m))
	}
	return all
}

func (n *Notifier) post(ctx context.Context, w Webhook, m *Message) Result {
	r := Result{URL: w.URL}
	secret, err := os.ReadFile(w.Secret)
	if secret = bytes.TrimSpace(secret); err == nil && len(secret) < 16 {
		err = fmt.Errorf("the secret in %q is shorter than 16 characters", w.Secret)
	}
	body, jsonErr := json.Marshal(m)
	if err = errors.Join(err, jsonErr); err != nil {
		r.Error = err.Error()
		return r
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		r.Error = err.Error()
		return r
	}
	sign(req.Header, secret, m.ID, time.Now(), body)
	res, err := n.client.Do(req)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	res.Body.Close()
	if r.Status = res.StatusCode; r.Status < 200 || r.Status > 299 {
		r.Error = "it answered " + res.Status
	}
	return r
}
