package lamppost_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

func memberKeys(t testing.TB) []*sig.PrivateKey {
	return []*sig.PrivateKey{keyOf(t, sig.EdDSA, "north"), keyOf(t, sig.ES256, "north")}
}

func deviceKeys(t testing.TB) (keys []*sig.PrivateKey) {
	for _, s := range suites {
		keys = append(keys, keyOf(t, s, "lamp-17"))
	}
	return keys
}

// Goal: what a device signs is what a gateway reads, field by field, in every suite; reading it and writing it again
// gives the same bytes; and the signature holds for this network, this purpose and this key only.
func TestReportRoundTrip(t *testing.T) {
	t.Parallel()
	keys, other := deviceKeys(t), keyOf(t, sig.EdDSA, "lamp-18")
	rapid.Check(t, func(t *rapid.T) {
		in := drawReport(t)
		key := rapid.SampledFrom(keys).Draw(t, "key")
		raw := want(lamppost.SignReport(in, network, key))(t)
		var out lamppost.Report
		if err := out.Decode(raw); err != nil {
			t.Fatalf("Decode(%x): %v", raw, err)
		}
		compareReports(t, &out, in)
		if again := out.Reencode(); !bytes.Equal(again, raw) {
			t.Fatalf("read and written again:\n got %x\nwant %x", again, raw)
		}
		if resigned := want(lamppost.SignReport(&out, network, key))(t); !bytes.Equal(resigned, raw) {
			t.Fatalf("signed again:\n got %x\nwant %x", resigned, raw)
		}
		if out.Suite() != key.Suite() || !out.Verify(network, key.Public()) {
			t.Fatalf("the report of a %v key does not verify", key.Suite())
		}
		if out.Verify("harbor", key.Public()) || out.Verify(network, other.Public()) {
			t.Fatal("the report verifies for another network or key")
		}
	})
}

func compareReports(t *rapid.T, got, want *lamppost.Report) {
	t.Helper()
	if got.Device != want.Device || got.KeyEpoch != want.KeyEpoch || got.Seq != want.Seq || got.Flags != want.Flags ||
		got.TimeQuality != want.TimeQuality || got.BootID != want.BootID || got.MonoMS != want.MonoMS {
		t.Fatalf("header:\n got %+v\nwant %+v", got, want)
	}
	if len(got.Readings) != len(want.Readings) {
		t.Fatalf("%d readings, want %d", len(got.Readings), len(want.Readings))
	}
	for i := range want.Readings {
		if got.Readings[i] != want.Readings[i] || math.Signbit(got.Readings[i].Float) != math.Signbit(want.Readings[i].Float) {
			t.Fatalf("reading %d:\n got %+v\nwant %+v", i, got.Readings[i], want.Readings[i])
		}
	}
}

// Goal: there is one spelling of a report. Method: change, cut or lengthen valid ones; what is still accepted must be
// the encoding of what was read, and so another report.
func TestReportStrict(t *testing.T) {
	t.Parallel()
	keys := deviceKeys(t)
	rapid.Check(t, func(t *rapid.T) {
		raw := want(lamppost.SignReport(drawReport(t), network, rapid.SampledFrom(keys).Draw(t, "key")))(t)
		var r lamppost.Report
		if err := r.Decode(raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")]); err == nil {
			t.Fatalf("a report that is cut short was read: %+v", r)
		}
		if err := r.Decode(append(bytes.Clone(raw), 0)); err == nil {
			t.Fatal("a report with a byte after its end was read")
		}
		bad := bytes.Clone(raw)
		bad[rapid.IntRange(0, len(raw)-1).Draw(t, "place")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if err := r.Decode(bad); err == nil && !bytes.Equal(r.Reencode(), bad) {
			t.Fatalf("accepted, but not what would be written:\nread  %x\nwrite %x", bad, r.Reencode())
		}
	})
}

func oneReading() lamppost.Report {
	return lamppost.Report{Device: "lamp-17", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 0, N: 1}, TimeQuality: lamppost.TimeSynchronised,
		Readings: []lamppost.Reading{{Name: "energy", Unit: "Wh", Time: 1_800_000_000_000, Kind: lamppost.Register, Value: lamppost.Dec(1234, 0)}}}
}

