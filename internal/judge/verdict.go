package judge

import (
	"crypto/sha256"
	"math"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/joint"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// digits of numbers in verdicts. Floats differ in their last bits from one version to the next; these are for people, and for a replay.
const digits = 6

// quantise rounds to six significant digits, and to what a decimal can hold: at most nine after the point, and below 2^63.
func quantise(x float64) *lamppost.Decimal {
	if math.IsNaN(x) || x == 0 {
		return &lamppost.Decimal{}
	}
	switch {
	case x >= math.MaxInt64:
		return &lamppost.Decimal{Mantissa: math.MaxInt64}
	case x <= -math.MaxInt64:
		return &lamppost.Decimal{Mantissa: -math.MaxInt64}
	}
	var stack [32]byte
	text := strconv.AppendFloat(stack[:0], x, 'e', digits-1, 64) // as -1.23456e+07
	at := len(text) - 1
	for text[at] != 'e' {
		at--
	}
	exp, _ := strconv.Atoi(string(text[at+1:]))
	mantissa := int64(0)
	for _, c := range text[:at] {
		if c >= '0' && c <= '9' {
			mantissa = 10*mantissa + int64(c-'0')
		}
	}
	for exp -= digits - 1; exp < 0 && mantissa%10 == 0 && mantissa != 0 || exp < lamppost.MinExponent; exp++ {
		if exp < lamppost.MinExponent {
			mantissa += 5 * (mantissa / max(mantissa, 1)) // half up; below nine digits nothing is left soon
		}
		mantissa /= 10
	}
	for ; exp > 0; exp-- {
		mantissa *= 10
	}
	if text[0] == '-' {
		mantissa = -mantissa
	}
	if mantissa == 0 {
		exp = 0
	}
	return &lamppost.Decimal{Mantissa: mantissa, Exponent: int8(exp)}
}

func thousandths(x float64) uint32 { return uint32(math.Round(min(max(x, 0), 4e6) * 1000)) }

// share is a reason's part of a score.
func share(worth, score float64) uint16 {
	if score <= 0 {
		return 0
	}
	return uint16(math.Round(min(max(worth/score, 0), 1) * 1000))
}

// anomaly says what a series found.
func anomaly(v *triage.Verdict, level float64) lamppost.Verdict {
	out := lamppost.Verdict{Kind: lamppost.Anomaly, Score: thousandths(v.Score), Level: thousandths(level), Since: v.Since}
	for i := range v.Reasons {
		r := &v.Reasons[i]
		reason := lamppost.VerdictReason{Code: r.Code.String(), Readings: uint32(r.Readings), Value: quantise(r.Value), Low: quantise(r.Low), High: quantise(r.High),
			Share: share(r.Worth, v.Score)}
		if r.Code == triage.ReasonPattern {
			reason.Gap, reason.At, reason.Nearest = quantise(r.Gap), r.AtMS, r.NearestMS
		}
		out.Reasons = append(out.Reasons, reason)
	}
	if v.LatestMS != 0 {
		out.Reasons = append(out.Reasons, lamppost.VerdictReason{Code: plausible.Late.String(), At: v.Since, Nearest: v.LatestMS})
	}
	return out
}

// place says of which reading a verdict is.
func place(v *lamppost.Verdict, r *Reading, from lamppost.TimeMS, state lamppost.Hash) {
	v.Height, v.Tx, v.Report, v.Record, v.State = r.Height, r.Tx, r.Report, r.Record, state
	if v.Kind == lamppost.Anomaly {
		v.Device, v.Name, v.Unit, v.At = r.Device, r.Name, r.Unit, r.Time
		v.Since = min(v.Since, v.At)
	}
	// As many readings are kept after it as before; they come as often.
	v.KeepFrom, v.KeepTo = from, r.Received+max(r.Received-from, 0)+1
}

// Model says what judges. Its hash is of all that a verdict depends on besides the readings.
func Model() lamppost.Model {
	series, meters := newSeriesModel(nil).append(nil), newMeters(make([]member, 1), false).append(nil)
	vector := newVectorModel(nil, []quantity{{Name: "a"}, {Name: "b"}}).append(nil)
	return lamppost.Model{ID: "lamppost", Version: modelVersion, Hash: sha256.Sum256(lamppost.Marshal(settings{modelVersion,
		[]uint32{thousandths(triage.DefaultLevel), thousandths(joint.DefaultLevel)}, [][]byte{series[:8], meters[:8], vector[:8]},
		[]int{MaxNames, maxUnits, maxWork, markEvery, minScale, digits, maxStep, minStep, maxGap, momentMS, newNames}}))}
}

// settings are those of a judge, and the versions of its models, with which their states begin.
type settings struct {
	Version uint32
	Levels  []uint32
	Models  [][]byte
	Own     []int
}

// modelVersion changes with whatever makes verdicts differ.
const modelVersion = 3
