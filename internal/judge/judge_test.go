package judge_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

const (
	minute = 60_000
	hour   = 60 * minute
	day    = 24 * hour
	begin  = lamppost.TimeMS(20_000 * day)
)

// A chain makes blocks.
type chain struct {
	t      testing.TB
	key    *sig.PrivateKey
	seq    map[lamppost.DeviceID]uint64
	height lamppost.Height
	time   lamppost.TimeMS
	open   judge.Block
	blocks []*judge.Block
}

func newChain(t testing.TB) *chain {
	key, err := sig.NewPrivateKey(sig.EdDSA, make([]byte, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return &chain{t: t, key: key, seq: map[lamppost.DeviceID]uint64{}, time: begin}
}

// report adds a report that member "m1" signed for.
func (c *chain) report(id lamppost.DeviceID, readings ...lamppost.Reading) *chain {
	c.seq[id]++
	r := lamppost.Report{Device: id, Seq: lamppost.Seq{N: c.seq[id]}, TimeQuality: lamppost.TimeSynchronised, Readings: readings}
	raw, err := lamppost.SignReport(&r, "net", c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	received := max(c.time, readings[len(readings)-1].Time+500)
	c.time = received
	n := len(c.open.Txs)
	if n == 0 || c.open.Txs[n-1].Type != lamppost.TxSegment {
		c.open.Txs = append(c.open.Txs, judge.Tx{Transaction: &lamppost.Transaction{Type: lamppost.TxSegment, Header: lamppost.SegmentHeader{Gateway: "m1"}}})
		n++
	}
	tx := &c.open.Txs[n-1]
	tx.Items = append(tx.Items, lamppost.SegmentItem{Received: received, Report: raw})
	tx.Outcomes = append(tx.Outcomes, lamppost.Outcome{})
	return c
}

func (c *chain) order(t lamppost.TxType, body any) *chain {
	tx := &lamppost.Transaction{Type: t, Order: lamppost.Order{Type: t, Body: lamppost.Marshal(body)}, Signed: lamppost.Signed{Key: "m1"}}
	c.open.Txs = append(c.open.Txs, judge.Tx{Transaction: tx, Outcomes: make([]lamppost.Outcome, 1)})
	return c
}

// block ends a block and returns it.
func (c *chain) block() *judge.Block {
	c.height++
	b := c.open
	b.Height, b.Time = c.height, c.time+1
	c.open = judge.Block{}
	c.blocks = append(c.blocks, &b)
	return &b
}

func gauge(at lamppost.TimeMS, x float64) lamppost.Reading {
	return lamppost.Reading{Name: "power", Unit: "W", Time: at, IsFloat: true, Float: x}
}

func register(at lamppost.TimeMS, x int64) lamppost.Reading {
	return lamppost.Reading{Name: "energy", Unit: "Wh", Time: at, Kind: lamppost.Register, Value: lamppost.Dec(x, 0)}
}

// reading finds what a verdict is about, as somebody does who has the archive.
func (c *chain) reading(v *lamppost.Verdict) judge.Reading {
	it := c.blocks[v.Height-1].Txs[v.Tx].Items[v.Report]
	var r lamppost.Report
	if err := r.Decode(it.Report); err != nil {
		c.t.Fatal(err)
	}
	return judge.Reading{Reading: r.Readings[v.Record], Height: v.Height, Tx: v.Tx, Report: v.Report, Record: v.Record, Received: it.Received, Device: r.Device, Billing: r.Billing()}
}

// replays checks that a verdict may be ordered, and that it comes again from its state.
func (c *chain) replays(f judge.Found) {
	c.t.Helper()
	if err := (&lamppost.VerdictsBody{Model: judge.Model(), Verdicts: []lamppost.Verdict{f.Verdict}}).Check(); err != nil {
		c.t.Errorf("%+v: %v", f.Verdict, err)
	}
	if f.Verdict.State != sha256.Sum256(f.State) {
		c.t.Errorf("the state is not that of the verdict")
	}
	again, err := judge.Replay(f.State, c.reading(&f.Verdict))
	if err != nil {
		c.t.Fatal(err)
	}
	want := lamppost.Marshal(f.Verdict)
	if !slices.ContainsFunc(again, func(v lamppost.Verdict) bool { return bytes.Equal(lamppost.Marshal(v), want) }) {
		c.t.Errorf("replayed %+v\nwant %+v", again, f.Verdict)
	}
}

func open(t testing.TB, store kv.Reader) *judge.Judge {
	t.Helper()
	j, err := judge.Open(judge.Config{Records: store, Member: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func save(t testing.TB, j *judge.Judge, store kv.Store) {
	t.Helper()
	var b kv.Batch
	if err := j.Save(&b); err != nil {
		t.Fatal(err)
	}
	if err := store.Apply(&b); err != nil {
		t.Fatal(err)
	}
}

// wave is the power of a lamp, with some noise.
func wave(r *rand.Rand, i int) float64 { return 100 + 30*math.Sin(float64(i)/10) + r.NormFloat64() }

// TestAnomaly: what is unlike a series is found where it stands, keeps what is around it, and its verdict comes again from the state before.
func TestAnomaly(t *testing.T) {
	t.Parallel()
	c, j, random := newChain(t), open(t, kv.NewMem()), rand.New(rand.NewPCG(1, 1))
	const strange = 1400
	var found []judge.Found
	for i := range strange + 1 {
		at, x := begin+lamppost.TimeMS(i)*minute, wave(random, i)
		if i == strange {
			x = 900
		}
		c.report("other", gauge(at, 5)).report("lamp", gauge(at, x))
		for _, f := range j.Next(c.block()) {
			if f.Name == "power" && f.Device == "lamp" {
				found = append(found, clone(f))
			}
		}
	}
	last := found[len(found)-1]
	if last.Height != strange+1 || last.Report != 1 || last.Kind != lamppost.Anomaly || last.By != "m1" || last.Score < last.Level {
		t.Errorf("found %+v", last.Verdict)
	}
	jump := wave(rand.New(rand.NewPCG(1, 1)), strange-1) // about
	if r := last.Reasons[0]; r.Code != "change" || math.Abs(float(r.Value)-(900-jump)) > 5 || float(r.High) > 20 {
		t.Errorf("because of %+v", r)
	}
	at := begin + strange*minute
	if from := at + 500 - 256*minute; last.KeepFrom > from || last.KeepFrom < from-17*minute || last.KeepTo < at+256*minute {
		t.Errorf("it keeps %d to %d around %d", last.KeepFrom, last.KeepTo, at)
	}
	for _, f := range found {
		c.replays(f)
	}
}

func float(d *lamppost.Decimal) float64 { return float64(d.Mantissa) * math.Pow10(int(d.Exponent)) }

func clone(f judge.Found) judge.Found {
	f.State = bytes.Clone(f.State)
	return f
}

// TestSaved: whoever dies at any moment and goes on from what was saved finds the same, with the same states, and has the same waiting.
func TestSaved(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	c := newChain(t)
	c.order(lamppost.TxGateway, lamppost.GatewayBody{ID: "g", Member: "m1", Key: make([]byte, 32)})
	size, budget := lamppost.Dec(3000, 0), uint32(20_000)
	c.order(lamppost.TxWatch, lamppost.WatchBody{Budget: &budget})
	for _, id := range []string{"main", "a", "b"} {
		p := lamppost.PointBody{ID: "p-" + id, Device: lamppost.DeviceID("meter-" + id), Register: "energy", Unit: "Wh", Main: "p-main"}
		if id == "main" {
			p.Main = ""
		}
		c.order(lamppost.TxPoint, p).order(lamppost.TxWatch, lamppost.WatchBody{Point: p.ID, Size: &size})
	}
	c.block()
	var all [3]int64
	var slow []lamppost.Reading // what a device has kept
	for i := range 900 {
		at := begin + lamppost.TimeMS(i)*15*minute
		all[1] += 20 + random.Int64N(50)
		all[2] += 20 + random.Int64N(50)
		all[0] = all[1] + all[2] + all[1]/50
		if i == 700 {
			all[1] -= 300 // rolled back
		}
		for k, id := range []lamppost.DeviceID{"meter-main", "meter-a", "meter-b"} {
			x := wave(random, i)
			if i > 200 && random.IntN(150) == 0 {
				x *= 5
			}
			c.report(id, register(at, all[k]), gauge(at, x))
		}
		c.report("loose", register(at, 3*int64(i)))
		c.report("pump", pump(random, at, i, i > 300 && i%126 < 30, i > 450)...)
		slow = append(slow, register(at, 7*int64(i)-int64(random.IntN(100)/99)*1000), gauge(at+1, wave(random, i)*float64(1+i/100*(random.IntN(60)/59))))
		if random.IntN(4) == 0 {
			c.report("slow", slow[len(slow)-2:]...)
			c.block()
			c.report("slow", slow[:max(1, len(slow)-2)]...)
			slow = nil
		}
		c.block()
	}
	straight, store := open(t, kv.NewMem()), kv.NewMem()
	var want, got [][]byte
	kinds, together, late := map[lamppost.VerdictKind]int{}, 0, map[lamppost.VerdictKind]int{}
	for _, b := range c.blocks {
		for _, f := range straight.Next(b) {
			kinds[f.Kind]++
			if f.Reasons[0].Code == "relation" || f.Reasons[0].Code == "level" {
				together++
			}
			if f.Reasons[len(f.Reasons)-1].Code == "late" {
				late[f.Kind]++
			}
			c.replays(f)
			want = append(want, lamppost.Marshal(f.Verdict))
		}
	}
	if kinds[lamppost.Anomaly] < 5 || kinds[lamppost.Implausible] < 1 || together < 2 || late[lamppost.Anomaly] < 1 || late[lamppost.Implausible] < 1 {
		t.Fatalf("only found %v, %d of quantities together, late %v", kinds, together, late)
	}
	j, ends := open(t, store), map[lamppost.Height]int{}
	saves, deaths := 0, 0
	for int(j.Height()) < len(c.blocks) {
		switch random.IntN(40) {
		case 0, 1:
			save(t, j, store)
			saves++
		case 2:
			j = open(t, store)
			got = got[:ends[j.Height()]]
			deaths++
		}
		b := c.blocks[j.Height()]
		for _, f := range j.Next(b) {
			got = append(got, lamppost.Marshal(f.Verdict))
		}
		ends[b.Height] = len(got)
	}
	if saves < 10 || deaths < 5 {
		t.Fatalf("%d saves, %d deaths", saves, deaths)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("after %d deaths %d verdicts, %d without", deaths, len(got), len(want))
	}
	a, _ := straight.Waiting(1 << 20)
	b, _ := j.Waiting(1 << 20)
	if !reflect.DeepEqual(a, b) || len(a) != len(want) {
		t.Errorf("%d wait, %d without deaths, of %d", len(b), len(a), len(want))
	}
}

// TestNoAllocation: once a series is known, its readings allocate nothing.
func TestNoAllocation(t *testing.T) {
	c, j := newChain(t), open(t, kv.NewMem())
	next := 0
	blocks := make([]*judge.Block, 0, 3000)
	for i := range cap(blocks) {
		for d := range 4 {
			at := begin + lamppost.TimeMS(i)*minute
			c.report(lamppost.DeviceID(fmt.Sprint("lamp-", d)), gauge(at, 100+float64(i*7%13)), register(at, int64(3*i)))
		}
		twin := i ^ 1 // in twos, the younger first
		c.report("late", gauge(begin+lamppost.TimeMS(twin)*minute, 100+float64(i*7%13)), register(begin+lamppost.TimeMS(twin)*minute, int64(3*twin)))
		blocks = append(blocks, c.block())
	}
	step := func() {
		j.Next(blocks[next])
		next++
	}
	for next < 1200 {
		step()
	}
	before := j.Counts().Readings
	if n := testing.AllocsPerRun(1500, step); n > 0 {
		t.Errorf("a block of 10 readings allocates %v times", n)
	}
	if j.Counts().Readings < before+9*1500 {
		t.Error("readings were not judged")
	}
	if n := j.Counts(); n.Rows < 4*2700 || n.Vectors != 5 || n.Late < 2*1300 {
		t.Errorf("%d rows of %d vectors were judged", n.Rows, n.Vectors)
	}
	if all, reckoned := j.SeriesBytes("lamp-0"); slices.Max(all) > reckoned || slices.Max(all) < reckoned/2 {
		t.Errorf("series take %d bytes, and are reckoned with %d", all, reckoned)
	}
}

// TestBudget: with many random series alarms come as often as people want them, and not without a budget; what cannot be is found however
// small the budget is.
func TestBudget(t *testing.T) {
	t.Parallel()
	const devices, weeks, budget = 40, 16, 50 // for each 1,000 and week: 2 a week of these
	run := func(budget uint32) (alarms [weeks]int, hard int) {
		c, j := newChain(t), open(t, kv.NewMem())
		random := rand.New(rand.NewPCG(3, 3))
		c.order(lamppost.TxWatch, lamppost.WatchBody{Budget: &budget})
		for week := range weeks {
			for d := range devices {
				var readings []lamppost.Reading
				for i := range 7 * 24 * 2 {
					x := random.NormFloat64()
					readings = append(readings, gauge(begin+lamppost.TimeMS(week)*7*day+lamppost.TimeMS(i)*hour/2, x*x*x))
				}
				if d == 0 && week > 0 {
					readings = readings[:len(readings)-1]
					readings = append(readings, register(readings[len(readings)-1].Time, int64(1000-week)))
				}
				c.report(lamppost.DeviceID(fmt.Sprint("d", d)), readings...)
				for _, f := range j.Next(c.block()) {
					if f.Kind == lamppost.Anomaly {
						alarms[week]++
					} else {
						hard++
					}
				}
			}
		}
		return alarms, hard
	}
	free, _ := run(lamppost.MaxAlarmBudget)
	kept, hard := run(budget)
	none, hardest := run(0)
	sum := func(all []int) (n int) {
		for _, x := range all {
			n += x
		}
		return n
	}
	t.Logf("alarms a week: %v free, %v kept", free, kept)
	allowed := budget * devices / 1000
	if sum(free[4:]) < 2*allowed*(weeks-4) {
		t.Fatalf("there is nothing to hold back: %v", free)
	}
	if n := sum(kept[4:]); n > allowed*(weeks-4)*11/10 || n < allowed*(weeks-4)/3 {
		t.Errorf("%d alarms in %d weeks, where %d a week are wanted: %v", n, weeks-4, allowed, kept)
	}
	if n := sum(none[:]); n > 0 || hardest != hard || hard < weeks-2 {
		t.Errorf("with a budget of 0 %d alarms, and %d impossible registers rather than %d", n, hardest, hard)
	}
}

// TestBudgetWithinBlock: devices that all jump in one block do not all alarm: each alarm raises the level for the next.
func TestBudgetWithinBlock(t *testing.T) {
	t.Parallel()
	const devices = 40
	jump := func(budget uint32) (alarms int) {
		c, j := newChain(t), open(t, kv.NewMem())
		random := rand.New(rand.NewPCG(4, 4))
		c.order(lamppost.TxWatch, lamppost.WatchBody{Budget: &budget})
		for i := range 401 {
			for d := range devices {
				x := wave(random, i)
				if i == 400 {
					x = 140 + float64(d)
				}
				c.report(lamppost.DeviceID(fmt.Sprint("d", d)), gauge(begin+lamppost.TimeMS(i)*hour, x))
			}
			found := j.Next(c.block())
			if i == 400 {
				alarms = len(found)
			}
		}
		return alarms
	}
	free, kept := jump(lamppost.MaxAlarmBudget), jump(lamppost.DefaultAlarmBudget)
	t.Logf("of %d that jump %d alarm free, %d kept", devices, free, kept)
	if free < devices/2 || kept == 0 || kept > free/2 {
		t.Errorf("of %d that jump %d alarm free, %d kept", devices, free, kept)
	}
}

// TestMemory: what there is no memory for is counted, and not judged; registers are judged for plausibility all the same.
func TestMemory(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	j := judge.New(judge.Config{Records: kv.NewMem(), Bytes: 1 << 20})
	for i := range 40 {
		for d := range 20 {
			c.report(lamppost.DeviceID(fmt.Sprint("d", d)), register(begin+lamppost.TimeMS(i)*minute, int64(100-i)))
		}
		j.Next(c.block())
	}
	n := j.Counts()
	if n.Series == 0 || n.Series > 14 || n.Readings != uint64(40*n.Series) || n.NotJudged != uint64(40*(20-n.Series)) || n.Registers != 40*20 {
		t.Errorf("%+v", n)
	}
	if n.Verdicts[lamppost.Implausible] != 39*20 {
		t.Errorf("%d registers that fell were found, not %d", n.Verdicts[lamppost.Implausible], 39*20)
	}
	names := make([]lamppost.Reading, 100)
	for i := range names {
		names[i] = gauge(begin, 1)
		names[i].Name = fmt.Sprint("n", i)
	}
	before := j.Counts().NotJudged
	j.Next(c.report("many", names...).block())
	if got := j.Counts().NotJudged - before; got != 100 {
		t.Errorf("of 100 names of a device where there is no memory %d are counted", got)
	}
}
