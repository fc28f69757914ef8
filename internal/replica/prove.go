package replica

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/tariff"
)

// A Want lists what a proof shall show; duplicates are welcome.
type Want struct {
	Txs     []ledger.Place
	Reports []tariff.Source   // Record is ignored: a report is proven whole
	Blocks  []lamppost.Height // for their times
	Runs    []WantedRun       // of contracts, for bills and sessions
}

// Prove gathers a proof from a consistent reader of the store, against the checkpoints that sign the published tree. A
// transaction that is not published yet is a not_ready refusal.
func Prove(r archive.View, network string, checkpoints []string, tree *tilelog.Tree, want Want) (*lamppost.Proof, error) {
	p := prover{r: r, tree: tree, proof: &lamppost.Proof{Network: network, Checkpoints: checkpoints}, runs: map[ledger.Place][]string{}, whole: map[ledger.Place]bool{}}
	reports := byPlace(want.Reports)
	places := slices.Clone(want.Txs)
	for _, at := range want.Txs {
		p.whole[at] = true
	}
	for _, x := range want.Runs {
		p.runs[x.At] = append(p.runs[x.At], x.Contract)
		places = append(places, x.At)
	}
	for _, list := range reports {
		places = append(places, placeOf(list[0]))
		p.whole[placeOf(list[0])] = true
	}
	slices.SortFunc(places, comparePlaces)
	for _, at := range slices.Compact(places) {
		var wanted []tariff.Source
		if len(reports) > 0 && placeOf(reports[0][0]) == at {
			wanted, reports = reports[0], reports[1:]
		}
		if err := p.addTx(at, wanted); err != nil {
			return nil, err
		}
	}
	blocks := slices.Clone(want.Blocks)
	slices.Sort(blocks)
	for _, h := range slices.Compact(blocks) {
		if err := p.addBlock(h); err != nil {
			return nil, err
		}
	}
	var err error
	if p.proof.Nodes, err = tree.Nodes(p.leaves); err != nil {
		return nil, fmt.Errorf("gathering the log's hashes: %w", err)
	}
	return p.proof, nil
}

func placeOf(s tariff.Source) ledger.Place { return ledger.Place{Height: s.Height, Index: s.Tx} }

// byPlace sorts reports by the segments they stand in, each once, and returns those of each segment.
func byPlace(reports []tariff.Source) (lists [][]tariff.Source) {
	all := slices.Clone(reports)
	for i := range all {
		all[i].Record = 0
	}
	slices.SortFunc(all, tariff.Source.Compare)
	all = slices.Compact(all)
	for from, i := 0, 1; i <= len(all); i++ {
		if i == len(all) || placeOf(all[i]) != placeOf(all[from]) {
			lists = append(lists, all[from:i])
			from = i
		}
	}
	return lists
}

func comparePlaces(a, b ledger.Place) int {
	return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Index, b.Index))
}

type prover struct {
	r      archive.View
	tree   *tilelog.Tree
	proof  *lamppost.Proof
	leaves []int64
	runs   map[ledger.Place][]string // contracts whose runs are shown
	whole  map[ledger.Place]bool     // transactions of which more than that is
}

