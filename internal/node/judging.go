package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Triage follows the chain: one goroutine reads every committed block, from the store or from where the archive has it, and lets a judge judge it. Another
// orders what it found. Commits wait for neither. What the judge knows is saved now and then with the height that it is of; after a crash it goes on
// from there, and finds the same again.

const (
	saveEvery    = 30 * time.Second
	saveBytes    = 32 << 20         // of states that wait to be saved
	throughEvery = 10 * time.Minute // between orders that only say up to where all is judged
	askedEvery   = time.Second      // the same, where an order waits for it
	judgedWithin = 10 * time.Second // that an order of money waits
	saidAgain    = 5 * time.Second  // after an order that could not be made
	maxSaid      = 256              // verdicts in an order: some 100 kB
	maxWaiting   = 1 << 16          // verdicts that wait to be ordered: some 30 MB, and what the latest block adds
)

// judging is the judge and what is known of it.
type judging struct {
	n      *Node
	judge  *judge.Judge // of the goroutine that judges, and under mu
	states *judge.States
	from   lamppost.Height // of the chain when the node started: before it is judged again nothing is ordered
	wake   chan struct{}   // has an entry when there may be a block
	speak  chan struct{}   // has an entry when there may be something to order
	most   int             // maxWaiting
	within time.Duration   // judgedWithin

	mu     sync.Mutex
	moved  chan struct{} // closed, and made anew, when something below has changed
	at     lamppost.Height
	came   lamppost.Height // the latest block with more than verdicts
	asked  lamppost.Height // somebody waits until it is said that all is judged up to there
	saidAt time.Time       // when something was ordered, or the node started
	answer time.Time       // when something was ordered because somebody asked
	purged lamppost.Height // all erasures up to it are out of what is saved
	counts judge.Counts
	failed error
}

// openJudging goes on where the judge was saved. What cannot be read, or is of another version, is judged anew.
func (n *Node) openJudging() error {
	if n.cfg.Triage == "off" {
		var b kv.Batch
		judge.Forget(&b)
		judge.ForgetStates(&b)
		return n.store.Apply(&b)
	}
	g := &judging{n: n, from: n.rep.Last().Height, wake: make(chan struct{}, 1), speak: make(chan struct{}, 1), moved: make(chan struct{}), saidAt: time.Now(),
		most: maxWaiting, within: judgedWithin}
	cfg := judge.Config{Records: n.store, Member: n.cfg.Member, Bytes: int64(n.cfg.TriageMemory) << 20, Verdict: func(id lamppost.VerdictID) (*lamppost.Verdict, error) {
		v, err := ledger.View{Reader: n.store}.Verdict(id)
		return &v.Body, err
	}}
	var err error
	if g.judge, err = judge.Open(cfg); err != nil {
		n.cfg.Log.Warn("what triage knew cannot be read; all blocks are judged anew", "error", err)
		var b kv.Batch
		judge.Forget(&b)
		if err := n.store.Apply(&b); err != nil {
			return err
		}
		g.judge = judge.New(cfg)
	}
	if g.states, err = judge.OpenStates(n.store); err != nil {
		return err
	}
	g.at, g.purged, g.counts = g.judge.Height(), g.judge.Height(), g.judge.Counts()
	n.judging = g
	return nil
}

