package ocmf_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/ocmf"
)

// A meter signs payloads with P-256.
type meter struct {
	t   testing.TB
	key *ecdsa.PrivateKey
	pub *ocmf.PublicKey
}

func newMeter(t testing.TB) *meter {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ocmf.ParsePoint("secp256r1", point)
	if err != nil {
		t.Fatal(err)
	}
	return &meter{t, key, pub}
}

func (m *meter) text(payload string) string {
	m.t.Helper()
	digest := sha256.Sum256([]byte(payload))
	der, err := ecdsa.SignASN1(rand.Reader, m.key, digest[:])
	if err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprintf(`OCMF|%s|{"SD":"%x"}`, payload, der)
}

func (m *meter) record(payload string) *ocmf.Record {
	m.t.Helper()
	r, err := ocmf.Parse(m.text(payload))
	if err != nil {
		m.t.Fatalf("%s: %v", payload, err)
	}
	return r
}

// TestSessionOfSeveralRecords protects the rules by which begin and end in records of their own make one session. Each case
// changes one thing of three good records.
func TestSessionOfSeveralRecords(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	good := []string{
		`{"GS":"G","PG":"T7","MS":"M","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","TX":"B","RV":1.0,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"}]}`,
		`{"GS":"G","PG":"T8","MS":"M","RD":[{"TM":"2027-01-15T09:00:00,000+0100 S","TX":"C","RV":1.0,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"}]}`,
		`{"GS":"G","PG":"T9","MS":"M","RD":[{"TM":"2027-01-15T09:00:00,000+0000 S","TX":"R","RV":3.25,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"}]}`,
	}
	for _, c := range []struct {
		record   int
		old, new string
		want     string
	}{
		{0, "", "", "2.25 kWh exact"},
		{2, " S", " U", "2.25 kWh"},
		{2, " S", " R", "2.25 kWh exact"},
		{0, " S", " U", "2.25 kWh"},
		{1, `"ST"`, `"EF":"t","ST"`, "2.25 kWh"},
		{1, `"T8"`, `"T9"`, "pages"},
		{1, `"T8"`, `"F8"`, "pages"},
		{2, `"T9"`, `"T10"`, "pages"},
		{1, `"MS":"M"`, `"MS":"N"`, "meter"},
		{2, `"MS":"M"`, `"MS":"M","MM":"other"`, "meter"},
		{2, `"GS":"G"`, `"GS":"H"`, "meter"},
		{0, `"B"`, `"C"`, "begin"},
		{1, `"C"`, `"B"`, "begin"},
		{1, `"TX":"C",`, ``, "begin"},
		{1, `"C"`, `"E"`, "end"},
		{2, `"R"`, `"S"`, "end"},
		{2, `3.25`, `0.99`, "value"},
		{1, `1.0`, `3.26`, "value"},
		{2, `T09:00:00`, `T07:59:59`, "time"},
		{2, `1-b:1.8.0`, `1-b:2.8.0`, "register"},
		{2, `kWh`, `Wh`, "register"},
		{2, `"ST"`, `"RT":"DC","ST"`, "register"},
		{1, `"ST":"G"`, `"ST":"S"`, "status"},
		{1, `"ST"`, `"EF":"tE","ST"`, "status"},
		{1, `"C"`, `"X"`, "status"},
	} {
		records := make([]*ocmf.Record, len(good))
		for i, payload := range good {
			if i == c.record {
				payload = strings.Replace(payload, c.old, c.new, 1)
			}
			records[i] = m.record(payload)
		}
		if got := sum(ocmf.NewSession(m.pub, "", records...)); got != c.want {
			t.Errorf("record %d, %s → %s: %s, want %s", c.record, c.old, c.new, got, c.want)
		}
	}
	all := []*ocmf.Record{m.record(good[0]), newMeter(t).record(good[1]), m.record(good[2])}
	if got := sum(ocmf.NewSession(m.pub, "", all...)); got != "signature" {
		t.Errorf("a record of another key: %s", got)
	}
	if got := sum(ocmf.NewSession(m.pub, "")); got != "limit" {
		t.Errorf("no record: %s", got)
	}
}

// TestSessionOfOneRegister protects records with several registers: it must be said which one counts.
func TestSessionOfOneRegister(t *testing.T) {
	t.Parallel()
	v := own(t, "two registers")
	r, key := v.read(t)
	for register, want := range map[string]string{"": "register", "1-b:1.8.0": "2 kWh exact", "1-b:2.8.0": "1 kWh exact", "1-b:3.8.0": "register"} {
		if got := sum(ocmf.NewSession(key, register, r)); got != want {
			t.Errorf("register %q: %s, want %s", register, got, want)
		}
	}
}

func sum(s *ocmf.Session, err error) string {
	if err != nil {
		return rule(err)
	}
	text := s.Energy.String() + " " + s.Unit
	if s.ExactDuration {
		text += " exact"
	}
	return text
}
