// Package agent knows what a machine had best do next: a lamp's level, a charger's or a storage's power, a valve. It decides over a short
// horizon, by forecasts with their ranges, within bounds that it is given, and says why in numbers.
//
// Start reading at [Inputs] and [Decide]. Each kind has a file: it lists what could be done in the first interval and what each would cost over the
// horizon, and decide.go picks. [Record] adds what goes on the ledger: the commitment to the inputs, and the smallest change of one input that would
// have changed the action (flip.go). [Replay] makes the same bytes from the inputs again. [Clear] lets devices of one site trade (clear.go); site.go makes their offers.
//
// What it promises: integers alone, so the same inputs decide the same on every machine; no clock, disk or network; no input makes it leave its
// bounds; where a forecast is missing, stale or garbage it says so and follows the safe rule, which is what the device would do without an agent.
// What it does not: it observes nothing, sends nothing, and keeps nothing. docs/agents.md is for owners.
package agent

import (
	"crypto/sha256"

	"github.com/lamppost/lamppost"
)

// Version of how agents decide. Another may decide otherwise.
const Version = 2

// Model names what decides, with all its settings.
func Model() lamppost.Model {
	settings := []int64{format, Version, MaxSteps, int64(MaxAge), leastCells, mostCells, movesWish, patience, weights[0], weights[1], weights[2]}
	return lamppost.Model{ID: "agent", Version: Version, Hash: sha256.Sum256(lamppost.Marshal(settings))}
}
