// Package challenge is what keeps trusted gateways honest: it checks some of their reports by lot after they were
// committed, and accuses a gateway of each report that its device did not sign.
//
// The lot is private and outside of what replicas agree on: nobody can know which reports this node will look at, and what
// it looks at changes nothing. A lie, once found, is proven to all by a fraud order (lamppost.FraudBody), which carries the
// evidence. Then everything the gateway brought that can still be challenged is looked at.
//
// It promises that the engine never waits for it: what does not fit into its queue is not looked at, and counted. It does
// not judge readings. Start reading at [Sampler.Observe] and [Sampler.Run]; limits are in limits.go.
package challenge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// Config is what a Sampler needs; all but Log is required.
type Config struct {
	Archive archive.View
	Rate    float64      // share of the reports that are looked at, above 0 up to 1
	Random  func([]byte) // fills with bytes that nobody can guess
	Now     func() lamppost.TimeMS
	Accuse  func(context.Context, lamppost.FraudBody) error // has the order decided; a *lamppost.Refusal is final
	Log     *slog.Logger
}

// A Sampler looks at reports. Observe is called by one goroutine, Run once; Counts by any.
type Sampler struct {
	cfg     Config
	below   uint64     // a draw of 32 bits below it hits
	drawn   [4096]byte // random bytes
	draws   []byte     // those of them that are left
	members map[lamppost.MemberID]bool

	queue chan place

	mu     sync.Mutex
	counts Counts
}

// Counts say what a Sampler did since the node started.
type Counts struct {
	Sampled uint64 // reports looked at
	Skipped uint64 // drawn, and not looked at because too many were
	Hits    uint64 // lies found
}

// A place is that of a report.
type place struct {
	ledger.Place
	report uint32
}

// New returns a Sampler of a network whose members, whose own segments are checked in full, are these.
func New(cfg Config, members []lamppost.Member) *Sampler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sampler{cfg: cfg, below: uint64(cfg.Rate * (1 << 32)), members: map[lamppost.MemberID]bool{}, queue: make(chan place, maxQueue)}
	for _, m := range members {
		s.members[m.ID] = true
	}
	return s
}

// Observe draws from a committed block. It is what replica.Config.Committed calls, so it does not wait.
func (s *Sampler) Observe(ev *replica.Event) {
	for i, tx := range ev.Txs {
		if tx.Type != lamppost.TxSegment {
			continue
		}
		trusted := !s.members[tx.Signed.Key] && tx.Header.Aggregate == nil // which nobody takes a gateway's word for
		for j, o := range ev.Result.Outcomes[i] {
			// A number that was used before, whoever brings it now, points at a lie the first time.
			if trusted && s.draw() || o.Code == lamppost.CodeReused {
				s.enqueue(place{ledger.Place{Height: ev.Block.Height, Index: uint32(i)}, uint32(j)})
			}
		}
	}
}

// draw is true for one report in 1/Rate.
func (s *Sampler) draw() bool {
	if len(s.draws) == 0 {
		s.draws = s.drawn[:]
		s.cfg.Random(s.draws)
	}
	n := binary.BigEndian.Uint32(s.draws)
	s.draws = s.draws[4:]
	return uint64(n) < s.below
}

func (s *Sampler) enqueue(p place) {
	select {
	case s.queue <- p:
	default:
		s.count(func(c *Counts) { c.Skipped++ })
	}
}

func (s *Sampler) count(f func(*Counts)) {
	s.mu.Lock()
	f(&s.counts)
	s.mu.Unlock()
}

// Counts may be called at any time.
func (s *Sampler) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Run looks at what was drawn until ctx is done. It returns an error only if the store cannot be read.
func (s *Sampler) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-s.queue:
			err := s.look(ctx, p)
			if errors.Is(err, archive.ErrForgotten) { // erased since
				s.count(func(c *Counts) { c.Skipped++ })
				continue
			}
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("looking at report %d of transaction %d in block %d: %w", p.report, p.Index, p.Height, err)
			}
		}
	}
}

// look checks a report that was drawn, and what stands under its number if that was used before.
func (s *Sampler) look(ctx context.Context, p place) error {
	tx, rec, err := s.read(p.Place)
	if err != nil {
		return err
	}
	if hit, err := s.check(ctx, tx, p); err != nil || hit {
		return err
	}
	if rec.Outcomes[p.report].Code != lamppost.CodeReused {
		return nil
	}
	return s.lookAtFirst(ctx, &tx.Items[p.report])
}

