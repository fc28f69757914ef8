package measure

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Costs are what a load took of members that are processes of their own. Sums are over all members, from the first report sent to
// the last one acknowledged.
type Costs struct {
	NodeCPUSeconds    float64 `json:"node_cpu_s"`    // of members, in user and kernel
	GatewayCPUSeconds float64 `json:"gateway_cpu_s"` // of gateways on site
	ClientCPUSeconds  float64 `json:"client_cpu_s"`  // of this process: devices and relay
	WireBytes         int64   `json:"wire_bytes"`    // that members sent each other, TCP payload
	Messages          int64   `json:"messages"`      // between members: TLS records with data, at most 16 KiB each
	DeviceBytes       int64   `json:"device_bytes"`  // that devices sent, MQTT included
	WrittenBytes      int64   `json:"written_bytes"` // to the disk, as the kernel counts; 0 where it does not
	Syncs             int64   `json:"syncs"`         // of stores and of raft's logs, counted
	SyncsComputed     int64   `json:"syncs_computed"`
	PeakMB            float64 `json:"peak_mb"` // resident, of the member that took most
	RAPLJoules        float64 `json:"rapl_j"`  // of all processors, whatever ran on them; 0: the machine does not say
}

// used is what a process has taken since its start.
type used struct {
	cpu     float64
	written int64
	syncs   int64
}

// used asks kernel and member. What a member that was killed had taken is what was noted then.
func (m *member) used(ctx context.Context) (u used, err error) {
	if m.dead != nil {
		return *m.dead, nil
	}
	u = used{cpu: cpuClock(m.cmd.Process.Pid), written: writtenBy(m.cmd.Process.Pid)}
	if m.token != "" {
		u.syncs, err = m.syncs(ctx)
	}
	return u, err
}

// syncs reads how often the member made files durable.
func (m *member) syncs(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(res.Body, 1<<22))
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "lamppost_syncs_total{"); ok {
			_, value, _ := strings.Cut(text, "} ")
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("metrics of the member in %q: %w", m.dir, err)
			}
			n += int64(f)
		}
	}
	return n, lines.Err()
}

// A tally is what all processes have taken at a moment.
type tally struct {
	nodes, gateways used
	bytes, messages int64
	self            float64
	rapl            map[string]zone
}

func (t *target) tally(ctx context.Context) (a tally, err error) {
	for _, m := range t.nodes() {
		u, err := m.used(ctx)
		if err != nil {
			return a, err
		}
		a.nodes.cpu, a.nodes.written, a.nodes.syncs = a.nodes.cpu+u.cpu, a.nodes.written+u.written, a.nodes.syncs+u.syncs
	}
	for _, g := range t.gateways {
		a.gateways.cpu += cpuClock(g.cmd.Process.Pid)
	}
	a.bytes, a.messages, a.rapl, a.self = t.link.bytes.Load(), t.link.messages.Load(), rapl(powercap), cpuSeconds()
	return a, nil
}

// costs is what was taken since before.
func (t *target) costs(ctx context.Context, before tally, blocks int64) (*Costs, error) {
	now, err := t.tally(ctx)
	if err != nil {
		return nil, err
	}
	c := &Costs{NodeCPUSeconds: now.nodes.cpu - before.nodes.cpu, GatewayCPUSeconds: now.gateways.cpu - before.gateways.cpu, ClientCPUSeconds: now.self - before.self,
		WireBytes: now.bytes - before.bytes, Messages: now.messages - before.messages,
		WrittenBytes: now.nodes.written - before.nodes.written, Syncs: now.nodes.syncs - before.nodes.syncs,
		RAPLJoules: joules(before.rapl, now.rapl)}
	if t.engine == "comet" {
		// Its log is not counted: it syncs a member's own prevote and precommit and the height's end, and its proposer's proposal and part.
		c.SyncsComputed = blocks * int64(3*len(t.nodes())+2)
	}
	for _, m := range t.nodes() {
		if m.dead == nil {
			c.PeakMB = max(c.PeakMB, peakMB(m.cmd.Process.Pid))
		}
	}
	return c, nil
}

// forgetPeak begins the count of the highest resident memory anew (proc_pid_clear_refs(5)), where the kernel lets us.
func forgetPeak(pid int) { _ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) }

func peakMB(pid int) float64 { return float64(fieldOf(pid, "status", "VmHWM:")) / 1024 }

func writtenBy(pid int) int64 { return fieldOf(pid, "io", "write_bytes:") }

// fieldOf reads a number of a file of a process that has a name in each line; 0 where there is none.
func fieldOf(pid int, file, name string) int64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	_, rest, found := bytes.Cut(raw, []byte(name))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return n
}

// powercap is where Linux shows what processors use. Since 2020 root alone may read it.
const powercap = "/sys/class/powercap"

// A zone is the counter of one processor, in µJ; behind the highest it shows it begins at 0 again.
type zone struct{ now, most float64 }

// rapl reads the counters of all processors under a folder; none where it does not show them. AMD's have Intel's name too. What is a part of a
// processor has a second colon, and what is called psys counts processors once more.
func rapl(dir string) map[string]zone {
	all := map[string]zone{}
	paths, _ := filepath.Glob(filepath.Join(dir, "intel-rapl:*"))
	for _, path := range paths {
		name := filepath.Base(path)
		what, _ := os.ReadFile(filepath.Join(path, "name"))
		now, known := numberIn(filepath.Join(path, "energy_uj"))
		if strings.Count(name, ":") > 1 || strings.TrimSpace(string(what)) == "psys" || !known {
			continue
		}
		most, _ := numberIn(filepath.Join(path, "max_energy_range_uj"))
		all[name] = zone{now, most}
	}
	return all
}

func numberIn(path string) (float64, bool) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	return n, err == nil
}

// joules is what was used between two readings, 0 where it is not known. A counter that stands lower than before has begun again once: that takes
// minutes at least, and is longer than a measurement needs to be.
func joules(before, now map[string]zone) (sum float64) {
	for name, b := range before {
		n, ok := now[name]
		if !ok {
			return 0
		}
		used := n.now - b.now
		if used < 0 {
			used += n.most
		}
		if used < 0 { // it does not say where it ends
			return 0
		}
		sum += used / 1e6
	}
	return sum
}
