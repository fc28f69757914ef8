package node

import (
	"context"
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/internal/replica"
)

// A gatewayDoor is what the HTTP door asks on behalf of gateways on site.
type gatewayDoor struct {
	*api.Gateways
	n      *Node
	guards *api.Guards
}

// Guards implements httpd.Gateways.
func (d gatewayDoor) Guards(id lamppost.MemberID, words map[lamppost.DeviceID]guard.Word) (map[lamppost.DeviceID]guard.Asked, error) {
	fleet, err := d.Gateways.Fleet(id)
	if err != nil {
		return nil, err
	}
	return d.guards.For(id, fleet, words)
}

// Fleet implements httpd.Gateways.
func (d gatewayDoor) Fleet(id lamppost.MemberID) (httpd.Fleet, error) {
	list, err := d.Gateways.Fleet(id)
	if err != nil {
		return httpd.Fleet{}, err
	}
	f := httpd.Fleet{Network: d.n.cfg.Network, Gateway: id, Devices: make([]httpd.FleetDevice, 0, len(list))}
	for i := range list {
		dev := httpd.FleetDevice{ID: list[i].ID, Token: list[i].Token, Safety: list[i].Safety}
		if v, enrolled := d.n.rep.Vouch(dev.ID); enrolled {
			dev.KeyEpoch, dev.Keys = v.Epoch, d.keys(v)
		}
		f.Devices = append(f.Devices, dev)
	}
	return f, nil
}

// keys lists the keys of a device that signs by itself.
func (d gatewayDoor) keys(v *replica.Vouch) (list []httpd.FleetKey) {
	now := d.n.now()
	for ; v != nil; v = v.Former {
		if v.Assurance == lamppost.DeviceSigned && v.Under(v.Epoch, now) == v {
			list = append(list, httpd.FleetKey{Suite: v.Key.Suite(), Key: v.Key.Bytes(), Epoch: v.Epoch, Until: v.Until})
		}
	}
	return list
}

// Segment implements httpd.Gateways. What the ledger would refuse as a whole is refused here, where the gateway can tell
// it from a judgement of its reports and keep them.
func (d gatewayDoor) Segment(ctx context.Context, id lamppost.MemberID, raw []byte) (lamppost.Height, []lamppost.Outcome, error) {
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		return 0, nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if tx.Type != lamppost.TxSegment {
		return 0, nil, lamppost.Refuse(lamppost.CodeBadTx, "a gateway delivers segments, not %q", tx.Type)
	}
	if len(raw) > lamppost.MaxSegmentBytes {
		return 0, nil, lamppost.Refuse(lamppost.CodeTooLarge, "a segment of %d bytes is over the limit of %d", len(raw), lamppost.MaxSegmentBytes)
	}
	v := d.n.rep.Gateway(id)
	switch {
	case v != nil && v.Revoked:
		return 0, nil, lamppost.Refuse(lamppost.CodeForbidden, "the key of gateway %q was revoked: it needs a new token (lamppost gateway add %s) and another key (lamppost gateway rotate)", id, id)
	case tx.Header.Gateway != id || !v.Signed(tx, d.n.cfg.Network, d.n.now()):
		return 0, nil, lamppost.Refuse(lamppost.CodeForbidden, "gateway %q did not sign this segment for network %q with its registered key", id, d.n.cfg.Network)
	}
	if lamppost.MerkleRoot(tx.Leaves()) != tx.Header.Root {
		return 0, nil, lamppost.Refuse(lamppost.CodeBadTx, "the reports are not those the gateway signed")
	}
	if c := d.n.conflict.Load(); c != nil {
		return 0, nil, lamppost.Refuse(lamppost.CodeBusy, "nothing is taken any more: %s", c.Text)
	}
	decision, err := d.n.engine.Propose(ctx, tx.ID(d.n.cfg.Network), raw)
	if err != nil {
		return 0, nil, busy(err)
	}
	if err := d.n.tallyBehind(id, tx, decision.Outcomes); err != nil {
		d.n.cfg.Log.Error("judging how devices behind a gateway behave", "gateway", id, "err", err)
	}
	return decision.Height, decision.Outcomes, nil
}

// busy tells a gateway to try again where the engine is busy or ends; other errors stay what they are.
func busy(err error) error {
	if errors.Is(err, consensus.ErrBusy) || errors.Is(err, consensus.ErrStopped) {
		return lamppost.Refuse(lamppost.CodeBusy, "%v: send the segment again", err)
	}
	return err
}
