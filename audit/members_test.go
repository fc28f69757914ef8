package audit_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// change orders what the members shall be, as the last of so many members that it counts, and makes it so.
func (h *home) change(members ...seat) { h.changeAs(nil, members...) }

// changeAs is change with a last word on the order and its outcome.
func (h *home) changeAs(spoil func(*lamppost.NetworkBody, *lamppost.Outcome), members ...seat) {
	h.t.Helper()
	need := byte(lamppost.Raft.Consent(len(h.members)))
	body, out := lamppost.NetworkBody{After: h.changed, Rules: 1}, lamppost.Outcome{Data: []byte{need, need}}
	for i := range members {
		body.Members = append(body.Members, members[i].member())
	}
	if spoil != nil {
		spoil(&body, &out)
	}
	h.after = members
	h.decided(lamppost.TxNetwork, body, out)
	h.members, h.after, h.changed = members, nil, h.height
}

// moved is a home of three members one of whom packs the first half of the readings and is removed, after a fourth came who packs the rest.
// gone is who went.
func moved(t *testing.T) (h *home, gone seat) {
	t.Helper()
	h = registered(t, "north", "south", "west")
	north, south, west, east := h.members[0], h.members[1], h.members[2], newSeat(t, "riverside", "east")
	edges := h.terms.Edges(h.invoice.From, h.invoice.To)
	h.gateway = &south
	h.readingsAt(edges[:len(edges)/2])
	h.change(north, south, west, east)
	h.change(north, west, east)
	h.gateway = &east
	h.readingsAt(edges[len(edges)/2:])
	return h, south
}

func (h *home) billMoved() *home {
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	return h
}

