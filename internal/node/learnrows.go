package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// Learn lets this member take part in learning a model, from the readings of devices whose owners it speaks for. All who take part give it the
// same name, step and horizon.
type Learn struct {
	Model   string             `yaml:"model"`
	Owners  []lamppost.PartyID `yaml:"owners"`  // of the devices; each is to be asked before
	Reading string             `yaml:"reading"` // its name; of a register, what it counts in a step is learnt
	Step    time.Duration      `yaml:"step"`    // default 1h
	Horizon int                `yaml:"horizon"` // steps; default a day of them
}

// Chosen so that sums are of many rows of many devices, and of none too much.
const (
	learnDays    = 56 // of readings; the last fifth is not learnt from: on it is told how good that is
	deviceRows   = 50 // that a device must have, to be in it
	deviceShare  = 2  // no device has more than one of so many rows
	learnMetric  = "rms"
	learnDigits  = 6
	learnScaleOf = 1e6
)

func (c *Learn) check() error {
	c.Step = or(c.Step, time.Hour)
	if c.Horizon == 0 && c.Step > 0 && c.Step <= 24*time.Hour {
		c.Horizon = min(int(24*time.Hour/c.Step), forecast.MaxHorizon)
	}
	if err := lamppost.CheckName("model", c.part(forecast.MaxHorizon)); err != nil {
		return fmt.Errorf("learn: %w", err)
	}
	if len(c.Owners) == 0 || c.Reading == "" {
		return fmt.Errorf("learn %q: say owners, whose devices these are, and reading, such as energy", c.Model)
	}
	if _, err := forecast.NewModel(lamppost.TimeMS(c.Step.Milliseconds()), c.Horizon); err != nil {
		return fmt.Errorf("learn %q: %w", c.Model, err)
	}
	return nil
}

// part is the name on the ledger of what is learnt of up to so many steps ahead.
func (c *Learn) part(ahead int) string { return fmt.Sprintf("%s-%d", c.Model, ahead) }

// gathered is what a member has to say in a round.
type gathered struct {
	learnt, test []*forecast.Stats // by group of horizons
	base         []*forecast.Stats // nil: none
	devices      int
	salt         [32]byte
	data         lamppost.Hash
}

// gather learns from the last weeks of the owners' devices, weighing samples by the shared weights.
func (n *Node) gather(ctx context.Context, c *Learn, base []*forecast.Stats, now lamppost.TimeMS) (*gathered, error) {
	snap, err := n.store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	v := archive.View{Reader: snap, Packs: n.packs}
	s := archive.Search{From: now - learnDays*86_400_000, To: now, Now: now}
	if s.Rules, err = replica.Rules(v); err != nil {
		return nil, err
	}
	devices, err := (ledger.View{Reader: snap}).Devices()
	if err != nil {
		return nil, err
	}
	x := &gathered{base: base}
	rand.Read(x.salt[:]) // never fails
	rows, most := federate.NewRows(x.salt), 0
	for i := range devices {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !slices.Contains(c.Owners, devices[i].Owner) {
			continue
		}
		s.Device = devices[i].ID
		got, err := c.values(ctx, v, s)
		if err != nil {
			return nil, err
		}
		learnt, err := x.device(c, got, now)
		if err != nil {
			return nil, err
		}
		if learnt == 0 {
			continue
		}
		most = max(most, learnt)
		rows.Device(s.Device)
		for _, p := range got {
			rows.Add(p.at, p.value)
		}
	}
	x.data = rows.Commitment()
	switch {
	case x.devices < federate.MinDevices:
		return nil, fmt.Errorf("%d devices have enough readings of %q, and sums are told of %d or more", x.devices, c.Reading, federate.MinDevices)
	case most*deviceShare > x.learnt[0].Rows:
		return nil, fmt.Errorf("one device has %d of %d rows, and none may have more than half", most, x.learnt[0].Rows)
	}
	return x, nil
}

