package guard

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
)

// maxCharters is how many charters may count at a time: more than one only while some wait for their notice.
const maxCharters = 4

// Latest returns the charter that the next one is held against, nil where there is none.
func (s *State) Latest() *lamppost.Charter {
	if len(s.Charters) == 0 {
		return nil
	}
	return &s.Charters[len(s.Charters)-1].Charter
}

// Take takes a charter, or says why not. It counts at once. One that protects less than others needs the second party, and these
// count beside it until its notice is over. The state that follows must be kept before anything else.
func (s *State) Take(o lamppost.Offer) error {
	c, latest := &o.Charter, s.Latest()
	if !o.Signed && s.holds(OwnerSigns) {
		return fmt.Errorf("charter %d is not signed by the owner", c.Number)
	}
	if latest == nil {
		s.Charters = []Held{{Charter: *c}}
		return nil
	}
	less := c.Falls(latest)
	switch {
	case c.Device != latest.Device:
		return fmt.Errorf("charter %d is of device %q, not of %q", c.Number, c.Device, latest.Device)
	case c.Number <= latest.Number && s.holds(NumbersRise):
		return fmt.Errorf("charter %d comes after charter %d, which is known", c.Number, latest.Number)
	case less != "" && !o.Agreed && s.holds(SecondAgrees):
		return fmt.Errorf("charter %d protects less (%s), and the second party did not sign it", c.Number, less)
	}
	before := slices.DeleteFunc(slices.Clone(s.Charters), func(h Held) bool { return c.Falls(&h.Charter) == "" })
	if len(before) == maxCharters {
		return fmt.Errorf("charter %d protects less than %d others that count: wait until their notice is over", c.Number, len(before))
	}
	s.Charters = append(before, Held{Charter: *c})
	return nil
}

// ageCharters lets time pass, and drops what a later charter replaces whose notice is over.
func (s *State) ageCharters(slow lamppost.TimeMS) (changed bool) {
	if len(s.Charters) < 2 {
		return false
	}
	notice := lamppost.MinNoticeMS
	for i := range s.Charters {
		for _, f := range s.Charters[i].Charter.Functions {
			notice = max(notice, f.Notice)
		}
	}
	over := 0
	for i := range s.Charters {
		h := &s.Charters[i]
		if h.Known = min(h.Known+slow, notice); h.Known == notice || !s.holds(FallWaits) {
			over = i
		}
	}
	s.Charters = slices.Delete(s.Charters, 0, over)
	return over > 0
}
