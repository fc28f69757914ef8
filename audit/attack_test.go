package audit_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// refused demands an error with these words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want a refusal with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
}

func anyTx(*logged) bool      { return true }
func anyReport(reported) bool { return true }

// Goal: an operator whose log and checkpoints are in order, but who logs a wrong invoice, is found out, and the message
// names the line and what is wrong with it. Method: falsify one thing before the log commits to it.
func TestFalseInvoices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*tariff.Invoice)
		want   []string
	}{
		"amount": {func(i *tariff.Invoice) { i.Supplies[0].Lines[1].Amount += 10_000 },
			[]string{"invoice ST-000001: line 2: amount 1.49 is not what tariff \"home-2026\" version 1 gives for 6.9142 kWh (1.48)"}},
		"standing": {func(i *tariff.Invoice) { i.Supplies[0].Lines[3].Amount += 10_000 },
			[]string{"line 4: amount 0.76 ", "for 3 days (0.75)"}},
		"quantity": {func(i *tariff.Invoice) { i.Supplies[0].Lines[0].Quantity.Mantissa++ },
			[]string{"line 1: quantity", "not the difference of its registers"}},
		"price":     {func(i *tariff.Invoice) { i.Supplies[0].Lines[2].Price++ }, []string{"line 3: price"}},
		"estimated": {func(i *tariff.Invoice) { i.Supplies[0].Lines[2].Estimated = true }, []string{"line 3: estimated"}},
		"line gone": {func(i *tariff.Invoice) { i.Supplies[0].Lines = i.Supplies[0].Lines[:3] }, []string{"has 3 lines"}},
		"net":       {func(i *tariff.Invoice) { i.Net++ }, []string{"invoice ST-000001: net"}},
		"tax":       {func(i *tariff.Invoice) { i.Tax[0].Amount += 10_000 }, []string{"invoice ST-000001: tax"}},
		"total":     {func(i *tariff.Invoice) { i.Total += 10_000 }, []string{"invoice ST-000001: total 11.98"}},
		"date":      {func(i *tariff.Invoice) { i.Issued += 1000 }, []string{"it is dated"}},
		"place":     {func(i *tariff.Invoice) { i.Supplies[0].Place = "elsewhere" }, []string{"it is not the invoice"}},
		"buyer":     {func(i *tariff.Invoice) { i.Buyer = "bob" }, []string{"it is not the invoice"}},
		"period":    {func(i *tariff.Invoice) { i.Supplies[0].From += 15 * 60_000 }, []string{"the registers begin at 2026-10-23T22:15Z, the supply at 2026-10-23T22:00Z"}},
		"device":    {func(i *tariff.Invoice) { i.Supplies[0].Device = "CZ11" }, []string{"metering point \"P-2\""}},
		"version":   {func(i *tariff.Invoice) { i.Supplies[0].Version = 2 }, []string{"tariff \"home-2026\" version 2 is not in the proof"}},
		"agreement": {func(i *tariff.Invoice) { i.Supplies[0].Agreement = "A-2" }, []string{"agreement \"A-1\" holds", "not billed"}},
		"twice":     {func(i *tariff.Invoice) { i.Supplies = append(i.Supplies, i.Supplies[0]) }, []string{"agreement \"A-1\""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := billed(t, c.change)
			_, err := audit.NewStatement(h.all(), h.pin(1), "anna")
			refused(t, err, c.want...)
			var line *audit.LineError
			if !errors.As(err, &line) {
				t.Errorf("error %v is not a LineError", err)
			}
		})
	}
}

// The registers of an invoice are not in its proof: one that was logged with others than its reports give has another leaf.
func TestFalseRegisters(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(e []tariff.Edge){
		"value":          func(e []tariff.Edge) { e[5].Value.Mantissa++ },
		"quality":        func(e []tariff.Edge) { e[5].Quality = lamppost.Substituted },
		"other record":   func(e []tariff.Edge) { e[5].Source.Record-- },
		"another device": func(e []tariff.Edge) { e[5].Source.Report = 1 },
		"made up source": func(e []tariff.Edge) { e[5].Source.Height = 999 },
		"estimate against a reading": func(e []tariff.Edge) {
			e[5].Estimated, e[5].Quality, e[5].Source, e[5].Next = true, lamppost.Estimated, e[4].Source, e[6].Source
		},
	} {
		h := billed(t, func(i *tariff.Invoice) { change(i.Supplies[0].Edges) })
		_, err := audit.NewStatement(h.all(), h.pin(1), "anna")
		t.Run(name, func(t *testing.T) {
			refused(t, err, "an invoice was logged with other registers than its reports give")
		})
	}
}

