package ingest

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lamppost/lamppost"
)

// A Tally counts what comes over the connections of one device, for who judges how devices behave. Nothing counts but what came over a
// connection that was authenticated as the device's: not what others say in its name, and not log-ins that failed. It is safe for
// concurrent use, takes some 70 ns a report and allocates nothing unless something is new. A nil Tally counts nothing.
//
// Where others may have sent what comes, as at a foreign broker, only reports count that were accepted for the first time: nobody else can sign
// them, and what was sent again proves nothing.
type Tally struct {
	others bool // may have sent it

	last atomic.Uint64 // set of names that was counted last

	mu     sync.Mutex
	counts Counts
	newest lamppost.TimeMS // of the readings that named firmware
}

// Counts are what a Tally has counted since it was last taken.
type Counts struct {
	Reports   uint32 // that were committed, now or before
	Repeated  uint32 // of them, that were committed before
	Refused   uint32 // that were good, and came too late, too early or with a number that was used
	Bad       uint32 // that could not be read, or were wrongly signed
	Forbidden uint32 // in another device's name, or to a topic that is not the device's
	Unheard   uint32 // that were not taken because of too many bad ones
	Connects  uint32 // log-ins
	Taken     uint32 // of them, that took the place of an open connection

	Readings uint64 // of Reports
	Bytes    uint64 // of Reports
	Largest  uint64 // bytes of the largest
	// From and To are between when its readings were taken, by the device's clock; 0: it has none.
	From, To lamppost.TimeMS

	Names    [maxNameSets]Names // the first Sets count
	Sets     int
	Firmware uint64 // of the newest report that was accepted for the first time and names one; 0: none did
	Topic    string // one of those that were forbidden
}

// maxNameSets is how many sets of names are told apart.
const maxNameSets = 4

// Names is a set of readings' names that came in one report.
type Names struct {
	Hash uint64
	List string // for people: as many as there is room for
}

// some reports whether there is anything to judge.
func (c *Counts) some() bool {
	return c.Reports|c.Refused|c.Bad|c.Forbidden|c.Unheard|c.Connects != 0
}

// Take returns what was counted since the last call, and false if that is nothing.
func (t *Tally) Take() (c Counts, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.counts.some() {
		return c, false
	}
	c = t.counts
	t.counts = Counts{Names: c.Names} // their lists need not be written again
	return c, true
}

// Connect counts a log-in.
func (t *Tally) Connect(tookOver bool) {
	if t == nil || t.others {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Connects++
	if tookOver {
		t.counts.Taken++
	}
}

// Forbid counts a message to a topic that is not the device's; empty: a report in another's name.
func (t *Tally) Forbid(topic string) {
	if t == nil || t.others {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Forbidden++
	if t.counts.Topic == "" {
		t.counts.Topic = clipNames(topic)
	}
}

func (t *Tally) bad() {
	if t == nil || t.others {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Bad++
}

func (t *Tally) unheard() {
	if t == nil || t.others {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Unheard++
}

// Relayed counts a report that a gateway has taken from the device, with what became of it.
func (t *Tally) Relayed(r *lamppost.Report, bytes int, code lamppost.Code) {
	s := t.look(r)
	t.decided(&s, bytes, len(r.Readings), code)
}

// A sight is what a Tally wants to know of a report, kept until it is decided.
type sight struct {
	names      uint64
	list       string // where the set was not met lately
	from, to   lamppost.TimeMS
	firmware   uint64
	firmwareAt lamppost.TimeMS
}

// look sums up a report.
func (t *Tally) look(r *lamppost.Report) (s sight) {
	if t == nil {
		return s
	}
	var distinct [16]uint64
	n := 0
	for i := range r.Readings {
		x := &r.Readings[i]
		if r.TimeQuality != lamppost.TimeUnknown {
			if s.from == 0 || x.Time < s.from {
				s.from = x.Time
			}
			s.to = max(s.to, x.Time)
		}
		if x.Name == lamppost.FirmwareName && !r.Wrapped() && !x.IsFloat && x.Value.Exponent == 0 && x.Value.Mantissa > 0 && x.Time >= s.firmwareAt {
			s.firmware, s.firmwareAt = uint64(x.Value.Mantissa), x.Time
		}
		if lamppost.IsAck(x.Name) {
			continue // what it was told, which is no habit of its own
		}
		h := hashName(x.Name)
		if known(distinct[:n], h) {
			continue
		}
		if n < len(distinct) {
			distinct[n] = h
			n++
		}
		s.names += h // in whatever order they come
	}
	if s.names != 0 && t.last.Load() != s.names && !t.met(s.names) {
		s.list = namesOf(r)
	}
	return s
}

func known(list []uint64, h uint64) bool {
	for _, x := range list {
		if x == h {
			return true
		}
	}
	return false
}

// hashName is FNV-1a, the same on every machine and after every start.
func hashName(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

func namesOf(r *lamppost.Report) string {
	var list []string
	for i := range r.Readings {
		if len(list) == 8 {
			break
		}
		if name := r.Readings[i].Name; len(list) == 0 || list[len(list)-1] != name {
			list = append(list, name)
		}
	}
	return clipNames(strings.Join(list, " "))
}

// clipNames bounds what people are told, and copies it out of the packet it stands in.
func clipNames(s string) string {
	const most = 120
	return strings.Clone(strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD"))
}

// met reports whether a set of names came lately.
func (t *Tally) met(names uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.counts.Names {
		if t.counts.Names[i].Hash == names {
			return true
		}
	}
	return false
}

// decided counts a report that was read and rightly signed.
func (t *Tally) decided(s *sight, bytes, readings int, code lamppost.Code) {
	if t == nil || t.others && code != lamppost.CodeOK {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.counts
	switch code {
	case lamppost.CodeOK:
		if s.firmware != 0 && s.firmwareAt >= t.newest {
			c.Firmware, t.newest = s.firmware, s.firmwareAt
		}
	case lamppost.CodeDuplicate:
		c.Repeated++
	case lamppost.CodeTooOld, lamppost.CodeAhead, lamppost.CodeReused, lamppost.CodeFloatBilled, lamppost.CodeBadEvidence:
		c.Refused++
		return
	default:
		return // not the device's doing
	}
	c.Reports++
	c.Readings += uint64(readings)
	c.Bytes += uint64(bytes)
	c.Largest = max(c.Largest, uint64(bytes))
	if s.to > 0 {
		if c.From == 0 || s.from < c.From {
			c.From = s.from
		}
		c.To = max(c.To, s.to)
	}
	if s.names != 0 {
		c.name(s)
		t.last.Store(s.names)
	}
}

// name notes a set of names. Beyond the places there are, the last one is lost.
func (c *Counts) name(s *sight) {
	for i := range c.Names[:c.Sets] {
		if c.Names[i].Hash == s.names {
			return
		}
	}
	at := min(c.Sets, maxNameSets-1)
	for i := at; i < maxNameSets; i++ { // of an earlier time
		if c.Names[i].Hash == s.names {
			c.Names[at], c.Names[i] = c.Names[i], c.Names[at]
			c.Sets = at + 1
			return
		}
	}
	c.Names[at], c.Sets = Names{s.names, s.list}, at+1
}
