package ledger_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/transcript"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// TestTranscripts runs testdata/*.txt: what the ledger says to an operator and to devices. A paragraph is a ledger block:
// a line for every transaction, "----", and the answers; reports on neighbouring lines share a segment. Time goes on by a
// second from block to block, or to where "at" says. "show" reads the committed state.
//
//	empty                                       begins with an empty ledger
//	at TIME                                     TIME is 2026-01-01T00:00Z, without the date: that of Start, or +90s: from now
//	genesis [rules=N] [members=0|2|twice|ID[/ORG[/KEY]],…] [unsigned] [verify=full|gateway] [engine=E] [trust=ORG+ORG,…] [reason=TEXT]
//	network AFTER ID[/ORG[/KEY]],… [rules=N from=HEIGHT]
//	again NAME                                  show network|accounts|seq DEVICE|quarantine DEVICE|ids|edges DEVICE|gateways|keys DEVICE|gateway GATEWAY|records|guard DEVICE
//	party ID [limit=N] [name=TEXT]              device ID OWNER [key=NAME] [epoch=N] [suite=S] [salt=N] [safety=N] [raw=HEX] [assurance=A] [gateway=ID]
//	gateway ID [member=ID] [key=NAME] [epoch=N] [raw=HEX]
//	revoke DEVICE EPOCH [reason=TEXT]           revoke-gateway GATEWAY EPOCH [reason=TEXT]
//	point ID DEVICE REGISTER [unit=U] [mount=N from=TIME] [closing=V] [opening=V] [rolls=V] [main=POINT] [sessions]
//	tariff ID VERSION SELLER PRICE FROM [currency=C] [unit=U] [minute=PRICE] [minimum=AMOUNT]
//	agreement ID SELLER BUYER POINT TARIFF FROM [to=TIME] [tax=CATEGORY why=TEXT]
//	reading DEVICE REGISTER TIME VALUE estimated|substituted [reason=TEXT] [unit=U]
//	correct SELLER NUMBER [cause=N] [dispute=ID]   dispute ID SELLER NUMBER [state=N] [line=N] [until=TIME] [reason=TEXT]
//	session ID BUYER POINT TARIFF LIMIT FROM UNTIL [version=N]      settle ID STOP [void=TEXT]
//	convert PARTY WITH FROM TO AMOUNT RATE TIME [source=TEXT]
//	charter DEVICE NUMBER NAME:CLASS[:MIN]… [owner=KEY] [signer=KEY] [second=KEY] [agreed=KEY] [of=DEVICE] [for=NET]
//	restrict ID DEVICE [function=NAME] [level=N] [by-party=ID] [reason=TEXT] [notice=TIME] [until=TIME] [lifted]
//	transfer FROM TO AMOUNT [currency=C]        invoice SELLER BUYER FROM TO [currency=C]
//	centre DEVICE VERSION FROM PARTY:PARTS,… …   payout DEVICE FROM TO          see transcript_centres_test.go
//	offer ID DEVICE POINT TARIFF MOST LONGEST UNTIL …                            accept OFFER SESSION DEVICE BUYER POINT TARIFF LIMIT FROM UNTIL …
//	report DEVICE NUMBER [epoch=N] [synced] [billing] [as=NAME] [key=NAME [suite=S]] [keyepoch=N] [net=ID] [via=GATEWAY [viakey=NAME]] [wrapped=KEY]
//	       [cold [half[=KEY]]] [READING@TIME=VALUE …]
//	                                            reading names ending in "_g" are gauges, others registers in Wh
//	fraud HEIGHT TX N [from=HEIGHT] [lie=salt|shortsalt|received|path|place|header|nothing|order|raw DEVICE NUMBER|signer key=KEY]
//	                                            accuses the gateway of report N, from 0, of a segment
//	junk                                        bytes that are no report
//
// and the orders about vouchers and about what is kept: see vouching and forgetting; about contracts: see contracts; of triage: see triage; of agents: see agents.
//
// Every transaction takes expires=TIME, by=MEMBER and net=ID; "NAME:" before it keeps it for again. A new key of a device or
// gateway takes consent=KEY|junk [from=EPOCH] [from-id=ID] [from-net=ID] [from-suite=S] [toOther] [asReport].
func TestTranscripts(t *testing.T) {
	t.Parallel()
	transcript.Run(t, func(*testing.T) func(string) string { return newDesk().answer })
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

	index    uint32 // of the next transaction of the block
	segments map[ledger.Place]*lamppost.Transaction
}

