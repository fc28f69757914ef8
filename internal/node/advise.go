//go:build !small

package node

import (
	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/api"
)

// adviseOn says how a fleet, in JSON, should be kept, from the measurements that the program brings along.
func adviseOn(fleet []byte) (any, error) {
	f, err := advise.ParseFleetJSON(fleet)
	if err != nil {
		return nil, &api.FleetError{Err: err}
	}
	rows, err := advise.Shipped()
	if err != nil {
		return nil, err
	}
	return advise.Advise(f, rows)
}

// readFleet reads a fleet's file.
func readFleet(file []byte) (any, error) {
	f, err := advise.ReadFile(file)
	if err != nil {
		return nil, &api.FleetError{Err: err}
	}
	return f, nil
}

func fleetExamples() (any, error) { return advise.Examples() }
