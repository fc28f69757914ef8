package audit_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A world is a small real network in memory: members with keys, a log, devices that sign, and a ledger's decisions made
// by the test itself. Everything in it follows from fixed seeds.
type world struct {
	t       testing.TB
	network string
	members []seat

	height  lamppost.Height
	now     lamppost.TimeMS
	counter uint64      // of salts and nonces
	hashes  []tlog.Hash // of the leaves
	txs     []logged
	blocks  []lamppost.BlockProof
	reports []reported // of all segments
	keys    map[lamppost.DeviceID]*sig.PrivateKey
	numbers map[lamppost.DeviceID]uint64
	signed  map[reg][]tariff.Edge
	spoil   func(*lamppost.BlockLeaf) // of the blocks from now on
	gateway *seat                     // who packs the segments from now on; nil: the first member
	orderer *seat                     // who signs the orders from now on; nil: the first member
	after   []seat                    // the members after the next block, where it changes them
	changed lamppost.Height           // the block of the last change of the network
	flags   map[lamppost.DeviceID]uint32
	logged  tariff.Invoice                           // the last
	hears   func(*tariff.Invoice) []lamppost.Outcome // what contracts do for an invoice; nil: there are none
	// witnesses cosign every checkpoint, in the order in which their keys stand in a proof.
	witnesses []*lamppost.Cosigner
	epochs    map[lamppost.DeviceID]uint32 // of the keys
	meters    map[lamppost.DeviceID]*meter // that sign by themselves
}

type seat struct {
	id     lamppost.MemberID
	key    *sig.PrivateKey
	signer note.Signer
}

// A logged transaction: a segment with all its reports.
type logged struct {
	lamppost.TxProof
	Type lamppost.TxType
}

// A reported report: one of transaction number Tx of the world's.
type reported struct {
	Tx int
	*lamppost.KeptReport
}

type reg struct {
	device lamppost.DeviceID
	name   string
}

const energy = "energy"

func newWorld(t testing.TB, network string, members ...lamppost.MemberID) *world {
	t.Helper()
	w := &world{t: t, network: network, now: ms(t, "2026-10-01T00:00:00Z"), keys: map[lamppost.DeviceID]*sig.PrivateKey{},
		numbers: map[lamppost.DeviceID]uint64{}, flags: map[lamppost.DeviceID]uint32{}, epochs: map[lamppost.DeviceID]uint32{},
		signed: map[reg][]tariff.Edge{}, changed: 1}
	genesis := lamppost.GenesisBody{Network: network, Rules: 1}
	if len(members) > 1 {
		genesis.Engine = lamppost.Raft
	}
	for _, id := range members {
		w.members = append(w.members, newSeat(t, network, id))
		genesis.Members = append(genesis.Members, w.members[len(w.members)-1].member())
	}
	w.order(lamppost.TxGenesis, genesis)
	return w
}

// membersHash is that of the members after the block.
func (w *world) membersHash() lamppost.Hash {
	var list []lamppost.Member
	now := w.members
	if w.after != nil {
		now = w.after
	}
	for i := range now {
		list = append(list, now[i].member())
	}
	return lamppost.HashMembers(list)
}

func newSeat(t testing.TB, network string, id lamppost.MemberID) seat {
	t.Helper()
	name := lamppost.Origin(network, id)
	seed := sha256.Sum256([]byte(name))
	key, err := sig.NewPrivateKey(sig.EdDSA, seed[:])
	must(t, err)
	skey, _, err := note.GenerateKey(bytes.NewReader(seed[:]), name)
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	return seat{id, key, signer}
}

func (s *seat) member() lamppost.Member {
	return lamppost.Member{ID: s.id, Key: s.key.Public().Bytes()}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ms(t testing.TB, s string) lamppost.TimeMS {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	must(t, err)
	return lamppost.TimeMS(at.UnixMilli())
}

func (w *world) salt() (s [lamppost.SaltBytes]byte) {
	w.counter++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("salt"), w.counter))
	copy(s[:], sum[:])
	return s
}

// append puts a record into the log.
func (w *world) append(record []byte) int64 {
	w.hashes = append(w.hashes, tlog.RecordHash(record))
	return int64(len(w.hashes) - 1)
}

