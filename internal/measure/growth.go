package measure

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// GrowthOptions is a fleet and how long what it says is kept.
type GrowthOptions struct {
	Devices int
	Days    int
	Every   time.Duration // between two reports of a device
	Linger  time.Duration // how long a segment gathers
	RawDays uint32        // 0: for ever
	SumDays uint32        // summaries; 0: for ever
	Export  bool          // export all readings at the end
	Dir     string        // where the folder is made; it is removed afterwards

	Progress func(done, all int64, what string)
}

// GrowthResult says how large the folder was at the end of each simulated day, in bytes of all its files.
type GrowthResult struct {
	Devices        int     `json:"devices"`
	Days           int     `json:"days"`
	EveryS         float64 `json:"every_s"`
	LingerS        float64 `json:"linger_s"`
	RawDays        uint32  `json:"raw_days"`
	SummaryDays    uint32  `json:"summary_days"`
	Reports        int64   `json:"reports"`
	ReportBytes    float64 `json:"report_bytes"`   // of a report as it is sent, on average
	SegmentOf      float64 `json:"segment_of"`     // reports in a segment, on average
	Bytes          []Size  `json:"bytes"`          // by day
	SlopeFrom      int     `json:"slope_from_day"` // the first day that counts for the slope
	BytesPerEach   float64 `json:"bytes_per_report"`
	ArchivePerEach float64 `json:"archive_bytes_per_report"`
	LogPerEach     float64 `json:"log_bytes_per_report"`
	StorePerEach   float64 `json:"store_bytes_per_report"`

	Export *ExportResult `json:"export,omitempty"`
}

// A Size is the folder's at the end of a day.
type Size struct {
	Day     int   `json:"day"`
	Reports int64 `json:"reports"`
	Store   int64 `json:"store"`
	Log     int64 `json:"log"`
	Archive int64 `json:"archive"`
}

func (s *Size) total() int64 { return s.Store + s.Log + s.Archive }

// slopeDay is from when on the slope is taken, in runs that are long enough.
const slopeDay = 10

// Growth runs a fleet through the chain of a node, on a clock of its own: segments to replica, ledger, log and archive, as a
// node drives them, without doors and without checking signatures, which are real. Once a day each device signs a billing
// report besides.
func Growth(ctx context.Context, o GrowthOptions) (*GrowthResult, error) {
	folder, err := os.MkdirTemp(o.Dir, "lamppost-growth-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	g := &growth{o: o, dir: folder, now: growthStart, rng: mathrand.New(mathrand.NewPCG(1, 2)),
		res: &GrowthResult{Devices: o.Devices, Days: o.Days, EveryS: o.Every.Seconds(), LingerS: o.Linger.Seconds(), RawDays: o.RawDays, SummaryDays: o.SumDays}}
	if err := g.open(); err != nil {
		return nil, err
	}
	defer g.store.Close()
	for day := range o.Days {
		if err := g.day(ctx, day); err != nil {
			return nil, err
		}
	}
	if o.Export {
		if g.res.Export, err = g.export(ctx); err != nil {
			return nil, err
		}
	}
	return g.result(), nil
}

// growthStart is midnight, 2026-01-01 UTC.
const growthStart lamppost.TimeMS = 1_767_225_600_000

const growthDay lamppost.TimeMS = 24 * 3600 * 1000

// A growth is a chain that grows.
type growth struct {
	o   GrowthOptions
	dir string
	res *GrowthResult
	now lamppost.TimeMS

	fsync bool // every block
	rng   *mathrand.Rand

	store   *pebble.Store
	packs   *archive.Packs
	rep     *replica.Replica
	keeper  *archive.Keeper
	publish *tilelog.Publisher
	key     *sig.PrivateKey
	devices []growing
	bytes   int64
	segment uint64
}

// A growing is a device with a meter.
type growing struct {
	id  lamppost.DeviceID
	key *sig.PrivateKey
	n   uint64
	wh  int64
}

func (g *growth) open() (err error) {
	if g.store, err = pebble.Open(filepath.Join(g.dir, "db"), pebble.Options{NoFsync: !g.fsync}); err != nil {
		return err
	}
	objects, err := dir.Open(filepath.Join(g.dir, "archive"))
	if err != nil {
		return err
	}
	g.packs, err = archive.NewPacks(g.store, objects)
	if err != nil {
		return err
	}
	g.keeper = &archive.Keeper{Store: g.store, Packs: g.packs, Rules: replica.Rules, Detect: node.Detect}
	if g.rep, err = replica.Open(replica.Config{Store: g.store, Packs: g.packs, Checked: func(lamppost.TxID, []byte) bool { return true }}); err != nil {
		return err
	}
	if g.key, err = sig.GenerateKey(sig.EdDSA, nil); err != nil {
		return err
	}
	if err := g.openLog(); err != nil {
		return err
	}
	return g.register()
}

