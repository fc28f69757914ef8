package dashboard_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/dashboard"
	"github.com/lamppost/lamppost/tariff"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	token   = "correct-horse"
	network = "riverside"
	member  = "north"
	weekMS  = lamppost.TimeMS(7 * 24 * 3600 * 1000)
	hourMS  = lamppost.TimeMS(3600 * 1000)

	weekEnd  = lamppost.TimeMS(1_795_388_400_000)                    // 2026-11-23T00:00+01:00, where the bills end
	evening  = weekEnd - 4*hourMS                                    // where the fleet is shown
	hostile  = `<img src=x onerror="document.title='owned'">Lamp 13` // a name as an attacker would choose it
	lamps    = 40
	flats    = 12
	quarters = 96 // of a day
)

// A district is a fake of the node's API: the contract's JSON with believable data of 40 street lamps and 12 flats'
// meters, over a real Merkle log and real bills, so that what the pages compute and show is checked against the
// packages that the node uses. Its clock stands still between calls of advance.
type district struct {
	mu        sync.Mutex
	now       lamppost.TimeMS
	height    lamppost.Height
	txs       []transaction
	leaves    []lamppost.Hash
	records   [][]byte
	readings  int64
	reports   int64
	wattHours int64
	invoices  []invoice
	listeners map[chan []byte]bool
	signer    note.Signer
	pin       string

	revoked   map[string]string // devices whose key was ended: why
	disputed  []map[string]any
	reviewed  map[string][]any  // by verdict
	agentMode string            // of charger-1's agent; empty: bounded
	ended     map[string]string // sessions that were: why nothing is billed

	// Set before the first request.
	open     bool // no token is asked for
	tamper   bool // proofs carry a wrong path
	streams  bool // /api/events is served
	forked   bool // a witness holds another history
	ailing   bool // its disk is going, and erasures are late
	several  bool // there are four members, one of whom does not answer
	lied     bool // a member did
	notReady int  // statements answer 503 this often
	broker   any  // as the status shows it

	pending []map[string]any          // devices that wait
	adopted map[string]map[string]any // what was asked, by id
	fleet   *advise.Fleet             // that advice was asked for last
	advised func(*advise.Fleet) (*advise.Answer, error)
}

type transaction struct {
	Height   lamppost.Height `json:"height"`
	Index    uint32          `json:"index"`
	Leaf     int64           `json:"leaf"` // its place in the log
	TimeMS   lamppost.TimeMS `json:"time_ms"`
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	Signer   string          `json:"signer"`
	Reports  int             `json:"reports"`
	Readings int             `json:"readings"`
	Outcome  any             `json:"outcome"`
	Summary  string          `json:"summary"`
}

type invoice struct {
	tariff.Invoice
	SellerName string          `json:"seller_name"`
	BuyerName  string          `json:"buyer_name"`
	Due        lamppost.Micro  `json:"due"`
	Replaced   string          `json:"replaced_by"`
	Height     lamppost.Height `json:"height"`
	Index      uint32          `json:"index"`
}

func newDistrict(t *testing.T) *district {
	t.Helper()
	d := &district{now: evening, open: true, streams: true, listeners: make(map[chan []byte]bool), adopted: make(map[string]map[string]any),
		revoked: map[string]string{}, reviewed: map[string][]any{}}
	skey, vkey, err := note.GenerateKey(zeroes{}, network+"/"+member)
	if err != nil {
		t.Fatal(err)
	}
	if d.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	d.pin = "network " + network + "\nquorum 1\nmember " + vkey + "\n"
	d.found(t)
	return d
}

// zeroes is the randomness of a key that is the same in every run.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// found writes the history: the registry, a week of readings, the bills.
func (d *district) found(t *testing.T) {
	t.Helper()
	start := evening - 400*15*60*1000
	d.block(start, transaction{Type: "genesis", Outcome: "ok", Summary: "network riverside of 1 member"},
		transaction{Type: "party", Outcome: "ok", Summary: "party Riverside Housing"},
		transaction{Type: "tariff", Outcome: "ok", Summary: "tariff home, version 1: night 0.19, day 0.3112 EUR per kWh"})
	for i := range 400 {
		outcome := any(map[string]int{"ok": lamps + flats})
		if i == 393 {
			outcome = map[string]int{"ok": lamps + flats - 2, "duplicate": 1, "bad_signature": 1}
		}
		d.block(start+lamppost.TimeMS(i+1)*15*60*1000, d.segment(outcome))
	}
	d.now = evening
	for i := 1; i <= flats; i++ {
		inv := d.bill(t, i)
		d.block(d.now-lamppost.TimeMS(flats-i)*1000, transaction{Type: "invoice", Outcome: "ok",
			Summary: fmt.Sprintf("invoice %s to tenant-%d: %s EUR", inv.Number, i, inv.Total)})
		inv.Height, inv.Index = d.height, 0
		d.invoices = append(d.invoices, inv)
	}
	d.correct(t)
	d.block(d.now, transaction{Type: "transfer", Outcome: "no_funds", Summary: "transfer of 80.00 EUR from tenant-4 to landlord"},
		d.segment(map[string]int{"ok": lamps + flats}))
}

