package api

import (
	"time"

	"github.com/lamppost/lamppost"
)

// Limits of requests and of what is kept in memory for them.
const (
	maxBodyBytes      = 1 << 20          // a request's body
	readTimeout       = 30 * time.Second // for a request's body to come
	writeTimeout      = 2 * time.Minute  // for the whole answer, with the work for it
	maxVerdictsListed = 1000             // in one answer
	maxListed         = 10_000           // devices, invoices or transactions in one answer
	defaultLogSize    = 50               // transactions that /api/log lists unless told
	maxLogBlocks      = 100_000          // blocks that /api/log looks at to find them
	defaultBlocks     = 1000             // that /api/blocks sends unless told
	maxBlocks         = 10_000           // and at most
	orderTimeout      = 30 * time.Second // how long an order may take to be committed

	// MaxOrders is how many orders one request may bring; maxOrdering of them are on their way at a time.
	MaxOrders   = 2000
	maxOrdering = 512

	maxBudgets  = 50  // parties in one answer: each is priced anew
	MaxPayments = 500 // reported payments in a request: each that is booked waits for its block

	maxStreams    = 64                     // open event streams
	statusEvery   = 500 * time.Millisecond // shortest time between two status events of a stream
	blockEvery    = 100 * time.Millisecond // shortest time between two block events of a stream
	keepAlive     = 15 * time.Second       // longest silence of a stream
	streamTimeout = 10 * time.Second       // longest time a reader of a stream may not read

	maxExports  = 2         // that run at a time: each takes a core and some 100 MB
	exportPiece = 256 << 10 // of a file in one piece

	maxAdvising    = 1         // fleets that are weighed at a time, which takes up to some seconds; others wait
	maxSearches    = 2         // of a device's history that run at a time; others wait
	defaultValues  = 10_000    // of a series in an answer
	maxValues      = 100_000   // likewise, where more are asked for
	maxWalked      = 2_000_000 // readings of one name that a search gathers: 100 MB
	maxBlocksShown = 1000      // of a series

	maxDecisions   = 64   // of a guard's word
	maxRefusedText = 1000 // bytes in it
	maxWords       = 4    // of guards that speak for a device

	maxReceipts = 500 // in the evidence of a dispute

	maxSeries = 64 // names of readings kept per device; further ones are counted in the totals only

	// maxRebuildBytes is how much of the archive a start reads to show the recent past: some 300,000 reports.
	maxRebuildBytes = 64 << 20

	// A series holds at most maxPoints points, and all series together about totalPoints (12 bytes each).
	maxPoints   = 512
	minPoints   = 16
	totalPoints = 8 << 20
	// windowMS is how far back a series reaches when it is full.
	windowMS lamppost.TimeMS = 8 * 24 * 3600 * 1000

	// A device counts as online for three of its usual pauses between reports, within these bounds.
	minOnlineMS     lamppost.TimeMS = 60 * 1000
	maxOnlineMS     lamppost.TimeMS = 25 * 3600 * 1000
	slackMS                         = 2000           // wall time from a report's coming until it shows, at most
	unknownOnlineMS lamppost.TimeMS = 15 * 60 * 1000 // after a single report

	tokenBytes   = 16   // random bytes of a device's token
	maxPathBytes = 4096 // of a backup's path
	maxText      = 200  // bytes of a device's name or site, as the ledger takes them
)
