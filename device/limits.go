package device

import (
	"time"

	"github.com/lamppost/lamppost"
)

// Limits and defaults.
const (
	// reserveAhead is how many numbers one durable write reserves. A crash skips at most that many as one gap (twice that
	// many if the power failed while the reservation itself was written).
	reserveAhead = 64

	// DefaultWindow is how many reports are under way at once, DefaultMaxReports and DefaultMaxBytes how many may wait.
	// A waiting report costs 56 bytes of memory; its bytes stay on disk.
	DefaultWindow     = maxWindow - patience
	DefaultMaxReports = 1 << 17
	DefaultMaxBytes   = 64 << 20

	// DefaultProveTimeout is how long an acknowledged report waits for its proof before it is sent through another member.
	DefaultProveTimeout = 30 * time.Second

	// DefaultSendTimeout is how long one attempt may take, DefaultMinBackoff and DefaultMaxBackoff how long the pauses
	// after failed ones are at least and at most.
	DefaultSendTimeout = time.Minute
	DefaultMinBackoff  = 500 * time.Millisecond
	DefaultMaxBackoff  = time.Minute

	proveAfter   = time.Second      // from the first acknowledgement to asking for a proof, and between two requests
	proveTimeout = 10 * time.Second // of one request
	proveBytes   = 256 << 10        // of the reports that one proof is asked for
	maxProof     = 1 << 20          // bytes of one

	maxWindow       = lamppost.RecentIDs / 2 // see run.limit
	patience        = 4                      // failures of a report of its own, and
	blockedAtMost   = 5 * time.Minute        // time since the first of them, until later ones stop waiting for it
	compactBytes    = 256 << 10              // a queue file below this size is never rewritten
	compactEdges    = 64 << 10               // likewise the file of a billing register
	maxRecordBytes  = 24 << 10               // of any record in a journal
	maxRefusedBytes = 1 << 20                // of the record of refused reports; the one before it is kept too
	maxReplyBytes   = 64 << 10               // of a server's reply
	maxGuardReply   = 4 << 20                // with all charters that a device may have
	maxDealReply    = 4 << 20                // likewise with a list of offers
	maxSignedEdges  = 1024                   // edges remembered as billed: ten days of quarter hours
)