func (d *district) segment(outcome any) transaction {
	d.reports += lamps + flats
	d.readings += 3 * (lamps + flats)
	d.wattHours += 2613
	return transaction{Type: "segment", Reports: lamps + flats, Readings: 3 * (lamps + flats), Outcome: outcome}
}

// block appends a block of transactions and their leaves to the log.
func (d *district) block(at lamppost.TimeMS, txs ...transaction) {
	d.height++
	for i, tx := range txs {
		seed := sha256.Sum256(fmt.Appendf(nil, "%d/%d", d.height, i))
		leaf := lamppost.Leaf{Type: typeNumber(tx.Type), Height: d.height, Index: uint32(i), Body: seed, Result: sha256.Sum256(seed[:])}
		tx.Height, tx.Index, tx.TimeMS, tx.Signer = d.height, uint32(i), at, member
		tx.ID, tx.Leaf = hex.EncodeToString(seed[:]), int64(len(d.leaves))
		d.append(leaf.Append(nil))
		d.txs = append(d.txs, tx)
	}
	b := lamppost.BlockLeaf{Height: d.height, Index: uint32(len(txs)), Time: at}
	d.append(b.Append(nil))
}

func (d *district) append(record []byte) {
	d.records = append(d.records, record)
	d.leaves = append(d.leaves, lamppost.Hash(tlog.RecordHash(record)))
}

func typeNumber(name string) lamppost.TxType {
	for t := lamppost.TxGenesis; t < lamppost.TxUnreadable; t++ {
		if t.String() == name {
			return t
		}
	}
	panic("no transaction type " + name)
}

// brokerAt is how a node stands with its broker since a while.
func brokerAt(connected bool, why string) map[string]any {
	return map[string]any{"address": "mqtts://broker.riverside.example:8883", "connected": connected, "since_ms": evening - 12*60*1000, "error": why,
		"received": 48_211, "redelivered": 64, "acknowledged": 48_190, "refused": 3}
}

// advance commits one more segment and tells who listens.
func (d *district) advance() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now += 15 * 60 * 1000
	tx := d.segment(map[string]int{"ok": lamps + flats})
	d.block(d.now, tx)
	block := event("block", map[string]any{"height": d.height, "time_ms": d.now, "transactions": 1, "reports": tx.Reports, "readings": tx.Readings})
	status := event("status", d.status())
	for l := range d.listeners {
		l <- append(slices.Clone(status), block...)
	}
}

func event(name string, body any) []byte {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, raw)
}

func (d *district) checkpoint() (string, lamppost.Hash) {
	root := lamppost.MerkleRoot(d.leaves)
	c := lamppost.Checkpoint{Origin: lamppost.Origin(network, member), Size: int64(len(d.leaves)), Root: root}
	msg, err := lamppost.SignCheckpoint(c, d.signer)
	if err != nil {
		panic(err)
	}
	return string(msg), root
}

