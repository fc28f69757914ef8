// Package consensus is the port between the ledger's replica and the engines that order its transactions: solo here,
// raft and comet on several machines. An engine calls the App from one goroutine; the App knows nothing of engines.
//
// Start reading at [App], then at [Engine]. consensustest is the executable form of both contracts.
package consensus

import (
	"context"
	"errors"

	"github.com/lamppost/lamppost"
)

// An App is the deterministic state machine that an Engine drives. One goroutine calls Apply and Commit, in turn, for
// heights that follow each other without a gap; CheckTx, Prepare and Accept may be called from any other goroutine.
// Everything it may depend on is in its arguments: no clock, randomness, network or map order.
type App interface {
	// CheckTx refuses transactions that cannot become valid. Advisory: it may use a stale state.
	CheckTx(tx []byte) error

	// Prepare chooses and orders transactions for a block of at most maxBytes; only the proposer calls it.
	Prepare(txs [][]byte, maxBytes int) [][]byte

	// Accept refuses a block that no honest proposer sends. It depends only on the block and the state at the height
	// before, never on whether a report inside is any good: that is Apply's to decide.
	Accept(b *lamppost.Block) error

	// Apply decides every transaction of the next block, or of the last one again with the same result. It is total: a
	// bad transaction is a refused outcome. An error means that this replica cannot go on, and its engine stops.
	Apply(b *lamppost.Block) (*lamppost.Result, error)

	// Commit makes the applied block durable. When it returns, a crash loses nothing of it. retain is the first height
	// the App still needs from the engine. An error means that the state is unknown, and the engine stops.
	Commit() (retain lamppost.Height, err error)

	// Height and Time of the last committed block tell an engine where to go on after a start.
	Last() (lamppost.Height, lamppost.TimeMS)
}

// Committed says where a transaction was ordered and what it did.
type Committed struct {
	Height   lamppost.Height
	Time     lamppost.TimeMS
	Index    uint32
	Outcomes []lamppost.Outcome // one per report of a segment, one otherwise
}

// An Engine orders transactions.
type Engine interface {
	// Propose returns once the transaction is committed and applied here, or with ErrNotLeader, ErrBusy, ErrStopped, or
	// the context's error. After ErrNotLeader, ErrStopped or the context's error it may still commit: retry with the
	// same transaction, whose id counts once. tx must not change afterwards. Safe for concurrent use.
	Propose(ctx context.Context, id lamppost.TxID, tx []byte) (Committed, error)

	// Run drives the App until ctx is done, which is no error, or the App fails. It is called once.
	Run(ctx context.Context) error

	// Status may be called at any time.
	Status() Status
}

// Errors of Propose.
var (
	ErrBusy      = errors.New("consensus: the queue of transactions is full")
	ErrNotLeader = errors.New("consensus: another member leads")
	ErrStopped   = errors.New("consensus: the engine has stopped")
)

// A Status is for people and metrics.
type Status struct {
	Engine string            `json:"engine"`
	Role   string            `json:"role"`
	Leader lamppost.MemberID `json:"leader"`
	Height lamppost.Height   `json:"height"`
	Time   lamppost.TimeMS   `json:"time_ms"`
	Queued int               `json:"queued"`
}
