package ledger_test

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

var rewrite = flag.Bool("rewrite", false, "write what the ledger says into testdata/*.txt")

// TestTranscripts runs testdata/*.txt: what the ledger says to an operator and to devices. A paragraph is a ledger block:
// a line for every transaction, "----", and the answers; reports on neighbouring lines share a segment. Time goes on by a
// second from block to block, or to where "at" says. "show" reads the committed state.
//
//	empty                                       begins with an empty ledger
//	at TIME                                     TIME is 2026-01-01T00:00Z, without the date: that of Start, or +90s: from now
//	genesis [rules=N] [members=0|2|twice] [unsigned]
//	again NAME                                  show accounts|seq DEVICE|quarantine DEVICE|ids|edges DEVICE|gateways|keys DEVICE
//	party ID [limit=N] [name=TEXT]              device ID OWNER [key=NAME] [epoch=N] [suite=S] [salt=N] [safety=N] [raw=HEX] [assurance=A] [gateway=ID]
//	gateway ID [member=ID] [raw=HEX]            revoke DEVICE EPOCH [reason=TEXT]
//	point ID DEVICE REGISTER [unit=U]           tariff ID VERSION SELLER PRICE FROM [currency=C] [unit=U]
//	agreement ID SELLER BUYER POINT TARIFF FROM [to=TIME]
//	transfer FROM TO AMOUNT [currency=C]        invoice SELLER BUYER FROM TO [currency=C]
//	report DEVICE NUMBER [epoch=N] [synced] [billing] [as=NAME] [key=NAME] [keyepoch=N] [net=ID] [via=GATEWAY] [wrapped=GATEWAY]
//	       [READING@TIME=VALUE …]
//	                                            reading names ending in "_g" are gauges, others registers in Wh
//	junk                                        bytes that are no report
//
// and the orders about what is kept: see forgetting.
//
// Every transaction takes expires=TIME, by=MEMBER and net=ID; "NAME:" before it keeps it for again.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no transcripts (%v)", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			said := replay(t, path, string(raw))
			if *rewrite {
				if err := os.WriteFile(path, []byte(said), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// replay answers every paragraph and returns the file with the answers given.
func replay(t *testing.T, path, text string) string {
	d := newDesk()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		question, want, isCommand := strings.Cut(block+"\n", "\n----\n")
		if !isCommand {
			out.WriteString(block + "\n")
			continue
		}
		got := strings.TrimSpace(d.answer(question))
		if got != strings.TrimSpace(want) && !*rewrite {
			t.Errorf("%s:\n%s\n---- got\n%s\n---- want\n%s", path, question, got, want)
		}
		out.WriteString(question + "\n----\n" + got + "\n")
	}
	return out.String()
}

// A desk is the state of one transcript.
type desk struct {
	net     *ledgertest.Network
	store   *kv.Mem
	state   *ledger.State
	height  lamppost.Height
	now     lamppost.TimeMS
	devices map[string]*ledgertest.Device
	kept    map[string]*lamppost.Transaction
	reports map[string][]byte
}

func newDesk() *desk {
	d := &desk{net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start, devices: map[string]*ledgertest.Device{},
		kept: map[string]*lamppost.Transaction{}, reports: map[string][]byte{}}
	d.open()
	return d
}

func (d *desk) open() {
	var err error
	if d.state, err = ledger.Open(d.store); err != nil {
		panic(err)
	}
}

// answer runs a paragraph as one block. The state is opened again after each, so that everything read is what was written.
func (d *desk) answer(question string) (said string) {
	defer func() {
		if p := recover(); p != nil {
			said = fmt.Sprintf("PANIC %v", p)
		}
	}()
	d.height++
	d.now += 1000
	var out []string
	var pack [][]byte
	via, begun := "", false
	flush := func() {
		if !begun && len(pack) > 0 {
			begun = true
			d.state.Begin(d.height, d.now)
		}
		if len(pack) > 0 {
			out = append(out, d.apply(d.segment(via, pack))...)
			pack = nil
		}
	}
	for _, line := range strings.Split(question, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		w := parseLine(line)
		switch w.verb {
		case "empty":
			*d = *newDesk()
			return "ok"
		case "at":
			d.now = d.time(w.arg(0))
			continue
		case "report", "junk":
			if w.or("via", "") != via {
				flush()
				via = w.or("via", "")
			}
			pack = append(pack, d.report(w))
			continue
		}
		flush()
		if w.verb == "show" {
			d.commit()
			out = append(out, d.show(w)...)
			continue
		}
		if !begun {
			begun = true
			d.state.Begin(d.height, d.now)
		}
		out = append(out, d.apply(d.order(w))...)
	}
	flush()
	d.commit()
	if !begun {
		d.height--
	}
	d.open()
	return strings.Join(out, "\n")
}

// segment packs reports as the member, or as a gateway.
func (d *desk) segment(via string, reports [][]byte) *lamppost.Transaction {
	if via == "" {
		return d.net.Segment(d.now, reports...)
	}
	net := *d.net
	net.Member, net.Key = lamppost.MemberID(via), ledgertest.Key(via, sig.EdDSA)
	defer d.net.Salts(make([]byte, 64)) // net is a copy: draw on
	return net.Segment(d.now, reports...)
}

func (d *desk) commit() {
	var b kv.Batch
	d.state.Stage(&b)
	if err := d.store.Apply(&b); err != nil {
		panic(err)
	}
	d.state.Committed()
}

func (d *desk) apply(tx *lamppost.Transaction) []string {
	outcomes, writes, err := d.state.Apply(tx, tx.ID("net"), false)
	if err != nil {
		return []string{"ERROR " + err.Error()}
	}
	var out []string
	for _, o := range outcomes {
		out = append(out, say(tx.Type, o))
		if tx.Type != lamppost.TxSegment && !o.Code.Accepted() && len(writes) > 0 {
			out = append(out, "REFUSED AND WROTE")
		}
	}
	return out
}

func say(t lamppost.TxType, o lamppost.Outcome) string {
	switch {
	case o.Code == lamppost.CodeDuplicate:
		return fmt.Sprintf("duplicate of block %d", binary.BigEndian.Uint64(o.Data))
	case t == lamppost.TxInvoice && o.Code == lamppost.CodeOK:
		var inv tariff.Invoice
		if err := lamppost.Unmarshal(o.Data, &inv); err != nil {
			return err.Error()
		}
		s := inv.Number + ":"
		for _, sup := range inv.Supplies {
			for _, l := range sup.Lines {
				s += fmt.Sprintf(" %s v%d %s = %s,", sup.Agreement, sup.Version, l.Quantity, l.Amount)
			}
		}
		return fmt.Sprintf("%s net %s, total %s %s", s, inv.Net, inv.Total, inv.Currency)
	case o.Text != "":
		return o.Code.String() + ": " + o.Text
	}
	return o.Code.String()
}

// words is a line taken apart.
type words struct {
	name, verb string
	args       []string
	opts       map[string]string
	pairs      []string // name@time=value
}

func parseLine(line string) words {
	w := words{opts: map[string]string{}}
	for i, f := range strings.Fields(line) {
		k, v, has := strings.Cut(f, "=")
		switch {
		case i == 0 && strings.HasSuffix(f, ":"):
			w.name = strings.TrimSuffix(f, ":")
		case w.verb == "":
			w.verb = f
		case has && strings.Contains(k, "@"):
			w.pairs = append(w.pairs, f)
		case has:
			w.opts[k] = v
		default:
			w.args = append(w.args, f)
		}
	}
	return w
}

func (w words) arg(i int) string {
	if i < len(w.args) {
		return w.args[i]
	}
	return ""
}

func (w words) has(flag string) bool {
	for _, a := range w.args {
		if a == flag {
			return true
		}
	}
	return false
}

func (w words) or(key, otherwise string) string {
	if v, ok := w.opts[key]; ok {
		return v
	}
	return otherwise
}

func (d *desk) time(s string) lamppost.TimeMS {
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		span, err := time.ParseDuration(s)
		must(err)
		return d.now + lamppost.TimeMS(span.Milliseconds())
	}
	if !strings.Contains(s, "T") {
		s = "2026-01-01T" + s
	}
	at, err := time.Parse("2006-01-02T15:04Z", s)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05Z", s)
	}
	must(err)
	return lamppost.TimeMS(at.UnixMilli())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	must(err)
	return n
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	must(err)
	return b
}

