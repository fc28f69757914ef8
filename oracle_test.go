package lamppost_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/veraison/go-cose"
	"pgregory.net/rapid"
)

// The encoder and decoder of the hot path are written by hand. Here a general CBOR library and a COSE library, both
// written by others, say what they should have done.

// deterministic returns what RFC 8949 §4.2.1 makes of v, by the other library.
func deterministic(t fataler, v any) []byte {
	t.Helper()
	o := cbor.CoreDetEncOptions()
	mode := want(o.EncMode())(t)
	return want(mode.Marshal(v))(t)
}

// canonical reads one value without knowing what it is and reports whether it stands in deterministic form.
func canonical(t fataler, b []byte) error {
	t.Helper()
	mode := want(cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxArrayElements: 1 << 20, BignumTag: cbor.BignumTagForbidden}.DecMode())(t)
	var v any
	if err := mode.Unmarshal(b, &v); err != nil {
		return err
	}
	if again := deterministic(t, v); !bytes.Equal(again, b) {
		return fmt.Errorf("%x would be written as %x", b, again)
	}
	return nil
}

func decimalValue(d lamppost.Decimal) any {
	if d.Exponent == 0 {
		return d.Mantissa
	}
	return cbor.Tag{Number: 4, Content: []any{d.Exponent, d.Mantissa}}
}

func timeValue(ms lamppost.TimeMS) any {
	if ms%1000 == 0 {
		return int64(ms / 1000)
	}
	return decimalValue(lamppost.Dec(int64(ms), -3))
}

// packValue builds the pack of readings from the rules in docs/formats.md, not from the code.
func packValue(rs []lamppost.Reading, meter []lamppost.MeterRecord) []map[any]any {
	oneName, oneUnit := len(rs)+len(meter) > 1, len(rs) > 1
	for _, m := range meter {
		oneName = oneName && m.Name == rs[0].Name
	}
	for _, r := range rs {
		oneName, oneUnit = oneName && r.Name == rs[0].Name, oneUnit && r.Unit == rs[0].Unit
	}
	pack := make([]map[any]any, len(rs))
	for i, r := range rs {
		m := map[any]any{}
		switch {
		case !oneName:
			m[0] = r.Name
		case i == 0:
			m[-2] = r.Name
		}
		switch {
		case !oneUnit:
			m[1] = r.Unit
		case i == 0:
			m[-4] = r.Unit
		}
		switch {
		case r.Kind == lamppost.Register:
			m[5] = decimalValue(r.Value)
		case r.IsFloat:
			m[2] = r.Float
		default:
			m[2] = decimalValue(r.Value)
		}
		if i == 0 {
			m[-3] = timeValue(r.Time)
		} else if r.Time != rs[0].Time {
			m[6] = timeValue(r.Time - rs[0].Time)
		}
		if r.Kind == lamppost.Interval {
			m["k"] = 1
		}
		if r.Quality != lamppost.Measured {
			m["q"] = uint8(r.Quality)
		}
		pack[i] = m
	}
	for _, x := range meter {
		m := map[any]any{3: x.Text}
		if !oneName {
			m[0] = x.Name
		}
		pack = append(pack, m)
	}
	return pack
}

// Goal: the hand-written encoder writes, and the decoder reads, what the library writes.
func TestPackAgainstLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rs := drawReadings(t)
		meter := drawMeterRecords(t, rs)
		ours, theirs := lamppost.AppendPack(nil, rs, meter...), deterministic(t, packValue(rs, meter))
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("pack of %+v:\n ours %x\ntheirs %x", rs, ours, theirs)
		}
		back, metered, err := lamppost.DecodePack(theirs)
		if err != nil || !slices.Equal(metered, meter) {
			t.Fatalf("pack %x:\n got %q %v\nwant %q", theirs, metered, err, meter)
		}
		for i := range rs {
			if back[i] != rs[i] {
				t.Fatalf("reading %d:\n got %+v\nwant %+v", i, back[i], rs[i])
			}
		}
	})
}