func (d *district) status() map[string]any {
	cp, root := d.checkpoint()
	var billed lamppost.Micro
	for i := range d.invoices {
		billed += d.invoices[i].Due
	}
	ends := 0
	if d.ailing {
		ends = int(d.now) + 12*24*3600*1000
	}
	engine := map[string]any{"engine": "solo", "role": "leader", "leader": member, "height": d.height, "time_ms": d.now, "queued": 0, "waited_ms": 0}
	if d.several {
		engine["engine"], engine["role"], engine["leader"] = "comet", "validator", ""
	}
	s := map[string]any{
		"network": network, "member": member, "now_ms": d.now, "speed": 1, "version": "0.1.0",
		"members": d.others(), "certificate_ends_ms": ends, "evidence": []any{}, "alarms": d.openAlarms(),
		"triage": map[string]any{"height": d.height, "lag": 0, "said": d.height - 2, "waiting": 0, "readings": d.readings, "registers": d.reports, "late": 2, "passed": 3, "not_judged": 0,
			"series": 3 * (lamps + flats), "rows": d.reports, "vectors": lamps + flats, "bytes": 14_200_000, "verdicts": map[string]int{"anomaly": 2, "implausible": 1, "behaviour": 1}, "error": ""},
		"engine": engine,
		"broker": d.broker,
		"copies": d.copies(),
		"verify": map[string]any{"policy": "gateway", "sampled": 1_204, "skipped": 0, "hits": 1},
		"log": map[string]any{"size": len(d.leaves), "root": root.String(), "checkpoint": cp, "published_ms": d.now - 400, "archive": "",
			"cosigned_size": len(d.leaves) - 4},
		"witnesses": d.witnesses(), "witness_quorum": 2, "conflict": d.conflict(cp),
		"totals": map[string]any{
			"devices": lamps + flats, "devices_online": lamps + flats - 2, "reports": d.reports, "readings": d.readings,
			"kwh": lamppost.Dec(d.wattHours, -3).String(), "billed": map[string]string{"EUR": billed.String()},
			"refused": map[string]int{"bad_signature": 2, "clock_ahead": 1}, "since_ms": evening - 400*15*60*1000,
		},
	}
	if d.lied {
		s["evidence"] = []any{map[string]any{"member": "tenants", "kind": "other_log", "found_ms": d.now - 3*60_000, "height": 0, "size": len(d.leaves) - 8,
			"text": fmt.Sprintf("of %d entries its root is 5f2e…, here it is 9c56…", len(d.leaves)-8), "file": fmt.Sprintf("tenants-%d.json", len(d.leaves)-8)}}
	}
	return s
}

// others is how the other members do, where there are some.
func (d *district) others() []any {
	if !d.several {
		return []any{}
	}
	one := func(id, role string, behind lamppost.Height, seen, ends lamppost.TimeMS, text string) map[string]any {
		return map[string]any{"id": id, "role": role, "height": d.height - behind, "size": len(d.leaves) - 2*int(behind), "url": "https://" + id + ".example:8443",
			"seen_ms": seen, "error": text, "certificate_ends_ms": ends}
	}
	const day = 24 * hourMS
	return []any{one("city", "syncing", 37, d.now-1000, d.now+200*day, ""), one("coop", "validator", 120, d.now-26*60_000, d.now+90*day,
		`Get "https://coop.example:8443/api/member": dial tcp 192.0.2.7:8443: connect: connection refused`),
		one("tenants", "validator", 0, d.now-2000, d.now+12*day+hourMS, "")}
}

// net is who the members are.
func (d *district) net() map[string]any {
	seat := func(id, org string) map[string]any {
		return map[string]any{"id": id, "key": make([]byte, 32), "org": org, "address": id + ".example:7650", "url": "https://" + id + ".example:8443"}
	}
	n := map[string]any{"network": network, "engine": "solo", "quorum": 1, "consent": 1, "members": []any{map[string]any{"id": member, "key": make([]byte, 32)}},
		"former": nil, "trust": nil, "reason": "", "rules": 1, "from": 0, "changed": 1, "changes": []any{}}
	if d.several {
		all := []any{seat(member, "riverside utility"), seat("city", "city works"), seat("coop", "housing coop"), seat("tenants", "tenants’ association")}
		n["engine"], n["quorum"], n["consent"], n["members"], n["changed"], n["former"] = "comet", 2, 3, all, 212, []string{"harbour"}
		n["trust"] = [][]string{{"riverside utility", "city works"}}
		n["changes"] = []any{map[string]any{"after": 212, "members": append(all[:4:4], seat("bank", "savings bank")), "rules": 1, "by": []string{member, "city"}}}
	}
	return n
}

func (d *district) witnesses() []map[string]any {
	one := func(name string, behind int, text string, failed lamppost.TimeMS) map[string]any {
		size := max(0, len(d.leaves)-behind)
		at := d.now - 2000
		if size == 0 {
			at = 0
		}
		return map[string]any{"name": name, "url": "https://" + name, "size": size, "cosigned_ms": at, "error": text, "failed_ms": failed}
	}
	return []map[string]any{one("witness.tenants.example/riverside", 4, "", 0), one("w1.utility.example", 4, "", 0),
		one("witness-5b25bb3a", 1<<30, "it cannot be reached: dial tcp 192.0.2.7:443: connect: connection refused", d.now-9000)}
}

// copies is how it stands with snapshots, backups and the disk.
func (d *district) copies() map[string]any {
	faults, overdue, failed := []any{}, 0, ""
	if d.ailing {
		faults = []any{map[string]any{"where": "archive/9c/9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab", "at_ms": d.now - 90_000,
			"what": "frame 2 of 5 at byte 104857 is damaged"}, map[string]any{"where": "log, leaves 256 to 511", "at_ms": d.now, "what": "tile/entries/001, entry 4: it is not what the tree has"}}
		overdue, failed = 2, "no space left on device"
	}
	return map[string]any{"snapshot": map[string]any{"height": d.height - 40, "time_ms": d.now - 60_000, "bytes": 81_920, "error": failed},
		"scrub": map[string]any{"began_ms": d.now - 3_600_000, "percent": 12, "faults": faults}, "overdue": overdue, "backup_ms": d.now - 7_200_000}
}

