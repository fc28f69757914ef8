// Package guard is the rule that no contract, bill or outage can override: how far each function of a device may be
// restricted at this moment. The SDK runs it in the device (device.OpenGuard), and a gateway on site for devices that cannot.
//
// A ledger only asks. What it asks for, how long that is known here, whether the network can be reached, and the charter
// that the owner signed are all that counts ([State]). It promises, whatever is asked, and whenever one of the machine's two clocks
// is wrong, the network is away or the machine restarts:
//
//   - a life function runs at 100 percent, a public one at its minimum or above;
//   - an essential one is restricted only after its notice and its grace have passed here in contact with the network, never
//     below its minimum, and never while the network is away;
//   - unlocking, and stopping to let go, are never refused;
//   - none of that gets weaker without the signatures of the owner and of the second party, and notice.
//
// The State is a machine of values: no clock, disk, network or goroutine. Start reading there, at [State.Level] and
// [State.Tick]; a [Keeper] gives it a clock and a disk. model_test.go visits every state that is reached within some steps, and shows for each [Rule] that without it a promise
// breaks. docs/guard.md is for owners and writers of firmware.
package guard

import (
	"cmp"
	"slices"

	"github.com/lamppost/lamppost"
)

// Silence is how long a guard takes the network to be there after it last heard of it.
const Silence lamppost.TimeMS = 15 * 60 * 1000

// A State is all that a guard knows. The exported fields are kept through restarts.
type State struct {
	Class lamppost.SafetyClass `cbor:"1,keyasint"` // as enrolled; of every function while there is no charter
	// Charters are those that count, by number: the latest, and before it those that protect more, until the notice of
	// a later one is over. A level must be right by all of them.
	Charters []Held    `cbor:"2,keyasint"`
	Requests []Request `cbor:"3,keyasint"` // by id

	silent  lamppost.TimeMS // since the network was heard of, at least
	silence lamppost.TimeMS // Silence, but in tests
	off     Rule            // of tests
}

// A Held is a charter that counts.
type Held struct {
	Charter lamppost.Charter `cbor:"1,keyasint"`
	Known   lamppost.TimeMS  `cbor:"2,keyasint,omitempty"` // how long it has been known here, see Tick
}

// A Request is a restriction that the ledger asks for.
type Request struct {
	ID       string           `cbor:"1,keyasint" json:"id"` // another one for each that is asked for
	Function string           `cbor:"2,keyasint" json:"function"`
	Level    uint8            `cbor:"3,keyasint" json:"level"` // percent
	By       lamppost.PartyID `cbor:"4,keyasint" json:"by"`
	Reason   string           `cbor:"5,keyasint" json:"reason"`      // for people
	Left     lamppost.TimeMS  `cbor:"6,keyasint" json:"left_ms"`     // until it ends by itself
	Known    lamppost.TimeMS  `cbor:"7,keyasint,omitempty" json:"-"` // how long it has been known here, see Tick
}

// A Rule is one thing that a guard goes by. All of them always hold; only the model check takes them away, one at a time.
type Rule uint32

// Rules.
const (
	LifeRuns         Rule = 1 << iota // a life function runs at 100 percent
	MinimumHolds                      // a public or essential function does not fall under its minimum
	OfflineServes                     // an essential function is not restricted while the network is away
	NoticeFirst                       // nor before its notice is over
	GraceFirst                        // nor before its grace is
	UnknownEssential                  // what the charter does not name is essential
	ReleasePasses                     // unlocking, and stopping to let go, pass whatever the level is
	SlowerClock                       // notice and grace count what the slower of two clocks says
	FasterClock                       // the network is away when the faster one says so
	StartsSilent                      // after a restart nothing was heard of the network
	AskedAnew                         // a request that was taken back or changed begins with notice again
	RequestEnds                       // a request ends by itself
	OwnerSigns                        // a charter is signed by the owner
	SecondAgrees                      // and one that protects less by the second party
	FallWaits                         // and takes effect after notice
	NumbersRise                       // an older charter does not come back
	SaveFirst                         // what takes something back is durable before anything follows
	ruleEnd
)