// A device must not sign what nobody will accept, or what says something else than it meant.
func TestSignReportRefuses(t *testing.T) {
	t.Parallel()
	key := keyOf(t, sig.EdDSA, "lamp-17")
	for name, spoil := range map[string]func(r *lamppost.Report){
		"no device":         func(r *lamppost.Report) { r.Device = "" },
		"slash in device":   func(r *lamppost.Report) { r.Device = "a/1" },
		"number 0":          func(r *lamppost.Report) { r.Seq.N = 0 },
		"number of 64 bits": func(r *lamppost.Report) { r.Seq.N = 1 << 63 },
		"unknown flag":      func(r *lamppost.Report) { r.Flags = 8 },
		"cold and billing":  func(r *lamppost.Report) { r.Flags = lamppost.FlagCold | lamppost.FlagBilling },
		"time quality":      func(r *lamppost.Report) { r.TimeQuality = 4 },
		"no readings":       func(r *lamppost.Report) { r.Readings = nil },
		"too many":          func(r *lamppost.Report) { r.Readings = make([]lamppost.Reading, lamppost.MaxReadings+1) },
		"no name":           func(r *lamppost.Report) { r.Readings[0].Name = "" },
		"long name":         func(r *lamppost.Report) { r.Readings[0].Name = strings.Repeat("n", lamppost.MaxReadingNameBytes+1) },
		"long unit":         func(r *lamppost.Report) { r.Readings[0].Unit = strings.Repeat("u", lamppost.MaxUnitBytes+1) },
		"not UTF-8":         func(r *lamppost.Report) { r.Readings[0].Name = "\xff" },
		"kind":              func(r *lamppost.Report) { r.Readings[0].Kind = 3 },
		"quality":           func(r *lamppost.Report) { r.Readings[0].Quality = 4 },
		"quality of 7 bits": func(r *lamppost.Report) { r.Readings[0].Quality = 100 },
		"float register":    func(r *lamppost.Report) { r.Readings[0].IsFloat = true },
		"NaN": func(r *lamppost.Report) {
			r.Readings[0] = lamppost.Reading{Name: "x", IsFloat: true, Float: math.NaN()}
		},
		"infinity": func(r *lamppost.Report) {
			r.Readings[0] = lamppost.Reading{Name: "x", IsFloat: true, Float: math.Inf(-1)}
		},
		"exponent above zero": func(r *lamppost.Report) { r.Readings[0].Value.Exponent = 1 },
		"exponent too low":    func(r *lamppost.Report) { r.Readings[0].Value.Exponent = -10 },
		"mantissa of 64 bits": func(r *lamppost.Report) { r.Readings[0].Value.Mantissa = math.MinInt64 },
		"time too late":       func(r *lamppost.Report) { r.Readings[0].Time = 1 << 53 },
		"time too early":      func(r *lamppost.Report) { r.Readings[0].Time = math.MinInt64 },
	} {
		r := oneReading()
		if raw, err := lamppost.SignReport(&r, network, key); err != nil {
			t.Fatalf("%x, %v", raw, err)
		}
		spoil(&r)
		if raw, err := lamppost.SignReport(&r, network, key); err == nil {
			t.Errorf("%s: signed as %x", name, raw)
		}
	}
}

// The largest packs fit, by number, and the size limit holds to the byte.
func TestReportLimits(t *testing.T) {
	t.Parallel()
	key := keyOf(t, sig.HMAC256, "lamp-17")
	r := oneReading()
	for len(r.Readings) < lamppost.MaxReadings {
		x := r.Readings[0]
		x.Time += lamppost.TimeMS(len(r.Readings)) * 1000
		r.Readings = append(r.Readings, x)
	}
	raw := want(lamppost.SignReport(&r, network, key))(t)
	if err := new(lamppost.Report).Decode(raw); err != nil {
		t.Errorf("%d readings in %d bytes: %v", len(r.Readings), len(raw), err)
	}
	// Long names of their own fill a report before the number of readings does.
	fill := func(size int) ([]byte, error) {
		r := oneReading()
		for i := 0; ; i++ {
			raw, err := lamppost.SignReport(&r, network, key)
			if err != nil || len(raw) >= size {
				return raw, err
			}
			x := r.Readings[0]
			x.Name = strings.Repeat("n", min(lamppost.MaxReadingNameBytes, max(1, size-len(raw)-16)))
			r.Readings = append(r.Readings, x)
		}
	}
	raw, err := fill(lamppost.MaxReportBytes - 100)
	if err != nil {
		t.Fatalf("just below the limit: %v", err)
	}
	var refusal *lamppost.Refusal
	if _, err := fill(lamppost.MaxReportBytes + 1); !errors.As(err, &refusal) || refusal.Code != lamppost.CodeTooLarge {
		t.Errorf("above the limit: %v, want it refused as %v", err, lamppost.CodeTooLarge)
	}
	grown := append(raw, make([]byte, lamppost.MaxReportBytes+1-len(raw))...)
	if err := new(lamppost.Report).Decode(grown); !errors.As(err, &refusal) || refusal.Code != lamppost.CodeTooLarge {
		t.Errorf("Decode of %d bytes: %v, want %v", len(grown), err, lamppost.CodeTooLarge)
	}
}

