package measure

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/node"
)

// A target is what a load is put on: a node in this process, or members in processes of their own.
type target struct {
	network string
	engine  string
	dir     string
	program string       // that members are
	members []*member    // that take devices
	stop    func() error // waits until everything has ended

	link     *link     // between members, where costs are measured
	gateways []*member // one for each member, where they check signatures on site
	victim   *member   // to which a fault is to come; it takes no devices
}

// nodes are all members, the victim last.
func (t *target) nodes() []*member {
	if t.victim == nil {
		return t.members
	}
	return append(slices.Clone(t.members), t.victim)
}

// doors are where devices connect.
func (t *target) doors() []*member {
	if t.gateways != nil {
		return t.gateways
	}
	return t.members
}

// A member is reached as its devices and operators reach it. A gateway is started and reached likewise, but has no administrator here.
type member struct {
	id        string
	dir       string
	url, mqtt string // http://host:port, host:port
	token     string // the administrator's
	cmd       *exec.Cmd
	said      bytes.Buffer // to the error output; read once it has ended
	dead      *used        // what it had taken when it was killed
}

// openNode starts a node in this process.
func openNode(ctx context.Context, dir string, triage bool) (*target, error) {
	n, err := node.Open(node.Config{Data: dir, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0", Triage: onOff(triage)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	m := &member{dir: dir, url: n.URL(), mqtt: n.MQTTAddr(), token: n.AdminToken()}
	return &target{network: n.Network(), engine: "solo", dir: dir, members: []*member{m}, stop: func() error { cancel(); return <-ended }}, nil
}

// openApart founds a network and starts its members with this very program, as its operators would; or one node, of itself.
func openApart(ctx context.Context, dir string, o *IngestOptions) (*target, error) {
	program := o.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	t := &target{network: "bench", engine: o.Engine, dir: dir, program: program}
	t.stop = t.interrupt
	if o.Costs {
		t.link = newLink()
	}
	err := t.found(ctx, o)
	if err == nil {
		err = t.start()
	}
	if err == nil {
		return t, nil
	}
	return nil, errors.Join(err, t.stop())
}

// found makes the members' folders and configurations.
func (t *target) found(ctx context.Context, o *IngestOptions) error {
	var cards []string
	for i := range o.Members {
		m, err := t.seat(ctx, i, o)
		if err != nil {
			return err
		}
		cards = append(cards, filepath.Join(m.dir, folder.Card))
	}
	if o.Engine == "solo" {
		return nil
	}
	file := filepath.Join(t.dir, folder.Network)
	if err := run(ctx, t.program, "init", "network", t.network, "--engine", o.Engine, "--verify", cmp.Or(o.Verify, "full"), "--members", strings.Join(cards, ","),
		"--data", t.members[0].dir, "--out", file); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, m := range t.members[1:] {
		if err := os.WriteFile(filepath.Join(m.dir, folder.Network), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// seat makes member i: its addresses, its configuration, and, in a network, its card, on which the relays stand where there are some.
func (t *target) seat(ctx context.Context, i int, o *IngestOptions) (*member, error) {
	m := &member{id: fmt.Sprintf("m%d", i+1)}
	m.dir = filepath.Join(t.dir, m.id)
	t.members = append(t.members, m)
	var addresses [3]string
	for j := range addresses {
		var err error
		if addresses[j], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	m.url, m.mqtt = "http://"+addresses[0], addresses[1]
	if err := t.configure(m, addresses[2], o); err != nil || o.Engine == "solo" {
		return m, err
	}
	door, engine := addresses[0], addresses[2]
	if t.link != nil {
		var err error
		if door, err = t.link.relay(door); err == nil {
			engine, err = t.link.relay(engine)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, run(ctx, t.program, "init", "member", m.id, "--org", "bench", "--address", engine, "--url", "http://"+door, "--data", m.dir)
}

// configure writes what a member is started with.
func (t *target) configure(m *member, listen string, o *IngestOptions) error {
	var b strings.Builder
	fmt.Fprintf(&b, "data: %q\nhttp: %s\nmqtt: %s\ntriage: %s\n", m.dir, strings.TrimPrefix(m.url, "http://"), m.mqtt, onOff(o.Triage))
	if o.Engine == "solo" {
		fmt.Fprintf(&b, "network: %s\nverify: %s\n", t.network, cmp.Or(o.Verify, "full"))
	} else {
		fmt.Fprintf(&b, "member_listen: %s\n", listen)
	}
	if o.Linger > 0 {
		fmt.Fprintf(&b, "linger: %s\n", o.Linger)
	}
	if o.Segment > 0 {
		fmt.Fprintf(&b, "segment: %d\n", o.Segment)
	}
	return os.WriteFile(m.config(), []byte(b.String()), 0o600)
}

func (m *member) config() string { return m.dir + ".yaml" }

// openGateways starts a gateway on site beside every member, whose devices it takes: it learns of them when it starts. What it
// acknowledges is committed.
func (t *target) openGateways(ctx context.Context, o *IngestOptions) error {
	for i, m := range t.members {
		g := &member{id: fmt.Sprintf("g%d", i+1)}
		g.dir = filepath.Join(t.dir, g.id)
		var announced struct{ Token string }
		if err := m.ask(ctx, "POST", "/api/gateways", map[string]string{"id": g.id}, &announced); err != nil {
			return err
		}
		at, err := freeAddress()
		if err == nil {
			g.url = "http://" + at
			g.mqtt, err = freeAddress()
		}
		if err != nil {
			return err
		}
		g.cmd = exec.Command(t.program, "gateway", "--upstream", m.url, "--data", g.dir, "--id", g.id, "--ack", "committed", "--http", at, "--mqtt", g.mqtt,
			"--linger", cmp.Or(o.Linger, 25*time.Millisecond).String())
		g.cmd.Env = append(os.Environ(), "LAMPPOST_GATEWAY_TOKEN="+announced.Token)
		t.gateways = append(t.gateways, g)
		if err := g.start(); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, program string, args ...string) error {
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("lamppost %s: %w: %s", strings.Join(args[:3], " "), err, out)
	}
	return nil
}

// freeAddress returns an address on loopback where nobody listens, below the ports from which connections are made.
func freeAddress() (string, error) {
	for try := 1; ; try++ {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10000+rand.IntN(20000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		if try == 100 {
			return "", err
		}
	}
}

// start starts all members and waits until each has opened its doors.
func (t *target) start() error {
	failed := make(chan error, len(t.members))
	for _, m := range t.members {
		m.cmd = exec.Command(t.program, "serve", "--config", m.config())
		go func() { failed <- m.start() }()
	}
	var err error
	for range t.members {
		err = errors.Join(err, <-failed)
	}
	for _, m := range t.members {
		raw, unread := os.ReadFile(filepath.Join(m.dir, folder.Token))
		m.token = strings.TrimSpace(string(raw))
		err = errors.Join(err, unread)
	}
	return err
}

func (m *member) start() error {
	m.cmd.Stderr = &m.said
	// Ctrl-C on a terminal goes to all processes of its group: members end when the measurement says so.
	m.cmd.SysProcAttr = apart
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		m.cmd = nil
		return err
	}
	lines := bufio.NewScanner(out)
	for ready := false; !ready; ready = strings.HasPrefix(lines.Text(), "Next:") {
		if !lines.Scan() {
			return fmt.Errorf("%q did not start", m.dir)
		}
	}
	go io.Copy(io.Discard, out) // ends with the process
	return nil
}

// interrupt ends gateways and members as ctrl-C does.
func (t *target) interrupt() error {
	err := endAll(t.gateways)
	err = errors.Join(err, endAll(t.nodes()))
	if t.link != nil {
		err = errors.Join(err, t.link.close())
	}
	return err
}

func endAll(all []*member) (err error) {
	for _, m := range all {
		if m.running() {
			m.cmd.Process.Signal(os.Interrupt)
		}
	}
	for _, m := range all {
		if !m.running() {
			continue
		}
		late := time.AfterFunc(stopTimeout, func() { m.cmd.Process.Kill() })
		if ended := m.cmd.Wait(); ended != nil {
			said := m.said.Bytes()
			err = errors.Join(err, fmt.Errorf("%q: %w: %s", m.dir, ended, said[max(0, len(said)-2000):]))
		}
		late.Stop()
	}
	return err
}

func (m *member) running() bool { return m.cmd != nil && m.cmd.Process != nil && m.dead == nil }

const (
	stopTimeout = time.Minute
	askTimeout  = 20 * time.Second
)

// ask calls the API of a member.
func (m *member) ask(ctx context.Context, method, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, m.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if raw, err = io.ReadAll(res.Body); err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, raw)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(raw, answer)
}

// height is how many blocks a member has.
func (t *target) height(ctx context.Context) (int64, error) {
	var s struct{ Engine struct{ Height int64 } }
	err := t.members[0].ask(ctx, http.MethodGet, "/api/status", nil, &s)
	return s.Engine.Height, err
}

// judged waits until all members have judged so many readings, and all that was committed, and says what the first has.
func (t *target) judged(ctx context.Context, o IngestOptions, readings int64) (*TriageResult, error) {
	if !o.Triage {
		return nil, nil
	}
	var s struct {
		Triage struct {
			Lag, Readings, Late, Passed, Series, Bytes int64
			NotJudged                                  int64 `json:"not_judged"`
			Verdicts                                   map[string]int64
			Error                                      string
		}
	}
	for i := len(t.members) - 1; i >= 0; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := t.members[i].ask(ctx, http.MethodGet, "/api/status", nil, &s); err != nil {
			return nil, err
		}
		switch {
		case s.Triage.Error != "":
			return nil, errors.New(s.Triage.Error)
		case s.Triage.Lag == 0 && s.Triage.Readings+s.Triage.Late+s.Triage.Passed >= readings: // it may be a block behind the others
			i--
		default:
			time.Sleep(2 * time.Millisecond)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	j := &s.Triage
	return &TriageResult{Readings: j.Readings, Late: j.Late, Passed: j.Passed, Series: j.Series, Bytes: j.Bytes, HeapMB: float64(m.HeapInuse) / 1e6, NotJudged: j.NotJudged, Verdicts: j.Verdicts}, nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// check holds what was acknowledged against the first member's own count: an MQTT 3.1.1 acknowledgement does not tell a refusal.
func (t *target) check(ctx context.Context, acked int64) error {
	var s struct {
		Totals struct {
			Reports int64
			Refused map[string]int64
		}
	}
	for end := time.Now().Add(askTimeout); ; time.Sleep(50 * time.Millisecond) { // it may be a block behind the others
		if err := t.members[0].ask(ctx, http.MethodGet, "/api/status", nil, &s); err != nil {
			return err
		}
		if len(s.Totals.Refused) == 0 && s.Totals.Reports >= acked {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d reports were acknowledged, %d are in the ledger, refused are %v", acked, s.Totals.Reports, s.Totals.Refused)
		}
	}
}

// cpuSeconds is what this process and the members' have used, in user and kernel.
func (t *target) cpuSeconds() float64 {
	sum := cpuSeconds()
	for _, m := range append(t.nodes(), t.gateways...) {
		switch {
		case m.dead != nil:
			sum += m.dead.cpu
		case m.cmd != nil:
			sum += cpuClock(m.cmd.Process.Pid)
		}
	}
	return sum
}

// each calls f for 0…n-1 from a few goroutines, until one fails.
func each(ctx context.Context, n int, f func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
