package export

import (
	"math/bits"
	"strconv"

	"github.com/lamppost/lamppost"
)

// The rows of the files. The tag `what` says what a column means: in the file's metadata, and in docs/export.md.
// Encodings are those that every reader knows: plain ones and dictionaries.

// A Reading is a row of readings.parquet.
type Reading struct {
	Device      string  `parquet:"device,dict" what:"id of the device"`
	Owner       string  `parquet:"owner,optional,dict" what:"the party it belonged to, by the enrolment of the key that signed"`
	Point       string  `parquet:"point,optional,dict" what:"the metering point where this register measures, if one is registered; of several the first by id"`
	Name        string  `parquet:"name,dict" what:"of the reading, e.g. energy"`
	Unit        string  `parquet:"unit,dict" what:"SenML unit (RFC 8428), e.g. Wh"`
	Kind        string  `parquet:"kind,dict" what:"register (cumulative), interval (an amount since the last) or gauge"`
	Time        int64   `parquet:"time,timestamp(millisecond)" what:"by the device's clock; how far that can be trusted says time_quality"`
	Value       float64 `parquet:"value" what:"the nearest binary floating point number"`
	Exact       *fixed  `parquet:"value_exact,optional,decimal(9:28)" what:"the value as it was signed, to the last digit; null where the device itself sent a binary floating point number, which is then in value"`
	Quality     string  `parquet:"quality,dict" what:"measured, estimated, substituted or faulty"`
	TimeQuality string  `parquet:"time_quality,dict" what:"synchronised, informative (set once, drifting), relative (counts from boot) or unknown"`
	Received    int64   `parquet:"received,timestamp(millisecond)" what:"when its report was received, by the clock of the gateway or node"`
	Assurance   string  `parquet:"assurance,optional,dict" what:"how the report is vouched for: device-signed, gateway-vouched, channel-authenticated or unsigned"`
	Billing     bool    `parquet:"billing" what:"its report is a billing report: bills rest on it"`
	Outcome     string  `parquet:"outcome,dict" what:"what the ledger decided about its report: ok; with --all also a code of docs/formats.md, or corrected for one that a gateway lied about"`
	SeqEpoch    int64   `parquet:"seq_epoch" what:"epoch of the report's number"`
	SeqN        int64   `parquet:"seq_n" what:"the report's number in that epoch"`
	Height      int64   `parquet:"height" what:"block of the report"`
	Tx          int32   `parquet:"tx" what:"transaction in the block"`
	Report      int32   `parquet:"report" what:"report in the transaction"`
	Record      int32   `parquet:"record" what:"reading in the report"`
	Error       float64 `parquet:"error" what:"how far value may be off: 0, it is as it was signed"`
	Class       string  `parquet:"class,dict" what:"how it is kept: raw"`
}

// A Device is a row of devices.parquet.
type Device struct {
	Device    string `parquet:"device" what:"id of the device"`
	Owner     string `parquet:"owner,dict" what:"the party it belongs to"`
	Safety    string `parquet:"safety,dict" what:"life, public, essential or ordinary"`
	Suite     string `parquet:"suite,optional,dict" what:"what it signs with: ed25519, es256 or hmac-sha256; null: it has no key"`
	Assurance string `parquet:"assurance,dict" what:"how its reports are vouched for"`
	Gateway   string `parquet:"gateway,optional,dict" what:"who vouches, where it does not sign for itself"`
	KeyEpoch  int64  `parquet:"key_epoch" what:"of the key it has"`
	Enrolled  int64  `parquet:"enrolled,optional,timestamp(millisecond)" what:"when its first key was enrolled; null: before the first block of this copy"`
	KeySince  int64  `parquet:"key_since,optional,timestamp(millisecond)" what:"when the key it has was enrolled; null likewise"`
	Name      string `parquet:"name,optional" what:"for people; with --names only"`
	Site      string `parquet:"site,optional" what:"where it stands; with --names only"`
	OwnerName string `parquet:"owner_name,optional,dict" what:"name of the party; with --names only, and null where it was erased"`
}