func reportLabel(r *lamppost.Report) []any {
	return []any{r.Seq.Epoch, r.Seq.N, r.Flags, uint8(r.TimeQuality), r.BootID, r.MonoMS}
}

func externalAAD(t fataler, p lamppost.Purpose) []byte {
	return deterministic(t, []any{network, string(p)})
}

// coseKey returns the key of a name as the other libraries take it.
func coseKey(t fataler, suite sig.Suite, name string) crypto.Signer {
	t.Helper()
	if suite == sig.EdDSA {
		return ed25519.NewKeyFromSeed(seedOf(suite, name))
	}
	return want(ecdsa.ParseRawPrivateKey(elliptic.P256(), seedOf(suite, name)))(t)
}

// Goal: a report is a COSE_Sign1 that any COSE library checks.
func TestReportVerifiesElsewhere(t *testing.T) {
	t.Parallel()
	keys := map[sig.Suite]*sig.PrivateKey{sig.EdDSA: keyOf(t, sig.EdDSA, "lamp-17"), sig.ES256: keyOf(t, sig.ES256, "lamp-17")}
	rapid.Check(t, func(t *rapid.T) {
		suite := rapid.SampledFrom(suites[:2]).Draw(t, "suite")
		in := drawReport(t)
		raw := want(lamppost.SignReport(in, network, keys[suite]))(t)
		var m cose.Sign1Message
		if err := m.UnmarshalCBOR(raw); err != nil {
			t.Fatalf("%x: %v", raw, err)
		}
		verifier := want(cose.NewVerifier(cose.Algorithm(suite), coseKey(t, suite, "lamp-17").Public()))(t)
		if err := m.Verify(externalAAD(t, lamppost.PurposeReport), verifier); err != nil {
			t.Fatalf("%x: %v", raw, err)
		}
		if err := m.Verify(externalAAD(t, lamppost.PurposeTx), verifier); err == nil {
			t.Fatal("the other library accepts it for another purpose")
		}
		if kid := m.Headers.Protected[cose.HeaderLabelKeyID]; string(kid.([]byte)) != fmt.Sprintf("%s/%d", in.Device, in.KeyEpoch) {
			t.Fatalf("key id %q", kid)
		}
		wantLabel := deterministic(t, reportLabel(in))
		if got := deterministic(t, m.Headers.Protected[int64(-65537)]); !bytes.Equal(got, wantLabel) {
			t.Fatalf("label -65537: got %x, want %x", got, wantLabel)
		}
	})
}

// Goal: a device whose firmware uses a COSE library is understood here, byte for byte.
func TestReportSignedElsewhere(t *testing.T) {
	t.Parallel()
	keys := map[sig.Suite]*sig.PrivateKey{sig.EdDSA: keyOf(t, sig.EdDSA, "lamp-17"), sig.ES256: keyOf(t, sig.ES256, "lamp-17")}
	rapid.Check(t, func(t *rapid.T) {
		suite := rapid.SampledFrom(suites[:2]).Draw(t, "suite")
		in := drawReport(t)
		m := cose.NewSign1Message()
		m.Headers.Protected = cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.Algorithm(suite),
			cose.HeaderLabelKeyID: []byte(fmt.Sprintf("%s/%d", in.Device, in.KeyEpoch)), int64(-65537): reportLabel(in)}
		m.Payload = deterministic(t, packValue(in.Readings, in.Meter))
		signer := want(cose.NewSigner(cose.Algorithm(suite), coseKey(t, suite, "lamp-17")))(t)
		if err := m.Sign(rand.Reader, externalAAD(t, lamppost.PurposeReport), signer); err != nil {
			t.Fatalf("%v", err)
		}
		low := suite == sig.EdDSA || lowerS(m.Signature)
		raw := want(m.MarshalCBOR())(t)
		var out lamppost.Report
		if err := out.Decode(raw); err != nil {
			t.Fatalf("Decode(%x): %v", raw, err)
		}
		compareReports(t, &out, in)
		if !low && out.Verify(network, keys[suite].Public()) {
			t.Fatal("a signature with high S was accepted")
		}
		if suite == sig.ES256 && !low {
			flipS(m.Signature)
			if err := out.Decode(want(m.MarshalCBOR())(t)); err != nil {
				t.Fatalf("%v", err)
			}
		}
		if !out.Verify(network, keys[suite].Public()) {
			t.Fatalf("%x does not verify here", raw)
		}
	})
}

