package device

import (
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// The disk layer, for the tests that take its power away.
type (
	Disk = disk
	File = file
)

// OpenOn opens a device on a disk that is not the operating system's, and that rewrites its files often.
func OpenOn(cfg Config, on Disk) (*Device, error) {
	cfg.Dir = "-"
	cfg.compactQueue, cfg.compactEdges = 600, 300 // so that few reports are enough to rewrite both
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return openOn(cfg, on)
}

// Sizes that tests reason about.
const (
	ReserveAhead    = reserveAhead
	CompactBytes    = compactBytes
	MaxRefusedBytes = maxRefusedBytes
	BlockedAtMost   = blockedAtMost
)

// Doubting makes a configuration one of a network of three members, any one of which may lie. Its proofs are what read says.
func Doubting(cfg Config, read func(raw []byte) (map[lamppost.Seq]lamppost.ReportID, error)) Config {
	cfg.Pin = &audit.Pin{Network: cfg.Network, Quorum: 2}
	cfg.proveAfter = time.Millisecond
	cfg.readProof = func(raw []byte) (map[lamppost.Seq]inLedger, error) {
		ids, err := read(raw)
		in := map[lamppost.Seq]inLedger{}
		for seq, id := range ids {
			in[seq] = inLedger{id, 7}
		}
		return in, err
	}
	return cfg
}

// MaxUnproven is how many reports may wait for a proof at once.
const MaxUnproven = maxWindow - patience
