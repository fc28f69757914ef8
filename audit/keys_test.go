package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
)

// turned is the usual home in which something happens to the meter's keys before the second and the third day, each day
// read in one report.
func turned(t *testing.T, second, third func(h *home)) *home {
	t.Helper()
	h := registered(t, "north")
	edges := h.terms.Edges(h.invoice.From, h.invoice.To)
	const day = 24 * 3600 * 1000
	for i, at := range edges {
		if i > 0 && at/day == edges[i-1]/day {
			continue
		}
		switch at/day - edges[0]/day {
		case 1:
			second(h)
		case 2:
			third(h)
		}
		n := i
		for n < len(edges) && edges[n]/day == at/day {
			n++
		}
		h.readingsAt(edges[i:n])
	}
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	return h
}

func nothing(*home) {}

// What is signed under keys of several epochs is proven by each of them; who put in a key is said in words unless the
// device itself agreed, in the file and to whoever checks it, and the words cannot be taken out.
func TestSeveralKeys(t *testing.T) {
	t.Parallel()
	const operator = "key 2 of BQ27 was set by member north on 2026-10-23 22:01:03+00:00; the device's former key did not sign the change"
	for name, c := range map[string]struct {
		second, third func(h *home)
		notes         []string
	}{
		"by the device":                {func(h *home) { h.rotate("BQ27", true) }, func(h *home) { h.rotate("BQ27", true) }, nil},
		"by the operator":              {func(h *home) { h.rotate("BQ27", false) }, nothing, []string{operator}},
		"by the operator, then not":    {func(h *home) { h.rotate("BQ27", false) }, func(h *home) { h.rotate("BQ27", true) }, []string{operator}},
		"the old key goes on for days": {func(h *home) { h.rotate("BQ27", true)() }, nothing, nil},
		"a key that is never used":     {nothing, func(h *home) { h.rotate("BQ27", false)() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := turned(t, c.second, c.third)
			file := h.statement()
			f, err := audit.Verify(file, h.pin(1))
			must(t, err)
			var shown struct{ Notes []string }
			must(t, json.Unmarshal(file, &shown))
			if fmt.Sprint(shown.Notes) != fmt.Sprint(c.notes) {
				t.Errorf("the file notes\n%q, want\n%q", shown.Notes, c.notes)
			}
			for _, note := range c.notes {
				if !strings.Contains(strings.Join(f.Summary, "\n"), note) {
					t.Errorf("the finding does not say %q: %q", note, f.Summary)
				}
				if _, err := audit.Verify(bytes.Replace(file, []byte(note), []byte("all is well"), 1), h.pin(1)); err == nil {
					t.Errorf("a statement without %q holds", note)
				}
			}
		})
	}
}

// A proof that leaves out the key before is told from one that shows its consent.
func TestConsentOfUnknownKey(t *testing.T) {
	t.Parallel()
	h := turned(t, func(h *home) { h.rotate("BQ27", true) }, func(h *home) { h.rotate("BQ27", true) })
	onlyLast := func(r reported) bool { return r.Tx == h.reports[len(h.reports)-1].Tx && r.Index == 0 }
	first := true // the enrolment of key 1 is left out
	p := h.proof(func(p *logged) bool {
		if p.Type == lamppost.TxDevice && bytes.Contains(p.Order.Signed, []byte("BQ27")) && first {
			first = false
			return false
		}
		return p.Type != lamppost.TxInvoice
	}, onlyLast)
	r, err := audit.NewReceipt(p, h.pin(1))
	must(t, err)
	if len(r.Notes) != 1 || r.Notes[0] != "key 2 of BQ27 names the consent of a former key that is not in the proof" {
		t.Errorf("notes %q", r.Notes)
	}
}

