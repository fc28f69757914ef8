// Package measure is what `lamppost bench` runs: each figure comes from the production code under a stated load. Loads
// are made before the clock starts. Start reading at [Ingest].
package measure

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// IngestOptions says which load to put on a node.
type IngestOptions struct {
	Transport string        // "mqtt"
	Readings  int           // in a report
	For       time.Duration // how long to send
	Rate      int           // reports a second over all devices; 0: as fast as they are acknowledged
	Devices   int           // each with a key and a connection of its own
	Window    int           // unacknowledged reports per connection
	Most      int           // reports a second to sign for, where Rate is 0
	Suite     sig.Suite
	Dir       string // where the node's folder is made; it is removed afterwards
	Profile   string // file for a CPU profile of the sending; empty: none

	Progress func(done, all int64, what string)
}

// IngestResult is one measurement. Times are wall time; CPU is of the whole process, clients included.
type IngestResult struct {
	Transport           string  `json:"transport"`
	Suite               string  `json:"suite"`
	Devices             int     `json:"devices"`
	ReadingsPerReport   int     `json:"readings_per_report"`
	OfferedPerS         int     `json:"offered_per_s"` // 0: as fast as acknowledged
	Seconds             float64 `json:"seconds"`
	Reports             int64   `json:"reports"`
	ReportsPerS         float64 `json:"reports_per_s"`
	ReadingsPerS        float64 `json:"readings_per_s"`
	CommitP50MS         float64 `json:"commit_p50_ms"`
	CommitP99MS         float64 `json:"commit_p99_ms"`
	CPUSeconds          float64 `json:"cpu_s"`
	DiskBytesPerReading float64 `json:"disk_bytes_per_reading"`
	Blocks              int64   `json:"blocks"`
	Errors              int64   `json:"errors"`
	Fsync               bool    `json:"fsync"`
	Cores               int     `json:"cores"`
}

// Ingest starts a node on a new folder, enrols devices, signs their reports, and then sends them for o.For over real
// connections on loopback. A report counts when it is acknowledged, which means committed and synced.
func Ingest(ctx context.Context, o IngestOptions) (*IngestResult, error) {
	if o.Transport != "mqtt" {
		return nil, fmt.Errorf("transport %q is not known: say mqtt", o.Transport)
	}
	dir, err := os.MkdirTemp(o.Dir, "lamppost-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	n, err := node.Open(node.Config{Data: dir, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0"})
	if err != nil {
		return nil, err
	}
	nodeCtx, stop := context.WithCancel(ctx)
	var nodeErr error
	var wg sync.WaitGroup
	wg.Go(func() { nodeErr = n.Run(nodeCtx) })
	res, err := ingest(ctx, n, o, dir)
	stop()
	wg.Wait()
	if err == nil {
		err = nodeErr
	}
	return res, err
}

func ingest(ctx context.Context, n *node.Node, o IngestOptions, dir string) (*IngestResult, error) {
	clients, err := enrol(ctx, n, o)
	if err != nil {
		return nil, err
	}
	if err := signAll(ctx, n.Network(), clients, o); err != nil {
		return nil, err
	}
	for _, c := range clients {
		if err := c.connect(ctx, n.MQTTAddr()); err != nil {
			return nil, err
		}
		defer c.conn.Close()
	}
	runtime.GC() // the load's memory is no part of the measurement
	before, height, diskBefore := cpuSeconds(), n.Status().Height, diskBytes(dir)
	stopProfile, err := profile(o.Profile)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	sendAll(ctx, clients, o, start)
	elapsed := time.Since(start).Seconds()
	stopProfile()
	res := &IngestResult{Transport: o.Transport, Suite: o.Suite.String(), Devices: o.Devices, ReadingsPerReport: o.Readings,
		OfferedPerS: o.Rate, Seconds: elapsed, Fsync: true, Cores: runtime.GOMAXPROCS(0),
		CPUSeconds: cpuSeconds() - before, Blocks: int64(n.Status().Height - height)}
	var all latencies
	for _, c := range clients {
		res.Reports += c.acked
		res.Errors += c.failed
		all.add(&c.times)
	}
	res.ReportsPerS = float64(res.Reports) / elapsed
	res.ReadingsPerS = res.ReportsPerS * float64(o.Readings)
	res.CommitP50MS, res.CommitP99MS = all.quantile(0.50), all.quantile(0.99)
	if res.Reports > 0 {
		res.DiskBytesPerReading = float64(diskBytes(dir)-diskBefore) / float64(res.Reports*int64(o.Readings))
	}
	return res, ctx.Err()
}

// enrol registers the devices as an operator would, with keys made here.
func enrol(ctx context.Context, n *node.Node, o IngestOptions) ([]*client, error) {
	if _, err := n.Order(ctx, lamppost.TxParty, lamppost.PartyBody{ID: "owner", Name: "Owner"}); err != nil {
		return nil, err
	}
	clients := make([]*client, o.Devices)
	for i := range clients {
		id := lamppost.DeviceID(fmt.Sprintf("device-%05d", i))
		token, err := n.Devices().Announce(api.NewDevice{ID: id, Owner: "owner", Safety: "ordinary"})
		if err != nil {
			return nil, err
		}
		key, err := sig.GenerateKey(o.Suite, rand.Reader)
		if err != nil {
			return nil, err
		}
		if _, err := n.Devices().Enrol(ctx, id, api.NewKey{Suite: o.Suite, Key: key.Public().Bytes()}); err != nil {
			return nil, err
		}
		clients[i] = &client{id: id, token: token, key: key, window: o.Window}
		o.Progress(int64(i+1), int64(o.Devices), "devices enrolled")
	}
	return clients, nil
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

// cpuSeconds is what the process has used, in user and kernel.
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
