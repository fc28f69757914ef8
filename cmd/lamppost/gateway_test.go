package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/gateway"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

var rounds = flag.Int("rounds", 2, "how many reports each device sends in TestGatewayOutage")

// outageDevices report through one gateway in TestGatewayOutage.
const outageDevices = 1000

// TestGatewayOutage cuts a gateway's uplink for a week of the devices' time, in which a thousand devices report, kills the
// gateway with SIGKILL twice meanwhile, and restores the uplink. Afterwards: every report that the gateway acknowledged
// is in the ledger once, none is there twice, every device's reports and every segment stand in the order they came, the
// gateway's folder was never larger than gateway.Disk says, and a replay of all blocks gives the same state.
//
// A longer run: go test ./cmd/lamppost -run TestGatewayOutage -rounds 168 -timeout 60m
func TestGatewayOutage(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	node := &crash{t: t, dir: t.TempDir(), acked: map[string]bool{}, paid: map[string]bool{}, http: consensustest.FreeAddress(t), mqtt: consensustest.FreeAddress(t)}
	node.start()
	node.setUp()
	o := &outage{t: t, node: node, rnd: rand.New(rand.NewPCG(seed, 2)), dir: t.TempDir(), addr: consensustest.FreeAddress(t),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}}
	var added struct{ Token string }
	node.must("POST", "/api/gateways", map[string]string{"id": "cellar"}, &added)
	o.enrolAll()
	o.start(added.Token)
	node.stop()
	o.week()
	o.measure()
	node.start()
	o.drained()
	o.measure()
	o.stop()
	node.stop()
	o.check()
}

type outage struct {
	t      *testing.T
	node   *crash
	rnd    *rand.Rand
	dir    string
	addr   string
	client *http.Client
	cmd    *exec.Cmd
	fleet  []*meter
	disk   int64 // the most that was seen
	sent   int
}

// A meter is a device of the test.
type meter struct {
	id    lamppost.DeviceID
	token string
	key   *sig.PrivateKey
	n     uint64
}

// outageHold is how much the gateway may hold, in MiB: all that is sent, at some 300 bytes a report.
func outageHold() int64 { return 16 + int64(*rounds)/2 }

// start runs `lamppost gateway`; only the first start is told the token.
func (o *outage) start(token string) {
	o.cmd = exec.Command(os.Args[0], "gateway", "--data", o.dir, "--upstream", "http://"+o.node.http, "--id", "cellar",
		"--http", o.addr, "--mqtt", "off", "--linger", "20ms", "--hold-mib", fmt.Sprint(outageHold()))
	o.cmd.Env = append(os.Environ(), asProgram+"=1", "LAMPPOST_GATEWAY_TOKEN="+token)
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	var errs bytes.Buffer
	o.cmd.Stderr = &errs
	if err := o.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Next:") {
			return
		}
	}
	o.cmd.Wait()
	o.t.Fatalf("the gateway did not start:\n%s", errs.String())
}

func (o *outage) stop() {
	o.cmd.Process.Signal(os.Interrupt)
	if err := o.cmd.Wait(); err != nil {
		o.t.Errorf("an interrupted gateway ended with %v, want exit status 0", err)
	}
}

// each calls do for every meter, many at a time.
func (o *outage) each(do func(*meter)) {
	var wg sync.WaitGroup
	work := make(chan *meter)
	for range 32 {
		wg.Go(func() {
			for m := range work {
				do(m)
			}
		})
	}
	for _, m := range o.fleet {
		work <- m
	}
	close(work)
	wg.Wait()
}

func (o *outage) enrolAll() {
	for i := range outageDevices {
		o.fleet = append(o.fleet, &meter{id: lamppost.DeviceID(fmt.Sprintf("meter-%04d", i))})
	}
	o.each(func(m *meter) {
		var added struct{ Token string }
		if ok, why := o.node.ask("POST", "/api/devices", map[string]string{"id": string(m.id), "owner": "ann", "safety": "ordinary"}, &added); !ok {
			o.t.Errorf("announcing %s: %s", m.id, why)
			return
		}
		key, err := sig.GenerateKey(sig.EdDSA, nil)
		if err != nil {
			o.t.Error(err)
			return
		}
		m.token, m.key = added.Token, key
		body := fmt.Sprintf(`{"suite":"ed25519","key":%q}`, base64.StdEncoding.EncodeToString(key.Public().Bytes()))
		if status, text := o.post("http://"+o.node.http+"/v1/enrol", m, []byte(body)); status != http.StatusOK {
			o.t.Errorf("enrolling %s: %d %s", m.id, status, text)
		}
	})
	if o.t.Failed() {
		o.t.FailNow()
	}
}

// post returns status 0 where there is no answer.
func (o *outage) post(url string, m *meter, body []byte) (int, []byte) {
	req, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		o.t.Error(err)
		return 0, nil
	}
	req.SetBasicAuth(string(m.id), m.token)
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, text
}

