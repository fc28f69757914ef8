package replica

import (
	"errors"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
)

// A WantedRun is a run of a contract to be shown, of what else its transaction holds no more than is wanted of it.
type WantedRun struct {
	At       ledger.Place
	Contract string
}

// addPaid lists what proves the payments of contracts to and from a party and its devices: of each contract that made one all runs, because they
// are numbered and none can be left out, and the versions that ran. It reports whether there are any.
func (w *Want) addPaid(r archive.View, party lamppost.PartyID) (found bool, err error) {
	v := ledger.View{Reader: r}
	ids, err := v.ContractsOf(party)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		runs, err := runsOf(v, id)
		if err != nil {
			return found, err
		}
		p := payee{v, party, map[lamppost.PartyID]bool{party: true}}
		paid, err := p.paid(runs)
		if err != nil {
			return found, err
		}
		if !paid {
			continue
		}
		found = true
		if err := w.addRuns(r, &p, runs); err != nil {
			return found, err
		}
	}
	return found, nil
}

func runsOf(v ledger.View, id string) (runs []ledger.Run, err error) {
	places, err := v.RunsOf(id)
	for i := 0; err == nil && i < len(places); i++ {
		var x ledger.Run
		x, err = v.RunAt(places[i], id)
		runs = append(runs, x)
	}
	return runs, err
}

// A payee knows which accounts are a party's.
type payee struct {
	v     ledger.View
	party lamppost.PartyID
	owned map[lamppost.PartyID]bool // of those that were asked for
}

func (p *payee) owns(account lamppost.PartyID) (bool, error) {
	owned, known := p.owned[account]
	if known {
		return owned, nil
	}
	keys, err := p.v.Keys(lamppost.DeviceID(account))
	owned = len(keys) > 0 && keys[0].Body.Owner == p.party
	p.owned[account] = owned
	return owned, err
}

// paid reports whether any of some runs paid to or from the party.
func (p *payee) paid(runs []ledger.Run) (bool, error) {
	for i := range runs {
		for _, x := range runs[i].Payments {
			from, err1 := p.owns(x.From)
			to, err2 := p.owns(x.To)
			if err := errors.Join(err1, err2); err != nil || from || to {
				return from || to, err
			}
		}
	}
	return false, nil
}

// addRuns adds all runs of a contract.
func (w *Want) addRuns(r archive.View, p *payee, runs []ledger.Run) error {
	last := runs[len(runs)-1].At
	if err := w.addUntil(r, lamppost.TxContract, runs[0].Contract, last, 1, math.MaxUint32); err != nil {
		return err
	}
	body, err := p.v.ContractVersion(runs[0].Contract, 1)
	if err != nil {
		return err
	}
	for _, x := range body.Parties {
		if err := w.addAccount(r, x.Party); err != nil {
			return err
		}
	}
	for i := range runs {
		x := &runs[i]
		w.Blocks = append(w.Blocks, x.At.Height)
		rec, err := r.Tx(x.At.Height, x.At.Index)
		if err != nil {
			return err
		}
		if lamppost.ReadTransaction(rec.Raw).Type == lamppost.TxCall {
			w.Txs = append(w.Txs, x.At)
		} else {
			w.Runs = append(w.Runs, WantedRun{x.At, x.Contract})
		}
	}
	return nil
}

// addAccount adds what names an account and says whose it is: a device's first enrolment, or the party, if its name was not erased.
func (w *Want) addAccount(r archive.View, id lamppost.PartyID) error {
	v := ledger.View{Reader: r}
	keys, err := v.Keys(lamppost.DeviceID(id))
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		w.Txs = append(w.Txs, keys[0].Place)
		return nil
	}
	at, err := v.Where(lamppost.TxParty, string(id), 0)
	if err != nil {
		return err
	}
	rec, err := r.Tx(at.Height, at.Index)
	if errors.Is(err, archive.ErrForgotten) || err == nil && !rec.Whole() {
		return nil
	}
	w.Txs = append(w.Txs, at)
	return err
}

// openRuns shows what contracts did for an order beside its own outcome: those that are wanted, and that there were others.
func openRuns(tx *lamppost.Transaction, rec *archive.Record, wanted []string) (runs []lamppost.RunProof, err error) {
	for i := 1; i < len(rec.Outcomes); i++ {
		p := lamppost.RunProof{Salt: tx.OutcomeSalt(i), Run: rec.Outcomes[i].Data}
		var x lamppost.Run
		if err := lamppost.Unmarshal(p.Run, &x); err != nil {
			return nil, err
		}
		if !slices.Contains(wanted, x.Contract) {
			p = lamppost.RunProof{Hash: p.Leaf()}
		}
		runs = append(runs, p)
	}
	return runs, nil
}
