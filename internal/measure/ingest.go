// Package measure is what `lamppost bench` runs: each figure comes from the production code under a stated load. Loads
// are made before the clock starts. Start reading at [Ingest].
package measure

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

// IngestOptions says which load to put on a node or a network.
type IngestOptions struct {
	Engine    string        // "solo": a node in this process; "raft", "comet": members in processes of their own
	Members   int           // of a network
	Transport string        // "mqtt"
	Readings  int           // in a report
	For       time.Duration // how long to send
	Rate      int           // reports a second over all devices; 0: as fast as they are acknowledged
	Devices   int           // each with a key and a connection of its own
	Window    int           // unacknowledged reports per connection
	Most      int           // reports a second to sign for, where Rate is 0
	Suite     sig.Suite
	Mix       []sig.Suite // by turns over the devices; empty: Suite
	Triage    bool        // judge every reading
	Dir       string      // where the folder of all is made; it is removed afterwards
	Profile   string      // file for a CPU profile of the sending; empty: none

	// What follows is for members in processes of their own.

	Costs   bool          // measure what members take; a node alone is a process of its own then, too
	Program string        // that members are; default: this one
	Verify  string        // full or gateway, with a gateway on site beside each member; default full
	Linger  time.Duration // longest wait of a report for others; default 25 ms
	Segment int           // reports in a segment at most; default 1024
	RTT     time.Duration // between members, while the clock runs
	Loss    float64       // of packets between members, likewise
	Fault   string        // "kill", "pause": what befalls a member in the middle, under raft the leader; its devices are elsewhere

	Progress func(done, all int64, what string)
}

// IngestResult is one measurement. Times are wall time; CPU is of all processes, clients included.
type IngestResult struct {
	Transport           string  `json:"transport"`
	Engine              string  `json:"engine"`
	Members             int     `json:"members"`
	Suite               string  `json:"suite"`
	Devices             int     `json:"devices"`
	ReadingsPerReport   int     `json:"readings_per_report"`
	ReportBytes         int     `json:"report_bytes"`  // of one in the middle, signature included
	OfferedPerS         int     `json:"offered_per_s"` // 0: as fast as acknowledged
	Seconds             float64 `json:"seconds"`
	Reports             int64   `json:"reports"`
	ReportsPerS         float64 `json:"reports_per_s"`
	ReadingsPerS        float64 `json:"readings_per_s"`
	CommitP50MS         float64 `json:"commit_p50_ms"`
	CommitP99MS         float64 `json:"commit_p99_ms"`
	CommitMaxMS         float64 `json:"commit_max_ms"`
	CPUSeconds          float64 `json:"cpu_s"`
	DiskBytesPerReading float64 `json:"disk_bytes_per_reading"`
	Blocks              int64   `json:"blocks"`
	Errors              int64   `json:"errors"`
	Exhausted           bool    `json:"exhausted,omitempty"` // all that was signed was sent before the time was over
	Fsync               bool    `json:"fsync"`
	Cores               int     `json:"cores"`

	Costs  *Costs        `json:"costs,omitempty"`
	Triage *TriageResult `json:"triage,omitempty"` // of a node in this process; nothing where it is off
}

// A TriageResult says what was judged. Reports count until the last is judged: Seconds, ReportsPerS and CPUSeconds of the whole say that.
type TriageResult struct {
	Readings  int64            `json:"readings"` // judged by a detector
	Series    int64            `json:"series"`
	Bytes     int64            `json:"bytes"` // of memory that detectors take
	HeapMB    float64          `json:"heap_mb"`
	Behind    float64          `json:"behind_s"` // after the last acknowledgement, until the last reading was judged
	Late      int64            `json:"late"`     // judged without order: later than others of its series, of a later block
	Passed    int64            `json:"passed"`   // that nothing could judge
	NotJudged int64            `json:"not_judged"`
	Verdicts  map[string]int64 `json:"verdicts"`
}

