package recheck

import (
	"bytes"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A registry has all keys there ever were, as the orders gave them. Whether one counted at a time is the ledger's rule and no
// matter here: a signature by the device's key with this epoch is the device's.
type registry struct {
	network  string
	devices  map[lamppost.DeviceID]map[uint32]deviceKey // by epoch
	gateways map[lamppost.MemberID][]*sig.PublicKey     // members too
	undone   map[place]bool                             // reports that a fraud order corrected
}

type deviceKey struct {
	public    *sig.PublicKey // nil: the device has none that others could check with
	assurance lamppost.Assurance
}

func newRegistry(network string) *registry {
	return &registry{network: network, devices: map[lamppost.DeviceID]map[uint32]deviceKey{}, gateways: map[lamppost.MemberID][]*sig.PublicKey{},
		undone: map[place]bool{}}
}

// learn takes what an accepted order says of keys.
func (g *registry) learn(tx *lamppost.Transaction, outcomes []lamppost.Outcome) {
	if tx.Type == lamppost.TxSegment || len(outcomes) == 0 || outcomes[0].Code != lamppost.CodeOK {
		return
	}
	members, _ := lamppost.MembersAfter(tx, &outcomes[0])
	for _, m := range members {
		g.gateway(m.ID, m.Key)
	}
	body := tx.Order.Body
	switch tx.Type {
	case lamppost.TxGateway:
		var b lamppost.GatewayBody
		if lamppost.Unmarshal(body, &b) == nil {
			g.gateway(b.ID, b.Key)
		}
	case lamppost.TxDevice:
		var b lamppost.DeviceBody
		if lamppost.Unmarshal(body, &b) == nil {
			g.device(&b)
		}
	case lamppost.TxFraud:
		var b lamppost.FraudBody
		if lamppost.Unmarshal(body, &b) == nil {
			g.undone[place{b.Height, b.Tx, b.Report}] = true
		}
	}
}

func (g *registry) gateway(id lamppost.MemberID, raw []byte) {
	known := slices.ContainsFunc(g.gateways[id], func(k *sig.PublicKey) bool { return bytes.Equal(k.Bytes(), raw) })
	if key, err := sig.ParsePublicKey(sig.EdDSA, raw); err == nil && !known {
		g.gateways[id] = append(g.gateways[id], key)
	}
}

func (g *registry) device(b *lamppost.DeviceBody) {
	k := deviceKey{assurance: b.Assurance}
	if b.Assurance == lamppost.DeviceSigned {
		k.public, _ = sig.ParsePublicKey(b.Suite, b.Key) // the ledger took it
	}
	if g.devices[b.ID] == nil {
		g.devices[b.ID] = map[uint32]deviceKey{}
	}
	g.devices[b.ID][b.KeyEpoch] = k
}

// signer returns the gateway's key that signed a segment's header, nil if none did.
func (g *registry) signer(id lamppost.MemberID, header *lamppost.Signed) *sig.PublicKey {
	keys := g.gateways[id]
	for i := len(keys) - 1; i >= 0; i-- {
		if header.Verify(g.network, lamppost.PurposeSegment, keys[i]) {
			return keys[i]
		}
	}
	return nil
}