// root is the root over some leaves of the log.
func (w *world) root(s lamppost.Span) lamppost.Hash {
	leaves := make([]lamppost.Hash, s.N)
	for i := range leaves {
		leaves[i] = lamppost.Hash(w.hashes[int(s.From)+i])
	}
	return lamppost.MerkleRoot(leaves)
}

// block commits one transaction in a block of its own.
func (w *world) block(tx *lamppost.Transaction, outcomes []lamppost.Outcome) {
	w.height++
	w.now += 1500
	writes := lamppost.Hash(sha256.Sum256(tx.SignedRaw))
	p := logged{TxProof: lamppost.TxProof{Height: w.height}, Type: tx.Type}
	leaf := lamppost.Leaf{Type: tx.Type, Height: w.height, Body: tx.BodyDigest()}
	if tx.Type == lamppost.TxSegment {
		p.Segment = lamppost.Thin(tx, outcomes, writes, func(int) bool { return true })
		leaf.Result, _ = p.Segment.ResultDigest()
	} else {
		leaves := []lamppost.Hash{lamppost.OutcomeHash(tx.OutcomeSalt(0), outcomes[0].Append(nil))}
		for i, o := range outcomes[1:] {
			p.Runs = append(p.Runs, lamppost.RunProof{Salt: tx.OutcomeSalt(i + 1), Run: o.Data})
			leaves = append(leaves, p.Runs[i].Leaf())
		}
		leaf.Result = lamppost.ResultDigest(lamppost.MerkleRoot(leaves), writes)
		p.Order = &lamppost.OrderProof{Salt: tx.Seed.Salt(lamppost.SaltBody), Signed: tx.SignedRaw, Writes: writes, OutcomeSalt: tx.OutcomeSalt(0),
			Outcome: w.bare(tx, outcomes[0])}
	}
	p.Leaf = w.append(leaf.Append(nil))
	w.txs = append(w.txs, p)
	b := lamppost.BlockLeaf{Height: w.height, Index: 1, Time: w.now,
		Members: w.membersHash(), Block: sha256.Sum256(tx.SignedRaw)} // an auditor of single transactions never sees a whole block
	if w.spoil != nil {
		w.spoil(&b)
	}
	raw := b.Append(nil)
	w.blocks = append(w.blocks, lamppost.BlockProof{Leaf: w.append(raw), Raw: raw})
	for i := range tx.Items {
		w.reports = append(w.reports, reported{len(w.txs) - 1, &p.Segment.Kept[i]})
	}
}

// bare is an outcome as a proof shows it.
func (w *world) bare(tx *lamppost.Transaction, o lamppost.Outcome) []byte {
	if tx.Type == lamppost.TxInvoice && o.Code == lamppost.CodeOK {
		var err error
		o.Data, err = tariff.WithoutEdges(o.Data)
		must(w.t, err)
	}
	return o.Append(nil)
}

func (w *world) order(kind lamppost.TxType, body any) { w.decided(kind, body, lamppost.Outcome{}) }

// decided commits an order with its outcome, and with what contracts did after it.
func (w *world) decided(kind lamppost.TxType, body any, out lamppost.Outcome, runs ...lamppost.Outcome) {
	w.t.Helper()
	o := lamppost.Order{Type: kind, ExpiryTime: w.now + 60_000, Nonce: w.salt(), Body: lamppost.Marshal(body)}
	by := &w.members[0]
	if w.orderer != nil {
		by = w.orderer
	}
	tx, err := lamppost.NewTx(w.network, o, by.id, by.key, w.salt())
	must(w.t, err)
	w.block(tx, append([]lamppost.Outcome{out}, runs...))
}

func (w *world) enrol(id lamppost.DeviceID, suite sig.Suite) {
	w.t.Helper()
	seed := sha256.Sum256([]byte("device " + id))
	key, err := sig.NewPrivateKey(suite, seed[:])
	must(w.t, err)
	w.keys[id], w.epochs[id] = key, 1
	salt := w.salt()
	w.order(lamppost.TxDevice, lamppost.DeviceBody{ID: id, Owner: "stadtwerk", Suite: suite, Key: key.Public().Bytes(), KeyEpoch: 1,
		Name: "meter of flat 2", Salt: salt[:]})
}

