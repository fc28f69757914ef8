package audit_test

import (
	"crypto/sha256"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
)

// Who finds a report in the log that its device did not sign holds all that its gateway is accused with. A changed file and
// a report that a member's own node packed give no such grounds.
func TestFraud(t *testing.T) {
	t.Parallel()
	stranger := func(h *home, _ *lamppost.DeviceBody) {
		seed := sha256.Sum256([]byte("thief"))
		var err error
		h.keys["BQ27"], err = sig.NewPrivateKey(sig.ES256, seed[:])
		must(t, err)
	}
	h := vouched(t, lamppost.DeviceSigned, stranger)
	_, err := audit.NewStatement(h.customer(), h.pin(1), "anna")
	refused(t, err, "line 2: the report with the reading 2026-10-24 00:00+02:00 does not match the signature of device BQ27")
	b := audit.Fraud(err)
	if b == nil {
		t.Fatal("no accusation")
	}
	signed, err := lamppost.ParseSigned(b.Header)
	must(t, err)
	header, err := lamppost.ParseSegmentHeader(signed)
	must(t, err)
	leaf, err := b.Leaf()
	must(t, err)
	must(t, lamppost.CheckMerklePath(leaf, int(b.Report), int(header.Count), b.Path, header.Root))
	var r lamppost.Report
	must(t, r.Decode(b.Raw))
	if header.Gateway != "gw" || r.Device != "BQ27" || b.Height == 0 || b.Tx != 0 {
		t.Errorf("accused %s of %s at %d/%d", header.Gateway, r.Device, b.Height, b.Tx)
	}

	changed := vouched(t, lamppost.DeviceSigned, nil)
	p := changed.customer()
	falsify(t, changed, p, changed.invoice.From)
	byMember := vouched(t, lamppost.DeviceSigned, func(h *home, b *lamppost.DeviceBody) { stranger(h, b); h.gateway = nil })
	for name, proof := range map[string]*lamppost.Proof{"a changed file": p, "packed by a member": byMember.customer()} {
		_, err := audit.NewStatement(proof, changed.pin(1), "anna")
		refused(t, err, "does not match the signature")
		if audit.Fraud(err) != nil {
			t.Errorf("%s: somebody is accused", name)
		}
	}
}
