package consensus

import (
	"bytes"
	"errors"

	"github.com/lamppost/lamppost"
)

// Pick lets the App choose from b.Txs, none of which is empty, what the block carries. It returns the places of what was
// chosen, in the App's order, which is then that of b.Txs.
func Pick(app App, b *lamppost.Block, maxBytes int) ([]int, error) {
	at := make(map[*byte]int, len(b.Txs)) // a transaction is recognised by where it lies
	for i, tx := range b.Txs {
		if _, shared := at[&tx[0]]; shared {
			b.Txs[i] = bytes.Clone(tx)
		}
		at[&b.Txs[i][0]] = i
	}
	b.Txs = app.Prepare(b, maxBytes)
	var places []int
	for _, tx := range b.Txs {
		if len(tx) == 0 {
			return nil, errNotOffered
		}
		i, ok := at[&tx[0]]
		if !ok {
			return nil, errNotOffered
		}
		delete(at, &tx[0])
		places = append(places, i)
	}
	return places, nil
}

var errNotOffered = errors.New("choosing transactions: the app named one that it was not given, or one twice")

// Unwanted says why the App chose to take a transaction into no block.
func Unwanted(view View, tx []byte) error {
	if err := view.CheckTx(tx); err != nil {
		return err
	}
	return lamppost.Refuse(lamppost.CodeBadTx, "the ledger takes this transaction into no block")
}
