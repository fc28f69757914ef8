package behave

import (
	"crypto/sha256"
	"math"

	"github.com/lamppost/lamppost"
)

// Verdict is a finding on a device as it stands on the ledger. Its times are those of the node's clock: doors know no other.
func (f *Finding) Verdict(id lamppost.DeviceID) lamppost.Verdict {
	v := lamppost.Verdict{Kind: lamppost.Behaviour, Device: id, Since: f.Since, At: f.At, Score: thousandths(f.Score), Level: thousandths(f.Level),
		State: sha256.Sum256(f.Before), Suspends: f.Hard}
	for _, r := range f.Reasons {
		value := number(r.Value)
		x := lamppost.VerdictReason{Code: r.Code, Share: uint16(thousandths(r.Share)), Value: &value, Other: r.Other}
		if r.Low <= r.High {
			low, high := number(r.Low), number(r.High)
			x.Low, x.High = &low, &high
		}
		v.Reasons = append(v.Reasons, x)
	}
	return v
}

func number(x uint64) lamppost.Decimal { return lamppost.Dec(int64(min(x, math.MaxInt64)), 0) }

func thousandths(x float64) uint32 { return uint32(math.Round(float64(1000 * x))) }

// Codes are those that reasons have.
func Codes() (all []string) {
	for i := range deviceSchema.features {
		all = append(all, deviceSchema.features[i].Code)
	}
	return append(all, UnknownFirmware)
}
