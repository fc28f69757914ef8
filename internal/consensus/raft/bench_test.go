package raft

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A benchApp writes every block to a file and syncs it once per Commit, as the replica does with its batch.
type benchApp struct {
	file    *os.File
	last    consensus.Last
	next    consensus.Last
	pending []byte
	durable atomic.Pointer[consensus.Last]
	txs     atomic.Int64
}

func newBenchApp(b testing.TB, dir string) *benchApp {
	f, err := os.Create(filepath.Join(dir, "app"))
	if err != nil {
		b.Fatal(err)
	}
	a := &benchApp{file: f}
	a.durable.Store(&a.last)
	return a
}

func (a *benchApp) Last() consensus.Last                                     { return *a.durable.Load() }
func (a *benchApp) Prepare(b *lamppost.Block, _ int) [][]byte                { return b.Txs }
func (a *benchApp) Accept(*lamppost.Block) error                             { return nil }
func (a *benchApp) CheckTx([]byte) error                                     { return nil }
func (a *benchApp) Decided(lamppost.TxID) (d consensus.Decision, known bool) { return d, false }

func (a *benchApp) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	res := &lamppost.Result{Height: b.Height, Outcomes: make([][]lamppost.Outcome, len(b.Txs))}
	for _, tx := range b.Txs {
		res.IDs = append(res.IDs, lamppost.TxID(tx[:32]))
		a.pending = append(a.pending, tx...)
	}
	a.next = consensus.Last{Height: b.Height, Time: b.Time, Cursor: b.Cursor}
	a.txs.Add(int64(len(b.Txs)))
	return res, nil
}

func (a *benchApp) Commit() (lamppost.Cursor, error) {
	if _, err := a.file.WriteAt(a.pending, 0); err != nil {
		return 0, err
	}
	a.pending = a.pending[:0]
	last := a.next
	a.durable.Store(&last)
	return 0, a.file.Sync()
}

// BenchmarkPropose measures three members in this process, over TCP on loopback, with fsync: one operation is one proposal
// from call to answer.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{200, 200 << 10} {
		for _, callers := range []int{1, 64} {
			for _, at := range []string{"leader", "follower"} {
				b.Run(fmt.Sprintf("bytes=%d/callers=%d/at=%s", size, callers, at), func(b *testing.B) { benchPropose(b, size, callers, at) })
			}
		}
	}
}

func benchPropose(b *testing.B, size, callers int, at string) {
	engines, apps := benchNetwork(b, 3, func(*Config) {})
	i := -1
	for i < 0 {
		i = slices.IndexFunc(engines, func(e *Engine) bool {
			s := e.Status()
			return s.Leader != "" && (s.Role == "leader") == (at == "leader")
		})
	}
	engine, app := engines[i], apps[i]
	before := app.txs.Load()
	height := app.Last().Height
	var number atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				n := number.Add(1)
				if n > int64(b.N) {
					return
				}
				tx := make([]byte, size)
				binary.BigEndian.PutUint64(tx[32:], uint64(n))
				id := lamppost.TxID(sha256.Sum256(tx[32:40]))
				copy(tx, id[:])
				start := time.Now()
				if _, err := engine.Propose(context.Background(), id, tx); err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	ms := func(q int) float64 { return float64(took[len(took)*q/100].Microseconds()) / 1000 }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
	b.ReportMetric(ms(50), "p50-ms")
	b.ReportMetric(ms(99), "p99-ms")
	b.ReportMetric(float64(app.txs.Load()-before)/float64(app.Last().Height-height), "per-block")
}

// benchNetwork starts members, set as is said, and waits for their first block.
func benchNetwork(b testing.TB, size int, set func(*Config)) (engines []*Engine, apps []*benchApp) {
	addresses, dirs := map[lamppost.MemberID]string{}, map[lamppost.MemberID]string{}
	var founders []lamppost.MemberID
	for i := range size {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		id := lamppost.MemberID(rune('a' + i))
		founders, addresses[id], dirs[id] = append(founders, id), l.Addr().String(), b.TempDir()
		l.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		wg.Wait()
		for _, app := range apps {
			app.file.Close()
		}
	})
	for _, id := range founders {
		app := newBenchApp(b, dirs[id])
		cfg := Config{Network: "net", Member: id, Dir: dirs[id], Founders: founders, Listen: addresses[id],
			Address: func(to lamppost.MemberID) string { return addresses[to] },
			Now:     func() lamppost.TimeMS { return lamppost.TimeMS(time.Now().UnixMilli()) }}
		set(&cfg)
		e := open(b, cfg, app, app)
		engines, apps = append(engines, e), append(apps, app)
		wg.Go(func() {
			if err := e.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	tx := make([]byte, 40)
	if _, err := engines[0].Propose(ctx, lamppost.TxID(tx[:32]), tx); err != nil {
		b.Fatal(err)
	}
	return engines, apps
}
