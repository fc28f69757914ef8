package replica

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
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
func Prove(r kv.Reader, network string, checkpoints []string, tree *tilelog.Tree, want Want) (*lamppost.Proof, error) {
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
	r      kv.Reader
	tree   *tilelog.Tree
	proof  *lamppost.Proof
	open   map[ledger.Place]*opened
	leaves []int64
}

// opened is a transaction of the proof with what its reports' proofs are made from.
type opened struct {
	index    uint32 // in Proof.Txs
	tx       *lamppost.Transaction
	outcomes []lamppost.Outcome
	hashes   []lamppost.Hash // of the outcomes
}

func (p *prover) addTx(at ledger.Place) error {
	blk, err := archive.GetBlock(p.r, at.Height)
	if err != nil {
		return err
	}
	rec, err := archive.Get(p.r, at.Height, at.Index)
	if err != nil {
		return err
	}
	leaf := blk.First + int64(at.Index)
	if leaf >= p.tree.Size() {
		return lamppost.Refuse(lamppost.CodeNotReady, "block %d is committed but not published yet: ask again in a second", at.Height)
	}
	tx := parse(rec.Raw)
	o := &opened{index: uint32(len(p.proof.Txs)), tx: tx, outcomes: rec.Outcomes, hashes: outcomeHashes(tx, rec.Outcomes)}
	tp := lamppost.TxProof{Leaf: leaf, Type: tx.Type, Height: at.Height, Index: at.Index, Salt: tx.Seed.Salt(lamppost.SaltBody),
		Verdicts: tx.VerdictsDigest(), Signed: tx.SignedRaw, Outcomes: lamppost.MerkleRoot(o.hashes), Writes: rec.Writes}
	if tx.Type != lamppost.TxSegment {
		tp.Outcome, tp.OutcomeSalt = rec.Outcomes[0].Append(nil), tx.OutcomeSalt(0)
	}
	p.proof.Txs = append(p.proof.Txs, tp)
	p.open[at] = o
	p.leaves = append(p.leaves, leaf)
	return nil
}

func (p *prover) addReport(s tariff.Source) error {
	o := p.open[ledger.Place{Height: s.Height, Index: s.Tx}]
	i := int(s.Report)
	if o.tx.Type != lamppost.TxSegment || i >= len(o.tx.Items) {
		return fmt.Errorf("no report %d in transaction %d of block %d", s.Report, s.Tx, s.Height)
	}
	it := &o.tx.Items[i]
	p.proof.Reports = append(p.proof.Reports, lamppost.ReportProof{Tx: o.index, Index: s.Report, Salt: it.Salt, Received: it.Received,
		Report: it.Report, Path: lamppost.MerklePath(o.tx.Leaves(), i), Outcome: o.outcomes[i].Append(nil),
		OutcomePath: lamppost.MerklePath(o.hashes, i)})
	return nil
}

func (p *prover) addBlock(h lamppost.Height) error {
	blk, err := archive.GetBlock(p.r, h)
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