// committed is told that there is a block.
func (g *judging) committed() {
	if g != nil {
		poke(g.wake)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run judges blocks as they come, and saves.
func (g *judging) run(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	poke(g.wake)
	for {
		select {
		case <-g.wake:
			if err := g.catchUp(ctx); err != nil {
				return g.stand(ctx, err)
			}
		case <-tick.C:
			if err := g.save(); err != nil {
				return err
			}
		case <-ctx.Done():
			return g.save()
		}
	}
}

// stand says that nothing is judged any more. What was judged is not saved: the next start tries again.
func (g *judging) stand(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	g.n.cfg.Log.Error("triage has stopped; lamppost fsck says more", "error", err)
	g.change(func() { g.failed = err })
	<-ctx.Done()
	return nil
}

// catchUp judges all blocks that there are.
func (g *judging) catchUp(ctx context.Context) error {
	for {
		height := g.n.rep.Last().Height
		more, err := g.part(ctx)
		if err == nil {
			err = g.forget()
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
		if !more {
			g.change(func() { g.at = max(g.at, height) })
			return nil
		}
	}
}

// part judges the blocks that are read at once. more is false where none followed.
func (g *judging) part(ctx context.Context) (more bool, err error) {
	snap, err := g.n.store.Snapshot() // packs are made beside this
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	part, err := archive.View{Reader: snap, Packs: g.n.packs}.Part(g.judge.Height())
	if err != nil || part == nil {
		return false, err
	}
	for i := range part.Blocks {
		// What cannot be ordered is not dropped, as it would be said that all is judged: nothing more is judged until it is.
		if g.wait(ctx, func(g *judging) bool { return g.judge.WaitingCount() < g.most }) != nil {
			return true, nil
		}
		if err := g.block(&part.Blocks[i]); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (g *judging) block(p *archive.PartBlock) error {
	b, more := judgeable(p)
	g.mu.Lock()
	found := g.judge.Next(b)
	g.at, g.counts = b.Height, g.judge.Counts()
	if more {
		g.came = b.Height
	}
	close(g.moved)
	g.moved = make(chan struct{})
	err := g.judge.Err()
	g.mu.Unlock()
	if err == nil && len(found) > 0 {
		err = g.keep(found, b.Time)
	}
	if err == nil && g.judge.Unsaved() > saveBytes {
		err = g.save()
	}
	return err
}

// keep makes durable what verdicts can be replayed from, before they are ordered.
func (g *judging) keep(found []judge.Found, at lamppost.TimeMS) error {
	var b kv.Batch
	for i := range found {
		g.states.Keep(&b, &found[i], at)
	}
	poke(g.speak)
	return g.n.store.Apply(&b)
}

// forget takes erased devices out of the records, and out of the store's files. It waits until nobody reads an older state of the store.
func (g *judging) forget() error {
	if ids := g.judge.TakeErased(); len(ids) > 0 {
		var b kv.Batch
		for _, id := range ids {
			g.states.Erase(&b, id)
		}
		if err := errors.Join(g.n.store.Apply(&b), g.save()); err != nil {
			return err
		}
		g.n.keeping.Lock()
		err := g.n.purge()
		g.n.keeping.Unlock()
		if err != nil {
			return err
		}
	}
	g.change(func() { g.purged = g.judge.Height() })
	return nil
}

func (g *judging) save() error {
	var b kv.Batch
	g.mu.Lock()
	err := g.judge.Save(&b)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.n.store.Apply(&b)
}

// change changes what others wait for.
func (g *judging) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
	close(g.moved)
	g.moved = make(chan struct{})
}

// judgeable reads a block of the archive. more says that there is something in it besides verdicts.
func judgeable(p *archive.PartBlock) (b *judge.Block, more bool) {
	b = &judge.Block{Height: p.Height, Time: p.Time, Txs: make([]judge.Tx, len(p.Records))}
	for i := range p.Records {
		rec, tx := &p.Records[i], &b.Txs[i]
		switch {
		case rec.Thin != nil:
			thinned(tx, rec.Thin)
		case rec.Raw != nil:
			tx.Transaction, tx.Outcomes = lamppost.ReadTransaction(rec.Raw), rec.Outcomes
		}
		more = more || tx.Transaction == nil || tx.Type != lamppost.TxVerdicts
	}
	return b, more
}

// thinned is what was kept of a segment.
func thinned(tx *judge.Tx, thin *lamppost.ThinSegment) {
	tx.Transaction = &lamppost.Transaction{Type: lamppost.TxSegment, Header: thin.Header}
	for i := range thin.Kept {
		k := &thin.Kept[i]
		o, err := lamppost.DecodeOutcome(k.Outcome)
		if err != nil {
			o.Code = lamppost.CodeBadReport
		}
		tx.Items, tx.Places, tx.Outcomes = append(tx.Items, k.SegmentItem), append(tx.Places, k.Index), append(tx.Outcomes, o)
	}
}

// Judged waits until all blocks up to a height are judged. Where triage is off that is at once.
func (n *Node) Judged(ctx context.Context, h lamppost.Height) error {
	return n.judging.wait(ctx, func(g *judging) bool { return g.at >= h })
}

// wait waits until something is so, or triage has stopped.
func (g *judging) wait(ctx context.Context, so func(*judging) bool) error {
	if g == nil {
		return nil
	}
	for {
		g.mu.Lock()
		ok, failed, moved, at := so(g), g.failed, g.moved, g.at
		g.mu.Unlock()
		if ok {
			return nil
		}
		if failed != nil {
			return lamppost.Refuse(lamppost.CodeNotReady, "triage has stopped at block %d: %v; lamppost fsck says more", at, failed)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// orderJudged is Order, which for orders of money waits until what has come so far is judged, and what was found stands in the ledger.
func (n *Node) orderJudged(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error) {
	switch t {
	case lamppost.TxInvoice, lamppost.TxCorrect, lamppost.TxSettle:
		if err := n.judging.settled(ctx, n.rep.Last().Height); err != nil {
			return consensus.Decision{}, err
		}
	}
	return n.Order(ctx, t, body)
}

func (g *judging) settled(ctx context.Context, h lamppost.Height) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	within := g.within
	g.mu.Unlock()
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := g.wait(waiting, func(g *judging) bool { return g.at >= h })
	if err == nil {
		g.change(func() { g.asked = max(g.asked, h) })
		poke(g.speak)
		err = g.wait(waiting, func(g *judging) bool { return g.quiet() })
	}
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		return lamppost.Refuse(lamppost.CodeNotReady, "triage has judged up to block %d of %d, and %d verdicts wait to be ordered: ask again in a moment", g.at, h, g.judge.WaitingCount())
	}
	return err
}

// quiet says whether nothing is to be ordered for who asked. Under mu.
func (g *judging) quiet() bool {
	return g.judge.WaitingCount() == 0 && (g.judge.Said() >= min(g.asked, g.came) || time.Since(g.answer) < askedEvery)
}

// say orders what was found, and from time to time up to where all is judged.
func (g *judging) say(ctx context.Context) error {
	tick := time.NewTicker(askedEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.speak:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for b := g.due(); b != nil && ctx.Err() == nil; b = g.due() {
			if err := g.order(ctx, b); err != nil {
				if ctx.Err() == nil {
					g.n.cfg.Log.Warn("what triage found cannot be ordered; trying again", "verdicts", len(b.Verdicts), "error", err)
				}
				rest(ctx, saidAgain)
			}
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// due is what is to be ordered now, or nil.
func (g *judging) due() *lamppost.VerdictsBody {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := g.judge.WaitingCount() >= g.most // what stands in the ledger already is found out by asking it
	if g.at < g.from && !full || g.n.outside.Load() || g.n.conflict.Load() != nil {
		return nil
	}
	verdicts, through := g.judge.Waiting(maxSaid)
	came := g.came > g.judge.Said()
	asked := g.asked > g.judge.Said() && time.Since(g.answer) >= askedEvery
	if len(verdicts) == 0 && !(came && (asked || time.Since(g.saidAt) >= throughEvery)) {
		return nil
	}
	return &lamppost.OrderVerdicts(judge.Model(), g.judge.Said(), through, verdicts)[0]
}

// order orders verdicts. Where the ledger does not take all together, each is ordered by itself, and
// what it never takes is dropped.
func (g *judging) order(ctx context.Context, b *lamppost.VerdictsBody) error {
	_, err := g.n.Order(ctx, lamppost.TxVerdicts, b)
	var refusal *lamppost.Refusal
	switch {
	case err == nil:
		g.change(func() {
			g.judge.Ordered(b)
			g.hasSaid()
		})
		return nil
	case !errors.As(err, &refusal) || !refusal.Code.Final():
		return err
	case len(b.Verdicts) == 0:
		g.change(g.hasSaid)
		return err
	case len(b.Verdicts) == 1:
		g.n.cfg.Log.Warn("the ledger does not take a verdict", "device", b.Verdicts[0].Device, "height", b.Verdicts[0].Height, "error", err)
		g.change(func() { g.judge.Drop(&b.Verdicts[0]) })
		return nil
	}
	before := min(b.Through, b.Verdicts[0].Height-1)
	for i := range b.Verdicts {
		one := lamppost.VerdictsBody{Model: b.Model, Through: before, Verdicts: b.Verdicts[i : i+1]}
		if err := g.order(ctx, &one); err != nil {
			return err
		}
	}
	return nil
}

// hasSaid notes that something was ordered.
func (g *judging) hasSaid() { g.saidAt, g.answer = time.Now(), time.Now() }

// state is how triage does, as the API has it; nil: it is off.
func (g *judging) state() *api.TriageState {
	if g == nil {
		return nil
	}
	height := g.n.rep.Last().Height
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &api.TriageState{Height: g.at, Lag: max(0, height-g.at), Said: g.judge.Said(), Waiting: g.judge.WaitingCount(), Readings: g.counts.Readings, Rows: g.counts.Rows, Vectors: g.counts.Vectors, Registers: g.counts.Registers,
		Late: g.counts.Late, Passed: g.counts.Passed, NotJudged: g.counts.NotJudged, Series: g.counts.Series, Bytes: g.counts.Bytes, Verdicts: map[string]uint64{}}
	for k := lamppost.Anomaly; k <= lamppost.Behaviour; k++ {
		s.Verdicts[k.String()] = g.counts.Verdicts[k]
	}
	if g.failed != nil {
		s.Error = g.failed.Error()
	}
	return s
}

// forgotten says whether what was erased up to a block is in nothing that triage keeps.
func (g *judging) forgotten(h lamppost.Height) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.purged >= h
}