// A bill holds whose segments were signed by a member that is none any more and by one that came later: under the pin as it is now, and
// under an older one that names who signed the checkpoint. Without a pin the members are the last.
func TestBillAcrossChanges(t *testing.T) {
	t.Parallel()
	h, gone := moved(t)
	h.billMoved()
	older := &audit.Pin{Network: "riverside", Quorum: 1, Members: []lamppost.Member{h.members[0].member(), gone.member(), h.members[1].member()}}
	p := h.customer()
	one := *p
	one.Checkpoints = p.Checkpoints[:1]
	for name, c := range map[string]struct {
		proof *lamppost.Proof
		pin   *audit.Pin
		want  string
	}{
		"the pin of now":               {p, h.pin(3), ""},
		"an older pin":                 {&one, older, ""},
		"an older pin, newer members":  {p, older, "the file says that \"east\" is a member since the pin was made"},
		"no pin":                       {p, nil, ""},
		"an older pin, who went signs": {h.signedBy(p, gone), older, "signed by \"south\", who was taken out of the network by block"},
	} {
		s, err := audit.NewStatement(c.proof, c.pin, "anna")
		if err == nil {
			_, err = audit.Verify(s.Encode(), c.pin)
		}
		if c.want != "" {
			refused(t, err, c.want)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := audit.NewStatement(p, nil, "anna")
	must(t, err)
	f, err := audit.Verify(s.Encode(), nil)
	must(t, err)
	if len(f.Members) != 3 || !slices.Contains(f.Members, audit.VerifierKey("riverside", h.members[2].member())) {
		t.Errorf("members %q, want the last", f.Members)
	}
}

// signedBy is a proof under the checkpoint of one member.
func (h *home) signedBy(p *lamppost.Proof, s seat) *lamppost.Proof {
	q, keep := *p, h.members
	h.members = []seat{s}
	q.Checkpoints, h.members = []string{h.checkpoint(0)}, keep
	return &q
}

// A member's signature counts for what was ordered while it was one, and a change that the network did not make changes nothing: whoever
// leaves one out, makes one up or puts one elsewhere is found out.
func TestMemberAttacks(t *testing.T) {
	t.Parallel()
	thief := newSeat(t, "riverside", "thief")
	leaveOut := func(n int) func(*logged) bool { // change number n
		return func(p *logged) bool {
			if p.Type != lamppost.TxNetwork {
				return true
			}
			n--
			return n != -1
		}
	}
	for name, c := range map[string]struct {
		attack func(h *home, gone seat)
		keep   func(*logged) bool
		want   string
	}{
		"removed member signing a segment later": {func(h *home, gone seat) {
			h.gateway = &gone
			h.segment(h.sign("BQ27", reading(h.invoice.To+lamppost.EdgeMS)))
		}, nil, "signed by \"south\", who was taken out of the network by block"},
		"removed member ordering later": {func(h *home, gone seat) {
			now := h.members
			h.orderer = &gone
			h.order(lamppost.TxParty, lamppost.PartyBody{ID: "later"})
			h.members, h.orderer = now, nil
		}, nil, "signed by \"south\", who was taken out of the network by block"},
		"a member before it came": {func(h *home, _ seat) {
			h.gateway = &thief
			h.segment(h.sign("BQ27", reading(h.invoice.To+lamppost.EdgeMS)))
			h.change(append(slices.Clone(h.members), thief)...)
		}, nil, "signed by \"thief\", who is not a known member"},
		"the gateway of a removed member": {func(h *home, gone seat) {
			gw := newSeat(h.t, "riverside", "gw")
			h.orderer = &h.members[1]
			h.order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "west", Key: gw.key.Public().Bytes()})
			h.orderer = nil
			h.change(h.members[0], h.members[2])
			h.gateway = &gw
			h.segment(h.sign("BQ27", reading(h.invoice.To+lamppost.EdgeMS)))
		}, nil, "nobody answered for gateway gw: west was no member any more"},
		"a change that too few agreed to": {func(h *home, _ seat) {
			h.changeAs(func(_ *lamppost.NetworkBody, o *lamppost.Outcome) { o.Data = []byte{1, 2} }, h.members[0], h.members[1])
			h.segment(h.sign("BQ27", reading(h.invoice.To+lamppost.EdgeMS)))
		}, nil, "its members are not those of block"},
		"a change that one agreed to alone": {func(h *home, _ seat) {
			h.changeAs(func(_ *lamppost.NetworkBody, o *lamppost.Outcome) { o.Data = []byte{1, 1} }, h.members[0], h.members[1])
		}, nil, "it counts by the word of 1 members, and of 3 it takes 2"},
		"a change that a stranger ordered": {func(h *home, _ seat) {
			h.orderer = &thief
			h.change(append(slices.Clone(h.members), thief)...)
			h.orderer = nil
		}, nil, "signed by \"thief\", who is not a known member"},
		"a change under a member's name by another key": {func(h *home, _ seat) {
			h.orderer = &seat{id: "west", key: thief.key}
			h.change(append(slices.Clone(h.members), thief)...)
			h.orderer = nil
		}, nil, "does not match the signature of member \"west\""},
		"a change after another than the last": {func(h *home, _ seat) {
			h.changeAs(func(b *lamppost.NetworkBody, _ *lamppost.Outcome) { b.After = 1 }, h.members[0], h.members[1])
		}, nil, "cannot follow that of block 1, if the last was of block"},
		"two at once":         {func(h *home, _ seat) { h.change(h.members[0]) }, nil, "one member comes or goes in a change, not 2"},
		"who went comes back": {func(h *home, gone seat) { h.change(append(slices.Clone(h.members), gone)...) }, nil, "was a member before"},
		"another key": {func(h *home, _ seat) {
			now := h.members
			h.change(now[0], now[1], seat{id: "east", key: thief.key})
			h.members = now
		}, nil, "keeps its key"},
		"the first is left out": {func(*home, seat) {}, leaveOut(0), "it counts by the word of 3 members, and of 3 it takes 2"},
		"the last is left out":  {func(*home, seat) {}, leaveOut(1), "a change of the network is not in the proof"},
		"the founding is left out": {func(*home, seat) {}, func(p *logged) bool { return p.Type != lamppost.TxGenesis },
			"signed by \"south\", who is not a known member"},
		"only the changes and what follows them": {func(*home, seat) {}, func(p *logged) bool { return p.Type == lamppost.TxNetwork },
			"the founding is not in the proof"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, gone := moved(t)
			c.attack(h, gone)
			keep := c.keep
			if keep == nil {
				keep = anyTx
			}
			pin := h.pin(1)
			p := h.signedBy(h.proof(keep, anyReport), h.members[0])
			_, err := audit.CheckProof(p, pin)
			refused(t, err, c.want)
		})
	}
}

