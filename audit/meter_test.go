package audit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/ocmf"
)

// A meter signs the readings of its device by itself. A nil one signs nothing.
type meter struct {
	key    *ecdsa.PrivateKey
	signs  func(at lamppost.TimeMS) bool
	change func(record string) string // falsifies a record before the device signs the report
}

func newMeter(t testing.TB) *meter {
	t.Helper()
	seed := sha256.Sum256([]byte("the meter"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	must(t, err)
	return &meter{key, func(lamppost.TimeMS) bool { return true }, func(r string) string { return r }}
}

func (m *meter) public() []byte {
	if m == nil {
		return nil
	}
	point, err := m.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	key, err := ocmf.ParsePoint("secp256r1", point)
	if err != nil {
		panic(err)
	}
	return key.DER()
}

func (m *meter) records(readings []lamppost.Reading) []lamppost.MeterRecord {
	if m == nil {
		return nil
	}
	var rd []string
	for _, r := range readings {
		if m.signs(r.Time) {
			at := time.UnixMilli(int64(r.Time)).UTC().Format("2006-01-02T15:04:05.000")
			rd = append(rd, fmt.Sprintf(`{"TM":"%s,%s+0000 S","RV":%s,"RI":"1-b:1.8.0","RU":"Wh","ST":"G"}`, at[:19], at[20:], r.Value))
		}
	}
	if len(rd) == 0 {
		return nil
	}
	payload := `{"PG":"F1","MS":"4711","RD":[` + strings.Join(rd, ",") + `]}`
	digest := sha256.Sum256([]byte(payload))
	der, err := m.key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return []lamppost.MeterRecord{{Name: readings[0].Name, Text: m.change(fmt.Sprintf(`OCMF|%s|{"SD":"%x"}`, payload, der))}}
}

func (m *meter) gives(r *lamppost.Report) []bool {
	if m == nil {
		return nil
	}
	given, _ := ocmf.Match(m.public(), r.Readings, r.Meter)
	return given
}

// metered is a home whose meter signs too, billed.
func metered(t testing.TB, m *meter) *home {
	t.Helper()
	h := registered(t, "north")
	h.meters = map[lamppost.DeviceID]*meter{"BQ27": m}
	h.rotate("BQ27", true)
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "SWN-000041", h.supply(), nil)
	return h
}

// Goal: a line whose registers all rest on the meter's own signature says so, and no other does. Method: a meter that signs all
// readings, and one that leaves out an edge of the lines "valley".
func TestMeterSignedLines(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	h := metered(t, m)
	s, err := audit.NewStatement(h.all(), h.pin(1), "anna")
	must(t, err)
	for _, l := range s.Invoices[0].Lines {
		if want := l.Band != "standing"; (l.Assurance == "meter-signed") != want {
			t.Errorf("line %d, %s: assurance %q", l.N, l.Band, l.Assurance)
		}
		if l.Opening != nil && (l.Opening.Assurance != "meter-signed" || l.Closing.Assurance != "meter-signed") {
			t.Errorf("line %d, %s: registers %q and %q", l.N, l.Band, l.Opening.Assurance, l.Closing.Assurance)
		}
	}
	f, err := audit.Verify(s.Encode(), h.pin(1))
	must(t, err)
	said := strings.Join(append(f.Summary, f.DoesNotProve...), "\n")
	for _, want := range []string{"of them meter-signed", "the meters' signatures hold", "that a meter's key is the meter's"} {
		if !strings.Contains(said, want) {
			t.Errorf("the finding says\n%s\nwant %q in it", said, want)
		}
	}

	out := ms(t, "2026-10-25T00:30:00Z") // 02:30 in Berlin, the first time
	m.signs = func(at lamppost.TimeMS) bool {
		edge, _ := lamppost.SnapToEdge(at)
		return edge != out
	}
	h = metered(t, m)
	s, err = audit.NewStatement(h.all(), h.pin(1), "anna")
	must(t, err)
	for _, l := range s.Invoices[0].Lines {
		if want := l.Band == "day"; (l.Assurance == "meter-signed") != want {
			t.Errorf("with an edge left out, line %d, %s: assurance %q", l.N, l.Band, l.Assurance)
		}
	}
}

// Goal: a record that does not hold is found, and the line that rests on its report is named, even if device and ledger agreed on it.
// Method: change a record before the device signs it and log it as accepted.
func TestMeterRecordThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) string{
		"another value":     func(r string) string { return strings.Replace(r, `"RV":`, `"RV":1`, 1) },
		"another signature": func(r string) string { return r[:len(r)-4] + "00" + r[len(r)-2:] },
		"no record":         func(string) string { return "OCMF" },
	} {
		m := newMeter(t)
		m.change = change
		h := metered(t, m)
		_, err := audit.NewStatement(h.all(), h.pin(1), "anna")
		t.Run(name, func(t *testing.T) {
			refused(t, err, "invoice SWN-000041: line ", "carries a record of its meter that does not hold: OCMF ")
		})
	}
}

// Goal: whichever byte of a meter's record is changed in a statement's proof, the line that rests on it is refused.
func TestMeterRecordTampered(t *testing.T) {
	t.Parallel()
	h := metered(t, newMeter(t))
	all := h.all()
	for i := range all.Txs {
		seg := all.Txs[i].Segment
		if seg == nil {
			continue
		}
		for j := range seg.Kept {
			good := seg.Kept[j].Report
			at := strings.Index(string(good), "OCMF|")
			if at < 0 {
				continue
			}
			for k := at; k < len(good)-66; k += 37 {
				bad := slices.Clone(good)
				bad[k] ^= 1
				seg.Kept[j].Report = bad
				_, err := audit.NewStatement(all, h.pin(1), "anna")
				refused(t, err, "invoice SWN-000041: line ")
			}
			seg.Kept[j].Report = good
			return
		}
	}
	t.Fatal("no record in the proof")
}
