package ocmf_test

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/ocmf"
)

// own returns a vector of ours by its name.
func own(t testing.TB, name string) vector {
	t.Helper()
	for _, v := range allVectors(t) {
		if v.name == name {
			return v
		}
	}
	t.Fatalf("no vector %q", name)
	return vector{}
}

func (v *vector) read(t testing.TB) (*ocmf.Record, *ocmf.PublicKey) {
	t.Helper()
	r, err := ocmf.Parse(v.record)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ocmf.ParsePublicKeyText(v.key)
	if err != nil {
		t.Fatal(err)
	}
	return r, key
}

// TestEveryByteCounts protects the evidence: whichever byte of a record is changed, it is no longer read, no longer verifies, or
// it is another spelling of the same signature.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	v := own(t, "a session in one record, ECDSA-secp256r1-SHA256")
	r, key := v.read(t)
	signed := strings.Index(v.record, r.Signed())
	for i := range len(v.record) {
		b := []byte(v.record)
		b[i] ^= 1
		other, err := ocmf.Parse(string(b))
		if err != nil {
			continue
		}
		inPayload := i >= signed && i < signed+len(r.Signed())
		if other.Verify(key) == nil && (inPayload || other.Signed() != r.Signed()) {
			t.Errorf("byte %d: %q and still verified", i, b)
		}
	}
}

// TestBothSVerify protects what the documentation says: a signature with n-s is the same evidence.
func TestBothSVerify(t *testing.T) {
	t.Parallel()
	v := own(t, "a session in one record, ECDSA-brainpool256r1-SHA256")
	at := strings.LastIndex(v.record, `"SD":"`) + len(`"SD":"`)
	der, err := hex.DecodeString(v.record[at : len(v.record)-2])
	if err != nil {
		t.Fatal(err)
	}
	n, _ := new(big.Int).SetString("a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7", 16)
	split := 4 + int(der[3])
	s := new(big.Int).SetBytes(der[split+2:])
	for name, s := range map[string]*big.Int{"n-s": s.Sub(n, s), "0": new(big.Int), "n": n} {
		integer := append([]byte{0}, s.Bytes()...)
		der := append(append(append([]byte{}, der[:split]...), 2, byte(len(integer))), integer...)
		der[1] = byte(len(der) - 2)
		r, err := ocmf.Parse(fmt.Sprintf(`%s%x"}`, v.record[:at], der))
		if err != nil {
			t.Fatal(err)
		}
		_, key := v.read(t)
		if err := r.Verify(key); (err == nil) != (name == "n-s") {
			t.Errorf("s = %s: %v", name, err)
		}
	}
}

// TestRefused protects the strictness of the parser, rule by rule.
func TestRefused(t *testing.T) {
	t.Parallel()
	const good = `OCMF|{"PG":"F1","MS":"1","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","RV":1.50,"RI":"1-b:1.8.0","RU":"kWh","EF":"","ST":"G"}]}|{"SD":"00"}`
	if _, err := ocmf.Parse(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, rule string }{
		{"OCMF", "ocmf", "form"},
		{`"MS"`, "\"\xff\"", "form"},
		{`{"PG"`, `[{"PG"`, "form"},
		{`"F1"`, `"F01"`, "form"},
		{`"F1"`, `"G1"`, "form"},
		{`"F1"`, `"F-1"`, "form"},
		{`"F1"`, `"F99999999999999999999"`, "form"},
		{`"PG":"F1",`, ``, "form"},
		{`"MS":"1",`, ``, "form"},
		{`"MS":"1"`, `"MS":null`, "form"},
		{`"MS":"1"`, `"MS":1`, "form"},
		{`"MS":"1"`, `"MS":"1","IF":["a",null]`, "form"},
		{`"MS":"1"`, `"MS":"1","IF":["a","b","c","d","e"]`, "form"},
		{`"MS":"1"`, `"MS":"1","IS":"true"`, "form"},
		{`"MS":"1"`, `"MS":"1","X":{"a":1,"a":2}`, "form"},
		{`"MS":"1"`, `"MS":"1","X":[[[[1]]]]`, "limit"},
		{`"MS":"1"`, `"MS":"1","X":"` + strings.Repeat("x", ocmf.MaxRecordBytes) + `"`, "limit"},
		{`"RD"`, `"rd"`, "form"},
		{`"RV"`, `"rv"`, "ok"}, // unknown: a reading without a value
		{`1.50`, `"1.50"`, "form"},
		{`1.50`, `1.0123456789`, "form"},
		{`1.50`, `9223372036854775808`, "form"},
		{`1.50`, `-9223372036854775808`, "form"},
		{`1.50`, `1e99`, "form"},
		{`1.50`, `1e-10`, "form"},
		{`1.50`, `NaN`, "form"},
		{`1.50`, `-1.5e1`, "ok"},
		{`"RU":"kWh",`, ``, "form"},
		{`"RI":"1-b:1.8.0",`, ``, "form"},
		{`"ST":"G"`, `"ST":"Q"`, "form"},
		{`,"ST":"G"`, ``, "form"},
		{`"ST":"G"`, `"ST":"G","TX":"BE"`, "form"},
		{`"EF":""`, `"EF":"e"`, "form"},
		{`,000+0000 S`, `,000+0000 s`, "form"},
		{`,000+0000 S`, `,000Z S`, "form"},
		{`,000+0000 S`, `.000+0000 S`, "form"},
		{`,000+0000 S`, `,000+0000`, "form"},
		{`T08:00:00`, `T24:00:00`, "form"},
		{`T08:00:00`, `T08:00:60`, "form"},
		{`2027-01-15`, `2027-13-15`, "form"},
		{`2027-01-15`, `1969-12-31`, "form"},
		{`+0000 S`, `+1500 S`, "form"},
		{`[{"TM"`, `[],"Z":[{"TM"`, "form"},
		{`{"SD":"00"}`, `{}`, "form"},
		{`{"SD":"00"}`, `null`, "form"},
		{`{"SD":"00"}`, `{"SD":"0"}`, "form"},
		{`{"SD":"00"}`, `{"SD":"00","SE":"base64"}`, "form"},
		{`{"SD":"00"}`, `{"SD":"00","SE":"bas64"}`, "algorithm"},
		{`{"SD":"00"}`, `{"SD":"00","SM":"text/plain"}`, "algorithm"},
		{`{"SD":"00"}`, `{"SD":"00","SA":""}`, "algorithm"},
		{`{"SD":"00"}`, `{"SD":"00","UA":"an extension"}`, "ok"},
		{`"MS":"1"`, `"MS":"1","IF":"a|b"`, "form"},
	} {
		_, err := ocmf.Parse(strings.Replace(good, c.old, c.new, 1))
		got := "ok"
		if err != nil {
			got = rule(err)
		}
		if got != c.rule || !strings.Contains(good, c.old) {
			t.Errorf("%s → %s: %s (%v), want %s", c.old, c.new, got, err, c.rule)
		}
	}
	reading := `{"TM":"2027-01-15T08:00:00,000+0000 S","RV":1.50,"RI":"1-b:1.8.0","RU":"kWh","EF":"","ST":"G"}`
	for _, n := range []int{ocmf.MaxRecordReadings, ocmf.MaxRecordReadings + 1} {
		_, err := ocmf.Parse(strings.Replace(good, reading, reading+strings.Repeat(",{}", n-1), 1))
		if (err == nil) != (n <= ocmf.MaxRecordReadings) {
			t.Errorf("%d readings: %v", n, err)
		}
	}
}