// week lets every device report *rounds times, and kills the gateway twice at random moments meanwhile.
func (o *outage) week() {
	begin := time.Now().Add(-7 * 24 * time.Hour)
	kills := map[int]bool{o.rnd.IntN(*rounds): true}
	for len(kills) < min(2, *rounds) {
		kills[o.rnd.IntN(*rounds)] = true
	}
	for round := range *rounds {
		at := lamppost.TimeMS(begin.Add(time.Duration(round) * 7 * 24 * time.Hour / time.Duration(*rounds)).UnixMilli())
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.each(func(m *meter) { o.report(m, at) })
		}()
		if kills[round] {
			time.Sleep(time.Duration(20+o.rnd.IntN(300)) * time.Millisecond) // the moment is the test
			o.cmd.Process.Kill()
			o.cmd.Wait()
			o.start("")
		}
		<-done
		o.measure()
	}
}

// report signs a device's next report and sends it until it is acknowledged, like a device does.
func (o *outage) report(m *meter, at lamppost.TimeMS) {
	m.n++
	r := &lamppost.Report{Device: m.id, KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: m.n}, TimeQuality: lamppost.TimeSynchronised,
		Readings: []lamppost.Reading{{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(int64(m.n), 0), Time: at}}}
	raw, err := lamppost.SignReport(r, network, m.key)
	if err != nil {
		o.t.Error(err)
		return
	}
	var back lamppost.Report
	if err := back.Decode(raw); err != nil {
		o.t.Error(err)
		return
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		status, text := o.post("http://"+o.addr+"/v1/report", m, raw)
		var reply struct {
			Code    string
			Height  uint64
			Custody []byte
		}
		switch {
		case status == 0 || status == http.StatusServiceUnavailable:
			continue
		case status != http.StatusOK || json.Unmarshal(text, &reply) != nil || reply.Code != "ok" || reply.Height != 0 || len(reply.Custody) == 0:
			o.t.Errorf("report %d of %s: status %d, %s", m.n, m.id, status, text)
			return
		}
		o.node.mu.Lock()
		o.node.acked[back.ID(network).String()] = true
		o.sent++
		o.node.mu.Unlock()
		return
	}
	o.t.Errorf("report %d of %s was not acknowledged within a minute", m.n, m.id)
}

// measure compares the size of the gateway's folder with what it promises.
func (o *outage) measure() {
	var size int64
	filepath.WalkDir(o.dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil // files come and go
	})
	o.disk = max(o.disk, size)
	if limit := gateway.Disk(outageHold() << 20); size > limit {
		o.t.Errorf("the gateway's folder has %d bytes, more than gateway.Disk promises: %d", size, limit)
	}
}

// drained waits until the gateway has handed on everything.
func (o *outage) drained() {
	var s gateway.Status
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := o.client.Get("http://" + o.addr + "/healthz")
		if err != nil {
			continue
		}
		err = json.NewDecoder(resp.Body).Decode(&s)
		resp.Body.Close()
		if err == nil && s.Held.Segments == 0 {
			if s.Counts.Rejected != 0 {
				o.t.Errorf("the gateway set segments aside: %+v", s.Counts)
			}
			return
		}
	}
	o.t.Fatalf("the gateway still holds reports: %+v", s)
}

// check reads the ledger of the stopped node.
func (o *outage) check() {
	store, err := pebble.Open(filepath.Join(o.node.dir, "db"), pebble.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	defer store.Close()
	o.node.checkArchive(store)
	view := bodies(o.t, o.node.dir, store)
	high := map[lamppost.DeviceID]uint64{}
	var last lamppost.Seq
	segments := 0
	for h := lamppost.Height(1); ; h++ {
		blk, err := view.Block(h)
		if errors.Is(err, archive.ErrAbsent) {
			break
		}
		for i := range blk.Count {
			rec, err := view.Tx(h, i)
			if err != nil {
				o.t.Fatal(err)
			}
			tx, err := lamppost.ParseTransaction(rec.Raw)
			if err != nil {
				o.t.Fatal(err)
			}
			if tx.Type != lamppost.TxSegment {
				continue
			}
			segments++
			if seq := tx.Header.Seq; seq.Epoch < last.Epoch || seq.Epoch == last.Epoch && seq.N < last.N {
				o.t.Errorf("segment %v stands after %v", seq, last)
			}
			last = tx.Header.Seq
			for j := range tx.Items {
				var r lamppost.Report
				if err := r.Decode(tx.Items[j].Report); err != nil {
					o.t.Fatal(err)
				}
				if rec.Outcomes[j].Code != lamppost.CodeOK {
					continue
				}
				if r.Seq.N != high[r.Device]+1 {
					o.t.Errorf("%s: report %d stands after %d", r.Device, r.Seq.N, high[r.Device])
				}
				high[r.Device] = r.Seq.N
			}
		}
	}
	if want := *rounds * outageDevices; o.sent != want || len(high) != outageDevices {
		o.t.Errorf("%d reports of %d devices were acknowledged and found, want %d of %d", o.sent, len(high), want, outageDevices)
	}
	found, err := replica.Fsck(o.t.Context(), view, tilelog.FS{FS: os.DirFS(filepath.Join(o.node.dir, "log"))}, func(_, _ lamppost.Height) {})
	if err != nil {
		o.t.Fatal(err)
	}
	for _, f := range found.Faults {
		o.t.Errorf("fsck: %s: %s", f.Where, f.What)
	}
	o.t.Logf("%d reports in %d segments; at most %d KiB on the gateway's disk, %d allowed", o.sent, segments, o.disk>>10, gateway.Disk(outageHold()<<20)>>10)
}