func (d *district) conflict(ours string) any {
	if !d.forked {
		return nil
	}
	theirs, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: lamppost.Origin(network, member), Size: int64(len(d.leaves)) + 12}, d.signer)
	if err != nil {
		panic(err)
	}
	return map[string]any{"found_ms": d.now - 60_000, "ours": ours, "theirs": string(theirs), "text": fmt.Sprintf("witness w1.utility.example holds a "+
		"checkpoint of %d entries signed with this log's key; the log here has only %d", len(d.leaves)+12, len(d.leaves))}
}

// device n is a lamp up to the fortieth, then a flat's meter.
func (d *district) device(n int) map[string]any {
	at := d.now - lamppost.TimeMS(n*137%900)*100
	id, name, site, safety := fmt.Sprintf("lamp-%02d", n), fmt.Sprintf("Lamp %d", n), "Harbour Street", "public"
	switch {
	case n > lamps:
		id, name, site, safety = fmt.Sprintf("flat-%d", n-lamps), fmt.Sprintf("Flat %d", n-lamps), "Mill House", "essential"
	case n == 13:
		name = hostile
	case n > 22:
		site = "Canal Walk"
	}
	dev := map[string]any{
		"id": id, "name": name, "site": site, "owner": "riverside", "safety": safety, "suite": "ed25519",
		"assurance": "device-signed", "last_ms": at, "online": true, "quarantined": "",
		"balance": map[string]string{"EUR": lamppost.Micro((n*53_417)%900_000 - 240_000).String()}, "readings": d.twin(n, at),
	}
	switch n {
	case 17:
		dev["online"], dev["last_ms"], dev["readings"] = false, d.now-5*hourMS, d.twin(n, d.now-5*hourMS)
	case 31:
		dev["online"], dev["quarantined"] = false, "number 4711 was used for two different reports"
	}
	return dev
}

func (d *district) twin(n int, at lamppost.TimeMS) []map[string]any {
	value := func(name, unit, kind string, v lamppost.Decimal) map[string]any {
		return map[string]any{"name": name, "unit": unit, "value": v.String(), "kind": kind, "quality": "measured", "time_ms": at}
	}
	grown := int64(d.height) * int64(11+n%5)
	power := value("power", "W", "gauge", lamppost.Dec(d.watts(n, at), -1))
	if n > lamps {
		return []map[string]any{value("energy", "Wh", "register", lamppost.Dec(1_204_310+int64(n)*81_733+grown*20, 0)), power,
			value("voltage", "V", "gauge", lamppost.Dec(2297+int64(n), -1))}
	}
	return []map[string]any{value("energy", "Wh", "register", lamppost.Dec(412_050+int64(n)*3_117+grown, 0)), power,
		value("level", "%", "gauge", lamppost.Dec(d.watts(n, at)/7, 0))}
}

// watts is a device's draw in tenths of a watt: lamps by night, flats in the evening.
func (d *district) watts(n int, at lamppost.TimeMS) int64 {
	hour := float64(at%(24*hourMS)) / float64(hourMS)
	if n > lamps {
		return int64(1800 + 1500*math.Exp(-(hour-19)*(hour-19)/6) + 400*math.Abs(math.Sin(float64(n)+7*hour)))
	}
	if n%9 == 4 || hour > 7 && hour < 15.5 {
		return 0
	}
	return int64(420 + 200*math.Abs(math.Sin(float64(n)+hour/3)))
}

func (d *district) detail(n int) map[string]any {
	dev := d.device(n)
	dev["seq"], dev["missing"], dev["lost"], dev["key_epoch"] = map[string]any{"epoch": 1, "n": int(d.height) - 1}, 0, 0, 1
	if n == 17 {
		dev["missing"], dev["lost"] = 3, 1
	}
	dev["points"] = []map[string]any{}
	if n > lamps {
		id := dev["id"].(string)
		dev["points"] = []map[string]any{{"id": id, "device": id, "register": "energy", "unit": "Wh", "place": "Mill House, flat " + id[5:]}}
	}
	dev["desired"] = desiredOf(dev["id"].(string), d.now)
	dev["series"] = []string{"energy", "power", "voltage"}
	if n <= lamps {
		dev["series"] = []string{"energy", "power", "level"}
	}
	return dev
}

