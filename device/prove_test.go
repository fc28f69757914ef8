package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/device"
)

// Members are a network of whom one may lie: servers, what each does with a report, and the ledger they share. A proof is a list of the
// reports that the ledger has.
type members struct {
	servers []string
	does    func(server string, r *lamppost.Report) (device.Ack, error) // nil, or no code and no error: takes it

	mu     sync.Mutex
	at     int
	ledger map[lamppost.Seq]lamppost.ReportID
	proofs int           // asked for
	silent bool          // no proof is given
	asked  chan struct{} // one for each proof asked for, while there is room
}

func newMembers(servers ...string) *members {
	return &members{servers: servers, ledger: map[lamppost.Seq]lamppost.ReportID{}, asked: make(chan struct{}, 100)}
}

// errTakes is no error: an honest member takes the report.
var errTakes = errors.New("takes it")

func (m *members) Send(_ context.Context, raw []byte) (device.Ack, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		return device.Ack{}, err
	}
	server := m.servers[m.at]
	if m.does != nil {
		if ack, err := m.does(server, &r); err != errTakes {
			ack.Server = server
			return ack, err
		}
	}
	ack := device.Ack{ID: r.ID(network), Height: 7, Server: server}
	if _, again := m.ledger[r.Seq]; again {
		ack.Code = lamppost.CodeDuplicate
	}
	m.ledger[r.Seq] = r.ID(network)
	return ack, nil
}

func (m *members) Members() int { return len(m.servers) }

func (m *members) Elsewhere(server string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if server == "" || server == m.servers[m.at] {
		m.at = (m.at + 1) % len(m.servers)
	}
}

func (m *members) Prove(_ context.Context, seqs []lamppost.Seq) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proofs++
	select {
	case m.asked <- struct{}{}:
	default:
	}
	var shown []string
	for _, s := range seqs {
		if id, ok := m.ledger[s]; ok && !m.silent {
			shown = append(shown, fmt.Sprintf("%d/%d/%s", s.Epoch, s.N, id))
		}
	}
	if len(shown) == 0 {
		return nil, errors.New("nothing yet")
	}
	return json.Marshal(shown)
}

func readProof(raw []byte) (map[lamppost.Seq]lamppost.ReportID, error) {
	var shown []string
	ids := map[lamppost.Seq]lamppost.ReportID{}
	err := json.Unmarshal(raw, &shown)
	for _, text := range shown {
		parts := strings.Split(text, "/")
		var s lamppost.Seq
		fmt.Sscan(parts[0], &s.Epoch)
		fmt.Sscan(parts[1], &s.N)
		ids[s], err = lamppost.ParseHash(parts[2])
	}
	return ids, err
}