// rotate gives a device the next key, with the consent of the one before or without, and returns how to sign with that.
func (w *world) rotate(id lamppost.DeviceID, consent bool) (former func()) {
	w.t.Helper()
	key, epoch := w.keys[id], w.epochs[id]
	w.epochs[id]++
	seed := sha256.Sum256(fmt.Append(nil, "device ", id, w.epochs[id]))
	next, err := sig.NewPrivateKey(key.Suite(), seed[:])
	must(w.t, err)
	w.keys[id] = next
	salt := w.salt()
	b := lamppost.DeviceBody{ID: id, Owner: "stadtwerk", Suite: next.Suite(), Key: next.Public().Bytes(), KeyEpoch: w.epochs[id], Salt: salt[:],
		MeterKey: w.meters[id].public()}
	if consent {
		c := lamppost.KeyChange{ID: string(id), Epoch: epoch, Next: b.KeyEpoch, Suite: b.Suite, Key: b.Key}
		b.Consent, err = c.Sign(w.network, lamppost.PurposeDeviceKey, key)
		must(w.t, err)
	}
	w.order(lamppost.TxDevice, b)
	return func() { w.keys[id], w.epochs[id] = key, epoch }
}

// sign makes a device's billing report over register readings at the given times.
func (w *world) sign(id lamppost.DeviceID, readings ...lamppost.Reading) []byte {
	w.t.Helper()
	w.numbers[id]++
	r := lamppost.Report{Device: id, KeyEpoch: w.epochs[id], Seq: lamppost.Seq{N: w.numbers[id]}, Flags: lamppost.FlagBilling | w.flags[id],
		TimeQuality: lamppost.TimeSynchronised, Readings: readings, Meter: w.meters[id].records(readings)}
	raw, err := lamppost.SignReport(&r, w.network, w.keys[id])
	must(w.t, err)
	return raw
}

// segment commits reports in one segment, all accepted, and keeps their registers as the ledger would.
func (w *world) segment(raws ...[]byte) {
	w.t.Helper()
	items, outcomes, readings := []lamppost.SegmentItem(nil), make([]lamppost.Outcome, len(raws)), 0
	for i, raw := range raws {
		items = append(items, lamppost.SegmentItem{Salt: w.salt(), Received: w.now + lamppost.TimeMS(i), Report: raw})
		var r lamppost.Report
		must(w.t, r.Decode(raw))
		readings += len(r.Readings)
		given := w.meters[r.Device].gives(&r)
		for j, x := range r.Readings {
			at, _ := lamppost.SnapToEdge(x.Time)
			k := reg{r.Device, x.Name}
			w.signed[k] = append(w.signed[k], tariff.Edge{Time: at, Value: x.Value, Quality: x.Quality, MeterSigned: given != nil && given[j],
				Source: tariff.Source{Height: w.height + 1, Report: uint32(i), Record: uint32(j)}})
		}
	}
	packer := w.members[0]
	if w.gateway != nil {
		packer = *w.gateway
	}
	tx, err := lamppost.NewSegment(w.network, lamppost.Seq{N: uint64(w.height)}, readings, items, packer.id, packer.key, w.salt())
	must(w.t, err)
	w.block(tx, outcomes)
}

// bill commits an invoice. change may falsify it before the log commits to it.
func (w *world) bill(body lamppost.InvoiceBody, number string, supplies []tariff.Supply, change func(*tariff.Invoice)) tariff.Invoice {
	w.t.Helper()
	return w.billAs(body, number, supplies, func(*tariff.Supply) {}, change)
}

// billAs is bill with a last word on each supply once its edges are filled in.
func (w *world) billAs(body lamppost.InvoiceBody, number string, supplies []tariff.Supply, finish func(*tariff.Supply), change func(*tariff.Invoice)) tariff.Invoice {
	w.t.Helper()
	for i := range supplies {
		s := &supplies[i]
		have := slices.Clone(w.signed[reg{s.Device, s.Register}])
		slices.SortFunc(have, func(a, b tariff.Edge) int { return cmp.Compare(a.Time, b.Time) })
		var err error
		from, to := max(body.From, s.Agreement.From), body.To
		s.Edges, err = tariff.FillEdges(s.Tariff.Edges(from, to), have, nil)
		must(w.t, err)
		finish(s)
	}
	inv, err := tariff.Bill(tariff.InvoiceOrder{Number: number, InvoiceBody: body, IssuedMS: w.now + 1500}, supplies)
	must(w.t, err)
	if change != nil {
		change(&inv)
	}
	var runs []lamppost.Outcome
	if w.hears != nil {
		runs = w.hears(&inv)
	}
	w.decided(lamppost.TxInvoice, body, lamppost.Outcome{Data: lamppost.Marshal(inv)}, runs...)
	w.logged = inv
	return inv
}

