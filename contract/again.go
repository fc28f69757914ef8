package contract

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
)

// Again runs a program again as the ledger did, and returns the state that it leaves. An error says what comes of it now that is not in the
// run. What the ledger refused because of accounts and limits, it refused by more than a program knows: then only that the program came to
// something is checked.
func Again(b *lamppost.ContractBody, x *lamppost.Run, rules uint32) (state []byte, err error) {
	if x.Failure != nil && x.Failure.Reason == BlockFull {
		return x.Before, nil // it was not run
	}
	p, err := Check(b.Source, At(rules))
	var f *Failure
	switch {
	case errors.As(err, &f):
		return x.Before, sameFailure(x.Failure, f)
	case err != nil:
		return nil, err
	case x.Event.Name == Expire && !p.Handles(Expire):
		if len(x.Payments) > 0 || x.Failure != nil || x.Cost != (Cost{}) {
			return nil, errors.New("it has no function expire, and nothing can have come of it")
		}
		return x.Before, nil
	}
	res, cost, f := p.Run(&x.Event, b.Terms, x.Before)
	if cost != x.Cost {
		return nil, fmt.Errorf("it takes %d steps, not %d", cost.Steps, x.Cost.Steps)
	}
	refused := x.Failure != nil && x.Failure.Reason >= NotBound // by the ledger
	switch {
	case f == nil && refused:
		return x.Before, nil
	case f != nil || x.Failure != nil:
		return x.Before, sameFailure(x.Failure, f)
	case !slices.Equal(res.Payments, x.Payments):
		return nil, fmt.Errorf("it pays %v, not %v", res.Payments, x.Payments)
	case res.Note != x.Note:
		return nil, fmt.Errorf("it returns %q, not %q", res.Note, x.Note)
	}
	return res.State, nil
}

func sameFailure(was, is *Failure) error {
	switch {
	case was == nil:
		return fmt.Errorf("it fails: %w", is)
	case is == nil:
		return fmt.Errorf("it does not fail as it did: %w", was)
	case was.Reason != is.Reason || was.Line != is.Line || was.Said != is.Said:
		return fmt.Errorf("it fails otherwise than it did: %w", is)
	}
	return nil
}
