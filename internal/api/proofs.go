package api

import (
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// ProveReports proves those of a device's reports that are among its last 32 and under the checkpoint that files rest on, all in one
// proof. It is for the device itself, which does not rely on one member's word (docs/devices.md). A *lamppost.Refusal says that
// there are none yet.
func (s *Server) ProveReports(device lamppost.DeviceID, seqs []lamppost.Seq) (proof []byte, err error) {
	c, err := s.provable()
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "%v", err)
	}
	err = s.snapshot(func(r archive.View) error {
		var found []tariff.Source
		for _, seq := range seqs {
			at, report, err := ledger.View{Reader: r}.Recent(device, seq)
			if errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			blk, err := r.Block(at.Height)
			if err != nil {
				return err
			}
			if blk.First+int64(blk.Count) < c.Size { // the block's own leaf as well
				found = append(found, tariff.Source{Height: at.Height, Tx: at.Index, Report: report})
			}
		}
		if len(found) == 0 {
			return lamppost.Refuse(lamppost.CodeNotReady, "none of these reports is under a checkpoint yet that enough have signed")
		}
		want, err := replica.WantReports(r, found...)
		if err != nil {
			return err
		}
		p, err := replica.Prove(r, s.cfg.Network, c.Notes(), s.tree(c.Checkpoint), want)
		if err != nil {
			return err
		}
		p.Witnesses = c.Keys
		proof = p.Append(nil)
		return nil
	})
	return proof, err
}