// New returns the state of a guard that knows nothing but how its device is enrolled, and has heard of nobody.
func New(class lamppost.SafetyClass) *State {
	s := &State{Class: class}
	s.Restart()
	return s
}

func (s *State) holds(r Rule) bool { return s.off&r == 0 }

// functions returns what holds for a function now: of each charter that counts, the latest last.
func (s *State) functions(name string) []lamppost.Function {
	if len(s.Charters) == 0 {
		return []lamppost.Function{lamppost.DefaultFunction(name, s.Class)}
	}
	all := make([]lamppost.Function, 0, len(s.Charters))
	for i := range s.Charters {
		c := &s.Charters[i].Charter
		named := slices.ContainsFunc(c.Functions, func(f lamppost.Function) bool { return f.Name == name })
		if f := c.Function(name); named || s.holds(UnknownEssential) {
			all = append(all, f)
		} else {
			all = append(all, lamppost.DefaultFunction(name, lamppost.Ordinary))
		}
	}
	return all
}

// Online reports whether the network was heard of lately.
func (s *State) Online() bool { return s.silent <= s.silence }

// Level decides at which level a function runs now: the lowest that any request comes to.
func (s *State) Level(name string) Decision {
	fs := s.functions(name)
	d := Decision{Function: name, Class: fs[len(fs)-1].Class.String(), Level: lamppost.FullService}
	for i := range s.Requests {
		r := &s.Requests[i]
		if r.Function != name {
			continue
		}
		if got := strictest(fs, func(f *lamppost.Function) Decision { return s.answer(f, r) }); d.Request == "" || got.Level < d.Level {
			d = got
		}
	}
	return d
}

// strictest decides by every charter that counts and returns what protects most.
func strictest(fs []lamppost.Function, decide func(*lamppost.Function) Decision) (d Decision) {
	for i := range slices.Backward(fs) {
		if got := decide(&fs[i]); i == len(fs)-1 || got.Level > d.Level || got.Level == d.Level && got.After > d.After {
			d = got
		}
	}
	return d
}

// answer decides on one request.
func (s *State) answer(f *lamppost.Function, r *Request) Decision {
	d := Decision{Function: f.Name, Class: f.Class.String(), Level: lamppost.FullService, Request: r.ID, Asked: r.Level, By: r.By, Reason: r.Reason}
	if r.Left == 0 && s.holds(RequestEnds) {
		d.Why = Ended
		return d
	}
	if d.Why, d.After = s.refuses(f, r.Known); d.Why != "" {
		return d
	}
	if d.Level = s.least(f, r.Level); d.Level > r.Level {
		d.Why = Minimum
	}
	return d
}

// refuses says why a function is not restricted at all, by a request that has been known for some time, and for how long it will not
// be at least.
func (s *State) refuses(f *lamppost.Function, known lamppost.TimeMS) (why string, after lamppost.TimeMS) {
	if f.Class == lamppost.Life && s.holds(LifeRuns) {
		return Life, 0
	}
	if f.Class.Rank() != lamppost.Essential.Rank() {
		return "", 0
	}
	notice, grace := f.Notice, f.Grace
	if !s.holds(NoticeFirst) {
		notice = 0
	}
	if !s.holds(GraceFirst) {
		grace = 0
	}
	switch left := notice + grace - known; {
	case !s.Online() && s.holds(OfflineServes):
		return Offline, max(left, 0)
	case known < notice:
		return Notice, left
	case left > 0:
		return Grace, left
	}
	return "", 0
}

func (s *State) least(f *lamppost.Function, level uint8) uint8 {
	if f.Class != lamppost.Ordinary && s.holds(MinimumHolds) {
		level = max(level, f.Min)
	}
	return min(level, lamppost.FullService)
}

