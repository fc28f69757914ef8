package api

import (
	"errors"
	"math/big"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/tariff"
)

// A PointDetail answers GET /api/points/{id}. Registers and Balance are those of a period, if the query names one.
type PointDetail struct {
	ID        string                   `json:"id"`
	Mounts    []lamppost.PointBody     `json:"mounts"` // every meter that hung there, in turn
	Subs      []string                 `json:"subs"`   // points whose use the meter here counts, too
	Registers []Registers              `json:"registers,omitempty"`
	Balance   *Balance                 `json:"balance,omitempty"`
	Under     []lamppost.AgreementBody `json:"agreements"`
}

// Registers are what is known of a meter.
type Registers struct {
	Mount  uint32            `json:"mount"`
	Device lamppost.DeviceID `json:"device"`
	Edges  []tariff.Edge     `json:"edges"`
}

// A Balance compares what a point's meter counted with what those under it did.
type Balance struct {
	From lamppost.TimeMS `json:"from_ms"`
	To   lamppost.TimeMS `json:"to_ms"`
	Unit string          `json:"unit"`
	Main Measured        `json:"main"`
	Subs []Measured      `json:"subs"`
	// Of Subs; and of Main less these, absent where one of them is not known.
	Sum        lamppost.Decimal  `json:"sum"`
	Difference *lamppost.Decimal `json:"difference,omitempty"`
	Percent    string            `json:"percent,omitempty"` // of Main
}

// A Measured is what a point's meters counted in a period.
type Measured struct {
	Point     string           `json:"point"`
	Quantity  lamppost.Decimal `json:"quantity"`
	Estimated bool             `json:"estimated"`         // a value at an end of it was not measured
	Unknown   string           `json:"unknown,omitempty"` // why there is no quantity
}

