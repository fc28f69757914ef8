package export_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/export"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// found begins a chain with two parties, a point, and two meters that each send a power reading every ten minutes for some
// hours, and a billing report on the hour.
func found(t *testing.T, hours int) (h *house, ann, ben *ledgertest.Device) {
	t.Helper()
	h = newHouse(t)
	ann, ben = h.net.NewDevice("ann", sig.EdDSA), h.net.NewDevice("ben", sig.EdDSA)
	body := ann.Body("one")
	body.Name, body.Site = "Ann's meter", "Flat 3"
	h.block(h.net.Genesis(), h.order(lamppost.TxParty, lamppost.PartyBody{ID: "one", Name: "Una One"}), h.order(lamppost.TxDevice, body),
		h.order(lamppost.TxDevice, ben.Body("one")), h.order(lamppost.TxPoint, lamppost.PointBody{ID: "flat-3", Device: "ann", Register: "energy", Unit: "Wh"}))
	n := uint64(0)
	for i := range 6 * hours {
		h.now = ledgertest.Start + lamppost.TimeMS(i)*ledgertest.Hour/6
		n++
		reports := [][]byte{ann.Report(n, ledgertest.Power(h.now, int64(10*i))), ben.Report(n, ledgertest.Power(h.now, int64(5)))}
		if i%6 == 0 {
			n++
			reports = append(reports, ann.Billing(n, ledgertest.Energy(h.now, int64(100*i))), ben.Billing(n, ledgertest.Energy(h.now, int64(i))))
		}
		h.block(h.net.Segment(h.now, reports...))
	}
	return h, ann, ben
}

// Goal: what was pruned is in the summaries and nowhere else, what is kept is in the readings, and each file says how many
// reports are gone; blocks after a height come without summaries.
func TestPruned(t *testing.T) {
	t.Parallel()
	h, _, _ := found(t, 10)
	all := len(h.said)
	h.block(h.order(lamppost.TxRetention, lamppost.RetentionBody{RawDays: 1}))
	h.settle(h.now + 3*ledgertest.Day)
	x := h.export(h.source(), export.Options{})
	var summed int64
	for _, s := range x.summaries {
		summed += s.Count
	}
	if len(x.readings) != 20 || int(summed) != all-20 || int(x.res.Gone) != all-20 || !x.readings[0].Billing {
		t.Errorf("%d readings, summaries of %d, %d gone; want the 20 of billing reports, and %d and %d", len(x.readings), summed, x.res.Gone, all-20, all-20)
	}
	for _, v := range x.values {
		if v.Class != "summary" || v.Reason != "policy" || v.Error != 0 || v.Device == "ann" && v.Value != float64(v.Time-int64(ledgertest.Start))/60_000 {
			t.Errorf("a value in summaries is %+v", v) // ann's are on a line and ben's are all one: nothing is lost
		}
	}
	if len(x.values) != all-20 {
		t.Errorf("%d values in summaries, want %d", len(x.values), all-20)
	}
	i := slices.IndexFunc(x.summaries, func(s export.Summary) bool {
		return s.Device == "ann" && s.Hour == int64(ledgertest.Start+4*ledgertest.Hour) && s.Count == 6
	})
	if i < 0 {
		t.Fatalf("no summary of ann's fifth hour among %+v", x.summaries)
	}
	s := x.summaries[i]
	s.First, s.End = 0, 0
	if want := (export.Summary{Device: "ann", Name: "power", Unit: "W", Kind: "gauge", Hour: s.Hour, Count: 6, Min: 240, Max: 290, Mean: 265, Last: 290,
		LastTime: s.Hour + 50*60_000, Class: "summary"}); s != want {
		t.Errorf("ann's fifth hour is\n%+v, want\n%+v", s, want)
	}
	hour := ledgertest.Start + 3*ledgertest.Hour // it stands in two packs
	y := h.export(h.source(), export.Options{From: hour, To: hour + ledgertest.Hour, Devices: []lamppost.DeviceID{"ann"}, Names: []string{"power"}})
	if summed = 0; len(y.readings) != 0 {
		t.Errorf("of one hour there are still %d readings", len(y.readings))
	}
	for _, s := range y.summaries {
		if summed += s.Count; s.Device != "ann" || s.Hour != int64(hour) {
			t.Errorf("of ann's fourth hour there is %+v", s)
		}
	}
	if summed != 6 {
		t.Errorf("of ann's fourth hour %d readings are summed up, want 6", summed)
	}
	if z := h.export(h.source(), export.Options{After: 1}); len(z.summaries) != 0 || z.res.First != 2 {
		t.Errorf("after block 1 there are %d summaries, from block %d on", len(z.summaries), z.res.First)
	}
	if got := lookup(t, x, "lamppost.gone_reports"); got != fmt.Sprint(all-20) {
		t.Errorf("the file says that %s reports are gone", got)
	}
}

func lookup(t *testing.T, x *exported, key string) string {
	t.Helper()
	f, err := parquet.OpenFile(strings.NewReader(x.raw[0].String()), int64(x.raw[0].Len()))
	must(t, err)
	v, _ := f.Lookup(key)
	return v
}

