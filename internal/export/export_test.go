package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/export"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func must(t fatal, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A house is a chain, with what a test knows of its readings by itself.
type house struct {
	t      fatal
	net    *ledgertest.Network
	store  kv.Store
	packs  *archive.Packs
	keeper archive.Keeper
	rep    *replica.Replica
	now    lamppost.TimeMS
	said   []said
}

// said is a reading in a block.
type said struct {
	lamppost.Reading
	device             lamppost.DeviceID
	seq                lamppost.Seq
	billing            bool
	received           lamppost.TimeMS
	height             lamppost.Height
	tx, report, record int
	code               lamppost.Code
}

func newHouse(t fatal) *house {
	h := &house{t: t, net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start}
	var err error
	h.packs, err = archive.NewPacks(h.store, new(archive.MemObjects))
	must(t, err)
	h.rep, err = replica.Open(replica.Config{Store: h.store, Packs: h.packs})
	must(t, err)
	h.keeper = archive.Keeper{Store: h.store, Packs: h.packs, Rules: replica.Rules, MaxHot: 4000}
	return h
}

// block commits transactions and remembers the readings in them.
func (h *house) block(txs ...*lamppost.Transaction) *lamppost.Result {
	h.t.Helper()
	h.now = max(h.now, h.rep.Last().Time+1)
	b := &lamppost.Block{Height: h.rep.Last().Height + 1, Time: h.now, Proposer: "m1"}
	for _, tx := range txs {
		b.Txs = append(b.Txs, tx.Append(nil))
	}
	res, err := h.rep.Apply(b)
	must(h.t, err)
	_, err = h.rep.Commit()
	must(h.t, err)
	for i, tx := range txs {
		for j, it := range tx.Items {
			var r lamppost.Report
			if r.Decode(bytes.Clone(it.Report)) != nil {
				continue
			}
			for k, x := range r.Readings {
				h.said = append(h.said, said{x, r.Device, r.Seq, r.Billing(), it.Received, b.Height, i, j, k, res.Outcomes[i][j].Code})
			}
		}
	}
	return res
}

func (h *house) order(typ lamppost.TxType, body any) *lamppost.Transaction {
	return h.net.Order(h.now+ledgertest.Hour, typ, body)
}

// settle lets the archive do what is due at a time.
func (h *house) settle(now lamppost.TimeMS) {
	h.t.Helper()
	for did := (archive.Did{Sealed: 1}); did.Some(); {
		var err error
		did, err = h.keeper.Step(now)
		must(h.t, err)
	}
}

// source exports up to a checkpoint at the end of the chain.
func (h *house) source() export.Source {
	h.t.Helper()
	log, err := tilelog.Open(h.store)
	must(h.t, err)
	c := lamppost.Checkpoint{Origin: "net/m1", Size: log.Size(), Root: lamppost.Hash(log.Root())}
	return export.Source{Note: c.Text() + "\n— net/m1 AAAA\n", Version: "test", See: func(see func(archive.View) error) error {
		snap, err := h.store.Snapshot()
		must(h.t, err)
		defer snap.Close()
		return see(archive.View{Reader: snap, Packs: h.packs})
	}}
}

// exported is what an export gave.
type exported struct {
	raw       [4]bytes.Buffer
	res       *export.Result
	readings  []export.Reading
	devices   []export.Device
	summaries []export.Summary
	values    []export.Value
}

func (h *house) export(src export.Source, o export.Options) *exported {
	h.t.Helper()
	x := new(exported)
	var err error
	x.res, err = export.Write(context.Background(), src, o, export.Files{Readings: &x.raw[0], Devices: &x.raw[1], Summaries: &x.raw[2], Values: &x.raw[3]}, func(_, _, _ int64) {})
	must(h.t, err)
	x.readings, x.devices, x.summaries = read[export.Reading](h.t, &x.raw[0]), read[export.Device](h.t, &x.raw[1]), read[export.Summary](h.t, &x.raw[2])
	x.values = read[export.Value](h.t, &x.raw[3])
	if x.res.Values != int64(len(x.values)) {
		h.t.Errorf("%+v, but there are %d values", x.res, len(x.values))
	}
	if x.res.Readings != int64(len(x.readings)) || x.res.Summaries != int64(len(x.summaries)) || x.res.Devices != int64(len(x.devices)) {
		h.t.Errorf("%+v, but the files have %d readings, %d summaries and %d devices", x.res, len(x.readings), len(x.summaries), len(x.devices))
	}
	return x
}