func money(s string) lamppost.Micro {
	m, err := lamppost.ParseMicro(s)
	must(err)
	return m
}

func (d *desk) order(w words) *lamppost.Transaction {
	if w.verb == "again" {
		return d.kept[w.arg(0)]
	}
	t, body := d.body(w)
	net := *d.net
	net.ID = w.or("net", net.ID)
	if by, ok := w.opts["by"]; ok {
		net.Member, net.Key = lamppost.MemberID(by), ledgertest.Key(by, sig.EdDSA)
	}
	tx := net.Order(d.time(w.or("expires", "+1h")), t, body)
	d.net.Salts(make([]byte, 64)) // net is a copy: draw on
	if w.name != "" {
		d.kept[w.name] = tx
	}
	return tx
}

func (d *desk) body(w words) (lamppost.TxType, any) {
	party := func(i int) lamppost.PartyID { return lamppost.PartyID(w.arg(i)) }
	switch w.verb {
	case "genesis":
		return lamppost.TxGenesis, d.genesis(w)
	case "party":
		return lamppost.TxParty, lamppost.PartyBody{ID: party(0), Name: w.or("name", ""), CreditLimit: money(w.or("limit", "0"))}
	case "device":
		return lamppost.TxDevice, d.device(w)
	case "gateway":
		b := lamppost.GatewayBody{ID: lamppost.MemberID(w.arg(0)), Member: lamppost.MemberID(w.or("member", "m1")),
			Key: ledgertest.Key(w.arg(0), sig.EdDSA).Public().Bytes()}
		if raw, ok := w.opts["raw"]; ok {
			b.Key = unhex(raw)
		}
		return lamppost.TxGateway, b
	case "revoke":
		return lamppost.TxRevoke, lamppost.RevokeBody{Device: lamppost.DeviceID(w.arg(0)), KeyEpoch: uint32(number(w.arg(1))), Reason: w.or("reason", "")}
	case "point":
		return lamppost.TxPoint, lamppost.PointBody{ID: w.arg(0), Device: lamppost.DeviceID(w.arg(1)), Register: w.arg(2), Unit: w.or("unit", "Wh")}
	case "tariff":
		t := ledgertest.Tariff(w.arg(0), uint32(number(w.arg(1))), party(2), d.time(w.arg(4)), money(w.arg(3)))
		t.Currency, t.RegisterUnit = w.or("currency", "EUR"), w.or("unit", "Wh")
		if until, ok := w.opts["to"]; ok {
			t.To = d.time(until)
		}
		return lamppost.TxTariff, t
	case "agreement":
		a := lamppost.AgreementBody{ID: w.arg(0), Seller: party(1), Buyer: party(2), Point: w.arg(3), Tariff: w.arg(4), From: d.time(w.arg(5))}
		if until, ok := w.opts["to"]; ok {
			a.To = d.time(until)
		}
		return lamppost.TxAgreement, a
	case "transfer":
		return lamppost.TxTransfer, lamppost.TransferBody{From: party(0), To: party(1), Amount: money(w.arg(2)),
			Currency: w.or("currency", "EUR"), Memo: strings.Repeat("m", int(number(w.or("memo", "0"))))}
	case "invoice":
		return lamppost.TxInvoice, lamppost.InvoiceBody{Seller: party(0), Buyer: party(1), From: d.time(w.arg(2)), To: d.time(w.arg(3)),
			Currency: w.or("currency", "EUR")}
	case "raw":
		body, err := hex.DecodeString(w.arg(1))
		must(err)
		return lamppost.TxType(number(w.arg(0))), body
	}
	return d.forgetting(w)
}

