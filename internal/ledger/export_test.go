package ledger

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// Registry is what the state holds in memory, encoded.
func (s *State) Registry() []byte {
	devices, sides := map[lamppost.DeviceID]lamppost.DeviceBody{}, map[string][]string{}
	for id, d := range s.devices {
		devices[id] = d.Body
	}
	for side, ids := range s.bySide {
		sides[string(side.seller)+" "+string(side.buyer)] = ids
	}
	serving := map[lamppost.DeviceID][]string{}
	for id, registers := range s.serving {
		serving[id] = slices.Sorted(slices.Values(registers)) // of which nobody asks for the order
	}
	contracts, hearing := map[string][]any{}, map[lamppost.DeviceID][]string{}
	for id, c := range s.contracts {
		contracts[id] = []any{c.versions, c.parties, c.ended}
	}
	for d, heard := range s.hearing {
		if len(heard) > 0 {
			hearing[d] = heard
		}
	}
	return lamppost.Marshal([]any{contracts, hearing, s.parties, devices, s.points, s.metered, serving, s.tariffs, s.agreements, s.changed, sides})
}
