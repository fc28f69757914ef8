package judge

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
)

// marks remember when readings were received: every sixteenth, so far back as readings near an alarm are kept.
type marks struct {
	N    uint64 // readings
	Ring [compact.AroundAlarm/markEvery + 1]lamppost.TimeMS
}

const markEvery = 16

func (m *marks) add(received lamppost.TimeMS) {
	if m.N%markEvery == 0 {
		m.Ring[m.N/markEvery%uint64(len(m.Ring))] = received
	}
	m.N++
}

// from is when the reading was received that came compact.AroundAlarm readings ago, or up to sixteen more; of a young series, when its
// first was.
func (m *marks) from(received lamppost.TimeMS) lamppost.TimeMS {
	size := uint64(len(m.Ring))
	marked := (m.N + markEvery - 1) / markEvery
	switch {
	case marked == 0:
		return received
	case marked <= size:
		return min(received, m.Ring[0])
	}
	return min(received, m.Ring[marked%size])
}
