//go:build small

// Package comet is left out of the small program: this file stands in for it.
package comet

import (
	"errors"

	"github.com/lamppost/lamppost/internal/consensus"
)

var errLeftOut = errors.New("comet: this program was built without CometBFT (tag small): use the full one")

// An Engine cannot be made here.
type Engine struct{ consensus.Engine }

// New says that this program has no such engine.
func New(cfg Config, _ consensus.App, _ consensus.View) (*Engine, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return nil, errLeftOut
}

// PublicKey says that this program has no such engine.
func PublicKey(string) ([]byte, error) { return nil, errLeftOut }