// TestTimes protects the calendar, against that of the standard library.
func TestTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(1970, 1, 2, 0, 0, 0, 7_000_000, time.UTC)
	for n := 0; at.Year() < 2410; n++ {
		zone := time.FixedZone("", (n%27-13)*1800)
		text := strings.Replace(at.In(zone).Format("2006-01-02T15:04:05.000-0700"), ".", ",", 1)
		r, err := ocmf.Parse(`OCMF|{"PG":"F1","MS":"1","RD":[{"TM":"` + text + ` I","ST":"G"}]}|{"SD":"00"}`)
		if err != nil || r.Readings[0].Time != lamppost.TimeMS(at.UnixMilli()) {
			t.Fatalf("%s: %v, want %d ms", text, r, at.UnixMilli())
		}
		at = at.Add(23*time.Hour + 59*time.Minute + 59*time.Second)
		if n%3 == 0 {
			at = at.Add(50 * 3600 * time.Second)
		}
	}
}

// TestKeys protects the forms of keys.
func TestKeys(t *testing.T) {
	t.Parallel()
	v := own(t, "a session in one record, ECDSA-brainpool384r1-SHA256")
	r, key := v.read(t)
	point := key.DER()[len(key.DER())-97:]
	for _, text := range []string{
		strings.ToUpper(v.key), v.key[:40] + "\n  " + v.key[40:], fmt.Sprintf("brainpool384r1:%x", point), fmt.Sprintf("brainpool384r1:%x", point[1:]),
	} {
		k, err := ocmf.ParsePublicKeyText(text)
		if err == nil {
			err = r.Verify(k)
		}
		if err != nil {
			t.Errorf("key %s: %v", text, err)
		}
	}
	wrong := append([]byte{}, point...)
	wrong[96] ^= 1
	for text, want := range map[string]string{
		"": "key", "zz": "key", "00": "key", v.key + "00": "key", v.key[:len(v.key)-2]: "key",
		fmt.Sprintf("secp384r1:%x", point):              "key", // not on that curve
		fmt.Sprintf("brainpool384r1:%x", wrong):         "key",
		fmt.Sprintf("brainpool384r1:02%x", point[1:49]): "key", // compressed
		fmt.Sprintf("brainpool512r1:%x", point):         "algorithm",
		strings.Repeat("00", 257):                       "limit",
	} {
		if _, err := ocmf.ParsePublicKeyText(text); err == nil || rule(err) != want {
			t.Errorf("key %q: %v, want %s", text, err, want)
		}
	}
}

// TestRawPointOfOtherLength protects ParsePoint from slices that do not fit.
func TestRawPointOfOtherLength(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		if _, err := ocmf.ParsePoint("secp256k1", make([]byte, n)); err == nil {
			t.Errorf("%d zero bytes are a point", n)
		}
	}
}