func read[T any](t fatal, b *bytes.Buffer) []T {
	t.Helper()
	rows, err := parquet.Read[T](bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	return rows
}

// decimal reads a DECIMAL(28,9).
func decimal(b [12]byte) *big.Rat {
	n := new(big.Int).SetBytes(b[:])
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 96))
	}
	return new(big.Rat).SetFrac(n, big.NewInt(1_000_000_000))
}

func rat(d lamppost.Decimal) *big.Rat {
	r, _ := new(big.Rat).SetString(d.String())
	return r
}

// row writes of a reading what both sides know, values as exact fractions.
func (s *said) row() string {
	value := rat(s.Value).RatString()
	if s.IsFloat {
		value = fmt.Sprint(s.Float)
	}
	return fmt.Sprintf("%d/%d/%d/%d %s %d/%d %s %s %s %s %s at %d in %d billing %t: %v", s.height, s.tx, s.report, s.record, s.device, s.seq.Epoch, s.seq.N, s.Name, s.Unit,
		s.Kind, s.Quality, value, s.Time, s.received, s.billing, s.code)
}

func rowOf(r *export.Reading) string {
	value := fmt.Sprint(r.Value)
	if r.Exact != nil {
		value = decimal(*r.Exact).RatString()
	}
	return fmt.Sprintf("%d/%d/%d/%d %s %d/%d %s %s %s %s %s at %d in %d billing %t: %v", r.Height, r.Tx, r.Report, r.Record, r.Device, r.SeqEpoch, r.SeqN, r.Name, r.Unit,
		r.Kind, r.Quality, value, r.Time, r.Received, r.Billing, r.Outcome)
}

// A town is a chain of all that can happen: reports that come twice, late, under numbers used before; keys that change.
func town(t fatal, draw func(n int) int) *house {
	h := newHouse(t)
	traffic := ledgertest.NewTraffic(h.net, draw)
	h.block(traffic.Found()...)
	for range 10 + draw(30) {
		traffic.Wait()
		h.now = traffic.Now
		var txs []*lamppost.Transaction
		for range 1 + draw(4) {
			if tx := traffic.Next(); tx.Type != lamppost.TxErase && tx.Type != lamppost.TxRetention { // their tests follow
				txs = append(txs, tx)
			}
		}
		h.block(txs...)
	}
	return h
}

// Goal: each reading that was asked for is in the file once, with its value to the last digit, in the order of the ledger,
// and nothing else is; whatever range, devices, names and blocks are asked for, and wherever the blocks stand.
func TestEachReadingOnce(t *testing.T) {
	t.Parallel()
	rows := 0
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
		h := town(t, draw)
		o := export.Options{All: draw(2) == 0, After: lamppost.Height(max(0, draw(40)-20))}
		if draw(2) == 0 {
			o.From = ledgertest.Start + lamppost.TimeMS(draw(20))*ledgertest.Hour
		}
		if draw(2) == 0 {
			o.To = ledgertest.Start + lamppost.TimeMS(draw(40))*ledgertest.Hour
		}
		if draw(2) == 0 {
			o.Devices = []lamppost.DeviceID{"d1", "d3"}
		}
		if draw(2) == 0 {
			o.Names = []string{"energy"}
		}
		var want []string
		for i := range h.said {
			s := &h.said[i]
			if (o.All || s.code == lamppost.CodeOK) && s.height > o.After && (o.From == 0 || s.Time >= o.From) && (o.To == 0 || s.Time < o.To) &&
				(o.Devices == nil || slices.Contains(o.Devices, s.device)) && (o.Names == nil || slices.Contains(o.Names, s.Name)) {
				want = append(want, s.row())
			}
		}
		if draw(3) > 0 {
			h.settle(h.now)
		}
		x := h.export(h.source(), o)
		var got []string
		for i := range x.readings {
			got = append(got, rowOf(&x.readings[i]))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v gives\n%q\nwant\n%q", o, got, want)
		}
		rows += len(got)
	})
	if rows < 1000 {
		t.Errorf("only %d rows were seen", rows)
	}
}

