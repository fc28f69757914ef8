//go:build small

package node

// adviseOn is left out of the small program: what was measured is larger than what it has left.
var (
	adviseOn, readFleet func([]byte) (any, error)
	fleetExamples       func() (any, error)
)