func (g *growth) openLog() error {
	storage, err := tilelog.OpenDir(filepath.Join(g.dir, "log"))
	if err != nil {
		return err
	}
	v, err := note.NewVerifier(audit.VerifierKey("fleet", lamppost.Member{ID: "node1", Key: g.key.Public().Bytes()}))
	if err != nil {
		return err
	}
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, g.key.Seed()...))
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", v.Name(), v.KeyHash(), secret))
	g.publish = &tilelog.Publisher{Origin: v.Name(), Signer: s, Verifier: v, Storage: storage}
	return err
}

// register founds the network and enrols the fleet.
func (g *growth) register() error {
	genesis := lamppost.GenesisBody{Network: "fleet", Rules: 1, Members: []lamppost.Member{{ID: "node1", Key: g.key.Public().Bytes()}}}
	g.now -= 1000
	orders := []*lamppost.Transaction{g.order(lamppost.TxGenesis, genesis, 0), g.order(lamppost.TxParty, lamppost.PartyBody{ID: "owner", Name: "Owner"}, g.now+1000)}
	if g.o.RawDays > 0 {
		orders = append(orders, g.order(lamppost.TxRetention, lamppost.RetentionBody{RawDays: g.o.RawDays, SummaryDays: g.o.SumDays}, g.now+1000))
	}
	for i := range g.o.Devices {
		key, err := sig.GenerateKey(sig.EdDSA, nil)
		if err != nil {
			return err
		}
		d := growing{id: lamppost.DeviceID(fmt.Sprintf("meter-%05d", i)), key: key}
		g.devices = append(g.devices, d)
		salt := g.salt()
		orders = append(orders, g.order(lamppost.TxDevice, lamppost.DeviceBody{ID: d.id, Owner: "owner", Suite: sig.EdDSA, Key: key.Public().Bytes(), KeyEpoch: 1, Salt: salt[:]}, g.now+1000))
	}
	for len(orders) > 0 {
		n := min(len(orders), 1000)
		if err := g.block(orders[:n]...); err != nil {
			return err
		}
		orders = orders[n:]
	}
	g.now = growthStart
	return nil
}

func (g *growth) salt() (s [lamppost.SaltBytes]byte) {
	rand.Read(s[:]) // never fails
	return s
}

func (g *growth) order(t lamppost.TxType, body any, expiry lamppost.TimeMS) *lamppost.Transaction {
	tx, err := lamppost.NewTx("fleet", lamppost.Order{Type: t, ExpiryTime: expiry, Nonce: g.salt(), Body: lamppost.Marshal(body)}, "node1", g.key, g.salt())
	if err != nil {
		panic(err) // these orders are ours
	}
	return tx
}

// block commits transactions, each of which must be accepted.
func (g *growth) block(txs ...*lamppost.Transaction) error {
	b := &lamppost.Block{Height: g.rep.Last().Height + 1, Time: max(g.now, g.rep.Last().Time+1), Cursor: lamppost.Cursor(g.rep.Last().Height + 1), Proposer: "node1"}
	for _, tx := range txs {
		b.Txs = append(b.Txs, tx.Append(nil))
	}
	res, err := g.rep.Apply(b)
	if err != nil {
		return err
	}
	for i := range res.Outcomes {
		for _, out := range res.Outcomes[i] {
			if err := out.Err(); err != nil {
				return fmt.Errorf("block %d: %w", b.Height, err)
			}
		}
	}
	_, err = g.rep.Commit()
	return err
}