func lowerS(signature []byte) bool {
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	return new(big.Int).SetBytes(signature[32:]).Cmp(half) <= 0
}

// flipS turns an ECDSA signature into the other one that mathematics allows.
func flipS(signature []byte) {
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
}

// Goal: an HMAC report is a COSE_Mac0 (RFC 9052 §6.3). The COSE library has none, so the rule is spelled out here.
func TestReportMac0(t *testing.T) {
	t.Parallel()
	key := keyOf(t, sig.HMAC256, "lamp-17")
	rapid.Check(t, func(t *rapid.T) {
		in := drawReport(t)
		protected := deterministic(t, map[int]any{1: 5, 4: []byte(fmt.Sprintf("%s/%d", in.Device, in.KeyEpoch)), -65537: reportLabel(in)})
		payload := deterministic(t, packValue(in.Readings, in.Meter))
		toMAC := deterministic(t, []any{"MAC0", protected, externalAAD(t, lamppost.PurposeReport), payload})
		mac := hmac.New(sha256.New, seedOf(sig.HMAC256, "lamp-17"))
		mac.Write(toMAC)
		theirs := deterministic(t, cbor.Tag{Number: 17, Content: []any{protected, map[int]int{}, payload, mac.Sum(nil)}})
		ours := want(lamppost.SignReport(in, network, key))(t)
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("\n ours %x\ntheirs %x", ours, theirs)
		}
		var r lamppost.Report
		if err := r.Decode(ours); err != nil || r.ID(network) != sha256.Sum256(toMAC) {
			t.Fatalf("Decode: %v, id %v", err, r.ID(network))
		}
	})
}

// Goal: transactions and segment headers are what docs/formats.md says, signed as COSE libraries sign.
func TestTransactionAgainstLibrary(t *testing.T) {
	t.Parallel()
	keys := memberKeys(t)
	rapid.Check(t, func(t *rapid.T) {
		tx := drawTx(t, keys)
		items := make([]any, len(tx.Items))
		for i, it := range tx.Items {
			items[i] = []any{it.Salt[:], it.Received, it.Report}
		}
		verdicts := append([]byte{}, tx.Verdicts...)
		theirs := deterministic(t, []any{1, uint8(tx.Type), tx.Seed[:], tx.SignedRaw, items, verdicts})
		if ours := tx.Append(nil); !bytes.Equal(ours, theirs) {
			t.Fatalf("transaction:\n ours %x\ntheirs %x", ours, theirs)
		}
		o, h := &tx.Order, &tx.Header
		payload := []any{1, uint8(o.Type), o.ExpiryHeight, o.ExpiryTime, o.Nonce[:], append([]byte{}, o.Body...)}
		if tx.Type == lamppost.TxSegment {
			payload = []any{1, h.Seq.Epoch, h.Seq.N, h.First, h.Last, h.Count, h.Readings, h.Root[:]}
		}
		if got, want := tx.Signed.Payload, deterministic(t, payload); !bytes.Equal(got, want) {
			t.Fatalf("payload:\n got %x\nwant %x", got, want)
		}
		verifyElsewhere(t, tx)
	})
}

func verifyElsewhere(t *rapid.T, tx *lamppost.Transaction) {
	t.Helper()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(tx.SignedRaw); err != nil {
		t.Fatalf("%x: %v", tx.SignedRaw, err)
	}
	alg := want(m.Headers.Protected.Algorithm())(t)
	verifier := want(cose.NewVerifier(alg, coseKey(t, sig.Suite(alg), "north").Public()))(t)
	if err := m.Verify(externalAAD(t, tx.Purpose()), verifier); err != nil {
		t.Fatalf("%x: %v", tx.SignedRaw, err)
	}
}
