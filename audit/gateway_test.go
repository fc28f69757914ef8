package audit_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
)

// vouched is a billed home whose meter is of an assurance and all of whose reports came by gateway gw. change is called
// when nothing is read yet, with the enrolment that is about to be logged; it returns false to log it itself.
func vouched(t *testing.T, a lamppost.Assurance, change func(h *home, b *lamppost.DeviceBody)) *home {
	t.Helper()
	h := registered(t, "north", "south")
	gw, other := newSeat(t, "riverside", "gw"), newSeat(t, "riverside", "other")
	for _, s := range []seat{gw, other} {
		h.order(lamppost.TxGateway, lamppost.GatewayBody{ID: s.id, Member: "north", Key: s.key.Public().Bytes()})
	}
	h.gateway = &gw
	salt := h.salt()
	b := lamppost.DeviceBody{ID: "BQ27", Owner: "stadtwerk", KeyEpoch: 2, Name: "meter of flat 2", Salt: salt[:], Assurance: a, Gateway: "gw"}
	h.epochs["BQ27"] = 2
	switch {
	case a == lamppost.DeviceSigned:
		b.Suite, b.Key, b.Gateway = sig.ES256, h.keys["BQ27"].Public().Bytes(), ""
	case a == lamppost.GatewayVouched:
		seed := sha256.Sum256([]byte("shared"))
		key, err := sig.NewPrivateKey(sig.HMAC256, seed[:])
		must(t, err)
		sum := lamppost.KeyCommitment(b.Salt, seed[:])
		b.Suite, b.Key, h.keys["BQ27"] = sig.HMAC256, sum[:], key
	case a.Wrapped():
		h.keys["BQ27"], h.flags["BQ27"] = gw.key, lamppost.FlagWrapped
	}
	if change != nil {
		change(h, &b)
	}
	h.order(lamppost.TxDevice, b)
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	return h
}

func classes() []lamppost.Assurance {
	return []lamppost.Assurance{lamppost.DeviceSigned, lamppost.GatewayVouched, lamppost.ChannelAuthenticated, lamppost.Unsigned}
}

// A statement says of every register value how its report is vouched for, as the enrolment says, and verify counts the
// reports of each class; where a device does not sign itself, it says what is not proven.
func TestAssuranceTravels(t *testing.T) {
	t.Parallel()
	for _, a := range classes() {
		h := vouched(t, a, nil)
		statement := h.statement()
		shown := []byte(fmt.Sprintf("\"assurance\":%q", a))
		if n := bytes.Count(statement, []byte("\"assurance\":")); n != 6 || bytes.Count(statement, shown) != n {
			t.Errorf("%s: of %d values %d say so", a, n, bytes.Count(statement, shown))
		}
		f, err := audit.Verify(statement, h.pin(1))
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if len(f.Assurances) != 1 || f.Assurances[a.String()] != 4 {
			t.Errorf("%s: counted %v, want 4", a, f.Assurances)
		}
		warned := bytes.Contains([]byte(fmt.Sprint(f.DoesNotProve)), []byte("("+a.String()+")"))
		if warned != (a != lamppost.DeviceSigned) {
			t.Errorf("%s: does not prove %q", a, f.DoesNotProve)
		}
		lie := lamppost.DeviceSigned
		if a == lie {
			lie = lamppost.Unsigned
		}
		if _, err := audit.Verify(bytes.Replace(statement, shown, []byte(fmt.Sprintf("\"assurance\":%q", lie)), 1), h.pin(1)); err == nil {
			t.Errorf("%s: a line that says %s holds", a, lie)
		}
	}
}

