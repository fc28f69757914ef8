package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/notify"
)

// book is a ledger of verdicts that a test writes.
type book struct {
	mu  sync.Mutex
	all []ledger.Verdict // the oldest first
	now lamppost.TimeMS  // of what is found
}

func (b *book) Verdicts(_ lamppost.VerdictID, fn func(*ledger.Verdict) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.all) - 1; i >= 0; i-- {
		if err := fn(&b.all[i]); err == kv.ErrStop {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (b *book) Verdict(id lamppost.VerdictID) (ledger.Verdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.all {
		if v.ID == id {
			return v, nil
		}
	}
	return ledger.Verdict{}, kv.ErrNotFound
}

func (b *book) find(by lamppost.MemberID, device lamppost.DeviceID, code string, suspends bool) lamppost.VerdictID {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := lamppost.VerdictID{Height: lamppost.Height(len(b.all) + 1)}
	kind := lamppost.Anomaly
	if suspends {
		kind = lamppost.Implausible
	}
	b.all = append(b.all, ledger.Verdict{ID: id, By: by, Time: b.now, Body: lamppost.Verdict{Kind: kind, Device: device, Name: "power", Unit: "W", Since: 1, At: 2, Suspends: suspends,
		Reasons: []lamppost.VerdictReason{{Code: code}}}})
	return id
}

func (b *book) answer(id lamppost.VerdictID, a lamppost.ReviewAnswer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.all, func(v ledger.Verdict) bool { return v.ID == id })
	b.all[i].Reviews = append(b.all[i].Reviews, ledger.Review{Answer: a})
}

const secret = "0123456789abcdef"

// receiver takes messages, and refuses as many as a test says.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	refuse int
	got    []notify.Message
	known  map[string]bool
	came   chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{known: map[string]bool{}, came: make(chan struct{}, 400)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp"), body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); req.Header.Get("webhook-signature") != want {
			t.Errorf("signature %q, want %q", req.Header.Get("webhook-signature"), want)
		}
		var m notify.Message
		if err := json.Unmarshal(body, &m); err != nil || m.ID != req.Header.Get("webhook-id") {
			t.Errorf("%s: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuse > 0 {
			r.refuse--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.known[m.ID] {
			return // it came again, as after a crash it may
		}
		r.known[m.ID] = true
		r.got = append(r.got, m)
		r.came <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) wait(t *testing.T, n int) []notify.Message {
	t.Helper()
	for range n {
		select {
		case <-r.came:
		case <-time.After(20 * time.Second):
			t.Fatalf("after 20 s there are %d messages", len(r.got))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// bench is a notifier over a book, on a clock that the test sets.
type bench struct {
	t     *testing.T
	book  book
	store kv.Store
	now   lamppost.TimeMS
	hooks []notify.Webhook
	shown map[lamppost.DeviceID]notify.Message // by MQTT
}

func newBench(t *testing.T, urls ...string) *bench {
	b := &bench{t: t, store: kv.NewMem(), now: 1_000_000, book: book{now: 1_000_000}, shown: map[lamppost.DeviceID]notify.Message{}}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, u := range urls {
		b.hooks = append(b.hooks, notify.Webhook{URL: u, Secret: file})
	}
	return b
}

func (b *bench) open() *notify.Notifier {
	b.t.Helper()
	c := notify.Config{Webhooks: b.hooks}
	if err := c.Check(); err != nil {
		b.t.Fatal(err)
	}
	n, err := notify.New(notify.Options{Config: c, Ledger: &b.book, Store: b.store, Network: "street", Member: "north", Now: func() lamppost.TimeMS { return b.now },
		Register: func(lamppost.DeviceID, string) bool { return false }, Show: b.show})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bench) show(device lamppost.DeviceID, body []byte) error {
	if body == nil {
		delete(b.shown, device)
		return nil
	}
	var m notify.Message
	defer func() { b.shown[device] = m }()
	return json.Unmarshal(body, &m)
}

// erase takes a device's verdicts out of the book.
func (b *book) erase(device lamppost.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = slices.DeleteFunc(b.all, func(v ledger.Verdict) bool { return v.Body.Device == device })
}

func (b *bench) gather(n *notify.Notifier) {
	b.t.Helper()
	if err := n.Gather(); err != nil {
		b.t.Fatal(err)
	}
}

// run sends what waits until the test ends it.
func (b *bench) run(n *notify.Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = n.Run(ctx) }()
	return func() { cancel(); <-ended }
}

func words(all []notify.Message) string {
	var s []string
	for _, m := range all {
		s = append(s, fmt.Sprintf("%s %s %s %d %s", m.Event, m.Device, m.Code, m.Count, m.Because))
	}
	return strings.Join(s, "; ")
}

// Alarms of one device, kind and first reason are one message; others, of other members, are theirs. One that was answered, that ended, or whose
// device was erased is followed by one that says so, with how many there were. A refusal is tried again.
func TestOnce(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.refuse = 1
	b := newBench(t, r.URL)
	b.book.find("north", "a", "value", false)
	b.book.find("north", "a", "value", false)
	b.book.find("south", "b", "value", false)
	hard := b.book.find("north", "c", "frozen", true)
	b.book.find("north", "d", "mean", false)
	n := b.open()
	b.gather(n)
	defer b.run(n)()
	if got, want := words(r.wait(t, 3)), "alarm a value 1 ; alarm c frozen 1 ; alarm d mean 1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.book.answer(hard, lamppost.ReviewSeen)
	b.gather(n)
	b.book.answer(hard, lamppost.ReviewValid)
	b.gather(n)
	if got, want := words(r.wait(t, 1)), "resolved c frozen 1 valid"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.book.erase("d")
	b.gather(n)
	if got, want := words(r.wait(t, 1)), "resolved d  1 erased"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What ended is told with its count when its refractory time is over, and another one after that is told anew.
func TestRefractory(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, r.URL)
	n := b.open()
	for range 3 {
		b.book.find("north", "a", "value", false)
		b.gather(n)
		b.now += 50 * 60_000
	}
	b.now += 20 * 60_000
	b.gather(n)
	b.book.find("north", "a", "value", false)
	b.gather(n)
	defer b.run(n)()
	if got, want := words(r.wait(t, 3)), "alarm a value 1 ; resolved a value 3 ended; alarm a value 1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A crash between any two steps loses no message, and the order stays: what was written and not sent is sent by the next process, under its id.
func TestCrash(t *testing.T) {
	t.Parallel()
	r, away := newReceiver(t), newReceiver(t)
	away.refuse = 1 << 30
	b := newBench(t, r.URL, away.URL)
	for i := range 5 {
		b.book.find("north", lamppost.DeviceID(fmt.Sprint("m", i)), "value", false)
	}
	b.gather(b.open()) // and then it is gone
	stop := b.run(b.open())
	first := r.wait(t, 5)
	stop()
	b.book.find("north", "m9", "value", false)
	away.mu.Lock()
	away.refuse = 0
	away.mu.Unlock()
	n := b.open()
	b.gather(n)
	defer b.run(n)()
	second, all := r.wait(t, 1), away.wait(t, 6)
	if got, want := words(slices.Concat(first, second)), words(all); got != want || second[0].Device != "m9" || all[0].ID != first[0].ID {
		t.Errorf("one got %q, the other %q", got, want)
	}
}

// The queue is bounded: what is not in it waits in the ledger and comes later.
func TestBounded(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, r.URL)
	b.gather(b.open())
	n := b.open()
	b.book.find("north", "first", "value", false)
	b.gather(n)
	for i := range 300 {
		b.book.find("north", lamppost.DeviceID(fmt.Sprint("m", i)), "value", false)
	}
	b.gather(n)
	defer b.run(n)()
	if got := r.wait(t, 301); got[0].Device != "first" || got[300].Device != "m299" {
		t.Errorf("%d messages, the last of %s", len(got), got[len(got)-1].Device)
	}
}

// What is shown is each device's latest alarm that stands, with the very body that webhooks got, also without webhooks and after a crash;
// of a device with none there is nothing.
func TestShown(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	for _, urls := range [][]string{{r.URL}, nil} {
		b := newBench(t, urls...)
		n := b.open()
		hard := b.book.find("north", "a", "frozen", true)
		b.gather(n)
		if urls != nil {
			stop := b.run(n)
			if got := r.wait(t, 1); !reflect.DeepEqual(got[0], b.shown["a"]) {
				t.Errorf("shown %+v, told %+v", b.shown["a"], got[0])
			}
			stop()
		}
		soft := b.book.find("north", "a", "value", false)
		b.book.find("south", "b", "value", false)
		b.gather(n)
		before := b.shown["a"]
		if len(b.shown) != 1 || before.Verdict != soft || before.ID != "street/north/"+soft.String() {
			t.Errorf("shown: %+v", b.shown)
		}
		b.now, b.shown = b.now+5000, map[lamppost.DeviceID]notify.Message{}
		n = b.open()
		if b.gather(n); !reflect.DeepEqual(b.shown["a"], before) {
			t.Errorf("after a crash %+v is shown, before %+v was", b.shown["a"], before)
		}
		b.book.answer(soft, lamppost.ReviewNormal)
		if b.gather(n); b.shown["a"].Verdict != hard {
			t.Errorf("when the latest is answered %+v is shown", b.shown["a"])
		}
		b.book.answer(hard, lamppost.ReviewValid)
		if b.gather(n); len(b.shown) != 0 {
			t.Errorf("when all are answered: %+v", b.shown)
		}
	}
}

// What waits about an erased device is gone with it, from the record too; only that there is something to forget is told.
func TestErased(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, r.URL)
	n := b.open()
	b.book.find("north", "hers", "value", false)
	b.book.find("north", "his", "value", false)
	b.gather(n)
	record := func() string {
		raw, err := b.store.Get([]byte("nN"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if strings.Count(record(), "hers") < 3 { // the message, its words, and what is open
		t.Fatalf("the record does not have what waits: %q", record())
	}
	b.book.erase("hers")
	again := b.open()                         // as after a crash, before anything else
	if strings.Count(record(), "hers") != 1 { // that it is to be said
		t.Errorf("when opened the record has %q", record())
	}
	b.gather(again)
	defer b.run(again)()
	if got, want := words(r.wait(t, 2)), "alarm his value 1 ; resolved hers  1 erased"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A node that was restored, or whose record cannot be read, tells of nothing that was found before, not even that it ended, but shows what
// still holds something back; what is found from then on has ids of its own.
func TestRestored(t *testing.T) {
	t.Parallel()
	for _, damage := range []bool{false, true} {
		r := newReceiver(t)
		b := newBench(t, r.URL)
		n := b.open()
		b.book.find("north", "a", "value", false)
		hard := b.book.find("north", "b", "frozen", true)
		b.book.answer(b.book.find("north", "c", "frozen", true), lamppost.ReviewValid)
		b.gather(n)
		stop := b.run(n)
		r.wait(t, 4)
		stop()
		b.now, b.shown = b.now+86_400_000, map[lamppost.DeviceID]notify.Message{}
		if damage {
			var batch kv.Batch
			batch.Set([]byte("nN"), []byte{0xa1, 1, 99})
			if err := b.store.Apply(&batch); err != nil {
				t.Fatal(err)
			}
		} else if err := notify.Restored(b.store); err != nil {
			t.Fatal(err)
		}
		n = b.open()
		b.book.find("north", "late", "value", false) // by its time: it comes from another member
		b.gather(n)
		if len(b.shown) != 1 || b.shown["b"].Verdict != hard {
			t.Errorf("shown: %+v", b.shown)
		}
		b.now += 7_200_000
		b.gather(n)
		b.book.now = b.now
		b.book.find("north", "a", "value", false)
		b.gather(n)
		defer b.run(n)()
		if got, want := words(r.wait(t, 1)), "alarm a value 1 "; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A test message comes back with what each webhook said.
func TestTest(t *testing.T) {
	t.Parallel()
	r, no := newReceiver(t), newReceiver(t)
	no.refuse = 1
	got := newBench(t, r.URL, no.URL).open().Test(t.Context())
	if len(got) != 2 || got[0].Status != 200 || got[0].Error != "" || got[1].Status != 503 || !strings.Contains(got[1].Error, "503") {
		t.Errorf("%+v", got)
	}
	if m := r.wait(t, 1); m[0].Event != "test" || m[0].Kind != 0 {
		t.Errorf("%+v", m)
	}
}

// What cannot be sent to is refused when the configuration is read.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []notify.Config{{Webhooks: []notify.Webhook{{URL: "http://example.org/x", Secret: "s"}}}, {Webhooks: []notify.Webhook{{URL: "https://example.org/x"}}},
		{Webhooks: []notify.Webhook{{URL: "ftp://x", Secret: "s"}}}, {Refractory: -1}, {Lang: "tlh"}, {Zone: "Moon/Sea"}, {Webhooks: make([]notify.Webhook, 17)},
		{Webhooks: []notify.Webhook{{URL: "https://a.example", Secret: "s"}, {URL: "https://a.example", Secret: "s"}}}} {
		if c.Check() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
