package audit

import (
	"errors"

	"github.com/lamppost/lamppost"
)

// Fraud returns what proves to a network that trusts its gateways that one of them lied, if that is what an error of
// [Verify] or [CheckProof] says: a gateway signed for a report that its device did not sign. Any member's node takes it at
// POST /api/fraud, and corrects what came of the report. Otherwise it returns nil.
func Fraud(err error) *lamppost.FraudBody {
	var f *reportFault
	if !errors.As(err, &f) {
		return nil
	}
	return f.fraud
}

// accusation is the evidence against the gateway that signed for a report, or nil where no gateway did, or where that is not
// all that is wrong with the proof.
func (e *Evidence) accusation(i int) *lamppost.FraudBody {
	r := &e.Reports[i]
	t, seg := r.Tx, r.Tx.proof.Segment
	if t.gateway == nil || e.checkSegments() != nil || e.checkInvoices() != nil || e.checkLog() != nil {
		return nil
	}
	return &lamppost.FraudBody{Height: t.Height, Tx: t.Index, Report: r.Index, Header: seg.Signed, Salt: r.kept.Salt[:], Received: r.Received,
		Raw: r.kept.Report, Path: seg.Path(r.Index)}
}