func (d *desk) genesis(w words) lamppost.GenesisBody {
	g := d.net.GenesisBody()
	g.Rules = uint32(number(w.or("rules", "1")))
	g.Network, g.AdmitUnsigned = w.or("network", g.Network), w.has("unsigned")
	m2 := lamppost.Member{ID: "m2", Key: ledgertest.Key("m2", sig.EdDSA).Public().Bytes()}
	switch w.or("members", "1") {
	case "0":
		g.Members = nil
	case "2":
		g.Members = append(g.Members, m2)
	case "twice":
		g.Members = append(g.Members, m2, m2)
	case "badkey":
		m2.Key = make([]byte, 32)
		g.Members = append(g.Members, m2)
	case "other":
		g.Members = []lamppost.Member{m2}
	}
	return g
}

func (d *desk) device(w words) lamppost.DeviceBody {
	id := w.arg(0)
	suite, err := sig.ParseSuite(w.or("suite", "ed25519"))
	must(err)
	dev := d.net.NewDevice(lamppost.DeviceID(id), suite)
	if k, ok := w.opts["key"]; ok {
		dev.Key = ledgertest.Key(k, suite)
	}
	dev.Epoch = uint32(number(w.or("epoch", "1")))
	b := dev.Body(lamppost.PartyID(w.arg(1)))
	b.Salt = b.Salt[:number(w.or("salt", "16"))]
	b.Safety = lamppost.SafetyClass(number(w.or("safety", "3")))
	b.Assurance, err = lamppost.ParseAssurance(w.or("assurance", "device-signed"))
	must(err)
	switch b.Gateway = lamppost.MemberID(w.or("gateway", "")); {
	case b.Assurance == lamppost.GatewayVouched && suite == sig.HMAC256:
		sum := lamppost.KeyCommitment(b.Salt, b.Key)
		b.Key = sum[:]
	case b.Assurance.Wrapped() && w.or("suite", "") == "":
		b.Suite, b.Key = 0, nil
	}
	if raw, ok := w.opts["raw"]; ok {
		b.Key = unhex(raw)
	}
	if d.devices[id] == nil || dev.Epoch > d.devices[id].Epoch {
		d.devices[id] = dev
	}
	return b
}

