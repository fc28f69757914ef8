package lamppost_test

import (
	"crypto/sha256"
	"math"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// network is the network that tests and vectors sign for.
const network = "harbour"

var suites = []sig.Suite{sig.EdDSA, sig.ES256, sig.HMAC256}

// seedOf is the seed of the key that a name has in a suite: SHA-256 of "<suite> <name>", so that anybody can make it.
func seedOf(suite sig.Suite, name string) []byte {
	seed := sha256.Sum256([]byte(suite.String() + " " + name))
	return seed[:]
}

func keyOf(t testing.TB, suite sig.Suite, name string) *sig.PrivateKey {
	t.Helper()
	key, err := sig.NewPrivateKey(suite, seedOf(suite, name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// want stops a test at an error that must not be.
func want[T any](v T, err error) func(t fataler) T {
	return func(t fataler) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return v
	}
}

// A fataler is a *testing.T, *testing.F or *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func drawName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,39}`).Draw(t, label)
}

func drawDecimal(t *rapid.T, label string) lamppost.Decimal {
	m := rapid.Int64Range(-math.MaxInt64, math.MaxInt64).Draw(t, label)
	return lamppost.Dec(m, int8(-rapid.IntRange(0, -lamppost.MinExponent).Draw(t, label+" digits")))
}

// drawTime draws whole seconds as often as milliseconds: they are written differently.
func drawTime(t *rapid.T, label string) lamppost.TimeMS {
	ms := lamppost.TimeMS(rapid.Int64Range(-1<<52, 1<<52).Draw(t, label))
	if rapid.Bool().Draw(t, label+" whole") {
		ms -= ms % 1000
	}
	return ms
}

func drawFloat(t *rapid.T) float64 {
	switch rapid.IntRange(0, 2).Draw(t, "precision") {
	case 0:
		return float64(rapid.Int16().Draw(t, "half")) / 8
	case 1:
		return float64(rapid.Float32().Draw(t, "single"))
	default:
		return rapid.Float64().Draw(t, "double")
	}
}

// drawReadings draws packs of all shapes: one or many names and units, one or many times.
func drawReadings(t *rapid.T) []lamppost.Reading {
	n := rapid.IntRange(1, 12).Draw(t, "readings")
	oneName, oneUnit := rapid.Bool().Draw(t, "one name"), rapid.Bool().Draw(t, "one unit")
	base := drawTime(t, "base time")
	rs := make([]lamppost.Reading, n)
	for i := range rs {
		r := &rs[i]
		*r = lamppost.Reading{Name: rapid.StringN(1, 20, 64).Draw(t, "name"), Unit: rapid.StringN(0, 8, 16).Draw(t, "unit"),
			Time: base, Kind: lamppost.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
			Quality: lamppost.Quality(rapid.IntRange(0, 3).Draw(t, "quality"))}
		if i > 0 && oneName {
			r.Name = rs[0].Name
		}
		if i > 0 && oneUnit {
			r.Unit = rs[0].Unit
		}
		if i > 0 && rapid.Bool().Draw(t, "another time") {
			r.Time += drawTime(t, "time")
		}
		if r.IsFloat = r.Kind != lamppost.Register && rapid.Bool().Draw(t, "float"); r.IsFloat {
			r.Float = drawFloat(t)
		} else {
			r.Value = drawDecimal(t, "value")
		}
	}
	return rs
}

// drawMeterRecords draws what a meter signed: in this package any text of any register.
func drawMeterRecords(t *rapid.T, rs []lamppost.Reading) (meter []lamppost.MeterRecord) {
	for range rapid.IntRange(0, lamppost.MaxMeterRecords).Draw(t, "records of the meter") {
		m := lamppost.MeterRecord{Name: rs[0].Name, Text: rapid.StringN(1, 300, -1).Draw(t, "record")}
		if rapid.Bool().Draw(t, "another register") {
			m.Name = rapid.StringN(1, 20, 64).Draw(t, "register")
		}
		meter = append(meter, m)
	}
	return meter
}

func drawReport(t *rapid.T) *lamppost.Report {
	r := &lamppost.Report{
		Device: lamppost.DeviceID(drawName(t, "device")), KeyEpoch: rapid.Uint32().Draw(t, "key epoch"),
		Seq:   lamppost.Seq{Epoch: rapid.Uint32().Draw(t, "epoch"), N: rapid.Uint64Range(1, math.MaxInt64).Draw(t, "n")},
		Flags: uint32(rapid.IntRange(0, 3).Draw(t, "flags")), TimeQuality: lamppost.TimeQuality(rapid.IntRange(0, 3).Draw(t, "time quality")),
		BootID: rapid.Uint32().Draw(t, "boot id"), MonoMS: rapid.Uint64Range(0, math.MaxInt64).Draw(t, "mono"),
		Readings: drawReadings(t),
	}
	if r.Billing() {
		r.Meter = drawMeterRecords(t, r.Readings)
	}
	return r
}

func drawBytes(t *rapid.T, label string, minLen, maxLen int) []byte {
	return rapid.SliceOfN(rapid.Byte(), minLen, maxLen).Draw(t, label)
}

func drawSalt(t *rapid.T, label string) (salt [lamppost.SaltBytes]byte) {
	copy(salt[:], drawBytes(t, label, len(salt), len(salt)))
	return salt
}

func drawHash(t *rapid.T, label string) (h lamppost.Hash) {
	copy(h[:], drawBytes(t, label, len(h), len(h)))
	return h
}

func drawMS(t *rapid.T, label string) lamppost.TimeMS {
	return lamppost.TimeMS(rapid.Int64Range(0, math.MaxInt64).Draw(t, label))
}

func drawItems(t *rapid.T) []lamppost.SegmentItem {
	items := make([]lamppost.SegmentItem, rapid.IntRange(1, 9).Draw(t, "items"))
	for i := range items {
		items[i] = lamppost.SegmentItem{Salt: drawSalt(t, "salt"), Received: drawMS(t, "received"), Report: drawBytes(t, "report", 0, 40)}
	}
	return items
}

// drawTx draws segments and orders, signed in either suite that members use.
func drawTx(t *rapid.T, keys []*sig.PrivateKey) *lamppost.Transaction {
	id := lamppost.MemberID(drawName(t, "member"))
	key := rapid.SampledFrom(keys).Draw(t, "key")
	seed := lamppost.Seed(drawSalt(t, "seed"))
	if rapid.Bool().Draw(t, "segment") {
		seq := lamppost.Seq{Epoch: rapid.Uint32().Draw(t, "epoch"), N: rapid.Uint64Range(1, math.MaxInt64).Draw(t, "n")}
		tx := want(lamppost.NewSegment(network, seq, rapid.IntRange(0, 1000).Draw(t, "readings"), drawItems(t), id, key, seed))(t)
		tx.Verdicts = drawBytes(t, "verdicts", 0, 30)
		return tx
	}
	o := lamppost.Order{
		Type:         rapid.SampledFrom([]lamppost.TxType{1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 23, 24, 255}).Draw(t, "type"),
		ExpiryHeight: lamppost.Height(rapid.Uint64Range(0, math.MaxInt64).Draw(t, "expiry height")),
		ExpiryTime:   drawMS(t, "expiry"), Nonce: drawSalt(t, "nonce"), Body: drawBytes(t, "body", 0, 60),
	}
	return want(lamppost.NewTx(network, o, id, key, seed))(t)
}

func drawProof(t *rapid.T, keys []*sig.PrivateKey) *lamppost.Proof {
	p := &lamppost.Proof{Network: drawName(t, "network")}
	for range rapid.IntRange(0, 2).Draw(t, "checkpoints") {
		p.Checkpoints = append(p.Checkpoints, rapid.StringN(20, 80, 200).Draw(t, "checkpoint"))
	}
	for range rapid.IntRange(0, 2).Draw(t, "witnesses") {
		p.Witnesses = append(p.Witnesses, rapid.StringN(20, 80, 200).Draw(t, "witness"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "nodes") {
		p.Nodes = append(p.Nodes, drawHash(t, "node"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "txs") {
		x := lamppost.TxProof{Leaf: rapid.Int64Range(0, math.MaxInt64).Draw(t, "leaf"), Index: rapid.Uint32().Draw(t, "index"),
			Height: lamppost.Height(rapid.Uint64Range(0, math.MaxInt64).Draw(t, "height"))}
		if tx := drawTx(t, keys); tx.Type == lamppost.TxSegment {
			keep := rapid.SliceOfN(rapid.Bool(), len(tx.Items), len(tx.Items)).Draw(t, "keep")
			x.Segment = lamppost.Thin(tx, make([]lamppost.Outcome, len(tx.Items)), drawHash(t, "writes"), func(i int) bool { return keep[i] })
		} else {
			x.Order = &lamppost.OrderProof{Salt: drawSalt(t, "salt"), Signed: tx.SignedRaw, Writes: drawHash(t, "writes"),
				OutcomeSalt: drawSalt(t, "outcome salt"), Outcome: drawBytes(t, "outcome", 0, 20)}
		}
		p.Txs = append(p.Txs, x)
	}
	for range rapid.IntRange(0, 2).Draw(t, "blocks") {
		p.Blocks = append(p.Blocks, lamppost.BlockProof{Leaf: rapid.Int64Range(0, math.MaxInt64).Draw(t, "leaf"), Raw: drawBytes(t, "raw", 80, 90)})
	}
	return p
}