// day lets a day pass.
func (g *growth) day(ctx context.Context, day int) error {
	midnight := growthStart + lamppost.TimeMS(day)*growthDay
	linger, every := lamppost.TimeMS(g.o.Linger.Milliseconds()), lamppost.TimeMS(g.o.Every.Milliseconds())
	steps := int(growthDay / linger)
	for step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.now = midnight + lamppost.TimeMS(step+1)*linger
		var due []send
		for i := range g.devices {
			// Devices report one after the other within the time between two reports.
			at := lamppost.TimeMS(i) * every / lamppost.TimeMS(len(g.devices))
			if since := g.now - midnight - at; since >= 0 && since%every < linger {
				due = append(due, send{&g.devices[i], 0})
			}
			if bill := midnight + at/10; bill > g.now-linger && bill <= g.now {
				due = append(due, send{&g.devices[i], lamppost.FlagBilling})
			}
		}
		if err := g.send(due, midnight); err != nil {
			return err
		}
		if step%512 == 511 || step == steps-1 {
			if err := g.settle(); err != nil {
				return err
			}
		}
		if g.o.Progress != nil && step%256 == 0 {
			g.o.Progress(int64(day)*int64(steps)+int64(step), int64(g.o.Days)*int64(steps), "segments")
		}
	}
	if err := g.store.Purge(); err != nil { // what is deleted shall not count
		return err
	}
	size := Size{Day: day + 1, Reports: g.res.Reports}
	size.Store, size.Log, size.Archive = diskBytes(filepath.Join(g.dir, "db")), diskBytes(filepath.Join(g.dir, "log")), diskBytes(filepath.Join(g.dir, "archive"))
	g.res.Bytes = append(g.res.Bytes, size)
	return nil
}

type send struct {
	d     *growing
	flags uint32
}

// send signs reports on all cores and commits them as a segment.
func (g *growth) send(due []send, midnight lamppost.TimeMS) error {
	if len(due) == 0 {
		return nil
	}
	items := make([]lamppost.SegmentItem, len(due))
	reports := make([]lamppost.Report, len(due))
	for i, s := range due {
		s.d.n++
		s.d.wh += int64(g.rng.IntN(40))
		r := lamppost.Report{Device: s.d.id, KeyEpoch: 1, Seq: lamppost.Seq{N: s.d.n}, Flags: s.flags, TimeQuality: lamppost.TimeSynchronised,
			BootID: 7, MonoMS: uint64(g.now - growthStart)}
		at := g.now - lamppost.TimeMS(g.rng.IntN(2000))
		if s.flags != 0 {
			at = midnight
		}
		r.Readings = []lamppost.Reading{{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: at, Value: lamppost.Dec(s.d.wh, 0)}}
		if s.flags == 0 {
			r.Readings = append(r.Readings, lamppost.Reading{Name: "power", Unit: "W", Time: at, Value: lamppost.Dec(int64(g.rng.IntN(30000)), -1)})
		}
		reports[i], items[i] = r, lamppost.SegmentItem{Salt: g.salt(), Received: g.now}
	}
	errs := make(chan error, runtime.GOMAXPROCS(0))
	workers := cap(errs)
	for w := range workers {
		go func() {
			var err error
			for i := w; i < len(due) && err == nil; i += workers {
				items[i].Report, err = lamppost.SignReport(&reports[i], "fleet", due[i].d.key)
			}
			errs <- err
		}()
	}
	readings := 0
	for range workers {
		if err := <-errs; err != nil {
			return err
		}
	}
	for i := range items {
		g.bytes += int64(len(items[i].Report))
		readings += len(reports[i].Readings)
	}
	g.segment++
	tx, err := lamppost.NewSegment("fleet", lamppost.Seq{N: g.segment}, readings, items, "node1", g.key, g.salt())
	if err != nil {
		return err
	}
	g.res.Reports += int64(len(items))
	return g.block(tx)
}

// settle publishes and lets the archive do all that is due.
func (g *growth) settle() error {
	signed, err := g.publish.Publish(g.store)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	c, err := lamppost.ParseCheckpoint(text + "\n")
	if err != nil {
		return err
	}
	var b kv.Batch
	tilelog.Trim(&b, c)
	if err := g.store.Apply(&b); err != nil {
		return err
	}
	for {
		did, err := g.keeper.Step(g.now)
		if err != nil || !did.Some() {
			return err
		}
	}
}

func (g *growth) result() *GrowthResult {
	r := g.res
	r.ReportBytes, r.SegmentOf = float64(g.bytes)/float64(r.Reports), float64(r.Reports)/float64(g.segment)
	first, last := Size{}, r.Bytes[len(r.Bytes)-1]
	if r.Days > slopeDay {
		first, r.SlopeFrom = r.Bytes[slopeDay-1], slopeDay
	}
	n := float64(last.Reports - first.Reports)
	r.BytesPerEach = float64(last.total()-first.total()) / n
	r.StorePerEach, r.LogPerEach, r.ArchivePerEach = float64(last.Store-first.Store)/n, float64(last.Log-first.Log)/n, float64(last.Archive-first.Archive)/n
	return r
}