// Ingest starts a node, or a network of members in processes of their own, on a new folder, enrols devices, signs their
// reports, and then sends them for o.For over real connections on loopback, spread over all members. A report counts when it
// is acknowledged, which means committed and synced, in a network by most members.
func Ingest(ctx context.Context, o IngestOptions) (*IngestResult, error) {
	if o.Transport != "mqtt" {
		return nil, fmt.Errorf("transport %q is not known: say mqtt", o.Transport)
	}
	dir, err := os.MkdirTemp(o.Dir, "lamppost-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var t *target
	if o.Engine == "solo" && !o.Costs {
		t, err = openNode(ctx, dir, o.Triage)
	} else {
		t, err = openApart(ctx, dir, &o)
	}
	if err != nil {
		return nil, err
	}
	res, err := t.ingest(ctx, o)
	return res, errors.Join(err, t.stop()) // what a member said that ended by itself is why nobody answered
}

func (t *target) ingest(ctx context.Context, o IngestOptions) (*IngestResult, error) {
	clients, err := t.prepare(ctx, &o)
	defer func() {
		for _, c := range clients {
			if c != nil && c.conn != nil {
				c.conn.Close()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	runtime.GC() // the load's memory is no part of the measurement
	height, err := t.height(ctx)
	if err != nil {
		return nil, err
	}
	taken, err := t.begin(ctx, &o)
	if err != nil {
		return nil, err
	}
	before, diskBefore := t.cpuSeconds(), diskBytes(t.dir)
	res, err := t.send(ctx, clients, &o)
	if err != nil {
		return nil, err
	}
	res.CPUSeconds, res.Blocks = t.cpuSeconds()-before, -height
	if height, err = t.height(ctx); err != nil {
		return nil, err
	}
	res.Blocks += height
	if o.Costs {
		if res.Costs, err = t.costs(ctx, taken, res.Blocks); err != nil {
			return nil, err
		}
		res.CPUSeconds = res.Costs.NodeCPUSeconds + res.Costs.GatewayCPUSeconds + res.Costs.ClientCPUSeconds
		t.link.set(0, 0)
	}
	res.add(clients, o.Rate == 0)
	if res.Reports > 0 {
		res.DiskBytesPerReading = float64(diskBytes(t.dir)-diskBefore) / float64(res.Reports*int64(o.Readings))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if j := res.Triage; j != nil && (j.Readings+j.Late+j.Passed != res.Reports*int64(o.Readings) || j.Series != int64(o.Devices)) {
		return nil, fmt.Errorf("of %d readings of %d series %d of %d were judged", res.Reports*int64(o.Readings), o.Devices, j.Readings, j.Series)
	}
	return res, t.check(ctx, res.Reports)
}

// prepare makes the load and connects. Its clients are to be closed also where there is an error.
func (t *target) prepare(ctx context.Context, o *IngestOptions) ([]*client, error) {
	if err := t.settle(ctx, o.Fault); err != nil {
		return nil, err
	}
	clients, err := t.enrol(ctx, *o)
	if err == nil && o.Verify == "gateway" {
		err = t.openGateways(ctx, o)
	}
	if err == nil {
		err = signAll(ctx, t.network, clients, *o)
	}
	for i, c := range clients {
		if err != nil {
			break
		}
		err = c.connectWhenKnown(ctx, t.doors()[i%len(t.doors())].mqtt)
	}
	return clients, err
}

// begin puts members where they are to be, and notes what they have taken so far.
func (t *target) begin(ctx context.Context, o *IngestOptions) (tally, error) {
	if !o.Costs {
		return tally{}, nil
	}
	t.link.set(o.RTT, o.Loss)
	for _, m := range t.nodes() {
		forgetPeak(m.cmd.Process.Pid)
	}
	return t.tally(ctx)
}

// send sends the load, until all of it is acknowledged, and judged where it is.
func (t *target) send(ctx context.Context, clients []*client, o *IngestOptions) (*IngestResult, error) {
	stopProfile, err := profile(o.Profile)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	befell := t.befall(ctx, o)
	sendAll(ctx, clients, *o, start)
	sent := time.Now()
	err = befell()
	readings := int64(0)
	for _, c := range clients {
		readings += c.acked * int64(o.Readings)
	}
	judged, notJudged := t.judged(ctx, *o, readings)
	elapsed := time.Since(start).Seconds()
	stopProfile()
	if err = errors.Join(err, notJudged); err != nil {
		return nil, err
	}
	if judged != nil {
		judged.Behind = time.Since(sent).Seconds()
	}
	return &IngestResult{Transport: o.Transport, Engine: o.Engine, Members: len(t.nodes()), Suite: o.Suite.String(), Devices: o.Devices, ReadingsPerReport: o.Readings,
		ReportBytes: clients[0].reportBytes(), OfferedPerS: o.Rate, Seconds: elapsed, Fsync: true, Cores: runtime.GOMAXPROCS(0), Triage: judged}, nil
}

// add puts in what the clients saw.
func (r *IngestResult) add(clients []*client, full bool) {
	var all latencies
	r.Exhausted = full
	for _, c := range clients {
		r.Reports += c.acked
		r.Errors += c.failed
		r.Exhausted = r.Exhausted && c.sent == len(c.ends)
		all.add(&c.times)
		if r.Costs != nil && c.sent > 0 {
			r.Costs.DeviceBytes += int64(c.ends[c.sent-1])
		}
	}
	r.ReportsPerS = float64(r.Reports) / r.Seconds
	r.ReadingsPerS = r.ReportsPerS * float64(r.ReadingsPerReport)
	r.CommitP50MS, r.CommitP99MS = all.quantile(0.50), all.quantile(0.99)
	r.CommitMaxMS = all.quantile(1)
}

// settle waits until something can be ordered, and chooses the victim.
func (t *target) settle(ctx context.Context, fault string) error {
	err := patiently(ctx, func() error {
		return t.members[0].ask(ctx, "POST", "/api/parties", map[string]string{"id": "owner", "name": "Owner"}, nil)
	})
	if err != nil || fault == "" {
		return err
	}
	return t.choose(ctx)
}

// patiently tries for a minute: members must find each other, and hear of what another ordered.
func patiently(ctx context.Context, do func() error) error {
	for end := time.Now().Add(time.Minute); ; {
		err := do()
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// enrol registers the devices as an operator would, each where it will connect, with keys made here.
func (t *target) enrol(ctx context.Context, o IngestOptions) ([]*client, error) {
	clients := make([]*client, o.Devices)
	var done atomic.Int64
	err := each(ctx, len(clients), func(i int) error {
		c := &client{id: lamppost.DeviceID(fmt.Sprintf("device-%05d", i)), window: o.Window}
		clients[i] = c
		suite := o.Suite
		if len(o.Mix) > 0 {
			suite = o.Mix[i%len(o.Mix)]
		}
		var err error
		if c.key, err = sig.GenerateKey(suite, rand.Reader); err != nil {
			return err
		}
		err = t.introduce(ctx, c, i, o.Verify == "gateway")
		o.Progress(done.Add(1), int64(o.Devices), "devices enrolled")
		return err
	})
	return clients, err
}

// introduce enrols device i, which logs in by its token where its gateway holds a secret of it or is on site.
func (t *target) introduce(ctx context.Context, c *client, i int, byToken bool) error {
	home := t.members[i%len(t.members)]
	var announced struct{ Token string }
	ask := map[string]string{"id": string(c.id), "owner": "owner", "safety": "ordinary"}
	if err := patiently(ctx, func() error { return home.ask(ctx, "POST", "/api/devices", ask, &announced) }); err != nil {
		return err
	}
	is, err := device.Enrol(ctx, device.Enrolment{URL: home.url, Device: c.id, Token: announced.Token, Key: c.key})
	if err != nil {
		return err
	}
	if c.token = announced.Token; !byToken && c.key.Suite() != sig.HMAC256 {
		c.token, err = lamppost.Login(is.Network, c.id, is.KeyEpoch, c.key)
	}
	return err
}

// signAll makes every device's reports, on all cores.
func signAll(ctx context.Context, network string, clients []*client, o IngestOptions) error {
	total := o.Rate
	if total == 0 {
		total = o.Most
	}
	each := int(o.For.Seconds()*float64(total))/len(clients) + 1
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	var done int64
	work := make(chan *client)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for c := range work {
				err := c.sign(network, each, o.Readings)
				mu.Lock()
				if done++; err != nil {
					failure = err
				}
				o.Progress(done*int64(each), int64(each)*int64(len(clients)), "reports signed")
				mu.Unlock()
			}
		})
	}
	for _, c := range clients {
		if ctx.Err() == nil {
			work <- c
		}
	}
	close(work)
	wg.Wait()
	if failure == nil {
		failure = ctx.Err()
	}
	return failure
}

func sendAll(ctx context.Context, clients []*client, o IngestOptions, start time.Time) {
	ctx, cancel := context.WithDeadline(ctx, start.Add(o.For+30*time.Second))
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			pace := pace{start: start, until: start.Add(o.For)}
			if o.Rate > 0 {
				pace.every = time.Duration(float64(time.Second) * float64(len(clients)) / float64(o.Rate))
				pace.start = start.Add(pace.every * time.Duration(i) / time.Duration(len(clients)))
			}
			c.send(ctx, pace)
		})
	}
	wg.Wait()
}

// profile starts a CPU profile into a file, if there is one, and returns what ends it.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// cpuSeconds is what this process has used, in user and kernel.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// diskBytes sums the sizes of all files.
func diskBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
