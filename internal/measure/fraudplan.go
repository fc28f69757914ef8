package measure

import (
	"slices"
)

// A fraudCampaign puts injections of one kind and size into all meters of a site, and adds up what is found.
type fraudCampaign struct {
	bench *fraudBench
	kind  fraudKind
	size  float64
	soft  bool // findings that are not hard count too
	out   *[]FraudKind
}

// fraudPlan is all that is measured.
type fraudPlan struct {
	benches   []*fraudBench
	campaigns []*fraudCampaign
	result    *FraudResult
}

var (
	fraudBypasses = []float64{0.2, 0.4, 0.6, 0.8}
	fraudLeaks    = []float64{0.1, 0.15, 0.2, 0.3, 0.4, 0.5}
	fraudCounted  = []string{"homes a", "homes b", "household"} // hourly series, each once
)

func (p *fraudPlan) jobs() int64 { return int64(len(p.benches) + len(p.campaigns)) }

func (p *fraudPlan) add(c fraudCampaign) { p.campaigns = append(p.campaigns, &c) }

// newFraudPlan plans: the hard kinds and controls in the hourly sites; bypasses behind a main meter of 6 homes, of 12, beside 5 homes
// without a main meter, and alone; leaks in hourly and daily series.
func newFraudPlan(r *FraudResult, hourly, water []*fraudSite) *fraudPlan {
	p := &fraudPlan{result: r}
	for _, s := range hourly {
		b := p.bench(s)
		for _, kind := range fraudHard {
			p.add(fraudCampaign{bench: b, kind: kind, out: &r.Hard})
		}
		for _, kind := range fraudControls {
			p.add(fraudCampaign{bench: b, kind: kind, out: &r.Controls})
		}
		p.sizes(b, bypass, fraudBypasses, &r.Bypass)
		p.sizes(b, leak, fraudLeaks, &r.Leaks)
		if s.main {
			alone := *s
			alone.main, alone.name = false, s.name+" without main"
			b := p.bench(&alone)
			for _, kind := range fraudHard {
				p.add(fraudCampaign{bench: b, kind: kind, out: &r.Apart})
			}
			p.sizes(b, bypass, fraudBypasses, &r.Bypass)
		}
	}
	p.sizes(p.bench(fraudTogether(hourly[0], hourly[1])), bypass, fraudBypasses, &r.Bypass)
	for _, s := range water {
		b := p.bench(s)
		for _, kind := range fraudDaily {
			p.add(fraudCampaign{bench: b, kind: kind, soft: true, out: &r.Water})
		}
		p.sizes(b, bypass, fraudBypasses, &r.Water)
		p.sizes(b, leak, fraudLeaks, &r.Water)
	}
	return p
}

func (p *fraudPlan) bench(s *fraudSite) *fraudBench {
	b := &fraudBench{site: s}
	p.benches = append(p.benches, b)
	return b
}

func (p *fraudPlan) sizes(b *fraudBench, kind fraudKind, sizes []float64, out *[]FraudKind) {
	for _, size := range sizes {
		p.add(fraudCampaign{bench: b, kind: kind, size: size, soft: true, out: out})
	}
}

func (b *fraudBench) among() string {
	switch {
	case b.site.main && len(b.site.use) > 6:
		return "12, main meter"
	case b.site.main:
		return "6, main meter"
	case len(b.site.use) > 1:
		return "neighbours"
	}
	return "alone"
}

// fraudTogether is both halves behind one main meter.
func fraudTogether(a, b *fraudSite) *fraudSite {
	all := *a
	all.name, all.half = "homes together", 2
	all.names, all.use = slices.Concat(a.names, b.names), slices.Concat(a.use, b.use)
	return &all
}

func fraudHalf(half int) string { return [...]string{"a", "b", "all"}[half] }

// run makes all injections of the campaign.
func (c *fraudCampaign) run(seeds uint64) error {
	s := c.bench.site
	if !s.possible(c.kind) {
		return nil
	}
	k := c.row(FraudKind{Kind: string(c.kind), Size: c.size, Among: c.bench.among(), Half: fraudHalf(s.half)})
	for meter := range s.use {
		for seed := range seeds {
			hours, named, err := c.bench.try(s.inject(c.kind, meter, c.size, seed), c.soft)
			if err != nil {
				return err
			}
			k.count(hours)
			if named >= 0 && named == meter {
				k.Named++
			} else if named >= 0 {
				k.Wrong++
			}
		}
	}
	return nil
}

// row is where results of this kind, size and half are added up.
func (c *fraudCampaign) row(k FraudKind) *FraudKind {
	for i := range *c.out {
		if o := &(*c.out)[i]; o.Kind == k.Kind && o.Size == k.Size && o.Among == k.Among && o.Half == k.Half {
			return o
		}
	}
	*c.out = append(*c.out, k)
	return &(*c.out)[len(*c.out)-1]
}

func (k *FraudKind) count(hours float64) {
	k.Put++
	if hours < 0 {
		return
	}
	k.delays = append(k.delays, hours)
	slices.Sort(k.delays)
	k.Median = k.delays[len(k.delays)/2]
	for limit, n := range map[float64]*int{24: &k.Day, 24 * 7: &k.Week, 24 * 28: &k.Month} {
		if hours <= limit {
			*n++
		}
	}
}

// alarms counts what was said of a site as it is.
func (b *fraudBench) alarms() FraudAlarms {
	s := b.site
	a := FraudAlarms{Sites: s.name, Half: fraudHalf(s.half), Codes: map[string]int{}}
	a.MeterWeeks = float64(len(s.use)*s.steps()) / float64(s.days(7))
	for _, f := range b.all {
		a.Codes[f.Code.String()]++
		if f.Code.Hard() {
			a.Hard++
		} else {
			a.Soft++
		}
	}
	return a
}
