package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/mapping"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
)

// keyOf is what a device's report is checked with here: see ingest.Config.
func (n *Node) keyOf(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, *lamppost.Refusal) {
	v, ok := n.rep.Vouch(id)
	if !ok {
		return nil, ingest.Unknown
	}
	ahead := epoch > v.Epoch
	v = v.Under(epoch, n.now())
	switch {
	case v == nil && ahead && n.file != nil:
		return nil, ingest.KeyAhead // another member may have ordered it, and this one lags
	case v == nil:
		return nil, ingest.KeyOver
	case v.Assurance == lamppost.DeviceSigned:
		return v.Key, nil
	case v.Gateway != n.cfg.Member:
		return nil, ingest.Elsewhere
	case v.Assurance.Wrapped():
		return n.key.Public(), nil
	}
	if key := n.devices.SharedKey(id, epoch, v.Salt, v.Commitment); key != nil {
		return key, nil
	}
	return nil, ingest.Elsewhere // enrolled with this node, and the key was lost
}

// ownKey is the key of a device that signs for itself, if it counts.
func (n *Node) ownKey(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, bool) {
	v, ok := n.rep.Vouch(id)
	if v = v.Under(epoch, n.now()); !ok || v == nil || v.Assurance != lamppost.DeviceSigned {
		return nil, false
	}
	return v.Key, true
}

// private reports whether nobody can have read a request on its way: it came over TLS or did not leave this machine.
func (n *Node) private(request context.Context) bool {
	addr, ok := request.Value(http.LocalAddrContextKey).(net.Addr)
	if n.cfg.TLSCert != "" || !ok {
		return n.cfg.TLSCert != ""
	}
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// known is the highest number that the ledger has of a device.
func (n *Node) known(id lamppost.DeviceID) (lamppost.Seq, error) {
	high, _, _, err := ledger.View{Reader: kv.Reader(n.store)}.Sequence(id)
	return high, err
}

// openMapping reads the mapping file, where there is one.
func (n *Node) openMapping() error {
	if n.cfg.Mapping == "" {
		return nil
	}
	text, err := os.ReadFile(n.cfg.Mapping)
	if err != nil {
		return fmt.Errorf("reading the mapping: %w", err)
	}
	set, err := mapping.Parse(text)
	if err != nil {
		return fmt.Errorf("%q: %w", n.cfg.Mapping, err)
	}
	n.mapped = set.Filters()
	n.foreign = mapping.NewDoor(mapping.Config{Set: set, Gateway: n.cfg.Member, Now: n.now,
		Wrap: ingest.NewWrapper(ingest.WrapConfig{Network: n.cfg.Network, Key: n.key, Store: n.store, Submit: n.in,
			BootID: uint32(n.now() / 1000), Known: n.known}),
		Enrolled: func(id lamppost.DeviceID) (mapping.Enrolled, bool) {
			v, ok := n.rep.Vouch(id)
			if !ok {
				return mapping.Enrolled{}, false
			}
			return mapping.Enrolled{Assurance: v.Assurance, Gateway: v.Gateway, KeyEpoch: v.Epoch}, true
		}})
	return nil
}

// seen lists devices that spoke without a key and are not enrolled.
func (n *Node) seen() []api.PendingDevice {
	if n.foreign == nil {
		return nil
	}
	var list []api.PendingDevice
	for _, s := range n.foreign.Seen() {
		list = append(list, api.PendingDevice{ID: s.ID, Seen: s.Last, Topic: s.Topic, Mapping: s.Mapping, Assurance: s.Assurance().String()})
	}
	return list
}