// Registers beside the reports that give them could say something else: an invoice with them is no part of a proof.
func TestSpareRegisters(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	p := h.customer()
	last := p.Txs[len(p.Txs)-1].Order
	last.Outcome = lamppost.Outcome{Data: lamppost.Marshal(h.logged)}.Append(nil)
	_, err := audit.NewStatement(p, h.pin(1), "anna")
	refused(t, err, "invoice ST-000001: its registers stand beside the reports")
}

// A value that no device signed at its edge is interpolated between the readings around it, marked, and still provable;
// a statement never says "measured" of it.
func TestEstimatedEdge(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	edges := h.terms.Edges(h.invoice.From, h.invoice.To)
	h.readingsAt(edges, edges[5])
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	s, err := audit.NewStatement(h.customer(), h.pin(1), "anna")
	must(t, err)
	lines := s.Invoices[0].Lines
	if lines[0].Estimated || !lines[1].Estimated || !lines[2].Estimated {
		t.Errorf("estimated = %t, %t, %t for day, night, valley; the edge lies between night and valley",
			lines[0].Estimated, lines[1].Estimated, lines[2].Estimated)
	}
	f, err := audit.Verify(s.Encode(), h.pin(1))
	must(t, err)
	if !strings.Contains(strings.Join(f.Summary, "\n"), "1 of them estimated") {
		t.Errorf("summary %q does not mention the estimate", f.Summary)
	}
}

// Everything a bill rests on must be in the proof and before it in the log.
func TestMissingLinks(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	statement := func(keepTx func(*logged) bool, keepReport func(reported) bool) error {
		_, err := audit.NewStatement(h.proof(keepTx, keepReport), h.pin(1), "anna")
		return err
	}
	without := func(kind lamppost.TxType) func(*logged) bool {
		return func(p *logged) bool { return p.Type != kind }
	}
	refused(t, statement(without(lamppost.TxTariff), anyReport), "line 1", "tariff \"home-2026\" version 1 is not in the proof")
	refused(t, statement(without(lamppost.TxAgreement), anyReport), "agreement \"A-1\" is not in the proof")
	refused(t, statement(without(lamppost.TxPoint), anyReport), "metering point \"P-2\" is not in the proof")
	refused(t, statement(without(lamppost.TxDevice), anyReport), "no enrolment of key 1 of device BQ27")
	refused(t, statement(without(lamppost.TxInvoice), anyReport), "no invoice")
	refused(t, statement(anyTx, func(r reported) bool { return r.Index == 0 && r.Tx != h.reports[0].Tx }),
		"line 1: device BQ27: no register reading at 2026-10-23T22:00Z or before")

	p := h.customer()
	p.Blocks = p.Blocks[:len(p.Blocks)-1]
	h.prove(p)
	_, err := audit.NewStatement(p, h.pin(1), "anna")
	refused(t, err, "invoice ST-000001: the time of block")
	_, err = audit.NewStatement(h.customer(), h.pin(1), "bob")
	refused(t, err, "does not concern party \"bob\"")
}

// A reading changed in the file is named with its line, though a hash would notice it too.
func TestChangedReading(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	p := h.customer()
	at := ms(t, "2026-10-25T01:00:00Z")
	falsify(t, h, p, at)
	_, err := audit.NewStatement(p, h.pin(1), "anna")
	refused(t, err, "invoice ST-000001: line 3: the report with the reading 2026-10-25 02:30+02:00 does not match the signature of device BQ27")
}

// falsify changes the reading at an edge and signs its report with a key that is not the device's.
func falsify(t *testing.T, h *home, p *lamppost.Proof, at lamppost.TimeMS) {
	t.Helper()
	for i := range p.Txs {
		for j := 0; p.Txs[i].Segment != nil && j < len(p.Txs[i].Segment.Kept); j++ {
			falsifyReport(t, h, &p.Txs[i].Segment.Kept[j].Report, at)
		}
	}
}

