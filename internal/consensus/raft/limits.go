package raft

import "time"

// Limits and settings: docs/decisions/0009-raft.md says why and gives the figures.
const (
	maxCallers    = 1024     // calls of Propose that wait here; more are ErrBusy
	maxOpen       = 4096     // proposals that wait here for their block, those of other members included
	maxOpenBytes  = 64 << 20 // of them together; a leader then does not read what members forward
	maxEntryBytes = 64 << 10 // transactions of a block together, unless a single one is larger
	maxInFlight   = 16       // blocks between proposal and commit, and messages to a member without an answer
	fillBeyond    = 2        // blocks; while so many are on their way, the next one fills before it goes
	maxSaid       = 256      // lines of the library that are remembered, not to be told again at once
	maxRecent     = 1 << 14  // ids that are remembered to tell what a member forwards again
	maxRoots      = 64       // last roots that a leader's word is compared with
	maxConns      = 256      // accepted connections

	maxRefusal   = 512     // bytes of a refusal's text between members
	logFileBytes = 1 << 20 // a new one costs three syncs and more

	defaultTimeout   = 500 * time.Millisecond // of heartbeats and elections
	maxAppendEntries = 8                      // entries that are sent, and committed, together
	rpcTimeout       = 10 * time.Second
	helloTimeout     = 5 * time.Second
	writeTimeout     = 10 * time.Second
	retryPause       = 20 * time.Millisecond
	resendAfter      = 5 * time.Second // without any block that was waited for

	defaultSnapshotEvery = time.Hour
	snapshotBytes        = 256 << 20 // of entries, after which a snapshot is taken sooner
	fullEvery            = 6         // snapshots, of which one leaves nothing in the log even if others lag
)
