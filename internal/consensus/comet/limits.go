package comet

import (
	"time"

	"github.com/lamppost/lamppost"
)

// MaxQueued is how many calls of Propose may wait, those of the block at hand included; more are ErrBusy.
const MaxQueued = 2048

const (
	maxNetworkBytes = 50  // comet's limit on a chain id
	maxMembers      = 100 // every vote goes to everybody

	// The pool holds what any member proposed. Its memory: the cache of what was seen takes about 200 bytes an entry.
	maxPoolTxs   = 8192
	maxPoolBytes = 128 << 20
	maxSeen      = 65536

	nonceBytes = 4
	maxTxBytes = lamppost.MaxTxBytes + nonceBytes

	// What comet counts of a block beside its transactions' bytes: their nonces and lengths, evidence, votes, header.
	maxEvidenceBytes = 64 << 10
	maxBlockBytes    = lamppost.MaxBlockBytes + lamppost.MaxBlockTxs*(nonceBytes+8) + maxEvidenceBytes + 256<<10

	// How far a member's clock may be behind the blocks, whose time the clocks of two thirds make; then comet ends. What it orders by such
	// a clock has expired anyway.
	clockTolerance = time.Hour

	peerBytesPerSecond = 100 << 20 // sent to, and taken from, each member
	maxPrunedAtOnce    = 64        // blocks forgotten after one commit

	maxHandoverBytes = 256 << 20 // of comet's part of a handover, of which a header with 100 members takes 25 KB
	handPartBytes    = 512 << 10 // of a handover in a message
	handMessageBytes = 1 << 20   // of a message about handovers
	handAhead        = 8         // parts that are asked for and have not come
	handEvents       = 1024      // messages that wait; more are dropped, and asked for again
)