// Goal: what was erased is in no export from the order on, before its bytes are gone and after; what is held or billed is.
func TestErased(t *testing.T) {
	t.Parallel()
	h, ann, _ := found(t, 6)
	h.block(h.order(lamppost.TxHold, lamppost.HoldBody{ID: "case", Device: "ann", From: ledgertest.Start, To: ledgertest.Start + ledgertest.Hour, Reason: "dispute"}))
	h.block(h.order(lamppost.TxErase, lamppost.EraseBody{Device: "ann", Basis: "GDPR"}))
	h.block(h.net.Segment(h.now, ann.Report(500, ledgertest.Power(h.now, 7))))
	check := func(when string) {
		t.Helper()
		x := h.export(h.source(), export.Options{Devices: []lamppost.DeviceID{"ann"}})
		if n := len(x.readings); n != 6+6+1 || x.res.Gone < 30 {
			t.Errorf("%s there are %d readings of ann and %d reports gone; want 6 billed, 6 held, 1 later, and at least 30", when, n, x.res.Gone)
		}
		for _, r := range x.readings {
			if r.Name == "power" && r.Time >= int64(ledgertest.Start+ledgertest.Hour) && r.SeqN != 500 {
				t.Errorf("%s: %+v is still there", when, r)
			}
		}
		if len(x.summaries) != 0 {
			t.Errorf("%s there are summaries of ann: %+v", when, x.summaries)
		}
	}
	check("after the order")
	h.settle(h.now)
	check("after it was carried out")
}

// A report that a trusted gateway lied about is not exported, or called corrected.
func TestCorrected(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	gw := *h.net
	gw.Member, gw.Key = "gw", ledgertest.Key("gw", sig.EdDSA)
	g := h.net.GenesisBody()
	g.Verify = lamppost.VerifyGateway
	meter := h.net.NewDevice("meter", sig.EdDSA)
	body, thief := meter.Body("p"), *meter
	thief.Key = ledgertest.Key("thief", sig.EdDSA)
	tx := gw.Segment(h.now, meter.Report(1, ledgertest.Power(h.now, 1)), thief.Report(2, ledgertest.Power(h.now, 999)))
	h.block(h.order(lamppost.TxGenesis, g), h.order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), h.order(lamppost.TxDevice, body),
		h.order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Key.Public().Bytes()}), tx)
	if x := h.export(h.source(), export.Options{}); len(x.readings) != 2 {
		t.Fatalf("before it is found out: %+v", x.readings)
	}
	it := &tx.Items[1]
	res := h.block(h.order(lamppost.TxFraud, lamppost.FraudBody{Height: 1, Tx: 4, Report: 1, Header: tx.SignedRaw, Salt: it.Salt[:], Received: it.Received, Raw: it.Report,
		Path: lamppost.MerklePath(tx.Leaves(), 1)}))
	must(t, res.Outcomes[0][0].Err())
	if x := h.export(h.source(), export.Options{}); len(x.readings) != 1 || x.readings[0].Value != 1 {
		t.Errorf("the lie is among %+v", x.readings)
	}
	if x := h.export(h.source(), export.Options{All: true}); len(x.readings) != 2 || x.readings[1].Outcome != "corrected" {
		t.Errorf("with all there are %+v", x.readings)
	}
}

// Names of people are in the file only where they were asked for; ids and points always are.
func TestDevices(t *testing.T) {
	t.Parallel()
	h, ann, _ := found(t, 1)
	at := h.now + 5
	h.now = at
	consent := ann.Rotate()
	b := ann.Body("one")
	b.Name, b.Site, b.Consent = "Ann's meter", "Flat 3", consent
	h.block(h.order(lamppost.TxDevice, b))
	x := h.export(h.source(), export.Options{})
	if len(x.devices) != 2 {
		t.Fatalf("%d devices", len(x.devices))
	}
	want := export.Device{Device: "ann", Owner: "one", Safety: "ordinary", Suite: "ed25519", Assurance: "device-signed", KeyEpoch: 2, Enrolled: int64(ledgertest.Start), KeySince: int64(at)}
	if x.devices[0] != want {
		t.Errorf("ann is\n%+v, want\n%+v", x.devices[0], want)
	}
	for i, what := range []string{"readings", "devices", "summaries", "values"} {
		for _, name := range []string{"Una", "Ann's", "Flat 3"} {
			if strings.Contains(x.raw[i].String(), name) {
				t.Errorf("%s has the name %q", what, name)
			}
		}
	}
	want.Name, want.Site, want.OwnerName = "Ann's meter", "Flat 3", "Una One"
	if y := h.export(h.source(), export.Options{People: true, Devices: []lamppost.DeviceID{"ann"}}); len(y.devices) != 1 || y.devices[0] != want {
		t.Errorf("with names:\n%+v, want\n%+v", y.devices, want)
	}
	for _, r := range x.readings {
		if point := map[bool]string{true: "flat-3"}[r.Device == "ann" && r.Name == "energy"]; r.Point != point || r.Owner != "one" {
			t.Errorf("%s of %s of %q is measured at %q, want %q", r.Name, r.Device, r.Owner, r.Point, point)
		}
	}
}

// docs/export.md is the contract: its tables have the columns of the files, with their types and meanings.
func TestColumnsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/export.md")
	must(t, err)
	for file, row := range map[string]reflect.Type{"readings": reflect.TypeFor[export.Reading](), "devices": reflect.TypeFor[export.Device](), "summaries": reflect.TypeFor[export.Summary](), "values": reflect.TypeFor[export.Value]()} {
		table := "| column | type | meaning |\n|---|---|---|\n"
		schema := parquet.SchemaOf(reflect.New(row).Interface())
		for i, f := range schema.Fields() {
			kind := f.Type().String()
			if f.Optional() {
				kind += ", may be null"
			}
			table += fmt.Sprintf("| `%s` | %s | %s |\n", f.Name(), kind, row.Field(i).Tag.Get("what"))
		}
		if !strings.Contains(string(raw), "### "+file+".parquet\n\n"+table) {
			t.Errorf("docs/export.md, %s.parquet: the table is not\n%s", file, table)
		}
	}
}
