package behave

import "github.com/lamppost/lamppost"

// A Minute is what a device did at the doors of a node in one minute, over connections that were authenticated as its own.
type Minute struct {
	At lamppost.TimeMS // its end, by the node's clock

	Reports   uint32 // that were committed, now or before
	Repeated  uint32 // of them, that were committed before
	Refused   uint32 // that were good, and came too late, too early or with a number that was used
	Bad       uint32 // that could not be read, or were wrongly signed
	Forbidden uint32 // in another device's name, or to a topic that is not its own
	Unheard   uint32 // that were not taken because of too many bad ones
	Connects  uint32 // log-ins
	Taken     uint32 // of them, that took the place of a connection that was still open

	Readings uint64 // of Reports
	Bytes    uint64 // of Reports
	Largest  uint64 // bytes of the largest report
	// From and To are between when its readings were taken, by the device's clock; 0: nothing is known.
	From, To lamppost.TimeMS

	Names    [MaxNames]Names // sets of readings' names that came; the first Sets count
	Sets     int
	Firmware uint64 // of the newest report that was accepted and names one; 0: none did
	Topic    string // one of those that were forbidden
}

// MaxNames is how many sets of names a minute tells apart.
const MaxNames = 4

// Names is a set of readings' names, as the reports of a device have it.
type Names struct {
	Hash uint64
	List string // for people
}

// The columns of a minute's record.
const (
	colRate      = iota // reports
	colPace             // reports for each minute of the device's own clock: a backlog that is sent at once has the pace of any day
	colGap              // seconds since the device was last heard
	colSize             // bytes of a report on the average
	colLargest          // bytes of the largest report
	colReadings         // readings of a report on the average
	colNames            // which set of names, the least usual
	colFirmware         // which firmware
	colRepeated         // reports that came again
	colRefused          // refused: too late, too early, a number that was used
	colBad              // refused: unreadable or wrongly signed
	colForbidden        // refused: another's name, or a topic
	colUnheard          // not taken
	colConnects         // log-ins
	colTaken            // log-ins in place of an open connection, in fours: one is a network that broke, many are two that speak as one
	colHour             // of the day, UTC
	columns
)

// How many values the columns take.
const (
	binsCount = 16
	binsGap   = 20
	binsBytes = 28
	binsNames = 64 // the last is every other one
	binsImage = 32 // likewise; the first is none
	binsHour  = 24
)

// deviceSchema is what is counted of a device. The rate is counted by how long nothing was heard before: after an outage it is another.
var deviceSchema = mustSchema(NewSchema(
	[]int{binsCount, binsCount, binsGap, binsBytes, binsBytes, 11, binsNames, binsImage, binsCount, binsCount, binsCount, binsCount, binsCount, 8, 8, binsHour},
	Feature{"rate", colRate, colGap, true}, Feature{"silence", colGap, Alone, true}, Feature{"repeated", colRepeated, Alone, true},
	Feature{"connects", colConnects, Alone, true}, Feature{"taken_over", colTaken, Alone, false}, Feature{"pace", colPace, Alone, false},
	Feature{"size", colSize, Alone, false}, Feature{"largest", colLargest, Alone, false}, Feature{"readings", colReadings, Alone, false},
	Feature{"names", colNames, Alone, false}, Feature{"firmware", colFirmware, Alone, false}, Feature{"refused", colRefused, Alone, false}, Feature{"bad", colBad, Alone, false},
	Feature{"forbidden", colForbidden, Alone, false}, Feature{"unheard", colUnheard, Alone, false}, Feature{"hour", colHour, Alone, false}))

// featureNames is the place of "names" in the schema.
const featureNames = 9

func mustSchema(s *Schema, err error) *Schema {
	if err != nil {
		panic("behave: " + err.Error())
	}
	return s
}

// record fills x with the bins of a minute. The names and the firmware are numbered by the fleet.
func (f *Fleet) record(x *[columns]uint16, d *device, m *Minute) {
	reports := uint64(m.Reports)
	per := max(1, reports)
	*x = [columns]uint16{
		colRate: Octave(reports, binsCount), colPace: Octave(m.pace(d), binsCount), colGap: Octave(d.gap(m), binsGap),
		colSize: half(m.Bytes/per, binsBytes), colLargest: half(m.Largest, binsBytes), colReadings: Octave(m.Readings/per, 11),
		colRepeated: Octave(uint64(m.Repeated), binsCount), colRefused: Octave(uint64(m.Refused), binsCount), colBad: Octave(uint64(m.Bad), binsCount),
		colForbidden: Octave(uint64(m.Forbidden), binsCount), colUnheard: Octave(uint64(m.Unheard), binsCount),
		colConnects: Octave(uint64(m.Connects), 8), colTaken: Octave(uint64(m.Taken/4), 8), colHour: uint16(uint64(m.At) / msPerHour % 24),
	}
	x[colNames] = f.rarest(d, m)
	if m.Firmware != 0 {
		x[colFirmware] = f.images.number(m.Firmware)
	}
}

const (
	msPerMinute = 60_000
	msPerHour   = 60 * msPerMinute
)

// pace is how many reports came for each minute of the device's clock since the newest reading before, or else in this minute.
func (m *Minute) pace(d *device) uint64 {
	minutes := uint64(1)
	from := m.From
	if d.newest > 0 && d.newest < m.To {
		from = max(d.newest, m.To-maxBacklogMS)
	}
	if from > 0 && m.To > from {
		minutes = max(1, uint64(m.To-from+msPerMinute/2)/msPerMinute)
	}
	return (uint64(m.Reports) + minutes/2) / minutes
}

// maxBacklogMS is the longest backlog that explains a burst.
const maxBacklogMS = 35 * 24 * msPerHour

// gap is for how many seconds nothing was heard; none for the first minute.
func (d *device) gap(m *Minute) uint64 {
	if d.last == 0 || m.At <= d.last {
		return 0
	}
	return uint64(m.At-d.last) / 1000
}

// rarest is the number of the set of names that the device sends least.
func (f *Fleet) rarest(d *device, m *Minute) uint16 {
	if m.Sets == 0 {
		return 0
	}
	best, least := uint16(0), -1
	cells := d.own.counts[deviceSchema.first[featureNames]:]
	for _, set := range m.Names[:min(m.Sets, MaxNames)] {
		bin := f.names.number(set.Hash)
		if n := int(cells[bin]); least < 0 || n < least {
			best, least = bin, n
		}
	}
	return best
}

// numbers gives each of the first few hashes a number of its own, from 1 on; the rest share the last one.
type numbers struct {
	list []uint64
	bins int
}

func (n *numbers) number(hash uint64) uint16 {
	for i, h := range n.list {
		if h == hash {
			return uint16(i + 1)
		}
	}
	return uint16(n.bins - 1)
}

// add makes room for a hash that is met for the first time.
func (n *numbers) add(hash uint64) {
	if hash != 0 && len(n.list) < n.bins-2 && int(n.number(hash)) == n.bins-1 {
		n.list = append(n.list, hash)
	}
}
