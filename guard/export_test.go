package guard

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// Without takes a rule away, as no program can.
func (s *State) Without(r Rule) { s.off |= r }

// SetSilence makes another time of Silence.
func (s *State) SetSilence(t lamppost.TimeMS) { s.silence, s.silent = t, t+1 }

// Silent is how long the network was not heard of.
func (s *State) Silent() lamppost.TimeMS { return s.silent }

// Clone copies the state with all it has; Kept, as it comes back from a disk.
func (s *State) Clone() *State {
	c := *s
	c.Requests, c.Charters = slices.Clone(s.Requests), slices.Clone(s.Charters)
	return &c
}

// Kept returns the state as it comes back from a disk.
func (s *State) Kept() *State {
	c := s.Clone()
	c.silent = 0
	return c
}

// RuleEnd is the first that is no rule.
const RuleEnd = ruleEnd