// checkpoint is a member's signed note over the log as it is.
func (w *world) checkpoint(i int) string {
	w.t.Helper()
	n := int64(len(w.hashes))
	return w.note(i, lamppost.Checkpoint{Size: n, Root: w.root(lamppost.Span{N: n})})
}

func (w *world) note(i int, c lamppost.Checkpoint) string {
	w.t.Helper()
	c.Origin = lamppost.Origin(w.network, w.members[i].id)
	msg, err := lamppost.SignCheckpoint(c, w.members[i].signer)
	must(w.t, err)
	for j, witness := range w.witnesses {
		s, err := witness.Cosign(c.Text(), int64(w.now/1000)+int64(j))
		must(w.t, err)
		msg = append(msg, "— "+s.Name+" "+s.Base64+"\n"...)
	}
	return string(msg)
}

// proof proves the transactions, blocks and reports that are kept; of segments those with a report that is.
func (w *world) proof(keepTx func(*logged) bool, keepReport func(reported) bool) *lamppost.Proof {
	w.t.Helper()
	p := &lamppost.Proof{Network: w.network}
	for i := range w.members {
		p.Checkpoints = append(p.Checkpoints, w.checkpoint(i))
	}
	for _, witness := range w.witnesses {
		p.Witnesses = append(p.Witnesses, witness.Key().String())
	}
	for i := range w.txs {
		if !keepTx(&w.txs[i]) {
			continue
		}
		tx := w.txs[i].TxProof
		if tx.Segment != nil {
			tx.Segment = tx.Segment.Thin(func(k *lamppost.KeptReport) bool { return keepReport(reported{i, k}) })
			if len(tx.Segment.Kept) == 0 {
				continue
			}
		}
		p.Txs = append(p.Txs, tx)
		p.Blocks = append(p.Blocks, w.blocks[i])
	}
	w.prove(p)
	return p
}

// prove gathers the hashes that the leaves of a proof need.
func (w *world) prove(p *lamppost.Proof) {
	var at []int64
	for i := range p.Txs {
		at = append(at, p.Txs[i].Leaf)
	}
	for i := range p.Blocks {
		at = append(at, p.Blocks[i].Leaf)
	}
	slices.Sort(at)
	p.Nodes = nil
	for _, s := range lamppost.Spans(int64(len(w.hashes)), at) {
		p.Nodes = append(p.Nodes, w.root(s))
	}
}

func (w *world) all() *lamppost.Proof {
	return w.proof(anyTx, anyReport)
}

func (w *world) pin(quorum int) *audit.Pin {
	p := &audit.Pin{Network: w.network, Quorum: quorum}
	for i := range w.members {
		p.Members = append(p.Members, w.members[i].member())
	}
	return p
}

// A home is one customer's supply in a world.
type home struct {
	*world
	terms     tariff.Tariff
	agreement lamppost.AgreementBody
	point     lamppost.PointBody
	invoice   lamppost.InvoiceBody
}

// berlin is the clock of the terms: summer time ends on 2026-10-25 at 03:00, so 02:00 to 03:00 comes twice.
func berlin(t testing.TB) tariff.Zone {
	t.Helper()
	z, err := tariff.ZoneFromTransitions("Europe/Berlin", []tariff.Transition{
		{AtMS: ms(t, "2025-10-26T01:00:00Z"), OffsetMin: 60},
		{AtMS: ms(t, "2026-03-29T01:00:00Z"), OffsetMin: 120},
		{AtMS: ms(t, "2026-10-25T01:00:00Z"), OffsetMin: 60},
	})
	must(t, err)
	return z
}

// homeTerms has a price change at 02:30, which the night of the clock change sees twice: 02:30+02:00, back at
// 02:00+01:00, and again at 02:30+01:00.
func homeTerms(t testing.TB) tariff.Tariff {
	return tariff.Tariff{ID: "home-2026", Version: 1, Seller: "stadtwerk", Currency: "EUR", From: ms(t, "2025-12-31T23:00:00Z"),
		PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3, Zone: berlin(t), Standing: 250_000,
		Bands: []tariff.Band{
			{Name: "day", FromMin: 6 * 60, ToMin: 22 * 60, Price: 301_900},
			{Name: "night", FromMin: 22 * 60, ToMin: 24 * 60, Price: 214_300},
			{Name: "night", FromMin: 0, ToMin: 150, Price: 214_300},
			{Name: "valley", FromMin: 150, ToMin: 6 * 60, Price: 123_700},
		},
		Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}
}