// Least is the lowest level that anybody on site, the operator of a gateway for one, may set a function to now. An essential function
// has none of its own: notice is given by the ledger.
func (s *State) Least(name string) Decision {
	return strictest(s.functions(name), func(f *lamppost.Function) Decision {
		d := Decision{Function: name, Class: f.Class.String(), Level: lamppost.FullService}
		switch f.Class {
		case lamppost.Life:
			d.Why = Life
		case lamppost.Public, lamppost.Ordinary:
			if d.Level = s.least(f, 0); d.Level > 0 {
				d.Why = Minimum
			}
		default:
			if d = s.Level(name); d.Why == "" && d.Level == lamppost.FullService {
				d.Why = Unasked
			}
		}
		return d
	})
}

// An Action is what somebody at the device wants.
type Action uint8

// Actions.
const (
	Use     Action = iota // begin to use a function, such as a lock's way in from outside
	Unlock                // let out whoever or whatever is inside
	Release               // stop, so that whoever or whatever is held comes free
)

// May decides on an action at the device. Nothing on a ledger, no level and no outage ever stands against the last two.
func (s *State) May(a Action, name string) bool {
	if a != Use && s.holds(ReleasePasses) {
		return true
	}
	return s.Level(name).Level > 0
}

// Tick tells how much time passed since the last Tick, as the monotonic clock and the clock of days say: of a restart the first
// says nothing, 0. It reports whether the state is another one that must be kept before anything follows.
//
// Notice and grace count the smaller of both, and only where the network was there all that time, since nobody can answer a notice
// without it. Silence, and the end of a request, count the greater. So one clock alone, that stands, jumps or runs backwards, never
// takes time from people.
func (s *State) Tick(mono, wall lamppost.TimeMS) (changed bool) {
	mono, wall = max(mono, 0), max(wall, 0)
	slow, fast := min(mono, wall), max(mono, wall)
	if !s.holds(SlowerClock) {
		slow = fast
	}
	if s.holds(FasterClock) {
		s.silent = min(s.silent+fast, s.silence+1)
	} else {
		s.silent = min(s.silent+min(mono, wall), s.silence+1)
	}
	if !s.Online() {
		slow = 0
	}
	return s.age(slow, fast)
}

// age lets time pass for what waits.
func (s *State) age(slow, fast lamppost.TimeMS) (changed bool) {
	for i := range s.Requests {
		r := &s.Requests[i]
		counts := r.Known
		for _, f := range s.functions(r.Function) {
			counts = max(counts, f.Notice+f.Grace)
		}
		r.Known = min(r.Known+slow, counts) // no more than counts
		r.Left = max(r.Left-fast, 0)
	}
	return s.ageCharters(slow)
}

// Contact tells that the network was heard of just now, and all that it asks for. What it no longer asks for is over. It
// reports whether the state is another one that must be kept before anything follows; then what was taken back does not
// come back after a power loss as if it had been known all the time.
func (s *State) Contact(asked []Request) (changed bool) {
	s.silent = 0
	asked = slices.Clone(asked[:min(len(asked), lamppost.MaxRestrictions)])
	slices.SortStableFunc(asked, func(a, b Request) int { return cmp.Compare(a.ID, b.ID) })
	asked = slices.CompactFunc(asked, func(a, b Request) bool { return a.ID == b.ID })
	asked = slices.DeleteFunc(asked, func(r Request) bool { return r.Left <= 0 })
	for i := range asked {
		r := &asked[i]
		r.Known = 0
		at, known := slices.BinarySearchFunc(s.Requests, r.ID, func(r Request, id string) int { return cmp.Compare(r.ID, id) })
		if known && (s.Requests[at].same(r) || !s.holds(AskedAnew)) {
			r.Known = s.Requests[at].Known
		}
	}
	changed = !slices.EqualFunc(s.Requests, asked, func(a, b Request) bool { return a.same(&b) }) && s.holds(SaveFirst)
	s.Requests = asked
	return changed
}

func (r *Request) same(other *Request) bool {
	return r.ID == other.ID && r.Function == other.Function && r.Level == other.Level
}

// Restart is what a restart does: what is not kept is forgotten. The first Tick after it knows no monotonic time.
func (s *State) Restart() {
	if s.silence == 0 {
		s.silence = Silence
	}
	if s.holds(StartsSilent) {
		s.silent = s.silence + 1
	}
}