func (s *Sampler) read(at ledger.Place) (*lamppost.Transaction, archive.Record, error) {
	rec, err := s.cfg.Archive.Tx(at.Height, at.Index)
	if err != nil {
		return nil, rec, err
	}
	if rec.Thin != nil {
		return nil, rec, archive.ErrForgotten
	}
	tx, err := lamppost.ParseTransaction(rec.Raw)
	return tx, rec, err
}

// lookAtFirst checks the report that took a number first.
func (s *Sampler) lookAtFirst(ctx context.Context, again *lamppost.SegmentItem) error {
	var r lamppost.Report
	if r.Decode(again.Report) != nil {
		return nil
	}
	at, report, err := ledger.View{Reader: s.cfg.Archive.Reader}.Recent(r.Device, r.Seq)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	tx, _, err := s.read(at)
	if err != nil {
		return err
	}
	_, err = s.check(ctx, tx, place{at, report})
	return err
}

// lookAtAll checks, once a gateway lied, every report of it that can still be challenged, the latest first.
func (s *Sampler) lookAtAll(ctx context.Context, liar lamppost.MemberID) error {
	var places []ledger.Place
	err := ledger.View{Reader: s.cfg.Archive.Reader}.Challengeable(func(at ledger.Place) error {
		places = append(places, at)
		return nil
	})
	if err != nil {
		return err
	}
	for _, at := range slices.Backward(places) {
		tx, _, err := s.read(at)
		if errors.Is(err, archive.ErrForgotten) {
			continue
		}
		if err != nil {
			return err
		}
		if tx.Signed.Key != liar {
			continue
		}
		for j := range tx.Items {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := s.accuse(ctx, tx, place{at, uint32(j)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// check looks at a report and, if its device did not sign it, at all that its gateway brought. It returns whether it lied.
func (s *Sampler) check(ctx context.Context, tx *lamppost.Transaction, p place) (hit bool, err error) {
	if s.members[tx.Signed.Key] || int(p.report) >= len(tx.Items) {
		return false, nil
	}
	if hit, err = s.accuse(ctx, tx, p); err != nil || !hit {
		return hit, err
	}
	return true, s.lookAtAll(ctx, tx.Signed.Key)
}

// accuse looks at a report and accuses its gateway if its device did not sign it.
func (s *Sampler) accuse(ctx context.Context, tx *lamppost.Transaction, p place) (hit bool, err error) {
	s.count(func(c *Counts) { c.Sampled++ })
	v := ledger.View{Reader: s.cfg.Archive.Reader}
	if honest, err := v.Honest(tx, p.report); err != nil || honest {
		return false, err
	}
	b := Evidence(tx, p.Place, p.report)
	err = v.Challenge(s.cfg.Now(), &b)
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		return false, nil // it is known, or too late
	}
	if err != nil {
		return false, err
	}
	s.cfg.Log.Warn("a gateway signed for a report that its device did not sign", "gateway", tx.Signed.Key, "block", p.Height, "transaction", p.Index, "report", p.report)
	return true, s.order(ctx, b)
}

// order has an accusation decided, for as long as it takes: what was found is not lost because the engine is busy.
func (s *Sampler) order(ctx context.Context, b lamppost.FraudBody) error {
	for ctx.Err() == nil {
		err := s.cfg.Accuse(ctx, b)
		var refusal *lamppost.Refusal
		switch {
		case err == nil:
			s.count(func(c *Counts) { c.Hits++ })
			return nil
		case errors.As(err, &refusal):
			s.cfg.Log.Warn("the accusation was refused: somebody else was first", "err", err)
			return nil
		}
		s.cfg.Log.Error("accusing a gateway", "err", err)
		t := time.NewTimer(retryAfter)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	return ctx.Err()
}

// Evidence is what accuses the gateway of a segment of one of its reports.
func Evidence(tx *lamppost.Transaction, at ledger.Place, report uint32) lamppost.FraudBody {
	it := &tx.Items[report]
	return lamppost.FraudBody{Height: at.Height, Tx: at.Index, Report: report, Header: tx.SignedRaw, Salt: it.Salt[:], Received: it.Received,
		Raw: it.Report, Path: lamppost.MerklePath(tx.Leaves(), int(report))}
}