func newDesk() *desk {
	d := &desk{net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start, devices: map[string]*ledgertest.Device{},
		kept: map[string]*lamppost.Transaction{}, reports: map[string][]byte{}, segments: map[ledger.Place]*lamppost.Transaction{}}
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
	d.index = 0
	d.now += 1000
	var out []string
	var pack [][]byte
	var half []*sig.PublicKey // by report: the key for a half-aggregate
	via, begun := words{}, false
	flush := func() {
		if !begun && len(pack) > 0 {
			begun = true
			d.state.Begin(d.height, d.now)
		}
		if len(pack) > 0 {
			out = append(out, d.apply(d.segment(via, pack, half))...)
			pack, half = nil, nil
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
			if w.or("via", "") != via.or("via", "") || w.or("viakey", "") != via.or("viakey", "") {
				flush()
				via = w
			}
			pack, half = append(pack, d.report(w)), append(half, d.half(w))
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
func (d *desk) segment(w words, reports [][]byte, half []*sig.PublicKey) *lamppost.Transaction {
	net := d.net
	if via := w.or("via", ""); via != "" {
		other := *d.net
		other.Member, other.Key = lamppost.MemberID(via), ledgertest.Key(w.or("viakey", via), sig.EdDSA)
		net = &other
		defer d.net.Salts(make([]byte, 64)) // draw on
	}
	return net.Aggregate(d.now, func(i int) *sig.PublicKey { return half[i] }, reports...)
}

// half is the key that a report's half goes into the aggregate with, nil if it stays whole.
func (d *desk) half(w words) *sig.PublicKey {
	key, ok := w.opts["half"]
	switch {
	case ok:
		return ledgertest.Key(key, sig.EdDSA).Public()
	case w.has("half"):
		return d.devices[w.arg(0)].Key.Public()
	}
	return nil
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
	if tx.Type == lamppost.TxSegment {
		d.segments[ledger.Place{Height: d.height, Index: d.index}] = tx
	}
	d.index++
	if tx.Type != lamppost.TxSegment {
		outcomes = outcomes[:1] // what contracts did is in "show runs"
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
	case t == lamppost.TxCash && o.Code == lamppost.CodeOK:
		return sayCashed(o)
	case t == lamppost.TxFraud && o.Code == lamppost.CodeOK:
		return sayCorrection(o)
	case t == lamppost.TxSettle && o.Code == lamppost.CodeOK && len(o.Data) > 0:
		var lines []tariff.Line
		must(lamppost.Unmarshal(o.Data, &lines))
		s := "ok:"
		for _, l := range lines {
			s += fmt.Sprintf(" %s %s = %s,", l.Band, l.Quantity, l.Amount)
		}
		return s
	case (t == lamppost.TxInvoice || t == lamppost.TxCorrect) && o.Code == lamppost.CodeOK:
		var inv tariff.Invoice
		if err := lamppost.Unmarshal(o.Data, &inv); err != nil {
			return err.Error()
		}
		s := inv.Number + ":"
		for _, sup := range inv.Supplies {
			for _, l := range sup.Lines {
				s += fmt.Sprintf(" %s v%d %s = %s,", sup.Agreement+sup.Session+sup.Channel, sup.Version, l.Quantity, l.Amount)
				if l.Estimated {
					s += " estimated,"
				}
			}
			if sup.Judged {
				s += " judged,"
			}
			for _, f := range sup.Findings {
				s += fmt.Sprintf(" %s %s %s in block %d,", f.Verdict, f.Code, f.Answer, f.Height)
			}
		}
		if c := inv.Corrects; c != nil {
			s += fmt.Sprintf(" corrects %s, cause %q, which came to %s: %s due,", c.Number, c.Cause, c.Total, inv.Due())
		}
		return fmt.Sprintf("%s net %s, total %s %s", s, inv.Net, inv.Total, inv.Currency)
	case t == lamppost.TxPayout && o.Code == lamppost.CodeOK:
		return sayProfit(o)
	case t == lamppost.TxCall && o.Code == lamppost.CodeOK:
		var r ledger.Run
		must(lamppost.Unmarshal(o.Data, &r))
		return "ok: " + sayRun(r)
	case t == lamppost.TxNetwork && o.Code == lamppost.CodeOK:
		return fmt.Sprintf("ok: %d of %d", o.Data[0], o.Data[1])
	case o.Text != "":
		return o.Code.String() + ": " + o.Text
	}
	return o.Code.String()
}

func sayCorrection(o lamppost.Outcome) string {
	var c lamppost.Correction
	if err := lamppost.Unmarshal(o.Data, &c); err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("ok: %s lied about report %d/%d of %s;", c.Gateway, c.Epoch, c.N, c.Device)
	if c.Taken {
		s += fmt.Sprintf(" its number is free again, %d edges are gone", c.Edges)
	} else {
		s += " it had changed nothing"
	}
	if len(c.Invoices) > 0 {
		s += "; invoices that rest on it: " + strings.Join(c.Invoices, ", ")
	}
	if c.Suspended {
		s += "; " + string(c.Gateway) + " is suspended"
	}
	return s
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

func (d *desk) show(w words) (out []string) {
	v := ledger.View{Reader: d.store}
	switch w.arg(0) {
	case "accounts":
		accounts, err := v.Accounts()
		must(err)
		for _, a := range accounts {
			held := ""
			if a.Held != 0 {
				held = fmt.Sprintf(", %s held", a.Held)
			}
			out = append(out, fmt.Sprintf("%s %s %s%s", a.Party, a.Balance, a.Currency, held))
		}
	case "sessions":
		sessions, err := v.Sessions()
		must(err)
		for _, s := range sessions {
			out = append(out, fmt.Sprintf("%s of %s: %s, %s held, invoice %q", s.ID, s.Buyer, s.State(), s.Held, s.Invoice))
		}
	case "channels":
		out = showChannels(v)
	case "spending":
		out = append(out, d.showSpending(v, w.arg(1)))
	case "disputes":
		disputes, err := v.Disputes()
		must(err)
		for _, b := range disputes {
			out = append(out, fmt.Sprintf("%s about line %d of %s: %s (%s)", b.ID, b.Line, b.Invoice, b.State, b.Reason))
		}
	case "seq":
		high, missing, lost, err := v.Sequence(lamppost.DeviceID(w.arg(1)))
		must(err)
		out = append(out, fmt.Sprintf("epoch %d high %d missing %d lost %d", high.Epoch, high.N, missing, lost))
	case "quarantine":
		why, err := v.Quarantine(lamppost.DeviceID(w.arg(1)))
		must(err)
		out = append(out, fmt.Sprintf("%q", why))
	case "network":
		n, err := v.Network()
		must(err)
		line := fmt.Sprintf("%s, rules %d, changed by block %d:", n.Engine, n.RulesAt(d.height), n.Changed)
		for _, m := range n.Members {
			line += " " + string(m.ID)
		}
		if len(n.Former) > 0 {
			line += fmt.Sprintf(", formerly %s", n.Former)
		}
		out = append(out, line)
		changes, err := v.Changes()
		must(err)
		for _, c := range changes {
			out = append(out, fmt.Sprintf("%d members proposed by %s", len(c.Members), c.By))
		}
	case "gateways":
		gateways, err := v.Gateways()
		must(err)
		for _, g := range gateways {
			p, err := v.Where(lamppost.TxGateway, string(g.ID), g.KeyEpoch)
			must(err)
			out = append(out, fmt.Sprintf("%s of %s, registered in block %d", g.ID, g.Member, p.Height))
		}
	case "gateway":
		keys, err := v.GatewayKeys(lamppost.MemberID(w.arg(1)))
		must(err)
		for _, k := range keys {
			out = append(out, showKey(k.Body.KeyEpoch, k.Place, k.Until, k.Body.Consent))
		}
		revoked, err := v.RevokedGateway(lamppost.MemberID(w.arg(1)))
		must(err)
		out = append(out, showRevoked(revoked)...)
	case "keys":
		keys, err := v.Keys(lamppost.DeviceID(w.arg(1)))
		must(err)
		for _, k := range keys {
			out = append(out, showKey(k.Body.KeyEpoch, k.Place, k.Until, k.Body.Consent))
			if p, err := v.Where(lamppost.TxDevice, w.arg(1), k.Body.KeyEpoch); err != nil || p != k.Place {
				out = append(out, fmt.Sprintf("but where it is said to be: %v, %v", p, err))
			}
		}
		revoked, err := v.Revoked(lamppost.DeviceID(w.arg(1)))
		must(err)
		out = append(out, showRevoked(revoked)...)
	case "contracts":
		out = append(out, showContracts(v)...)
	case "runs":
		out = append(out, showRuns(v)...)
	case "kept":
		out = append(out, d.forgotten()...)
	case "guard":
		charters, err := v.Charters(lamppost.DeviceID(w.arg(1)))
		must(err)
		for _, b := range charters {
			c, err := lamppost.ParseCharter(b.Charter)
			must(err)
			p, err := v.Where(lamppost.TxCharter, w.arg(1), c.Number)
			must(err)
			line := fmt.Sprintf("charter %d of block %d:", c.Number, p.Height)
			for _, f := range c.Functions {
				line += fmt.Sprintf(" %s %s %d", f.Name, f.Class, f.Min)
			}
			out = append(out, line)
		}
		asked, err := v.Restrictions(lamppost.DeviceID(w.arg(1)))
		must(err)
		for _, r := range asked {
			out = append(out, fmt.Sprintf("%s of block %d: %s of %s to %d for %s", r.ID, r.Place.Height, r.Function, r.Device, r.Level, r.By))
		}
	case "desired":
		x, err := v.Desire(lamppost.DeviceID(w.arg(1)))
		must(err)
		text, err := json.Marshal(x.Told(d.now))
		must(err)
		out = append(out, fmt.Sprintf("revision %d, command %s of %s in block %d: %s", x.Revision, x.Body.ID, x.Body.By, x.Place.Height, text))
	case "records":
		n := 0
		must(d.store.Scan([]byte("sS"), []byte("sT"), func(_, _ []byte) error { n++; return nil }))
		out = append(out, fmt.Sprintf("%d records of segments and reports", n))
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
			line := fmt.Sprintf("%s %s %s %s from block %d, report %d, record %d", name,
				time.UnixMilli(int64(e.Time)).UTC().Format("2006-01-02T15:04Z"), e.Value, e.Quality, e.Source.Height, e.Source.Report, e.Source.Record)
			if e.MeterSigned {
				line += ", meter-signed"
			}
			out = append(out, line)
			return nil
		}))
	default:
		out = d.showTriage(w)
	}
	return out
}

func showKey(epoch uint32, at ledger.Place, until lamppost.TimeMS, consent []byte) string {
	line := fmt.Sprintf("epoch %d enrolled in block %d", epoch, at.Height)
	if len(consent) > 0 {
		line += " with the former key's consent"
	}
	if until != 0 {
		line += ", counts before " + time.UnixMilli(int64(until)).UTC().Format("2006-01-02T15:04:05Z")
	}
	return line
}

func showRevoked(revoked []ledger.Revocation) (out []string) {
	for _, r := range revoked {
		out = append(out, fmt.Sprintf("epoch %d revoked in block %d: %s", r.KeyEpoch, r.Place.Height, r.Reason))
	}
	return out
}
