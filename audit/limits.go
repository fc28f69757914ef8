package audit

import "github.com/lamppost/lamppost"

// Limits of what is read. They bound what a hostile file can cost whoever checks it.
const (
	// MaxFileBytes is the longest file that [Verify] reads, its proof being compressed.
	MaxFileBytes = lamppost.MaxProofBytes

	MaxPinBytes  = 64 << 10  // a pin
	MaxHeadBytes = 256 << 10 // what a Follower keeps, or a fork

	maxFaults = 1000 // places that are named of a file that differs from its proof

	// maxLogSize bounds the size a checkpoint may state: the arithmetic of log proofs works on powers of two up to 2^62,
	// and no log reaches this one.
	maxLogSize = 1 << 48
)