// device adds what there is to learn of one, and returns how many rows that is; 0: too few, and it is not in it.
func (x *gathered) device(c *Learn, values []timed, now lamppost.TimeMS) (int, error) {
	m, err := forecast.NewModel(lamppost.TimeMS(c.Step.Milliseconds()), c.Horizon)
	if err != nil {
		return 0, err
	}
	if err := x.start(m); err != nil {
		return 0, err
	}
	series, err := m.NewSeries(forecast.Settings{Step: lamppost.TimeMS(c.Step.Milliseconds()), Horizon: c.Horizon})
	if err != nil {
		return 0, err
	}
	split := now - learnDays*86_400_000/5
	var learnt []*forecast.Stats
	for _, p := range values {
		if learnt == nil && p.at >= split {
			learnt = m.Take()
		}
		if err := series.Observe(p.at, p.value); err != nil {
			continue // it cannot be, and is counted nowhere
		}
	}
	test := m.Take()
	if learnt == nil || learnt[0].Rows < deviceRows {
		return 0, nil
	}
	x.devices++
	for g := range learnt {
		if err := x.learnt[g].Merge(learnt[g], 1); err != nil {
			return 0, err
		}
		if err := x.test[g].Merge(test[g], 1); err != nil {
			return 0, err
		}
	}
	return learnt[0].Rows, nil
}

// start gives a model the shared weights, to gather with.
func (x *gathered) start(m *forecast.Model) error {
	first := x.learnt == nil
	for g, s := range m.Stats() {
		if first {
			a, _ := forecast.NewStats(s.Features())
			b, _ := forecast.NewStats(s.Features())
			x.learnt, x.test = append(x.learnt, a), append(x.test, b)
		}
		if x.base[g] == nil {
			x.base[g], _ = forecast.NewStats(s.Features())
		}
	}
	if err := m.Adopt(x.base); err != nil {
		return err
	}
	m.Hold()
	m.Take()
	return nil
}

// update says what was learnt of one group of horizons. How good it is, is told on what it was not learnt from: the root of the mean of
// squares, weighted as learning does, in units of each series' own spread.
func (x *gathered) update(g int, round int64) (b lamppost.LearnBody, err error) {
	u := federate.Update{Round: round, Devices: x.devices, Stats: x.learnt[g]}
	if u.Stats.Rows < federate.MinRows {
		return b, fmt.Errorf("%d rows, and sums are told of %d or more", u.Stats.Rows, federate.MinRows)
	}
	b = lamppost.LearnBody{Data: x.data, Rows: uint64(u.Stats.Rows), Metric: learnMetric}
	if b.Statistics, err = u.AppendBinary(nil); err != nil {
		return b, err
	}
	before, err := x.base[g].Fit()
	if err != nil {
		before = make([]float64, u.Stats.Features()) // nothing is known: the mean of the last week
	}
	after, err := u.Stats.Fit()
	if err != nil {
		return b, err
	}
	if b.Before, err = missed(x.test[g], before); err != nil {
		return b, err
	}
	b.After, err = missed(x.test[g], after)
	return b, err
}

func missed(test *forecast.Stats, w []float64) (lamppost.Decimal, error) {
	loss, err := test.Loss(w)
	if err != nil || math.IsNaN(loss) {
		return lamppost.Decimal{}, fmt.Errorf("nothing of the last days to tell by how good it is: %v", err)
	}
	return lamppost.Dec(int64(math.Round(learnScaleOf*math.Sqrt(max(loss, 0)))), -learnDigits), nil
}

// A timed is a value at its time.
type timed struct {
	at    lamppost.TimeMS
	value float64
}

// values are a device's readings in order; of a register, what it counted per step, between readings no farther apart than two.
func (c *Learn) values(ctx context.Context, v archive.View, s archive.Search) ([]timed, error) {
	var all []timed
	register := false
	err := v.Values(ctx, s, c.Reading, func(x archive.Value) error {
		register = x.Kind == lamppost.Register
		all = append(all, timed{x.At, x.Value})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	all = slices.CompactFunc(all, func(a, b timed) bool { return a.at == b.at })
	if !register {
		return all, nil
	}
	step := lamppost.TimeMS(c.Step.Milliseconds())
	var rates []timed
	for i := 1; i < len(all); i++ {
		took, used := all[i].at-all[i-1].at, all[i].value-all[i-1].value
		if took <= 2*step && used >= 0 {
			rates = append(rates, timed{all[i-1].at, used * float64(step) / float64(took)})
		}
	}
	return rates, nil
}