func falsifyReport(t *testing.T, h *home, raw *[]byte, at lamppost.TimeMS) {
	t.Helper()
	var r lamppost.Report
	must(t, r.Decode(*raw))
	for j := range r.Readings {
		if edge, _ := lamppost.SnapToEdge(r.Readings[j].Time); edge != at {
			continue
		}
		r.Readings[j].Value.Mantissa++
		seed := sha256.Sum256([]byte("thief"))
		key, err := sig.NewPrivateKey(h.keys[r.Device].Suite(), seed[:])
		must(t, err)
		*raw, err = lamppost.SignReport(&r, h.network, key)
		must(t, err)
		return
	}
}

// An operator cannot take a report into the log that the device did not sign: the log being right does not help it.
func TestForgedReportInLog(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(h *home) []byte{
		"another key": func(h *home) []byte {
			h.keys["BQ27"] = h.keys["thief"]
			return h.sign("BQ27", reading(h.invoice.From), reading(h.invoice.To))
		},
		"another suite": func(h *home) []byte {
			h.keys["BQ27"] = h.keys["CZ11"]
			return h.sign("BQ27", reading(h.invoice.From), reading(h.invoice.To))
		},
		"another network": func(h *home) []byte {
			h.network = "hillside"
			defer func() { h.network = "riverside" }()
			return h.sign("BQ27", reading(h.invoice.From), reading(h.invoice.To))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := registered(t, "north")
			seed := sha256.Sum256([]byte("thief"))
			var err error
			h.keys["thief"], err = sig.NewPrivateKey(sig.ES256, seed[:])
			must(t, err)
			h.terms.Bands = []tariff.Band{{Name: "day", ToMin: 1440, Price: 1}}
			h.terms.Version = 2
			h.order(lamppost.TxTariff, h.terms)
			h.segment(forge(h))
			h.bill(h.invoice, "ST-000001", h.supply(), nil)
			_, err = audit.NewStatement(h.all(), h.pin(1), "anna")
			refused(t, err, "line 1: the report with the reading 2026-10-24 00:00+02:00 does not match the signature of device BQ27")
		})
	}
}

// A tariff that members signed but the log does not have cannot be swapped in.
func TestSwappedTariff(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	other := billed(t, nil)
	other.terms.Bands[0].Price *= 2
	other.order(lamppost.TxTariff, other.terms)
	p := h.customer()
	for i := range p.Txs {
		if p.Txs[i].Height == 7 {
			swapped := other.txs[len(other.txs)-1].TxProof
			swapped.Leaf, swapped.Height, swapped.Index = p.Txs[i].Leaf, p.Txs[i].Height, p.Txs[i].Index
			p.Txs[i] = swapped
		}
	}
	_, err := audit.NewStatement(p, h.pin(1), "anna")
	refused(t, err, "line 1: amount 7.16 is not what tariff \"home-2026\" version 1 gives")
}

// The pin decides: another key, another network or a quorum that did not sign is refused.
func TestWrongPin(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	data := h.statement()
	stranger := newSeat(t, "riverside", "south")
	for name, c := range map[string]struct {
		pin  audit.Pin
		want string
	}{
		"other member":  {audit.Pin{Network: "riverside", Quorum: 1, Members: []lamppost.Member{stranger.member()}}, "not by a member's key that is known"},
		"other key":     {audit.Pin{Network: "riverside", Quorum: 1, Members: []lamppost.Member{{ID: "north", Key: stranger.member().Key}}}, "not by a member's key"},
		"other network": {audit.Pin{Network: "hillside", Quorum: 1, Members: h.pin(1).Members}, "network: the proof is of network \"riverside\""},
		"quorum":        {audit.Pin{Network: "riverside", Quorum: 2, Members: append(h.pin(1).Members, stranger.member())}, "signed by 1 of the members (riverside/north), the pin asks for 2"},
	} {
		_, err := audit.Verify(data, &c.pin)
		t.Run(name, func(t *testing.T) { refused(t, err, c.want) })
	}
}

