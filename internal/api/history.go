package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// Gone says what is not there any more of what was asked for: reports that were received before a time, but those that always stay.
type Gone struct {
	Until lamppost.TimeMS `json:"until_ms"`
	Class string          `json:"class"` // erased or header-only
	Why   string          `json:"why"`   // for people
}

// getSeries answers with a series as it is live, or, of a period, with all that is left of it.
func (s *Server) getSeries(w http.ResponseWriter, r *http.Request) error {
	id, q := lamppost.DeviceID(r.PathValue("id")), r.URL.Query()
	name := q.Get("name")
	if name == "" {
		return badRequest("which series? add ?name=, one of the device's series")
	}
	if q.Has("from_ms") || q.Has("to_ms") {
		return s.getPeriod(w, r, id, name)
	}
	series, ok := s.cfg.Live.history(id, name)
	if !ok {
		return notFound("device %q has no series %q: nothing of that name came since the node started; add &from_ms= for what came before", clip(string(id)), clip(name))
	}
	return writeJSON(w, http.StatusOK, series)
}

// getPeriod reads from the archive: raw reports and summaries.
func (s *Server) getPeriod(w http.ResponseWriter, r *http.Request, id lamppost.DeviceID, name string) error {
	limit, err := queryNumber(r, "limit", defaultValues, maxValues)
	if err != nil {
		return err
	}
	points, err := queryNumber(r, "points", 0, maxValues)
	if err != nil {
		return err
	}
	out := Series{Name: name, Times: []lamppost.TimeMS{}, Values: []float64{}, Errors: []float64{}, Classes: []string{}}
	var all []archive.Value
	out.Gone, err = s.search(r, id, func(v archive.View, search archive.Search) error {
		return v.Values(r.Context(), search, name, func(x archive.Value) error {
			if len(all) == maxWalked {
				return badRequest("more than %d readings are in this period: ask for a shorter one", maxWalked)
			}
			all = append(all, x)
			return nil
		})
	})
	if err != nil {
		return err
	}
	all = out.oneKind(all, r.URL.Query().Get("unit"))
	if points > 0 {
		all = thinOut(all, int(points))
	} else {
		all, out.Next = page(all, int(max(limit, 1)))
	}
	for _, x := range all {
		out.Times, out.Values = append(out.Times, x.At), append(out.Values, x.Value)
		out.Errors, out.Classes = append(out.Errors, x.Error), append(out.Classes, x.Class.String())
	}
	if len(all) == 0 {
		for _, g := range out.Gone {
			if g.Class == archive.Erased.String() {
				return gone("reports of device %q up to then: %s", clip(string(id)), g.Why)
			}
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

// oneKind sorts values by time and leaves those of one unit and kind: of the unit that was asked for, or of the latest.
func (s *Series) oneKind(all []archive.Value, unit string) []archive.Value {
	slices.SortStableFunc(all, func(a, b archive.Value) int { return cmp.Compare(a.At, b.At) })
	last := len(all) - 1
	for unit != "" && last >= 0 && all[last].Unit != unit {
		last--
	}
	if last < 0 {
		return nil
	}
	s.Unit, s.Kind = all[last].Unit, all[last].Kind.String()
	kind := all[last].Kind
	return slices.DeleteFunc(all, func(v archive.Value) bool { return v.Unit != s.Unit || v.Kind != kind })
}

// page cuts values off where there are more than fit, between two times, and says where to go on; 0: it is all.
func page(all []archive.Value, limit int) ([]archive.Value, lamppost.TimeMS) {
	if len(all) <= limit {
		return all, 0
	}
	cut := limit
	for cut > 0 && all[cut-1].At == all[limit].At {
		cut--
	}
	if cut == 0 { // more of one time than fit: all of them, so that it goes on
		for cut < len(all) && all[cut].At == all[0].At {
			cut++
		}
		if cut == len(all) {
			return all, 0
		}
	}
	return all[:cut], all[cut].At
}

// thinOut leaves at most so many values for drawing: of each stretch of time the least and the greatest.
func thinOut(all []archive.Value, points int) []archive.Value {
	if len(all) <= points {
		return all
	}
	stretches := max(points/2, 1)
	first, width := all[0].At, (all[len(all)-1].At-all[0].At)/lamppost.TimeMS(stretches)+1
	var out []archive.Value
	for from := 0; from < len(all); {
		to, low, high := from, from, from
		for ; to < len(all) && (all[to].At-first)/width == (all[from].At-first)/width; to++ {
			if all[to].Value < all[low].Value {
				low = to
			}
			if all[to].Value > all[high].Value {
				high = to
			}
		}
		if out = append(out, all[min(low, high)]); low != high {
			out = append(out, all[max(low, high)])
		}
		from = to
	}
	return out
}

// search runs a search in the archive for the period of a query, one of few at a time, and says what is gone of it.
func (s *Server) search(r *http.Request, id lamppost.DeviceID, walk func(archive.View, archive.Search) error) (lost []Gone, err error) {
	from, err := queryNumber(r, "from_ms", 0, 1<<53)
	if err != nil {
		return nil, err
	}
	to, err := queryNumber(r, "to_ms", math.MaxInt64, 1<<53)
	if err != nil {
		return nil, err
	}
	if to <= from {
		return nil, badRequest("to_ms is not after from_ms")
	}
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
	search := archive.Search{Device: id, From: lamppost.TimeMS(from), To: lamppost.TimeMS(to), Now: s.cfg.Now()}
	err = s.snapshot(func(v archive.View) error {
		l := ledger.View{Reader: v}
		if _, err := l.Device(id); errors.Is(err, kv.ErrNotFound) {
			return notFound("no device %q", clip(string(id)))
		} else if err != nil {
			return err
		}
		var err error
		if search.Rules, err = replica.Rules(v); err != nil {
			return err
		}
		if lost, err = lostOf(v, &search); err != nil {
			return err
		}
		return walk(v, search)
	})
	return lost, err
}

// lostOf says what is gone of what a search is for.
func lostOf(v archive.View, s *archive.Search) ([]Gone, error) {
	lost, l := []Gone{}, ledger.View{Reader: v}
	e, err := l.Erased(s.Device)
	switch {
	case err == nil && s.From < e.Time:
		lost = append(lost, Gone{e.Time, archive.Erased.String(), erasedWords(&e)})
	case err != nil && !errors.Is(err, kv.ErrNotFound):
		return nil, err
	}
	keys, err := l.Keys(s.Device)
	if err != nil || len(keys) == 0 {
		return lost, err
	}
	enrolled, err := v.Block(keys[0].Place.Height)
	if err != nil && !errors.Is(err, archive.ErrAbsent) { // absent: before this copy begins
		return nil, err
	}
	keep := s.Rules.Of(s.Device)
	if until := s.Now - keep.SummaryMS; keep.SummaryMS > 0 && s.From < until && enrolled.Time < until {
		const day = 24 * 3600 * 1000
		lost = append(lost, Gone{until, archive.HeaderOnly.String(), fmt.Sprintf("pruned: reports stay raw for %s and summed up for %s", days(uint32(keep.RawMS/day)), days(uint32(keep.SummaryMS/day)))})
	}
	return lost, nil
}

// DeviceKept answers /api/devices/{id}/kept: what is left of a device's readings, and why.
type DeviceKept struct {
	Rule   lamppost.RetentionBody `json:"rule"` // that holds for it; without one everything stays raw
	Raw    []RawKept              `json:"raw"`
	Series []SeriesKept           `json:"series"`
	Gone   []Gone                 `json:"gone"`
}

// RawKept are reports that are kept as they were signed for one reason.
type RawKept struct {
	Reason  string          `json:"reason"` // none: they go when their pack is written next
	Reports int             `json:"reports"`
	Bytes   int64           `json:"bytes"`
	From    lamppost.TimeMS `json:"from_ms"` // when the first was received
	To      lamppost.TimeMS `json:"to_ms"`   // and the last
}

// SeriesKept is what summaries have of a device's readings of one name.
type SeriesKept struct {
	Name    string        `json:"name"`
	Unit    string        `json:"unit"`
	Kind    string        `json:"kind"`
	Values  int           `json:"values"`
	Bytes   int64         `json:"bytes"`
	Error   float64       `json:"error"`  // the largest error bar
	Blocks  []SeriesBlock `json:"blocks"` // in the order of the ledger, the last maxBlocksShown
	LeftOut int           `json:"blocks_left_out"`
}

// SeriesBlock says how some values are kept that follow one another.
type SeriesBlock struct {
	From   lamppost.TimeMS `json:"from_ms"`
	To     lamppost.TimeMS `json:"to_ms"`
	Values int             `json:"values"`
	Bytes  int             `json:"bytes"`
	Method string          `json:"method"`
	Reason string          `json:"reason"`
	Bound  float64         `json:"bound"`
	Error  float64         `json:"error"` // that it has: the error bar
}

func (s *Server) getKept(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.DeviceID(r.PathValue("id"))
	out := DeviceKept{Raw: []RawKept{}, Series: []SeriesKept{}}
	var err error
	out.Gone, err = s.search(r, id, func(v archive.View, search archive.Search) error {
		rules, err := ledger.View{Reader: v}.Retentions()
		if err != nil {
			return err
		}
		for _, b := range rules { // the general one comes first
			if b.Device == "" || b.Device == id {
				out.Rule = b
			}
		}
		within := func(first, last lamppost.TimeMS) bool { return last >= search.From && first < search.To }
		return v.Walk(r.Context(), search, func(f *archive.Found) error {
			if within(f.Received, f.Received) {
				out.report(f)
			}
			return nil
		}, func(x *archive.Series) error {
			for i := range x.Blocks {
				if b := &x.Blocks[i]; within(b.From, b.To) {
					out.block(x, b)
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(out.Raw, func(a, b RawKept) int { return cmp.Compare(a.Reason, b.Reason) })
	return writeJSON(w, http.StatusOK, out)
}

func (k *DeviceKept) report(f *archive.Found) {
	why := f.Why.String()
	i := slices.IndexFunc(k.Raw, func(x RawKept) bool { return x.Reason == why })
	if i < 0 {
		i = len(k.Raw)
		k.Raw = append(k.Raw, RawKept{Reason: why, From: f.Received, To: f.Received})
	}
	x := &k.Raw[i]
	x.Reports, x.Bytes = x.Reports+1, x.Bytes+int64(f.Bytes)
	x.From, x.To = min(x.From, f.Received), max(x.To, f.Received)
}

func (k *DeviceKept) block(of *archive.Series, b *archive.Kept) {
	kind := of.Kind.String()
	i := slices.IndexFunc(k.Series, func(x SeriesKept) bool { return x.Name == of.Name && x.Unit == of.Unit && x.Kind == kind })
	if i < 0 {
		i = len(k.Series)
		k.Series = append(k.Series, SeriesKept{Name: of.Name, Unit: of.Unit, Kind: kind, Blocks: []SeriesBlock{}})
	}
	x := &k.Series[i]
	x.Values, x.Bytes, x.Error = x.Values+b.Rows, x.Bytes+int64(b.Bytes), max(x.Error, b.Achieved)
	if len(x.Blocks) == maxBlocksShown {
		x.Blocks, x.LeftOut = x.Blocks[1:], x.LeftOut+1
	}
	x.Blocks = append(x.Blocks, SeriesBlock{From: b.From, To: b.To, Values: b.Rows, Bytes: b.Bytes, Method: b.MethodName(), Reason: b.Reason.String(), Bound: b.Bound, Error: b.Achieved})
}