func (d *desk) report(w words) []byte {
	if w.verb == "junk" {
		return []byte("junk")
	}
	if raw, ok := d.reports[w.or("again", "")]; ok {
		return raw
	}
	var dev ledgertest.Device
	if known := d.devices[w.or("as", w.arg(0))]; known != nil {
		dev = *known
	} else {
		dev = *d.net.NewDevice(lamppost.DeviceID(w.arg(0)), sig.EdDSA)
	}
	dev.ID = lamppost.DeviceID(w.arg(0))
	if k, ok := w.opts["key"]; ok {
		dev.Key = ledgertest.Key(k, sig.EdDSA)
	}
	dev.Epoch = uint32(number(w.or("keyepoch", fmt.Sprint(dev.Epoch))))
	dev.Network = w.or("net", dev.Network)
	r := lamppost.Report{Seq: lamppost.Seq{Epoch: uint32(number(w.or("epoch", "0"))), N: uint64(number(w.arg(1)))}}
	if w.has("synced") {
		r.TimeQuality = lamppost.TimeSynchronised
	}
	if w.has("billing") {
		r.Flags = lamppost.FlagBilling
	}
	if by, ok := w.opts["wrapped"]; ok {
		dev.Key = ledgertest.Key(by, sig.EdDSA)
		r.Flags |= lamppost.FlagWrapped
	}
	for _, p := range w.pairs {
		r.Readings = append(r.Readings, d.reading(p))
	}
	if len(w.pairs) == 0 {
		r.Readings = []lamppost.Reading{ledgertest.Power(d.now, 1)}
	}
	raw := dev.Sign(r)
	if w.has("float") {
		raw = floatRegister(&dev, r)
	}
	if w.has("bent") {
		raw[len(raw)-40] ^= 1 // in R: decodes or not, it does not verify
	}
	if w.name != "" {
		d.reports[w.name] = raw
	}
	return raw
}