// getPoint answers with a point's meters, and for a period with its registers and how they balance with the meters under it.
func (s *Server) getPoint(w http.ResponseWriter, req *http.Request) error {
	from, to, err := queryPeriod(req)
	if err != nil {
		return err
	}
	out := PointDetail{ID: req.PathValue("id"), Subs: []string{}, Under: []lamppost.AgreementBody{}}
	err = s.snapshot(func(r archive.View) (err error) {
		v := ledger.View{Reader: r}
		if out.Mounts, err = pointOf(v, out.ID); err != nil {
			return err
		}
		if err := out.addTerms(v); err != nil || to == 0 {
			return err
		}
		if err := out.addRegisters(v, from, to); err != nil {
			return err
		}
		return out.balance(v, from, to)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// pointOf reads a point's meters, or says that there is no such point.
func pointOf(v ledger.View, id string) ([]lamppost.PointBody, error) {
	mounts, err := v.Point(id)
	if errors.Is(err, kv.ErrNotFound) {
		err = notFound("no metering point %q", clip(id))
	}
	return mounts, err
}

// queryPeriod reads from_ms and to_ms; both or neither are there.
func queryPeriod(req *http.Request) (from, to lamppost.TimeMS, err error) {
	lo, err := queryNumber(req, "from_ms", 0, 1<<53)
	if err != nil {
		return 0, 0, err
	}
	hi, err := queryNumber(req, "to_ms", 0, 1<<53)
	if err != nil {
		return 0, 0, err
	}
	if from, to = lamppost.TimeMS(lo), lamppost.TimeMS(hi); from == 0 && to == 0 {
		return 0, 0, nil
	}
	return from, to, checkPeriod(from, to)
}

// checkPeriod refuses what is no period to look at.
func checkPeriod(from, to lamppost.TimeMS) error {
	if to <= from || to-from > tariff.MaxPeriodMS || from%lamppost.EdgeMS != 0 || to%lamppost.EdgeMS != 0 {
		return badRequest("from_ms=%d, to_ms=%d: a period lies between two UTC quarter hours (multiples of %d) and has at most 400 days", from, to, lamppost.EdgeMS)
	}
	return nil
}

// addTerms lists the points under this one, and the agreements.
func (d *PointDetail) addTerms(v ledger.View) error {
	points, err := v.Points()
	if err != nil {
		return err
	}
	for i := range points {
		if points[i].Main == d.ID && !slices.Contains(d.Subs, points[i].ID) {
			d.Subs = append(d.Subs, points[i].ID)
		}
	}
	agreements, err := v.Agreements()
	for i := range agreements {
		if agreements[i].Point == d.ID {
			d.Under = append(d.Under, agreements[i])
		}
	}
	return err
}

func (d *PointDetail) addRegisters(v ledger.View, from, to lamppost.TimeMS) error {
	for i := range d.Mounts {
		lo, hi := outlook.During(d.Mounts, i, from, to)
		if lo >= hi {
			continue
		}
		have, err := v.Registers(d.ID, uint32(i), lo, hi)
		if err != nil {
			return err
		}
		inside := []tariff.Edge{}
		for _, e := range have {
			if lo <= e.Time && e.Time <= hi {
				inside = append(inside, e)
			}
		}
		d.Registers = append(d.Registers, Registers{uint32(i), d.Mounts[i].Device, inside})
	}
	return nil
}

// balance compares the point's meter with those under it, if there are any.
func (d *PointDetail) balance(v ledger.View, from, to lamppost.TimeMS) error {
	if len(d.Subs) == 0 {
		return nil
	}
	all := func(*lamppost.PointBody) bool { return true }
	b := &Balance{From: from, To: to, Unit: d.Mounts[0].Unit, Main: measure(v, d.Mounts, from, to, all)}
	known := b.Main.Unknown == ""
	for _, id := range d.Subs {
		mounts, err := v.Point(id)
		if err != nil {
			return err
		}
		m := measure(v, mounts, from, to, func(p *lamppost.PointBody) bool { return p.Main == d.ID })
		if m.Unknown == "" && mounts[0].Unit != b.Unit {
			m.Unknown = "it counts in " + mounts[0].Unit
		}
		sum, fits := b.Sum.Add(m.Quantity)
		if known = known && fits && m.Unknown == ""; fits && m.Unknown == "" {
			b.Sum = sum
		}
		b.Subs = append(b.Subs, m)
	}
	if diff, fits := b.Main.Quantity.Sub(b.Sum); known && fits {
		b.Difference, b.Percent = &diff, percent(diff, b.Main.Quantity)
	}
	d.Balance = b
	return nil
}

// measure sums up what the meters of a point counted while they hung there and count.
func measure(v ledger.View, mounts []lamppost.PointBody, from, to lamppost.TimeMS, count func(*lamppost.PointBody) bool) Measured {
	m := Measured{Point: mounts[0].ID}
	for i := range mounts {
		lo, hi := outlook.During(mounts, i, from, to)
		if lo >= hi || !count(&mounts[i]) {
			continue
		}
		diff, rough, err := counted(v, &mounts[i], lo, hi)
		if err != nil {
			return Measured{Point: m.Point, Unknown: err.Error()}
		}
		sum, fits := m.Quantity.Add(diff)
		if !fits {
			return Measured{Point: m.Point, Unknown: "it has too many digits"}
		}
		m.Quantity, m.Estimated = sum, m.Estimated || rough
	}
	return m
}

// counted is by how much a meter's register rose. All values in between are looked at, or one that began at 0 again would be missed.
func counted(v ledger.View, p *lamppost.PointBody, from, to lamppost.TimeMS) (diff lamppost.Decimal, rough bool, err error) {
	have, err := v.Registers(p.ID, p.Mount, from, to)
	if err != nil {
		return diff, false, err
	}
	want := []lamppost.TimeMS{from}
	for i := range have {
		if t := have[i].Time; from < t && t < to && have[i].Quality < lamppost.Faulty {
			want = append(want, t)
		}
	}
	edges, err := tariff.FillEdges(append(want, to), have, p.RollsAt)
	if err != nil {
		return diff, false, err
	}
	first, last := &edges[0], &edges[len(edges)-1]
	diff, fits := last.Value.Sub(first.Value)
	if !fits {
		err = errors.New("it has too many digits")
	}
	return diff, first.Quality != lamppost.Measured || last.Quality != lamppost.Measured, err
}

// percent is what a part is of a whole, with two digits; nothing of nothing.
func percent(part, whole lamppost.Decimal) string {
	exp := min(part.Exponent, whole.Exponent)
	a, ok1 := part.At(exp)
	b, ok2 := whole.At(exp)
	if !ok1 || !ok2 || b == 0 {
		return ""
	}
	x := big.NewRat(a, 1)
	return x.Mul(x, big.NewRat(100, b)).FloatString(2)
}
