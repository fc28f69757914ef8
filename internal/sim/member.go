package sim

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// A member is a seat with what survives its process, and what the world remembers of it.
type member struct {
	w     *world
	i     int
	id    lamppost.MemberID
	key   *sig.PrivateKey
	disk  *disk
	wal   *disk // of its engine, where there are several members
	files *files
	node  *node // nil: it is down
	sleep int   // moments until it is started again
	skew  lamppost.TimeMS

	seat uint32 // under which id it takes part
	lost bool   // it lost something of its engine's log, and has no seat under its new id yet

	durable     lamppost.Height             // up to where its store is, unless the disk lied
	reached     lamppost.Height             // up to where it ever was
	applied     map[lamppost.Height]applied // by its process, and perhaps not durable
	checkpoints []lamppost.Checkpoint
}

func newMember(w *world, i int) *member {
	id := lamppost.MemberID(fmt.Sprint("m", i+1))
	m := &member{w: w, i: i, id: id, key: ledgertest.Key(w.net.ID+"/"+string(id), sig.EdDSA), files: newFiles(w), applied: map[lamppost.Height]applied{}}
	m.disk, m.wal = newDisk(w, kv.NewMem()), newDisk(w, kv.NewMem())
	return m
}

// now is its clock.
func (m *member) now() lamppost.TimeMS { return m.w.now + m.skew }

// engine is its part in the model; there is one where there are several members.
func (m *member) engine() *engine { return m.node.eng.(*engine) }

// crash throws away all of a member that is not on its disks, and starts it again, at once or later.
func (w *world) crash(m *member, why string) {
	w.result.Crashes++
	w.note("%s crashes: %s", m.id, why)
	m.node = nil
	if lost := m.disk.crash(); lost > 0 && w.o.Broken != DurableWrites {
		w.note("%s had not written the last %d blocks and trimmings", m.id, lost)
		w.result.Lost++
		m.durable = 0
	}
	if m.disk.found {
		w.note("%s begins with an empty store", m.id)
		w.result.Emptied++
		m.empty()
	}
	if lost := m.wal.crash(); lost > 0 || m.wal.found {
		w.note("%s lost %d writes of its engine's log, or cannot read it", m.id, lost)
		w.result.Lost++
		m.renew()
	}
	if len(w.members) > 1 && !w.quiet && w.chance(3) {
		m.sleep = w.rng.IntN(40)
		return
	}
	m.start()
}

func (m *member) empty() {
	m.disk.set(kv.NewMem())
	m.durable = 0
}

// renew gives a member another id for its engine, with an empty log. Its store may stay: it is of what was committed.
func (m *member) renew() {
	if m.wal.found || m.w.o.Broken != LossNoticed {
		m.wal.set(kv.NewMem())
	}
	if m.w.o.Broken == LossNoticed {
		return
	}
	m.seat++
	m.lost = true
	if m.w.chance(2) {
		m.empty()
	}
}

// start starts a member's process. Where its disk has no room it does not start, and what it cannot read it begins anew.
func (m *member) start() {
	w := m.w
	for try := 0; ; try++ {
		if m.disk.full || m.wal.full {
			if m.sleep = 1 + w.rng.IntN(20); w.chance(2) {
				m.disk.calm()
				m.wal.calm()
			}
			return
		}
		n, err := openNode(w, m)
		if err == nil {
			m.node = n
			break
		}
		if try > 9 || !errors.Is(err, errRot) && !errors.Is(err, kv.ErrInjected) {
			w.violate("%s cannot be started: %v", m.id, err)
		}
		w.note("%s cannot be started: %v", m.id, err)
		if m.disk.found {
			w.result.Emptied++
			m.empty()
		}
		if m.wal.found {
			w.result.Lost++
			m.renew()
		}
		m.disk.Reopen()
		m.wal.Reopen()
	}
	m.sleep = 0
	w.checkStarted(m, m.node.rep.Last())
}

// elsewhere says whether an error of Submit is that nothing was taken.
func elsewhere(err error) bool {
	var e *consensus.NotLeaderError
	return errors.As(err, &e)
}