func (d *district) series(n int, name string, far bool) map[string]any {
	const points = 3 * quarters
	times, values, errors, classes := make([]lamppost.TimeMS, points), make([]float64, points), make([]float64, points), make([]string, points)
	for i := range points {
		times[i] = d.now - lamppost.TimeMS(points-1-i)*15*60*1000
		values[i] = float64(d.watts(n, times[i])) / 10
		if name == "energy" {
			values[i] = 412_050 + float64(i)*14
		}
	}
	gone := []map[string]any{}
	for i := range points {
		if classes[i] = "raw"; far && i < points/2 { // as older values are in summaries
			classes[i], errors[i] = "summary", 12
		}
	}
	if far {
		gone = append(gone, map[string]any{"until_ms": times[0] - 1, "class": "header-only", "why": "pruned: reports stay raw for 30 days and summed up for 90 days"})
	}
	unit, kind := map[string]string{"power": "W", "energy": "Wh", "voltage": "V", "level": "%"}[name], "gauge"
	if name == "energy" {
		kind = "register"
	}
	return map[string]any{"name": name, "unit": unit, "kind": kind, "times_ms": times, "values": values, "errors": errors, "classes": classes, "next_ms": 0, "gone": gone}
}

// homeTariff has two bands, a standing charge and tax: what a bill's page must be able to show.
func homeTariff() tariff.Tariff {
	return tariff.Tariff{ID: "home", Version: 1, Seller: "riverside", Currency: "EUR", PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3,
		Zone: tariff.Zone{Name: "Europe/Berlin", Transitions: []tariff.Transition{{AtMS: 0, OffsetMin: 60}}},
		Bands: []tariff.Band{{Name: "night", FromMin: 0, ToMin: 6 * 60, Price: 190_000}, {Name: "day", FromMin: 6 * 60, ToMin: 22 * 60, Price: 311_200},
			{Name: "night", FromMin: 22 * 60, ToMin: 24 * 60, Price: 190_000}},
		Standing: 250_000, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}
}

// bill has the tariff package compute flat i's week.
func (d *district) bill(t *testing.T, i int) invoice {
	t.Helper()
	home, point := homeTariff(), fmt.Sprintf("flat-%d", i)
	buyer := lamppost.PartyID(fmt.Sprintf("tenant-%d", i))
	var edges []tariff.Edge
	wattHours := int64(1_204_310 + i*81_733)
	for j, at := range home.Edges(weekEnd-weekMS, weekEnd) {
		wattHours += int64(900 + (j*7919+i*104_729)%5200)
		edges = append(edges, tariff.Edge{Time: at, Value: lamppost.Dec(wattHours, 0), Source: tariff.Source{Height: lamppost.Height(2 + j), Record: 1}})
	}
	if i == 7 {
		edges[5].Estimated, edges[5].Next = true, tariff.Source{Height: 9}
	}
	order := tariff.InvoiceOrder{Number: fmt.Sprintf("riverside-%06d", i), IssuedMS: d.now,
		InvoiceBody: lamppost.InvoiceBody{Seller: "riverside", Buyer: buyer, Currency: "EUR", From: weekEnd - weekMS, To: weekEnd}}
	inv, err := tariff.Bill(order, []tariff.Supply{{Device: lamppost.DeviceID(point), Register: "energy", Unit: "Wh",
		Place: fmt.Sprintf("Mill House, flat %d", i), Tariff: home, Edges: edges,
		Agreement: lamppost.AgreementBody{ID: point, Seller: "riverside", Buyer: buyer, Point: point, Tariff: "home"}}})
	if err != nil {
		t.Fatal(err)
	}
	return invoice{Invoice: inv, SellerName: "Riverside Housing", BuyerName: tenant(i), Due: inv.Total}
}

func tenant(i int) string {
	return []string{"Ada Okafor", "Bo Lindqvist", "Chiara Romano", "Dmitri Sokolov", "Elif Demir", "Farah Nasser", "Goran Petrović",
		"Hana Suzuki", "Ifeoma Eze", "Jan de Vries", "Kai Müller-Lüdenscheidt", "Lucía Fernández"}[i-1]
}

func (d *district) proof(height, index string) any {
	for i := range d.txs {
		tx := &d.txs[i]
		if fmt.Sprint(tx.Height) != height || fmt.Sprint(tx.Index) != index {
			continue
		}
		cp, root := d.checkpoint()
		path := lamppost.MerklePath(d.leaves, int(tx.Leaf))
		hexPath := make([]string, len(path))
		for j := range path {
			hexPath[j] = path[j].String()
		}
		if d.tamper {
			path[2][31] ^= 1
			hexPath[2] = path[2].String()
		}
		return map[string]any{"leaf": hex.EncodeToString(d.records[tx.Leaf]), "leaf_hash": d.leaves[tx.Leaf].String(), "leaf_index": tx.Leaf,
			"size": len(d.leaves), "root": root.String(), "path": hexPath, "checkpoint": cp}
	}
	return nil
}