// A hostile key id must not come back at length in the refusal.
func TestReportRefusalIsShort(t *testing.T) {
	t.Parallel()
	kid := bytes.Repeat([]byte{0xff}, 8000)
	raw := signRaw(t, sig.EdDSA, reportHeader(sig.EdDSA, string(kid), 0, 1, 0, 3, 0, 0), packOne())
	err := new(lamppost.Report).Decode(raw)
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("Decode: %.400v, want a short refusal", err)
	}
}

// Reading reports is the hot path of a gateway: in the steady state it costs no allocation.
func TestDecodeAllocates(t *testing.T) {
	raw := manyReadings(t, 20)
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Decode(raw) }); n != 0 {
		t.Errorf("Decode allocates %v times", n)
	}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = r.AppendToBeSigned(buf[:0], network) }); n != 0 {
		t.Errorf("AppendToBeSigned allocates %v times", n)
	}
}

// Decoding into a report that was used before leaves nothing of the earlier one.
func TestDecodeReuse(t *testing.T) {
	t.Parallel()
	var used, fresh lamppost.Report
	long, short := manyReadings(t, 20), want(lamppost.SignReport(ptr(oneReading()), network, keyOf(t, sig.HMAC256, "lamp-17")))(t)
	for _, raw := range [][]byte{long, short[:len(short)-1], short} {
		_ = used.Decode(raw)
	}
	if err := fresh.Decode(short); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(used.Reencode(), fresh.Reencode()) || used.Suite() != sig.HMAC256 || len(used.Readings) != 1 {
		t.Errorf("reused %+v, fresh %+v", used, fresh)
	}
}

func ptr[T any](v T) *T { return &v }

func manyReadings(t testing.TB, n int) []byte {
	r := oneReading()
	for i := 1; i < n; i++ {
		x := r.Readings[0]
		x.Time += lamppost.TimeMS(i) * lamppost.EdgeMS
		x.Value = lamppost.Dec(1234_500+int64(i)*17, -3)
		r.Readings = append(r.Readings, x)
	}
	return want(lamppost.SignReport(&r, network, keyOf(t, sig.EdDSA, "lamp-17")))(t)
}

func TestSnapToEdge(t *testing.T) {
	t.Parallel()
	const edge = 2_000_000 * lamppost.EdgeMS
	for d, want := range map[lamppost.TimeMS]bool{0: true, 60_000: true, -60_000: true, 60_001: false, -60_001: false, lamppost.EdgeMS / 2: false} {
		if got, ok := lamppost.SnapToEdge(edge + d); ok != want || ok && got != edge {
			t.Errorf("SnapToEdge(edge%+d) = edge%+d, %v; want %v", d, got-edge, ok, want)
		}
	}
	for _, early := range []lamppost.TimeMS{-1, -60_000, -lamppost.EdgeMS} {
		if got, ok := lamppost.SnapToEdge(early); ok {
			t.Errorf("SnapToEdge(%d) = %d before 1970", early, got)
		}
	}
}

func BenchmarkReportDecode(b *testing.B) {
	for name, n := range map[string]int{"1": 1, "20": 20, "96": 96} {
		b.Run(name, func(b *testing.B) {
			raw := manyReadings(b, n)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			var r lamppost.Report
			for b.Loop() {
				if err := r.Decode(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSignReport(b *testing.B) {
	r := oneReading()
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			key := keyOf(b, suite, "lamp-17")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := lamppost.SignReport(&r, network, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
