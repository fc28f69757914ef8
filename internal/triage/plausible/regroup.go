package plausible

// Resize tells the meter that its connection lets another number of units through in an hour. What was learnt stays. It refuses [ErrSize].
func (m *Meter) Resize(size int64) error {
	if size < 1 || size > MaxRegister {
		return ErrSize
	}
	m.size = float64(size)
	return nil
}

// Meter is a meter of the group, by its place in the list, or [Main]; nil: there is none. It may be copied into another group.
func (g *Group) Meter(place int) *Meter {
	m, _ := g.member(place)
	return m
}

// Take makes a meter of the group go on as another would: its register, and what was learnt of it alone. What the group learnt of its meters
// together it learns anew. The sizes stay those of the group.
func (g *Group) Take(place int, from *Meter) error {
	m, b := g.member(place)
	if m == nil {
		return ErrUnknown
	}
	size := m.size
	*m = *from
	m.size, m.grouped = size, true
	b.broken = true
	g.judged = false
	return nil
}

// Take makes the meter go on as another would, at its own size.
func (m *Meter) Take(from *Meter) {
	size := m.size
	*m = *from
	m.size, m.grouped = size, false
}

// Refine makes a meter that has seen nothing go on from where another is, which counts in units that are so many times as large. What was learnt of
// days and nights it learns anew. A register that is too large then is not gone on from.
func (m *Meter) Refine(from *Meter, times int64) {
	most := MaxRegister / times
	for i := range from.trail.n {
		if p := from.trail.points[i]; p.register <= most {
			p.register *= times
			m.trail.insert(m.trail.n, p)
		}
	}
	if m.last, m.begun = from.last, from.begun && from.last.Register <= most; m.begun {
		m.last.Register *= times
	} else {
		m.last = Reading{}
	}
}