// What a gateway does not answer for, or what was not registered, is refused: an auditor follows segments to a member by
// the gateway's registration and reports to their gateway by the device's enrolment.
func TestGatewayAttacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		class  lamppost.Assurance
		change func(h *home, b *lamppost.DeviceBody)
		want   string
	}{
		"another gateway of the network vouches": {lamppost.GatewayVouched, func(_ *home, b *lamppost.DeviceBody) { b.Gateway = "other" },
			"came by gateway gw, device BQ27 is enrolled with gateway other"},
		"another gateway of the network wraps": {lamppost.Unsigned, func(_ *home, b *lamppost.DeviceBody) { b.Gateway = "other" },
			"came by gateway gw, device BQ27 is enrolled with gateway other"},
		"the gateway is not registered": {lamppost.Unsigned, func(h *home, _ *lamppost.DeviceBody) {
			gw := newSeat(h.t, "riverside", "unheard-of")
			h.gateway = &gw
		}, "signed by \"unheard-of\", who is not a known member"},
		"the gateway's key is another": {lamppost.DeviceSigned, func(h *home, _ *lamppost.DeviceBody) {
			gw := newSeat(h.t, "hillside", "gw")
			h.gateway = &gw
		}, "does not match the signature of gateway \"gw\""},
		"wrapped with another key": {lamppost.ChannelAuthenticated, func(h *home, _ *lamppost.DeviceBody) {
			h.keys["BQ27"] = newSeat(h.t, "riverside", "other").key
		}, "does not match the signature of gateway gw"},
		"wrapped for a device that signs": {lamppost.DeviceSigned, func(h *home, _ *lamppost.DeviceBody) { h.flags["BQ27"] = lamppost.FlagWrapped },
			"is enrolled as device-signed"},
		"not said to be wrapped": {lamppost.Unsigned, func(h *home, _ *lamppost.DeviceBody) { h.flags["BQ27"] = 0 }, "is enrolled as unsigned"},
		"signed where a MAC is enrolled": {lamppost.GatewayVouched, func(h *home, _ *lamppost.DeviceBody) { h.keys["BQ27"] = h.gateway.key },
			"does not match the signature of device BQ27"},
		"a class nobody knows": {lamppost.Unsigned, func(_ *home, b *lamppost.DeviceBody) { b.Assurance = 99 }, "enrolled as unknown"},
		"a revoked key": {lamppost.DeviceSigned, func(h *home, b *lamppost.DeviceBody) {
			h.order(lamppost.TxDevice, *b)
			h.order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "BQ27", KeyEpoch: 2})
		}, "was revoked before"},
		"a gateway of a member who did not sign for it": {lamppost.Unsigned, func(h *home, b *lamppost.DeviceBody) {
			gw := newSeat(h.t, "riverside", "gw3")
			h.order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw3", Member: "south", Key: gw.key.Public().Bytes()})
			h.gateway, h.keys["BQ27"], b.Gateway = &gw, gw.key, "gw3"
		}, "signed by \"gw3\", who is not a known member"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := vouched(t, c.class, c.change)
			_, err := audit.NewStatement(h.customer(), h.pin(1), "anna")
			refused(t, err, c.want)
		})
	}
}

// What was signed under a key is proven by that key for good: after it was replaced, and after it was revoked.
func TestHistoryStaysProvable(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	before := h.statement()
	h.order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "BQ27", KeyEpoch: 1, Reason: "stolen"})
	next, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, 32))
	must(t, err)
	salt := h.salt()
	h.order(lamppost.TxDevice, lamppost.DeviceBody{ID: "BQ27", Owner: "stadtwerk", Suite: sig.EdDSA, Key: next.Public().Bytes(), KeyEpoch: 2, Salt: salt[:]})
	for when, statement := range map[string][]byte{"made before": before, "made after": h.statement()} {
		if _, err := audit.Verify(statement, h.pin(1)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
}

// A report by itself is proven by whoever signed it. A MAC by itself proves nothing to somebody who has no key.
func TestBareReportsOfClasses(t *testing.T) {
	t.Parallel()
	for _, a := range classes() {
		h := vouched(t, a, nil)
		p := h.proof(func(t *logged) bool { return t.Type != lamppost.TxSegment && t.Type != lamppost.TxInvoice }, func(reported) bool { return false })
		r, err := audit.NewBareReport(h.sign("BQ27", reading(h.now)), p, h.pin(1))
		if a == lamppost.GatewayVouched {
			refused(t, err, "outside of the log it proves nothing")
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if _, err := audit.Verify(r.Encode(), h.pin(1)); err != nil || r.Report.Assurance != a.String() {
			t.Errorf("%s: shown as %s, %v", a, r.Report.Assurance, err)
		}
	}
}