// serve starts the node's face: the dashboard and the fake API on one port.
func (d *district) serve(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", dashboard.Handler())
	mux.HandleFunc("/check/", checkpage.Content{Pin: d.pin}.Serve)
	mux.HandleFunc("GET /network.pin", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, d.pin) })
	mux.HandleFunc("GET /login", d.login)
	mux.HandleFunc("GET /api/events", d.guard(d.events))
	mux.HandleFunc("GET /api/statements/{party}", d.guard(d.statement))
	mux.HandleFunc("GET /api/receipts/{device}/{epoch}/{n}", d.guard(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"lamppost":"receipt/1","network":"riverside","report":{"device":{"id":%q}}}`, r.PathValue("device"))
	}))
	answer := func(pattern string, make func(r *http.Request) any) {
		mux.HandleFunc("GET /api"+pattern, d.guard(func(w http.ResponseWriter, r *http.Request) {
			d.mu.Lock()
			body := make(r)
			d.mu.Unlock()
			reply(w, body)
		}))
	}
	answer("/status", func(*http.Request) any { return d.status() })
	answer("/devices", func(*http.Request) any {
		return map[string]any{"devices": d.devices(), "pending": append([]map[string]any{}, d.pending...)}
	})
	mux.HandleFunc("POST /api/devices/{id}/adopt", d.guard(d.adopt))
	answer("/devices/{id}", func(r *http.Request) any { return d.byID(r.PathValue("id"), d.detail) })
	answer("/devices/{id}/series", func(r *http.Request) any {
		return d.byID(r.PathValue("id"), func(n int) map[string]any { return d.series(n, r.FormValue("name"), r.FormValue("from_ms") != "") })
	})
	answer("/devices/{id}/keys", func(r *http.Request) any { return d.keys(r.PathValue("id")) })
	answer("/devices/{id}/guard", func(r *http.Request) any { return guardOf(r.PathValue("id"), d.now) })
	mux.HandleFunc("POST /api/devices/{id}/revoke", d.guard(d.revoke))
	answer("/network", func(*http.Request) any { return d.net() })
	answer("/keeping", func(*http.Request) any { return d.keeping() })
	d.serveCases(mux, answer)
	d.serveAlarms(mux, answer)
	d.serveAgents(mux, answer)
	mux.HandleFunc("POST /api/advise", d.guard(d.advise))
	mux.HandleFunc("GET /api/fleets", d.guard(d.examples))
	mux.HandleFunc("POST /api/fleets", d.guard(d.readFleet))
	answer("/log", d.log)
	answer("/log/proof", func(r *http.Request) any { return d.proof(r.FormValue("height"), r.FormValue("index")) })
	answer("/parties", func(*http.Request) any { return map[string]any{"parties": parties()} })
	answer("/invoices", func(*http.Request) any { return map[string]any{"invoices": d.list()} })
	answer("/outlook/{party}", func(r *http.Request) any { return d.outlook(r.PathValue("party")) })
	answer("/budgets", func(*http.Request) any { return d.budgets() })
	answer("/invoices/{number}", func(r *http.Request) any { return d.invoice(r.PathValue("number")) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// keys is the history of a device's keys: lamp-05 changed its key itself, the operator changed that of flat-3.
func (d *district) keys(id string) any {
	key := func(epoch uint32, how, state string, from, until lamppost.TimeMS) map[string]any {
		return map[string]any{"epoch": epoch, "suite": "ed25519", "key": make([]byte, 32), "how": how, "by": member, "from_ms": from, "until_ms": until,
			"state": state, "revoked_ms": 0, "height": 1}
	}
	latest := key(1, "enrolled", "current", evening-weekMS, 0)
	list := []map[string]any{latest}
	switch id {
	case "lamp-05":
		latest["epoch"], latest["how"] = 2, "rotated"
		list = append(list, key(1, "enrolled", "former", evening-4*weekMS, evening+2*weekMS))
	case "flat-3":
		latest["epoch"], latest["how"] = 2, "set"
		list = append(list, key(1, "enrolled", "replaced", evening-40*weekMS, evening-20*weekMS))
	}
	if why := d.revoked[id]; why != "" {
		latest["state"], latest["reason"], latest["revoked_ms"], latest["until_ms"] = "revoked", why, d.now, d.now
	}
	return map[string]any{"id": id, "keys": list}
}

// desiredOf is what a device should be like: lamp-17 darker than is safe, of others nothing was ever desired.
func desiredOf(id string, now lamppost.TimeMS) any {
	d := map[string]any{"revision": 0, "id": "", "set": map[string]any{}, "until_ms": 0, "by": "", "mode": "", "reason": "", "time_ms": 0, "height": 0, "state": "none",
		"text": "Nothing was ever desired of it.", "functions": []any{}, "delivered_ms": 0, "acked_ms": 0, "acked_by": ""}
	if id == "lamp-17" {
		d["revision"], d["id"], d["set"], d["until_ms"], d["by"], d["reason"], d["time_ms"], d["height"] = 3, "dusk-1", map[string]any{"level": 10}, now+600_000, "ann", "a quiet street", now-60_000, 9
		d["state"], d["text"], d["delivered_ms"], d["acked_ms"], d["acked_by"] = "granted_less", "The device does otherwise: level is 30 %, not 10: not below its minimum.", now-60_000, now-59_000, "device"
		d["functions"] = []any{map[string]any{"name": "level", "unit": "%", "desired": "10", "granted": "30", "reported": "", "why": "not below its minimum"}}
	}
	return d
}

// guardOf is what a device's guard is asked: lamp-17 is asked to be darker than is safe, flat-3 has no guard that answers.
func guardOf(id string, now lamppost.TimeMS) any {
	asked := map[string]any{"id": "peak", "device": id, "function": "light", "level": 10, "by": "city", "reason": "power is scarce", "notice_ms": 0, "until_ms": now + weekMS}
	state := map[string]any{"safety": "public", "restrictions": []any{}, "words": []any{}}
	switch id {
	case "lamp-17":
		key := map[string]any{"suite": -8, "key": make([]byte, 32)}
		state["charter"] = map[string]any{"version": 1, "device": id, "number": 2, "owner": key, "second": key,
			"functions": []any{map[string]any{"name": "light", "class": 2, "min": 30}}}
		state["restrictions"] = []any{asked}
		state["words"] = []any{map[string]any{"by": "device", "at_ms": now - 60_000, "charter": 2, "decisions": []any{map[string]any{
			"function": "light", "class": "public", "level": 30, "request": "peak@7.0", "asked": 10, "by": "city", "reason": "power is scarce", "why": "minimum",
			"text": "light (public) runs at 30 %; city asks for 10 % (power is scarce): not below its minimum"}}}}
	case "flat-3":
		state["restrictions"] = []any{asked}
	}
	return state
}

func (d *district) revoke(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Epoch  uint32 `json:"key_epoch"`
		Reason string `json:"reason"`
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Reason == "" || in.Epoch == 0 {
		refuse(w, http.StatusBadRequest, "bad_request", "a revocation has a reason: it stays on record")
		return
	}
	d.revoked[r.PathValue("id")] = in.Reason
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{"height": 9, "index": 0, "outcome": "ok"})
}

func (d *district) login(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("token") != token {
		refuse(w, http.StatusUnauthorized, "unauthorized", "this is not the administrator's token")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "lamppost", Value: token, HttpOnly: true, SameSite: http.SameSiteStrictMode, Path: "/"})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (d *district) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("lamppost")
		if !d.open && (err != nil || c.Value != token) && r.Header.Get("Authorization") != "Bearer "+token {
			refuse(w, http.StatusUnauthorized, "unauthorized", "this needs the administrator's token")
			return
		}
		next(w, r)
	}
}

func reply(w http.ResponseWriter, body any) {
	if body == nil {
		refuse(w, http.StatusNotFound, "not_found", "there is nothing under this name: look at the list it came from")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"code": code, "text": text})
}

// events streams until the browser or the server goes.
func (d *district) events(w http.ResponseWriter, r *http.Request) {
	if !d.streams {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	l := make(chan []byte, 64)
	d.mu.Lock()
	d.listeners[l] = true
	first := event("status", d.status())
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.listeners, l)
		d.mu.Unlock()
	}()
	for {
		w.Write(first)
		w.(http.Flusher).Flush()
		select {
		case first = <-l:
		case <-r.Context().Done():
			return
		}
	}
}

func (d *district) statement(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.notReady > 0 {
		d.notReady--
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "not_ready", "the bill is not published yet: ask again in a second")
		return
	}
	if q := r.URL.Query(); q.Has("format") {
		fmt.Fprintf(w, "%s of %s in %s", q.Get("format"), q.Get("invoice"), q.Get("lang"))
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="statement.json"`)
	reply(w, map[string]string{"lamppost": "statement/1", "party": r.PathValue("party")})
}

