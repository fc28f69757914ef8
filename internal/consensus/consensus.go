// Package consensus is the port between the ledger's replica and the engines that order its transactions: solo here,
// raft and comet on several machines. docs/decisions/0002-consensus-port.md says what each engine taught it.
//
// Start reading at [App], then at [Engine]. consensustest is the executable form of both contracts.
package consensus

import (
	"context"
	"errors"
	"io"

	"github.com/lamppost/lamppost"
)

// An App is the deterministic state machine that an Engine drives, never two calls at a time. Everything it depends on
// is in its state and arguments: no clock, randomness, network or map order. Slices are the engine's and valid only
// during the call. It is not called after Run has returned.
type App interface {
	// Last is the durable position: what the last Commit or Restore left, whatever was applied since.
	Last() Last

	// Prepare picks from b.Txs what the block shall carry, at most maxBytes, and returns those very slices; b has height,
	// time and evidence. What it passes over for its content, CheckTx refuses from the next Commit on. It changes no state.
	Prepare(b *lamppost.Block, maxBytes int) [][]byte

	// Accept refuses a block that no honest proposer sends: a pure function of the state at b.Height-1 and b. Some blocks
	// come only here, some only to Apply. A forged report is for Apply to refuse, never for Accept.
	Accept(b *lamppost.Block) error

	// Apply decides a block. It is total: a bad transaction is a refused outcome, with one entry in IDs and Outcomes per
	// transaction. It builds on what is applied and not yet committed; b.Height is one more than that, b.Time later. An
	// empty block (no transaction, no evidence) gives the present root and changes nothing. An error is local and final.
	Apply(b *lamppost.Block) (*lamppost.Result, error)

	// Commit makes all applied blocks and their cursors durable in one write, then publishes them to the View. The engine
	// may forget everything up to the cursor it returns (0: nothing). Nothing applied: no write. An error is final.
	Commit() (forget lamppost.Cursor, err error)
}

// A View answers from the last published state, from any goroutine, while the App is busy.
type View interface {
	// CheckTx refuses decided ids and all that Prepare drops for its content. Advisory: the state may be stale.
	CheckTx(tx []byte) error
	// Decided returns where an id was first decided, until it expires. A segment's id is not kept: a second time, its
	// reports are all duplicates. Nor is that of a refused order, which leaves no trace in the state and may be tried again.
	Decided(id lamppost.TxID) (Decision, bool)
}

// A Foreseer is an App that can begin the work on a block while its engine still makes it durable and agrees on it.
type Foreseer interface {
	// Foresee is told the transactions of a block that will probably be applied, by any goroutine, beside other calls of the App; it
	// returns at once. It is a hint: the block may never come, others may come without it, and nothing depends on it. The slices
	// never change.
	Foresee(txs [][]byte)
}

// A Snapshotter can hand its state to a replica that is too far behind.
type Snapshotter interface {
	// Snapshot is called between a Commit and the next Apply and returns fast; the snapshot is read while later blocks
	// are applied, and closed even if it was never read.
	Snapshot() (Last, io.ReadCloser, error)
	// Restore replaces everything, durably, once the content is known to give root want (zero: the source is trusted).
	Restore(r io.Reader, want lamppost.Hash) error
}

// Last is an App's durable position. Height 0 is before the genesis.
type Last struct {
	Height  lamppost.Height
	Time    lamppost.TimeMS
	Root    lamppost.Hash
	Cursor  lamppost.Cursor
	Members []lamppost.Member
}

// A Decision says where a transaction was ordered and what it did.
type Decision struct {
	Height   lamppost.Height
	Index    uint32
	Outcomes []lamppost.Outcome // one per report of a segment; otherwise one, and what contracts did after it
}

// An Engine orders transactions. Its constructor takes the App and its View and calls nothing but Last.
type Engine interface {
	// Propose returns once id is decided, committed and published here, exactly once per call; at once if it was before.
	// ErrBusy, ErrTooLarge and *NotLeaderError: surely not ordered by this call. The context's error and ErrStopped:
	// perhaps; retry with the same id anywhere. tx must not change before Propose has returned, and after one of the last
	// two errors never, since it may still be on its way. A *lamppost.Refusal: the App takes it into no block. Safe for
	// concurrent use.
	Propose(ctx context.Context, id lamppost.TxID, tx []byte) (Decision, error)

	// Run opens, replays and serves until ctx is done (nil) or the App failed (its error). When it returns, all its
	// goroutines have ended and every waiting Propose has returned.
	Run(ctx context.Context) error

	// Status may be called at any time.
	Status() Status
}

// A Forgetter is an Engine that keeps blocks, or states of the App, in files of its own.
type Forgetter interface {
	// Forgotten is up to where these files hold no block, and no state from before. Before Run it is 0. Safe for concurrent use.
	Forgotten() lamppost.Cursor
}

// Errors of Propose.
var (
	ErrBusy     = errors.New("consensus: the queue of transactions is full")
	ErrTooLarge = errors.New("consensus: the transaction is larger than this engine takes")
	ErrStopped  = errors.New("consensus: the engine has stopped")
)

// A NotLeaderError says that another member leads, if it is known which.
type NotLeaderError struct{ Leader lamppost.MemberID }

// Error names the leader.
func (e *NotLeaderError) Error() string { return "consensus: the leader is " + string(e.Leader) }

// A Status is for people and metrics.
type Status struct {
	Engine   string            `json:"engine"`
	Role     string            `json:"role"`
	Leader   lamppost.MemberID `json:"leader"`
	Height   lamppost.Height   `json:"height"`
	Time     lamppost.TimeMS   `json:"time_ms"`
	Queued   int               `json:"queued"`
	WaitedMS lamppost.TimeMS   `json:"waited_ms"` // age of the oldest waiting proposal
}