// atOnce runs a test on a clock that does not wait.
func atOnce(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

// doubting opens a device that relies on nobody alone, and runs it.
func doubting(t *testing.T, m *members, disk *memDisk) *device.Device {
	t.Helper()
	cfg := device.Doubting(testConfig(t), readProof)
	cfg.Sender, cfg.Prover, cfg.ProveTimeout = m, m, 30*time.Millisecond
	cfg.MinBackoff, cfg.MaxBackoff = time.Millisecond, 5*time.Millisecond
	d, err := device.OpenOn(cfg, disk)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reports queues so many reports.
func reports(t *testing.T, d *device.Device, n int) (all []lamppost.Seq) {
	t.Helper()
	for i := range n {
		seq, err := d.Report(energy(int64(i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, seq)
	}
	return all
}

// Whatever one of three members does to reports, all of them get into the ledger by the others, none is thrown away, and the device's
// queue empties.
func TestOneMemberLies(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*lamppost.Report) (device.Ack, error){
		"acknowledges and drops": func(r *lamppost.Report) (device.Ack, error) { return device.Ack{ID: r.ID(network), Height: 7}, nil },
		"says it had it before":  func(*lamppost.Report) (device.Ack, error) { return device.Ack{Code: lamppost.CodeDuplicate}, nil },
		"refuses":                func(*lamppost.Report) (device.Ack, error) { return device.Ack{Code: lamppost.CodeBadSignature}, nil },
		"always busy": func(*lamppost.Report) (device.Ack, error) {
			return device.Ack{}, &device.WaitError{Why: "busy"}
		},
		"drops one in three": func(r *lamppost.Report) (device.Ack, error) {
			if r.Seq.N%3 == 0 {
				return device.Ack{}, nil
			}
			return device.Ack{}, errTakes
		},
		"has nothing to say to one": func(r *lamppost.Report) (device.Ack, error) {
			if r.Seq.N == 2 {
				return device.Ack{}, errors.New("try again")
			}
			return device.Ack{}, errTakes
		},
	} {
		atOnce(t, name, func(t *testing.T) {
			m := newMembers("liar", "b", "c")
			m.does = func(server string, r *lamppost.Report) (device.Ack, error) {
				if server == "liar" {
					return lie(r)
				}
				return device.Ack{}, errTakes
			}
			d := doubting(t, m, newMemDisk())
			all := reports(t, d, 100)
			if !deliver(t, d) {
				t.Fatal("the power failed")
			}
			for _, seq := range all {
				if _, ok := m.ledger[seq]; !ok {
					t.Errorf("report %v is not in the ledger", seq)
				}
			}
			if s := d.Stats(); s.Queued != 0 || s.Delivered != 100 || s.Refused != 0 || s.Doubted != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A report that the ledger does not take is over when two of three members have said so, and not before.
func TestRefusedByQuorum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMembers("a", "b", "c")
		by := map[string]int{}
		m.does = func(server string, _ *lamppost.Report) (device.Ack, error) {
			by[server]++
			return device.Ack{Code: lamppost.CodeQuarantined, Text: "by " + server}, nil
		}
		d := doubting(t, m, newMemDisk())
		reports(t, d, 1)
		deliver(t, d)
		if s := d.Stats(); s.Refused != 1 || len(by) != 2 || by["a"] != 1 || by["b"] != 1 {
			t.Errorf("refused by %v: %+v", by, s)
		}
	})
}

// Without proofs nothing leaves the queue, no more reports are under way than the ledger remembers, and a start anew sends them again.
// With them everything does.
func TestKeptUntilProven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, disk := newMembers("a", "b", "c"), newMemDisk()
		m.silent = true
		d := doubting(t, m, disk)
		reports(t, d, 100)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- d.Run(ctx) }()
		for range 20 {
			<-m.asked
		}
		if s := d.Stats(); s.Queued != 100 || s.Delivered != 0 || s.Unproven == 0 {
			t.Errorf("without proofs: %+v", s)
		}
		m.mu.Lock()
		if len(m.ledger) > device.MaxUnproven {
			t.Errorf("%d reports were sent with none proven, want at most %d", len(m.ledger), device.MaxUnproven)
		}
		m.mu.Unlock()
		cancel()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		m.silent = false
		d = doubting(t, m, disk)
		if !deliver(t, d) || d.Stats().Delivered != 100 || len(m.ledger) != 100 {
			t.Errorf("with proofs: %+v, the ledger has %d", d.Stats(), len(m.ledger))
		}
	})
}

// A proof that another report has the number proves nothing of this one.
func TestProofOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMembers("a", "b", "c")
		m.ledger[lamppost.Seq{Epoch: 1, N: 1}] = lamppost.ReportID{1}
		m.does = func(server string, r *lamppost.Report) (device.Ack, error) {
			if server == "a" {
				return device.Ack{}, nil
			}
			return device.Ack{Code: lamppost.CodeReused}, nil
		}
		d := doubting(t, m, newMemDisk())
		reports(t, d, 1)
		deliver(t, d)
		if s := d.Stats(); s.Refused != 1 || s.Delivered != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A quorum of 1 asks for no proof, and what cannot work is refused when the device is opened.
func TestPinOfOne(t *testing.T) {
	t.Parallel()
	m := newMembers("a")
	cfg := testConfig(t)
	cfg.Pin, cfg.Sender = &audit.Pin{Network: network, Quorum: 1}, m
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	reports(t, d, 50)
	if !deliver(t, d) || m.proofs != 0 || d.Stats().Delivered != 50 {
		t.Errorf("%d proofs, %+v", m.proofs, d.Stats())
	}
	for want, change := range map[string]func(*device.Config){
		"addresses of 2 members": func(c *device.Config) { c.Sender, c.Prover = newMembers("a"), m },
		"needs the addresses":    func(c *device.Config) { c.Sender, c.Prover = struct{ device.Sender }{m}, m },
		"a Prover is required":   func(c *device.Config) { c.Sender = struct{ device.Roamer }{newMembers("a", "b")} },
		"of network":             func(c *device.Config) { c.Pin = &audit.Pin{Network: "other", Quorum: 2} },
	} {
		cfg := device.Doubting(testConfig(t), readProof)
		change(&cfg)
		if _, err := device.OpenOn(cfg, newMemDisk()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q", err, want)
		}
	}
}
