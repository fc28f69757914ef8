package replica

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// WantReport lists what proves one report: itself, the enrolment of the key it is signed with, its gateway, and its block's time.
func WantReport(r archive.View, s tariff.Source) (Want, error) {
	w := Want{Txs: []ledger.Place{{Height: 1}}, Blocks: []lamppost.Height{s.Height}} // the genesis names the members
	return w, w.addReport(r, s)
}

// WantStatement lists what proves all invoices of a buyer down to the signed registers.
func WantStatement(r archive.View, buyer lamppost.PartyID) (Want, error) {
	w := Want{Txs: []ledger.Place{{Height: 1}}} // the genesis names the members
	places, err := ledger.View{Reader: r}.Invoices(buyer)
	if err != nil {
		return w, err
	}
	if len(places) == 0 {
		return w, lamppost.Refuse(lamppost.CodeNotReady, "%q has no invoice yet", buyer)
	}
	for _, at := range places {
		inv, err := Invoice(r, at)
		if err != nil {
			return w, err
		}
		w.Txs = append(w.Txs, at)
		w.Blocks = append(w.Blocks, at.Height) // when it was issued
		if err := w.addInvoice(r, inv); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Invoice reads an invoice from the outcome of its transaction.
func Invoice(r archive.View, at ledger.Place) (*tariff.Invoice, error) {
	rec, err := r.Tx(at.Height, at.Index)
	if err != nil {
		return nil, err
	}
	if len(rec.Outcomes) != 1 || rec.Outcomes[0].Code != lamppost.CodeOK {
		return nil, fmt.Errorf("transaction %d of block %d made no invoice", at.Index, at.Height)
	}
	inv := new(tariff.Invoice)
	return inv, lamppost.Unmarshal(rec.Outcomes[0].Data, inv)
}

func (w *Want) addInvoice(r archive.View, inv *tariff.Invoice) error {
	if err := w.add(r, lamppost.TxParty, string(inv.Seller), 0); err != nil {
		return err
	}
	if err := w.add(r, lamppost.TxParty, string(inv.Buyer), 0); err != nil {
		return err
	}
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		if err := w.add(r, lamppost.TxAgreement, s.Agreement, 0); err != nil {
			return err
		}
		if err := w.add(r, lamppost.TxPoint, s.Point, 0); err != nil {
			return err
		}
		if err := w.add(r, lamppost.TxTariff, s.Tariff, s.Version); err != nil {
			return err
		}
		for j := range s.Edges {
			if err := w.addReport(r, s.Edges[j].Source); err != nil {
				return err
			}
			if s.Edges[j].Estimated {
				if err := w.addReport(r, s.Edges[j].Next); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *Want) add(r archive.View, t lamppost.TxType, id string, version uint32) error {
	at, err := ledger.View{Reader: r}.Where(t, id, version)
	if err != nil {
		return fmt.Errorf("%s %q: %w", t, id, err)
	}
	w.Txs = append(w.Txs, at)
	return nil
}

// addGateway adds the registration of a segment's gateway; members are in the genesis.
func (w *Want) addGateway(r archive.View, id lamppost.MemberID) error {
	if err := w.add(r, lamppost.TxGateway, string(id), 0); err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	return nil
}

// addReport adds a report, once, the enrolment of its key and who packed it.
func (w *Want) addReport(r archive.View, s tariff.Source) error {
	s.Record = 0
	for i := len(w.Reports) - 1; i >= 0 && i >= len(w.Reports)-64; i-- { // edges of one report come together
		if w.Reports[i] == s {
			return nil
		}
	}
	rec, err := r.Tx(s.Height, s.Tx)
	if err != nil {
		return err
	}
	seg, err := rec.Segment()
	if err != nil {
		return fmt.Errorf("no report %d in transaction %d of block %d: %w", s.Report, s.Tx, s.Height, err)
	}
	k, _, _, there := seg.Report(s.Report)
	var rep lamppost.Report
	if !there || rep.Decode(k.Report) != nil {
		return fmt.Errorf("report %d of transaction %d of block %d: %w", s.Report, s.Tx, s.Height, archive.ErrForgotten)
	}
	w.Reports = append(w.Reports, s)
	if err := w.addGateway(r, seg.Header.Gateway); err != nil {
		return err
	}
	return w.add(r, lamppost.TxDevice, string(rep.Device), rep.KeyEpoch)
}