// A change cannot be shown at another place than it has, nor with another body.
func TestMovedChange(t *testing.T) {
	t.Parallel()
	h, _ := moved(t)
	for name, spoil := range map[string]func(changes []*lamppost.TxProof){
		"swapped": func(c []*lamppost.TxProof) { c[0].Order, c[1].Order = c[1].Order, c[0].Order },
		"earlier": func(c []*lamppost.TxProof) { c[0].Leaf, c[0].Height = c[0].Leaf-2, c[0].Height-1 },
		"forged": func(c []*lamppost.TxProof) {
			c[1].Order.Signed = bytes.Replace(c[1].Order.Signed, []byte("east"), []byte("EAST"), 1)
		},
		"agreed": func(c []*lamppost.TxProof) { c[1].Order.Outcome = lamppost.Outcome{Data: []byte{4, 3}}.Append(nil) },
	} {
		p := h.all()
		var changes []*lamppost.TxProof
		for i := range p.Txs {
			if p.Txs[i].Order == nil {
				continue
			}
			order := *p.Txs[i].Order
			p.Txs[i].Order = &order
			if h.txs[i].Type == lamppost.TxNetwork {
				changes = append(changes, &p.Txs[i])
			}
		}
		if _, err := audit.CheckProof(p, h.pin(1)); err != nil {
			t.Fatal(err)
		}
		spoil(changes)
		if _, err := audit.CheckProof(p, h.pin(1)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A report by itself was ordered at no time: the key of a member that went does not vouch for it.
func TestBareReportOfGoneMember(t *testing.T) {
	t.Parallel()
	h, gone := moved(t)
	salt := h.salt()
	h.order(lamppost.TxDevice, lamppost.DeviceBody{ID: "BQ27", Owner: "stadtwerk", KeyEpoch: 2, Salt: salt[:], Assurance: lamppost.Unsigned, Gateway: "south"})
	h.epochs["BQ27"], h.keys["BQ27"], h.flags["BQ27"] = 2, gone.key, lamppost.FlagWrapped
	p := h.proof(func(p *logged) bool { return p.Type != lamppost.TxSegment }, nil)
	_, err := audit.NewBareReport(h.sign("BQ27", reading(h.now)), p, h.pin(1))
	refused(t, err, "whose gateway south is not in the proof")
}

// What a member said of its state counts if the pin names it.
func TestSnapshotAcrossChanges(t *testing.T) {
	t.Parallel()
	h, gone := moved(t)
	size := int64(len(h.hashes))
	body := lamppost.SnapshotBody{Height: h.height, Size: size, Root: h.root(lamppost.Span{N: size})}
	h.order(lamppost.TxSnapshot, body)
	words := func(p *logged) bool {
		return p.Type == lamppost.TxSnapshot || p.Type == lamppost.TxGenesis || p.Type == lamppost.TxNetwork
	}
	p := h.proof(words, nil)
	p.Blocks = []lamppost.BlockProof{h.blocks[len(h.blocks)-2]}
	h.prove(p)
	_, err := audit.CheckSnapshot(p, h.pin(1))
	must(t, err)
	pin := h.pin(1)
	pin.Members = pin.Members[1:] // the log knows north, who spoke, and the pin does not
	_, err = audit.CheckSnapshot(h.signedBy(p, h.members[1]), pin)
	refused(t, err, "\"north\" is no member of the pin")
	pin.Members = append(pin.Members, gone.member())
	_, err = audit.CheckSnapshot(h.signedBy(p, gone), pin)
	refused(t, err, "was taken out of the network")
}

// receipt is of the first report in a segment.
func (h *home) receipt(tx int) []byte {
	h.t.Helper()
	p := h.proof(func(p *logged) bool { return p.Type != lamppost.TxInvoice }, func(r reported) bool { return r.Index == 0 && r.Tx == tx })
	r, err := audit.NewReceipt(p, h.pin(1))
	must(h.t, err)
	return r.Encode()
}

// A receipt says who packed a report, a member or not any more.
func TestReceiptAcrossChanges(t *testing.T) {
	t.Parallel()
	h, _ := moved(t)
	var shown struct{ Report struct{ Gateway string } }
	must(t, json.Unmarshal(h.receipt(h.reports[0].Tx), &shown))
	if shown.Report.Gateway != "south" {
		t.Errorf("the receipt says %q packed it", shown.Report.Gateway)
	}
}