// Every decimal is a DECIMAL(28,9), and value is the floating point number nearest to it.
func TestValues(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.net.NewDevice("meter", sig.EdDSA)
	h.block(h.net.Genesis(), h.order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), h.order(lamppost.TxDevice, d.Body("p")))
	var values []lamppost.Decimal
	for _, m := range []int64{0, 1, -1, 5, 1<<53 - 1, 1 << 53, 1<<53 + 1, -(1<<53 + 1), 1 << 62, 1<<63 - 1, -(1<<63 - 1), 123_456_789_012_345_678} {
		for exp := int8(lamppost.MinExponent); exp <= 0; exp++ {
			values = append(values, lamppost.Dec(m, exp))
		}
	}
	for n := 0; n < len(values); n += 100 {
		var readings []lamppost.Reading
		for _, v := range values[n:min(n+100, len(values))] {
			readings = append(readings, lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: h.now, Value: v})
		}
		h.block(h.net.Segment(h.now, d.Report(uint64(n+1), readings...)))
	}
	h.block(h.net.Segment(h.now, d.Report(1000, lamppost.Reading{Name: "t", Unit: "Cel", Time: h.now, Float: 0.1, IsFloat: true})))
	x := h.export(h.source(), export.Options{})
	if len(x.readings) != len(values)+1 {
		t.Fatalf("%d rows, want %d", len(x.readings), len(values)+1)
	}
	for i, v := range values {
		r := &x.readings[i]
		nearest, _ := rat(v).Float64()
		if r.Exact == nil || decimal(*r.Exact).Cmp(rat(v)) != 0 || r.Value != nearest {
			t.Errorf("%s is %v and %v, want %v", v, r.Exact, r.Value, nearest)
		}
	}
	if r := x.readings[len(values)]; r.Exact != nil || r.Value != 0.1 || r.Kind != "gauge" {
		t.Errorf("a floating point number is %+v", r)
	}
}

// The same state gives the same bytes, whether blocks stand in the store or in packs; a file ends where the checkpoint does.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	n := 0
	h := town(t, func(max int) int { n += 7; return n % max })
	src := h.source()
	one := h.export(src, export.Options{})
	h.block(h.net.Segment(h.now, h.net.NewDevice("d0", sig.EdDSA).Report(900, ledgertest.Power(h.now, 1))))
	h.settle(h.now)
	two := h.export(src, export.Options{})
	for i := range one.raw {
		if !bytes.Equal(one.raw[i].Bytes(), two.raw[i].Bytes()) {
			t.Errorf("file %d: %d bytes, then %d others", i, one.raw[i].Len(), two.raw[i].Len())
		}
	}
	three := h.export(h.source(), export.Options{})
	if three.res.Last != one.res.Last+1 || len(three.readings) <= len(one.readings) {
		t.Errorf("a later checkpoint covers block %d with %d readings, after block %d with %d", three.res.Last, len(three.readings), one.res.Last, len(one.readings))
	}
}

var errDisk = errors.New("disk full")

// short takes so many bytes.
type short struct{ left int }

func (s *short) Write(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		return max(0, s.left+len(b)), errDisk
	}
	return len(b), nil
}

// A writer that fails, after however many bytes, and a context that ends make an error and never a result.
func TestFaults(t *testing.T) {
	t.Parallel()
	n := 0
	h := town(t, func(max int) int { n += 7; return n % max })
	src := h.source()
	whole := h.export(src, export.Options{})
	for i := range whole.raw {
		for left := 0; left < whole.raw[i].Len(); left += 1 + whole.raw[i].Len()/23 {
			var files export.Files
			switch w := (&short{left}); i {
			case 0:
				files.Readings = w
			case 1:
				files.Devices = w
			case 2:
				files.Summaries = w
			default:
				files.Values = w
			}
			if res, err := export.Write(context.Background(), src, export.Options{}, files, func(_, _, _ int64) {}); !errors.Is(err, errDisk) || res != nil {
				t.Errorf("file %d, full after %d bytes: %v, %v", i, left, res, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	_, err := export.Write(ctx, src, export.Options{}, export.Files{Readings: new(bytes.Buffer)}, func(_, _, _ int64) {
		if seen++; seen == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || seen != 3 {
		t.Errorf("cancelled in block 3: %v in block %d", err, seen)
	}
}