// addTx shows an order with its outcome, or a segment with the wanted ones of its reports.
func (p *prover) addTx(at ledger.Place, wanted []tariff.Source) error {
	blk, err := p.r.Block(at.Height)
	if err != nil {
		return err
	}
	rec, err := p.r.Tx(at.Height, at.Index)
	if err != nil {
		return err
	}
	leaf := blk.First + int64(at.Index)
	if leaf >= p.tree.Size() {
		return lamppost.Refuse(lamppost.CodeNotReady, "block %d is committed but not published yet: ask again in a second", at.Height)
	}
	tp := lamppost.TxProof{Leaf: leaf, Height: at.Height, Index: at.Index}
	if !rec.IsSegment() { // an order, perhaps wanted for a value that somebody entered in it
		tx := lamppost.ReadTransaction(rec.Raw)
		if tp.Runs, err = openRuns(tx, &rec, p.runs[at]); err != nil {
			return err
		}
		if p.whole[at] {
			tp.Order, err = openOrder(tx, rec)
		} else {
			tp.Result = &lamppost.ResultProof{Type: tx.Type, Body: tx.BodyDigest(), Outcome: lamppost.OutcomeHash(tx.OutcomeSalt(0), rec.Outcomes[0].Append(nil)), Writes: rec.Writes}
		}
	} else {
		tp.Segment, err = openSegment(&rec, wanted)
	}
	if err != nil {
		return fmt.Errorf("transaction %d of block %d: %w", at.Index, at.Height, err)
	}
	p.proof.Txs = append(p.proof.Txs, tp)
	p.leaves = append(p.leaves, leaf)
	return nil
}

// openOrder shows an order and its outcome. The registers of an invoice stand in its reports.
func openOrder(tx *lamppost.Transaction, rec archive.Record) (*lamppost.OrderProof, error) {
	outcome := rec.Outcomes[0]
	if (tx.Type == lamppost.TxInvoice || tx.Type == lamppost.TxCorrect) && outcome.Code == lamppost.CodeOK {
		var err error
		if outcome.Data, err = tariff.WithoutEdges(outcome.Data); err != nil {
			return nil, err
		}
	}
	if tx.Type == lamppost.TxPayout && outcome.Code == lamppost.CodeOK {
		var err error
		if outcome.Data, err = tariff.ProfitWithoutEdges(outcome.Data); err != nil {
			return nil, err
		}
	}
	return &lamppost.OrderProof{Salt: tx.Seed.Salt(lamppost.SaltBody), Signed: tx.SignedRaw, Writes: rec.Writes,
		OutcomeSalt: tx.OutcomeSalt(0), Outcome: outcome.Append(nil)}, nil
}

// openSegment shows a segment's header and the wanted ones of its reports.
func openSegment(rec *archive.Record, wanted []tariff.Source) (*lamppost.ThinSegment, error) {
	seg, err := rec.Segment()
	if err != nil {
		return nil, err
	}
	if len(wanted) == 0 {
		return nil, errors.New("a segment is proven by a report of it")
	}
	if _, err := find(seg, wanted); err != nil {
		return nil, err
	}
	return seg.Thin(func(k *lamppost.KeptReport) bool {
		_, ok := slices.BinarySearchFunc(wanted, k.Index, func(s tariff.Source, i uint32) int { return cmp.Compare(s.Report, i) })
		return ok
	}), nil
}

// find returns reports of a segment.
func find(seg *lamppost.ThinSegment, wanted []tariff.Source) ([]*lamppost.KeptReport, error) {
	found := make([]*lamppost.KeptReport, len(wanted))
	for i, s := range wanted {
		if s.Report >= seg.Header.Count {
			return nil, fmt.Errorf("no report %d among %d", s.Report, seg.Header.Count)
		}
		var there bool
		if found[i], there = seg.Find(s.Report); !there {
			return nil, fmt.Errorf("report %d: %w", s.Report, archive.ErrForgotten)
		}
	}
	return found, nil
}

func (p *prover) addBlock(h lamppost.Height) error {
	blk, err := p.r.Block(h)
	if err != nil {
		return err
	}
	leaf := blk.First + int64(blk.Count)
	if leaf >= p.tree.Size() {
		return lamppost.Refuse(lamppost.CodeNotReady, "block %d is committed but not published yet: ask again in a second", h)
	}
	raw, err := p.tree.Leaf(leaf)
	if err != nil {
		return err
	}
	p.proof.Blocks = append(p.proof.Blocks, lamppost.BlockProof{Leaf: leaf, Raw: raw})
	p.leaves = append(p.leaves, leaf)
	return nil
}
