package replica

import (
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
}

// Prove gathers a proof from a consistent reader of the store, against the checkpoints that sign the published tree. A
// transaction that is not published yet is a not_ready refusal.
func Prove(r archive.View, network string, checkpoints []string, tree *tilelog.Tree, want Want) (*lamppost.Proof, error) {
	p := prover{r: r, tree: tree, proof: &lamppost.Proof{Version: lamppost.ProofVersion, Network: network, Checkpoints: checkpoints},
		open: map[ledger.Place]*opened{}}
	places := slices.Clone(want.Txs)
	for _, s := range want.Reports {
		places = append(places, ledger.Place{Height: s.Height, Index: s.Tx})
	}
	slices.SortFunc(places, comparePlaces)
	for _, at := range slices.Compact(places) {
		if err := p.addTx(at); err != nil {
			return nil, err
		}
	}
	reports := slices.Clone(want.Reports)
	for i := range reports {
		reports[i].Record = 0
	}
	slices.SortFunc(reports, compareSources)
	for _, s := range slices.Compact(reports) {
		if err := p.addReport(s); err != nil {
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
	nodes, err := tree.Nodes(p.leaves)
	if err != nil {
		return nil, fmt.Errorf("gathering the log's hashes: %w", err)
	}
	for _, n := range nodes {
		p.proof.Nodes = append(p.proof.Nodes, lamppost.ProofNode{Index: n.Index, Hash: lamppost.Hash(n.Hash)})
	}
	return p.proof, nil
}

func comparePlaces(a, b ledger.Place) int {
	if a.Height != b.Height {
		return compare(a.Height, b.Height)
	}
	return compare(a.Index, b.Index)
}

func compareSources(a, b tariff.Source) int {
	if c := comparePlaces(ledger.Place{Height: a.Height, Index: a.Tx}, ledger.Place{Height: b.Height, Index: b.Tx}); c != 0 {
		return c
	}
	return compare(a.Report, b.Report)
}

func compare[N lamppost.Height | uint32](a, b N) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

type prover struct {
	r      archive.View
	tree   *tilelog.Tree
	proof  *lamppost.Proof
	open   map[ledger.Place]*opened
	leaves []int64
}

// opened is a segment of the proof with what its reports' proofs are made from.
type opened struct {
	index uint32 // in Proof.Txs
	seg   *lamppost.ThinSegment
}

func (p *prover) addTx(at ledger.Place) error {
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
	if tx := lamppost.ReadTransaction(rec.Raw); rec.Thin == nil && tx.Type != lamppost.TxSegment {
		openOrder(&tp, tx, rec)
	} else if err := p.openSegment(&tp, at, &rec); err != nil {
		return fmt.Errorf("transaction %d of block %d: %w", at.Index, at.Height, err)
	}
	p.proof.Txs = append(p.proof.Txs, tp)
	p.leaves = append(p.leaves, leaf)
	return nil
}

// openOrder shows an order and its outcome.
func openOrder(tp *lamppost.TxProof, tx *lamppost.Transaction, rec archive.Record) {
	tp.Type, tp.Salt, tp.Verdicts, tp.Signed, tp.Writes = tx.Type, tx.Seed.Salt(lamppost.SaltBody), tx.VerdictsDigest(), tx.SignedRaw, rec.Writes
	tp.Outcomes = lamppost.MerkleRoot(outcomeHashes(tx, rec.Outcomes))
	tp.Outcome, tp.OutcomeSalt = rec.Outcomes[0].Append(nil), tx.OutcomeSalt(0)
}

// openSegment shows a segment's header; its reports are added one by one.
func (p *prover) openSegment(tp *lamppost.TxProof, at ledger.Place, rec *archive.Record) error {
	seg, err := rec.Segment()
	if err != nil {
		return err
	}
	if len(seg.Kept) == 0 {
		return archive.ErrForgotten
	}
	tp.Type, tp.Salt, tp.Verdicts, tp.Signed, tp.Writes = lamppost.TxSegment, seg.Salt, seg.Verdicts, seg.Signed, seg.Writes
	tp.Outcomes = seg.OutcomesRoot()
	p.open[at] = &opened{uint32(len(p.proof.Txs)), seg}
	return nil
}

func (p *prover) addReport(s tariff.Source) error {
	o := p.open[ledger.Place{Height: s.Height, Index: s.Tx}]
	if o == nil || s.Report >= o.seg.Header.Count {
		return fmt.Errorf("no report %d in transaction %d of block %d", s.Report, s.Tx, s.Height)
	}
	k, path, outcomePath, there := o.seg.Report(s.Report)
	if !there {
		return fmt.Errorf("report %d of transaction %d of block %d: %w", s.Report, s.Tx, s.Height, archive.ErrForgotten)
	}
	p.proof.Reports = append(p.proof.Reports, lamppost.ReportProof{Tx: o.index, Index: s.Report, Salt: k.Salt, Received: k.Received,
		Report: k.Report, Path: path, Outcome: k.Outcome, OutcomePath: outcomePath})
	return nil
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