// registered is a network with both parties, two meters, a point, terms and an agreement, but no readings.
func registered(t testing.TB, members ...lamppost.MemberID) *home {
	t.Helper()
	h := &home{world: newWorld(t, "riverside", members...), terms: homeTerms(t)}
	h.order(lamppost.TxParty, lamppost.PartyBody{ID: "stadtwerk", Name: "Stadtwerk Nord GmbH"})
	h.order(lamppost.TxParty, lamppost.PartyBody{ID: "anna", Name: "Anna Fischer"})
	h.enrol("BQ27", sig.ES256)
	h.enrol("CZ11", sig.EdDSA)
	h.point = lamppost.PointBody{ID: "P-2", Device: "BQ27", Register: energy, Unit: "Wh", Place: "Hafenstraße 3, flat 2"}
	h.order(lamppost.TxPoint, h.point)
	h.order(lamppost.TxTariff, h.terms)
	h.agreement = lamppost.AgreementBody{ID: "A-1", Seller: "stadtwerk", Buyer: "anna", Point: "P-2", Tariff: "home-2026", From: h.terms.From}
	h.order(lamppost.TxAgreement, h.agreement)
	h.invoice = lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "anna", Currency: "EUR",
		From: ms(t, "2026-10-23T22:00:00Z"), To: ms(t, "2026-10-26T23:00:00Z")}
	return h
}

// value is what a register shows at a time: it rises unevenly, in tenths of a watt-hour.
func value(at lamppost.TimeMS) lamppost.Decimal {
	quarters := int64(at/lamppost.EdgeMS) % 1_000_000
	return lamppost.Dec(123_457*quarters/100+quarters%7, -1)
}

func reading(at lamppost.TimeMS) lamppost.Reading {
	return lamppost.Reading{Name: energy, Unit: "Wh", Time: at, Kind: lamppost.Register, Value: value(at)}
}

// readingsAt signs each day's edges in one report, with a report of a neighbour's meter beside it. Edges in skip are not
// read.
func (h *home) readingsAt(edges []lamppost.TimeMS, skip ...lamppost.TimeMS) {
	h.t.Helper()
	const day = 24 * 3600 * 1000
	for len(edges) > 0 {
		n := 1
		for n < len(edges) && edges[n]/day == edges[0]/day {
			n++
		}
		var mine, theirs []lamppost.Reading
		for _, at := range edges[:n] {
			theirs = append(theirs, reading(at))
			if !slices.Contains(skip, at) {
				mine = append(mine, reading(at+20_000*(at/lamppost.EdgeMS%3-1))) // up to 20 s off
				mine[len(mine)-1].Value = value(at)
			}
		}
		h.now = edges[n-1] + 60_000
		h.segment(h.sign("BQ27", mine...), h.sign("CZ11", theirs...))
		edges = edges[n:]
	}
}

func (h *home) supply() []tariff.Supply {
	return []tariff.Supply{{Agreement: h.agreement, Device: "BQ27", Register: energy, Unit: "Wh", Place: h.point.Place, Tariff: h.terms}}
}

// billed is the usual home with three days read and billed; change may falsify the logged invoice.
func billed(t testing.TB, change func(*tariff.Invoice), members ...lamppost.MemberID) *home {
	t.Helper()
	if len(members) == 0 {
		members = []lamppost.MemberID{"north"}
	}
	h := registered(t, members...)
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "ST-000001", h.supply(), change)
	return h
}

// customer is the proof of everything but the neighbour's reports and their enrolment.
func (h *home) customer() *lamppost.Proof {
	h.t.Helper()
	return h.proof(func(t *logged) bool { return t.Height != 5 }, func(r reported) bool { return r.Index == 0 })
}

func (h *home) statement() []byte {
	h.t.Helper()
	s, err := audit.NewStatement(h.customer(), h.pin(1), "anna")
	must(h.t, err)
	return s.Encode()
}
