package sim

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
)

// together lets happen what only happens between several members: a few steps of their engines, and now and then a fault.
func (w *world) together() {
	for _, m := range w.members {
		if m.node == nil {
			if m.sleep--; m.sleep <= 0 {
				w.note("%s is started again", m.id)
				m.start()
			}
		}
	}
	for range 6 + w.rng.IntN(6) {
		w.engines()
	}
	if w.chance(20) {
		w.partition()
	}
}

// engines lets one thing happen in an engine, or between two.
func (w *world) engines() {
	n := w.rng.IntN(40)
	if n < 24 {
		w.carry()
		return
	}
	m := w.any()
	switch {
	case m.node == nil:
	case n < 32:
		w.try(m, m.engine().tick())
	case n < 39:
		m.node.block(w)
	default:
		w.try(m, m.engine().compact())
	}
}

// try ends a member's process if its engine failed.
func (w *world) try(m *member, err error) {
	if err != nil {
		w.crash(m, "the engine says: "+err.Error())
	}
}

// converse lets the engines finish what they are at, without faults.
func (w *world) converse() {
	if len(w.members) == 1 {
		return
	}
	for _, m := range w.members {
		w.try(m, m.engine().tick())
	}
	for n := len(w.wire); n > 0; n-- {
		w.carry()
	}
}

// jump sets a member's clock wrong, by seconds and now and then by an hour.
func (m *member) jump(w *world) {
	m.skew = lamppost.TimeMS(w.rng.IntN(4000) - 2000)
	if len(w.members) > 1 && w.chance(5) {
		m.skew = lamppost.TimeMS(w.rng.IntN(2*int(ledgertest.Hour))) - ledgertest.Hour
	}
	w.note("the clock of %s is off by %d ms", m.id, m.skew)
}

// fault makes a member's disks fail. One that is alone has one disk and no others to catch up from.
func (w *world) fault(m *member) {
	if len(w.members) == 1 {
		m.disk.plan(w)
		w.note("the next write %v", m.disk.next)
		return
	}
	d, name := m.disk, "store"
	if w.chance(2) {
		d, name = m.wal, "engine's log"
	}
	switch w.rng.IntN(6) {
	case 0, 1:
		d.plan(w)
		w.note("the next write of the %s of %s %v", name, m.id, d.next)
	case 2:
		d.fill()
		w.note("there is no room for the %s of %s", name, m.id)
	case 3:
		d.calm()
		w.note("there is room for the %s of %s", name, m.id)
	case 4:
		if w.sound(m) {
			d.lies = true
			w.note("the disk of the %s of %s lies about what is durable", name, m.id)
		}
	default:
		if w.sound(m) {
			w.note("a bit flips in the %s of %s", name, m.id)
			d.decay(w)
		}
	}
}

// sound says whether a member may lose what was durable: all others that do or did are as many as an engine can do without, less
// one.
func (w *world) sound(m *member) bool {
	bad := 1
	for _, o := range w.members {
		if o != m && (o.lost || o.disk.lies || o.wal.lies || len(o.disk.rot) > 0 || len(o.wal.rot) > 0) {
			bad++
		}
	}
	return bad <= len(w.members)-w.o.Engine.Consent(len(w.members))
}

// partition cuts a member off, or the way to it, or from it, or between two; or ends all that.
func (w *world) partition() {
	if w.chance(2) {
		w.heal()
		w.note("everybody reaches everybody")
		return
	}
	w.result.Partitions++
	kind, m, to := w.rng.IntN(4), w.any(), w.any()
	w.note("%s is cut off: %s", m.id, [...]string{"nothing comes or goes", "nothing comes", "nothing goes", "nothing goes to " + string(to.id)}[kind])
	for i := range w.members {
		w.cut[i][m.i] = w.cut[i][m.i] || kind < 2
		w.cut[m.i][i] = w.cut[m.i][i] || kind == 0 || kind == 2
	}
	w.cut[m.i][to.i] = true
}

func (w *world) heal() {
	for _, row := range w.cut {
		clear(row)
	}
}

// mend ends all faults, and finds what rotted, as reading the whole disk does.
func (w *world) mend() {
	w.heal()
	for _, m := range w.members {
		m.disk.calm()
		m.wal.calm()
		if m.node == nil {
			m.start()
		}
		if w.o.Broken == ReadsChecked {
			continue
		}
		m.disk.found, m.wal.found = len(m.disk.rot) > 0, len(m.wal.rot) > 0
		if m.disk.found || m.wal.found {
			w.crash(m, "a flipped bit was found")
		}
	}
}