func (d *desk) reading(pair string) lamppost.Reading {
	left, value, _ := strings.Cut(pair, "=")
	name, at, _ := strings.Cut(left, "@")
	value, quality, _ := strings.Cut(value, "/")
	v, err := lamppost.ParseDecimal(value)
	must(err)
	r := lamppost.Reading{Name: strings.ReplaceAll(name, "^", "\x00"), Unit: "Wh", Time: d.time(at), Kind: lamppost.Register, Value: v}
	if strings.HasSuffix(name, "_g") {
		r.Kind = lamppost.Gauge
	}
	r.Quality = map[string]lamppost.Quality{"estimated": lamppost.Estimated, "faulty": lamppost.Faulty}[quality]
	return r
}

// floatRegister signs a report whose register is a float, which this project's own encoder refuses to write: label 2 (a
// float value) is turned into label 5 (a sum) before signing.
func floatRegister(dev *ledgertest.Device, r lamppost.Report) []byte {
	r.Readings = []lamppost.Reading{{Name: "e", Unit: "Wh", Time: 1, IsFloat: true, Float: 1.5}}
	r.Device, r.KeyEpoch = dev.ID, dev.Epoch
	raw := dev.Sign(r)
	at := strings.Index(string(raw), "\x02\xf9\x3e\x00") // 1.5 as a half
	if at < 0 {
		panic("no float in the pack")
	}
	raw[at] = 5
	return raw
}

func (d *desk) show(w words) (out []string) {
	v := ledger.View{Reader: d.store}
	switch w.arg(0) {
	case "accounts":
		accounts, err := v.Accounts()
		must(err)
		for _, a := range accounts {
			out = append(out, fmt.Sprintf("%s %s %s", a.Party, a.Balance, a.Currency))
		}
	case "seq":
		high, missing, lost, err := v.Sequence(lamppost.DeviceID(w.arg(1)))
		must(err)
		out = append(out, fmt.Sprintf("epoch %d high %d missing %d lost %d", high.Epoch, high.N, missing, lost))
	case "quarantine":
		why, err := v.Quarantine(lamppost.DeviceID(w.arg(1)))
		must(err)
		out = append(out, fmt.Sprintf("%q", why))
	case "gateways":
		gateways, err := v.Gateways()
		must(err)
		for _, g := range gateways {
			p, err := v.Where(lamppost.TxGateway, string(g.ID), 0)
			must(err)
			out = append(out, fmt.Sprintf("%s of %s, registered in block %d", g.ID, g.Member, p.Height))
		}
	case "keys":
		body, err := v.Device(lamppost.DeviceID(w.arg(1)))
		must(err)
		for epoch := range body.KeyEpoch + 1 {
			if p, err := v.Where(lamppost.TxDevice, w.arg(1), epoch); err == nil {
				out = append(out, fmt.Sprintf("epoch %d enrolled in block %d", epoch, p.Height))
			}
		}
		revoked, err := v.Revoked(body.ID)
		must(err)
		for _, b := range revoked {
			p, err := v.Where(lamppost.TxRevoke, w.arg(1), b.KeyEpoch)
			must(err)
			out = append(out, fmt.Sprintf("epoch %d revoked in block %d: %s", b.KeyEpoch, p.Height, b.Reason))
		}
	case "kept":
		out = append(out, d.forgotten()...)
	case "snapshots":
		out = append(out, d.snapshots()...)
	case "ids":
		n := 0
		must(d.store.Scan([]byte("sY"), []byte("sZ"), func(_, _ []byte) error { n++; return nil }))
		out = append(out, fmt.Sprintf("%d ids remembered", n))
	case "edges":
		from := []byte("sE" + w.arg(1) + "\x00")
		must(d.store.Scan(from, append(from[:len(from)-1:len(from)-1], 1), func(k, val []byte) error {
			var e tariff.Edge
			must(lamppost.Unmarshal(val, &e))
			name, _, _ := strings.Cut(string(k[len(from):]), "\x00")
			out = append(out, fmt.Sprintf("%s %s %s %s from block %d, report %d, record %d", name,
				time.UnixMilli(int64(e.Time)).UTC().Format("2006-01-02T15:04Z"), e.Value, e.Quality, e.Source.Height, e.Source.Report, e.Source.Record))
			return nil
		}))
	default:
		panic("show what?")
	}
	return out
}