// Checkpoints that do not add up to one quorum are refused, and two roots of one size are evidence that can be kept.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	h := billed(t, nil, "north", "south")
	good := h.customer()
	c, err := lamppost.ParseCheckpoint(strings.SplitAfter(good.Checkpoints[0], "\n\n")[0][:strings.Index(good.Checkpoints[0], "\n\n")+1])
	must(t, err)
	check := func(pin *audit.Pin, notes ...string) error {
		p := *good
		p.Checkpoints = notes
		_, err := audit.CheckProof(&p, pin)
		return err
	}
	must(t, check(h.pin(2), good.Checkpoints...))
	must(t, check(nil, good.Checkpoints...))
	must(t, check(h.pin(1), good.Checkpoints[1]))

	forked := h.note(1, lamppost.Checkpoint{Size: c.Size, Root: sha256.Sum256([]byte("fork"))})
	err = check(h.pin(2), good.Checkpoints[0], forked)
	var d *audit.Disagreement
	if !errors.As(err, &d) || d.Size != c.Size || d.Origins != [2]string{"riverside/north", "riverside/south"} || d.Notes[1] != forked {
		t.Errorf("fork: %v, want a Disagreement at size %d with both notes", err, c.Size)
	}
	longer := h.note(1, lamppost.Checkpoint{Size: c.Size + 1, Root: c.Root})
	refused(t, check(h.pin(2), good.Checkpoints[0], longer), "a quorum signs one size")
	refused(t, check(h.pin(2), good.Checkpoints[0], good.Checkpoints[0]), "counts once")
	refused(t, check(h.pin(1), good.Checkpoints[0], good.Checkpoints[0], good.Checkpoints[1]), "the proof has 3")
	refused(t, check(h.pin(1)), "the proof has none")
	refused(t, check(h.pin(1), h.note(0, lamppost.Checkpoint{Size: 1 << 62, Root: c.Root})), "over the limit")
	refused(t, check(h.pin(1), good.Checkpoints[0]+"— witness.example/w "+base64.StdEncoding.EncodeToString(make([]byte, 68))+"\n"), "unknown key")

	other := newWorld(t, "hillside", "north")
	refused(t, check(h.pin(1), other.checkpoint(0)), "signed by \"hillside/north\"")
}

// Without a pin and without the founding nobody's signature means anything, and the error can be told apart.
func TestNoMembers(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	p := h.proof(func(p *logged) bool { return p.Type != lamppost.TxGenesis }, anyReport)
	if _, err := audit.CheckProof(p, nil); !errors.Is(err, audit.ErrUnknownMembers) {
		t.Errorf("CheckProof = %v, want ErrUnknownMembers", err)
	}
	if _, err := audit.CheckProof(p, h.pin(1)); err != nil {
		t.Errorf("CheckProof with a pin = %v", err)
	}
}

// A block's leaf says how many transactions it has; one that claims a place in it must stand there.
func TestPlaceInBlock(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*lamppost.BlockLeaf){
		"another height": func(b *lamppost.BlockLeaf) { b.Height += 1000 },
		"no room":        func(b *lamppost.BlockLeaf) { b.Index = 0 },
		"too much room":  func(b *lamppost.BlockLeaf) { b.Index = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newWorld(t, "riverside", "north")
			h.order(lamppost.TxParty, lamppost.PartyBody{ID: "anna", Name: "Anna"})
			h.spoil = change
			h.order(lamppost.TxParty, lamppost.PartyBody{ID: "bob", Name: "Bob"})
			_, err := audit.CheckProof(h.all(), h.pin(1))
			refused(t, err, "does not fit block")
		})
	}
}

// An agreement that holds cannot be left off an invoice while the proof shows it.
func TestUnbilledAgreement(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	second := h.agreement
	second.ID = "A-2"
	h.order(lamppost.TxAgreement, second)
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	_, err := audit.NewStatement(h.all(), h.pin(1), "anna")
	refused(t, err, "invoice ST-000001: agreement \"A-2\" holds in its period and is not billed")
}

// A tariff that took over inside the period cannot be passed over while the proof shows it.
func TestPassedOverTariff(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	next := h.terms
	next.Version, next.From = 2, ms(t, "2026-10-24T22:00:00Z")
	next.Bands = slices.Clone(next.Bands)
	next.Bands[0].Price /= 2
	h.order(lamppost.TxTariff, next)
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	_, err := audit.NewStatement(h.all(), h.pin(1), "anna")
	refused(t, err, "invoice ST-000001: line 1: tariff \"home-2026\" version 2 holds from 2026-10-25 00:00+02:00")
}

