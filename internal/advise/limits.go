package advise

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/sig"
)

// limits are the ranges of rows with a rate; segments, suites were measured at full load too.
func limits(rated, all []*measuredPoint) Limits {
	l := Limits{
		Nodes: spanOf(rated, func(p *measuredPoint) float64 { return float64(p.Nodes) }), Devices: spanOf(rated, func(p *measuredPoint) float64 { return float64(p.Devices) }),
		Rate: spanOf(rated, func(p *measuredPoint) float64 { return float64(p.Rate) }), Readings: spanOf(rated, func(p *measuredPoint) float64 { return float64(p.Readings) }),
		LingerMS: spanOf(rated, func(p *measuredPoint) float64 { return p.LingerMS }), RTTMS: spanOf(rated, func(p *measuredPoint) float64 { return p.RTTMS }),
		Segment: spanOf(all, func(p *measuredPoint) float64 { return float64(p.Segment) }),
	}
	for _, p := range rated {
		l.Verify = append(l.Verify, p.Verify)
	}
	for _, p := range all {
		if _, err := sig.ParseSuite(p.Suites); err == nil {
			l.Suites = append(l.Suites, p.Suites)
		}
	}
	slices.Sort(l.Verify)
	slices.Sort(l.Suites)
	l.Verify, l.Suites = slices.Compact(l.Verify), slices.Compact(l.Suites)
	return l
}

func spanOf(points []*measuredPoint, of func(*measuredPoint) float64) Span {
	s := Span{math.Inf(1), math.Inf(-1)}
	for _, p := range points {
		s.Low, s.High = min(s.Low, of(p)), max(s.High, of(p))
	}
	return s
}

// outside says why the rows say nothing of a point; "": they do.
func (e *engine) outside(p *explore.Point) string {
	l := &e.limits
	for _, d := range []struct {
		name string
		v    float64
		in   Span
	}{
		{"nodes", float64(p.Nodes), l.Nodes}, {"devices", float64(p.Devices), l.Devices}, {"rate", float64(p.Rate), l.Rate}, {"readings", float64(p.Readings), l.Readings},
		{"linger_ms", p.LingerMS, l.LingerMS}, {"segment", float64(p.Segment), l.Segment}, {"rtt_ms", p.RTTMS, l.RTTMS}, {"loss", p.Loss, Span{}},
	} {
		if !(d.v >= d.in.Low && d.v <= d.in.High) {
			return fmt.Sprintf("%s %g is outside what was measured, %g to %g", d.name, d.v, d.in.Low, d.in.High)
		}
	}
	mix, err := p.Mix()
	if err != nil {
		return err.Error()
	}
	for _, s := range mix {
		if !slices.Contains(l.Suites, s.String()) {
			return fmt.Sprintf("suite %s was not measured, %s were", s, strings.Join(l.Suites, ", "))
		}
	}
	switch {
	case p.Fault != "none":
		return "nothing is predicted of a fault"
	case !slices.Contains(l.Verify, p.Verify):
		return fmt.Sprintf("verify %s was not measured, %s was", p.Verify, strings.Join(l.Verify, ", "))
	case p.Verify == "gateway" && slices.Contains(mix, sig.HMAC256):
		return "a gateway on site cannot verify HMAC"
	}
	return e.unsupported(p)
}

// unsupported says why a point that is within every range is in a corner of which no row is near. Members, who verifies, and segments were varied
// one at a time, at the base of all else: two of them off it at once are predicted by nothing. Segments were varied at full load alone, where they are full.
func (e *engine) unsupported(p *explore.Point) string {
	var off []string
	if p.Nodes != e.base.Nodes {
		off = append(off, fmt.Sprintf("%d members", p.Nodes))
	}
	if p.Verify != e.base.Verify {
		off = append(off, "verify "+p.Verify)
	}
	if p.Segment != e.base.Segment {
		off = append(off, fmt.Sprintf("segments of %d", p.Segment))
	}
	if len(off) > 1 {
		return fmt.Sprintf("%s together: no row is near", strings.Join(off, " and "))
	}
	if load := e.load(p); load > full {
		return fmt.Sprintf("%.0f readings/s are %.0f %% of what members bear at most: waiting is not predicted above %.0f %%", offered(p), 100*load, 100*full)
	}
	if busy := e.busy(p); busy > e.limits.Rate.High {
		return fmt.Sprintf("%s: %d reports a second are as much work as %.0f of %s, and %g were measured", p.Suites, p.Rate, busy, e.base.Suites, e.limits.Rate.High)
	}
	if !slices.ContainsFunc(e.rated, func(r *measuredPoint) bool { return float64(r.Rate) >= e.busy(p) && r.RTTMS >= p.RTTMS }) {
		return fmt.Sprintf("%d reports a second at rtt_ms %g: nobody measured so many so far apart, or members did not bear them", p.Rate, p.RTTMS)
	}
	if waiting := float64(p.Rate) * p.LingerMS / 1000; p.Segment < e.base.Segment && waiting > float64(p.Segment) {
		return fmt.Sprintf("%.0f reports come in linger_ms %g, more than a segment of %d holds: not measured below full load", waiting, p.LingerMS, p.Segment)
	}
	return ""
}