// waiting is what a node shows of devices that are not enrolled: some speak, some were announced, one did both.
func (d *district) waiting() []map[string]any {
	wait := func(id, name, site, owner, safety string, seen lamppost.TimeMS, topic, mapping, assurance string) map[string]any {
		return map[string]any{"id": id, "name": name, "site": site, "owner": owner, "safety": safety, "seen_ms": seen, "topic": topic,
			"mapping": mapping, "assurance": assurance}
	}
	return []map[string]any{
		wait("cellar-pump", "Cellar pump", "Mill House", "riverside", "essential", 0, "", "", ""),
		wait("kettle", "", "", "", "", d.now-8_000, "zigbee2mqtt/kettle", "zigbee2mqtt", "unsigned"),
		wait("laundry-1", "Laundry", "Mill House", "riverside", "ordinary", d.now-95_000, "tele/laundry-1/SENSOR", "tasmota", "channel-authenticated"),
		wait("shellyplus1pm-a8032abe54dc", "", "", "", "", d.now-41_000, "shellyplus1pm-a8032abe54dc/status/switch:0", "shelly-gen2", "unsigned"),
	}
}

// adopt takes a device that waits, or refuses as a node does.
func (d *district) adopt(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var asked map[string]any
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(d.pending, func(p map[string]any) bool { return p["id"] == id })
	switch {
	case i < 0:
		refuse(w, http.StatusConflict, "exists", fmt.Sprintf("device %q is enrolled", id))
	case id == "kettle" && asked["assurance"] == "channel-authenticated":
		refuse(w, http.StatusUnprocessableEntity, "unknown", `device "kettle" was not announced and cannot log in: POST /api/devices first`)
	default:
		d.adopted[id] = asked
		shown := d.detail(1)
		shown["id"], shown["name"], shown["assurance"], shown["owner"] = id, asked["name"], asked["assurance"], "tenant-3"
		d.pending = slices.Delete(d.pending, i, i+1)
		w.WriteHeader(http.StatusCreated)
		reply(w, shown)
	}
}