// Two versions of a tariff in one period are two supplies of one agreement, each under its own terms.
func TestTwoVersions(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	next := h.terms
	next.Version, next.From = 2, ms(t, "2026-10-24T22:00:00Z")
	next.Bands = slices.Clone(next.Bands)
	next.Bands[0].Price /= 2
	h.order(lamppost.TxTariff, next)
	first := h.supply()[0]
	first.Tariff.To = next.From // the ledger ends a version where the next begins; here for the fixture's edges only
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.segment(h.sign("BQ27", reading(next.From)))
	second := h.supply()[0]
	second.Tariff = next
	h.billAs(h.invoice, "ST-000001", []tariff.Supply{first, second}, func(s *tariff.Supply) {
		if s.Tariff.Version == 1 {
			s.Tariff = h.terms
		}
	}, nil)
	s, err := audit.NewStatement(h.customer(), h.pin(1), "anna")
	must(t, err)
	if inv := s.Invoices[0]; len(inv.Lines) != 8 || len(inv.Tariffs) != 2 || inv.Lines[4].N != 5 {
		t.Errorf("%d lines under %d tariffs, want 8 under 2", len(inv.Lines), len(inv.Tariffs))
	}
	if _, err := audit.Verify(s.Encode(), h.pin(1)); err != nil {
		t.Errorf("Verify = %v", err)
	}
}

// A faulty value does not stand in the way of a good one for the same quarter hour.
func TestFaultyReading(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	edges := h.terms.Edges(h.invoice.From, h.invoice.To)
	faulty := reading(edges[5])
	faulty.Quality, faulty.Value = lamppost.Faulty, lamppost.Dec(0, 0)
	h.segment(h.sign("BQ27", faulty))
	h.signed[reg{"BQ27", energy}] = nil
	h.readingsAt(edges)
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	if _, err := audit.NewStatement(h.customer(), h.pin(1), "anna"); err != nil {
		t.Errorf("statement = %v", err)
	}
}

// What comes after an invoice in the log does not count for it: neither terms nor readings.
func TestLaterDoesNotCount(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	edges := h.terms.Edges(h.invoice.From, h.invoice.To)
	h.readingsAt(edges)
	late := slices.Clone(h.signed[reg{"BQ27", energy}])
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	h.signed[reg{"BQ27", energy}] = nil
	h.segment(h.sign("BQ27", lamppost.Reading{Name: energy, Unit: "Wh", Time: edges[5], Kind: lamppost.Register, Value: lamppost.Dec(1, 0)}))
	changed := h.agreement
	changed.To = h.invoice.From
	h.order(lamppost.TxAgreement, changed)
	if len(late) != len(edges) {
		t.Fatalf("%d readings, want %d", len(late), len(edges))
	}
	if _, err := audit.NewStatement(h.all(), h.pin(1), "anna"); err != nil {
		t.Errorf("statement = %v, want the later reading and terms to change nothing", err)
	}
}

// A receipt tells a refusal as it is, even of what cannot be read, and no bill can rest on it.
func TestReceiptOfRefusal(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	item := lamppost.SegmentItem{Salt: h.salt(), Received: h.now, Report: []byte("no report")}
	tx, err := lamppost.NewSegment(h.network, lamppost.Seq{N: 1}, 0, []lamppost.SegmentItem{item}, "north", h.members[0].key, h.salt())
	must(t, err)
	h.block(tx, []lamppost.Outcome{{Code: lamppost.CodeBadReport, Data: []byte("cut short")}})
	r, err := audit.NewReceipt(h.proof(first(lamppost.TxGenesis, lamppost.TxSegment), anyReport), h.pin(1))
	must(t, err)
	if r.Outcome != "bad_report" || r.Reason != "cut short" {
		t.Errorf("receipt says %q %q, want bad_report, cut short", r.Outcome, r.Reason)
	}
	if _, err := audit.Verify(r.Encode(), h.pin(1)); err != nil {
		t.Errorf("Verify = %v", err)
	}
}