// A Summary is a row of summaries.parquet.
type Summary struct {
	Device   string  `parquet:"device,dict" what:"id of the device"`
	Point    string  `parquet:"point,optional,dict" what:"as in readings.parquet"`
	Name     string  `parquet:"name,dict" what:"of the readings"`
	Unit     string  `parquet:"unit,dict" what:"SenML unit"`
	Kind     string  `parquet:"kind,dict" what:"register, interval or gauge"`
	Hour     int64   `parquet:"hour,timestamp(millisecond)" what:"begin of the UTC hour"`
	Count    int64   `parquet:"count" what:"readings summed up in this row"`
	Min      float64 `parquet:"min" what:"the least value"`
	Max      float64 `parquet:"max" what:"the greatest value"`
	Mean     float64 `parquet:"mean" what:"the mean, of the values as they are kept"`
	Last     float64 `parquet:"last" what:"the value that is last by time: of a register, its reading"`
	LastTime int64   `parquet:"last_time,timestamp(millisecond)" what:"the time of that"`
	First    int64   `parquet:"first_block" what:"first block of the pack that this row sums up"`
	End      int64   `parquet:"last_block" what:"its last block"`
	Error    float64 `parquet:"error" what:"how far min, max, mean and last may be off at most"`
	Class    string  `parquet:"class,dict" what:"how it is kept: summary"`
}

// A Value is a row of values.parquet.
type Value struct {
	Device string  `parquet:"device,dict" what:"id of the device"`
	Point  string  `parquet:"point,optional,dict" what:"as in readings.parquet"`
	Name   string  `parquet:"name,dict" what:"of the reading"`
	Unit   string  `parquet:"unit,dict" what:"SenML unit"`
	Kind   string  `parquet:"kind,dict" what:"register, interval or gauge"`
	Time   int64   `parquet:"time,timestamp(millisecond)" what:"by the device's clock"`
	Value  float64 `parquet:"value" what:"what was measured, within error"`
	Error  float64 `parquet:"error" what:"how far value may be off"`
	Class  string  `parquet:"class,dict" what:"how it is kept: summary"`
	Reason string  `parquet:"reason,dict" what:"why it is kept so: policy, a rule says so; docs/intelligence.md has all"`
	Method string  `parquet:"method,dict" what:"of its block: constant, linear, last, filtered or verbatim; hourly: of an older pack, the mean of an hour"`
	First  int64   `parquet:"first_block" what:"first block of the pack that has it"`
	End    int64   `parquet:"last_block" what:"its last block"`
}

// fixed is a DECIMAL(28,9): a multiple of 10⁻⁹ as a two's complement integer, big-endian. Every lamppost.Decimal is one, since
// its mantissa has at most 19 digits and its exponent lies between -9 and 0.
type fixed [12]byte

var pow10 = [...]uint64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

func (f *fixed) set(d lamppost.Decimal) {
	mantissa := uint64(d.Mantissa)
	if d.Mantissa < 0 {
		mantissa = -mantissa
	}
	hi, lo := bits.Mul64(mantissa, pow10[d.Exponent-lamppost.MinExponent])
	if d.Mantissa < 0 {
		hi, lo = ^hi, -lo
		if lo == 0 {
			hi++
		}
	}
	for i := range 8 {
		f[4+i] = byte(lo >> (56 - 8*i))
	}
	for i := range 4 {
		f[i] = byte(hi >> (24 - 8*i))
	}
}

// float returns the floating point number nearest to a decimal.
func float(d lamppost.Decimal) float64 {
	const exact = 1 << 53 // below, mantissa and power of ten have no error, and a division rounds once
	if -exact < d.Mantissa && d.Mantissa < exact {
		return float64(d.Mantissa) / float64(pow10[-d.Exponent])
	}
	f, _ := strconv.ParseFloat(d.String(), 64) // a decimal is a number, and in range
	return f
}