func (d *district) devices() []map[string]any {
	all := make([]map[string]any, lamps+flats)
	for i := range all {
		all[i] = d.device(i + 1)
	}
	return all
}

func (d *district) byID(id string, make func(n int) map[string]any) any {
	for n := 1; n <= lamps+flats; n++ {
		if d.device(n)["id"] == id {
			return make(n)
		}
	}
	return nil
}

func (d *district) log(r *http.Request) any {
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil {
		limit = 50
	}
	newest := slices.Clone(d.txs[max(0, len(d.txs)-limit):])
	slices.Reverse(newest)
	cp, root := d.checkpoint()
	return map[string]any{"size": len(d.leaves), "root": root.String(), "checkpoint": cp, "transactions": newest}
}

func parties() []map[string]any {
	all := []map[string]any{{"id": "riverside", "name": "Riverside Housing", "credit_limit": "0.00"}}
	for i := 1; i <= flats; i++ {
		all = append(all, map[string]any{"id": fmt.Sprintf("tenant-%d", i), "name": tenant(i), "credit_limit": "50.00"})
	}
	return all
}

func (d *district) list() []map[string]any {
	var all []map[string]any
	for i := range d.invoices {
		v := &d.invoices[i]
		all = append(all, map[string]any{"number": v.Number, "seller": v.Seller, "buyer": v.Buyer, "currency": v.Currency, "from_ms": v.From,
			"to_ms": v.To, "issued_ms": v.Issued, "net": v.Net, "total": v.Total, "due": v.Due, "corrects": corrects(v), "replaced_by": v.Replaced, "height": v.Height, "index": v.Index})
	}
	return all
}

func (d *district) invoice(number string) any {
	for i := range d.invoices {
		if d.invoices[i].Number == number {
			return d.invoices[i]
		}
	}
	return nil
}

// A proofCase is a place in a log of a size, with its path and root as Go computes them.
type proofCase struct {
	Leaf  string   `json:"leaf"`
	Index int      `json:"index"`
	Size  int      `json:"size"`
	Path  []string `json:"path"`
	Root  string   `json:"root"`
}

func proofCases() (cases []proofCase) {
	var leaves []lamppost.Hash
	for size := 1; size <= 70; size++ {
		leaves = append(leaves, lamppost.Hash(tlog.RecordHash([]byte{byte(size)})))
		for i := 0; i < size; i += 1 + size/9 {
			c := proofCase{leaves[i].String(), i, size, []string{}, lamppost.MerkleRoot(leaves).String()}
			for _, h := range lamppost.MerklePath(leaves, i) {
				c.Path = append(c.Path, h.String())
			}
			cases = append(cases, c)
		}
	}
	return cases
}