// A key that did not count any more proves nothing, and neither does a change of keys that another key signed.
func TestKeyAttacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second, third func(h *home)
		want          string
	}{
		"the key before the one before": {func(h *home) { h.rotate("BQ27", true)() }, func(h *home) {
			back := h.rotate("BQ27", false)
			h.epochs["BQ27"] = 2
			h.rotate("BQ27", false)
			back()
		}, "under key 1 of device BQ27, which was replaced twice before"},
		"after the grace": {func(h *home) {
			now := h.now
			h.now -= lamppost.KeyGraceMS
			h.rotate("BQ27", true)()
			h.now = now
		}, nothing, "under key 1 of device BQ27, which was replaced before and counted until 2026-10-23 22:01:03+00:00"},
		"a revoked key in its grace": {func(h *home) { h.rotate("BQ27", true)() }, func(h *home) {
			h.order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "BQ27", KeyEpoch: 1})
		}, "under key 1 of device BQ27, which was revoked before"},
		"a key nobody enrolled": {nothing, func(h *home) { h.epochs["BQ27"] = 7 }, "has no enrolment of key 7 of device BQ27"},
		"the key of another epoch": {func(h *home) { h.rotate("BQ27", true) }, func(h *home) { h.epochs["BQ27"] = 1 },
			"does not match the signature of device BQ27"},
		"the consent of another": {func(h *home) {
			h.keys["BQ27"] = h.keys["CZ11"]
			h.rotate("BQ27", true)
		}, nothing, "the change does not match the signature of key 1 of \"BQ27\""},
		"consent that is none": {func(h *home) {
			salt := h.salt()
			h.order(lamppost.TxDevice, lamppost.DeviceBody{ID: "BQ27", Owner: "stadtwerk", Suite: sig.ES256, Key: h.keys["BQ27"].Public().Bytes(),
				KeyEpoch: 2, Salt: salt[:], Consent: []byte("yes")})
		}, nothing, "key change"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := turned(t, c.second, c.third)
			_, err := audit.NewStatement(h.customer(), h.pin(1), "anna")
			refused(t, err, c.want)
		})
	}
}

// Whether a replaced key still counted follows from the times of blocks. A proof without them is refused.
func TestGraceNeedsTimes(t *testing.T) {
	t.Parallel()
	h := turned(t, func(h *home) { h.rotate("BQ27", true)() }, nothing)
	p := h.customer()
	kept := p.Blocks[:0]
	for _, b := range p.Blocks {
		leaf, err := lamppost.ParseBlockLeaf(b.Raw)
		must(t, err)
		if leaf.Height == h.height { // of the invoice
			kept = append(kept, b)
		}
	}
	p.Blocks = kept
	h.prove(p)
	_, err := audit.NewStatement(p, h.pin(1), "anna")
	refused(t, err, "the times that show whether it still counted are not in the proof")
}

// A gateway's segments are proven by the registration whose key signed each of them.
func TestGatewayKeys(t *testing.T) {
	t.Parallel()
	seats := func(h *home) (gw, gw2 seat) {
		gw, gw2 = newSeat(h.t, "riverside", "gw"), newSeat(h.t, "elsewhere", "gw")
		return gw, gw2
	}
	register := func(h *home, s seat, epoch uint32, by *seat) {
		b := lamppost.GatewayBody{ID: "gw", Member: "north", Key: s.key.Public().Bytes(), KeyEpoch: epoch}
		if by != nil {
			var err error
			c := lamppost.KeyChange{ID: "gw", Epoch: epoch - 1, Next: epoch, Suite: sig.EdDSA, Key: b.Key}
			b.Consent, err = c.Sign(h.network, lamppost.PurposeGatewayKey, by.key)
			must(h.t, err)
		}
		h.order(lamppost.TxGateway, b)
	}
	for name, c := range map[string]struct {
		second, third func(h *home, gw, gw2 seat)
		want          string // "": it holds
	}{
		"another key":             {func(h *home, gw, gw2 seat) { register(h, gw2, 1, &gw); h.gateway = &gw2 }, nil, ""},
		"the old key goes on":     {func(h *home, gw, gw2 seat) { register(h, gw2, 1, nil) }, nil, ""},
		"both":                    {func(h *home, gw, gw2 seat) { register(h, gw2, 1, &gw) }, func(h *home, _, gw2 seat) { h.gateway = &gw2 }, ""},
		"the old key for long":    {func(h *home, gw, gw2 seat) { h.now -= lamppost.KeyGraceMS; register(h, gw2, 1, &gw) }, nil, "which was replaced before and counted until"},
		"a revoked key":           {func(h *home, gw, gw2 seat) { h.order(lamppost.TxRevoke, lamppost.RevokeBody{Gateway: "gw"}) }, nil, "key 0 of gateway gw, which was revoked before"},
		"a key nobody registered": {func(h *home, gw, gw2 seat) { h.gateway = &gw2 }, nil, "does not match the signature of gateway \"gw\""},
		"another's consent":       {func(h *home, gw, gw2 seat) { register(h, gw2, 1, &gw2) }, nil, "the change does not match the signature of key 0 of \"gw\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var gw, gw2 seat
			begun := false
			h := turned(t, func(h *home) {
				gw, gw2 = seats(h)
				register(h, gw, 0, nil)
				h.gateway = &gw
				begun = true
				if c.third == nil {
					c.second(h, gw, gw2)
				}
			}, func(h *home) {
				if c.third != nil {
					c.second(h, gw, gw2)
					c.third(h, gw, gw2)
				}
			})
			if _, err := audit.NewStatement(h.customer(), h.pin(1), "anna"); c.want == "" && begun {
				must(t, err)
			} else {
				refused(t, err, c.want)
			}
		})
	}
}
