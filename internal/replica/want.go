package replica

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// WantReport lists what proves one report: itself, the enrolments up to the key it is signed with, its gateway, and its
// block's time.
func WantReport(r archive.View, s tariff.Source) (Want, error) { return WantReports(r, s) }

// WantReports lists what proves several.
func WantReports(r archive.View, all ...tariff.Source) (Want, error) {
	w := Want{Reports: all}
	if err := w.addMembers(r); err != nil {
		return w, err
	}
	for _, s := range all {
		rec, err := r.Tx(s.Height, s.Tx)
		if err == nil && !rec.IsSegment() {
			err = fmt.Errorf("transaction %d of block %d has no reports", s.Tx, s.Height)
		}
		if err != nil {
			return w, err
		}
		w.Blocks = append(w.Blocks, s.Height)
	}
	return w, w.addSigners(r)
}

// WantStatement lists what proves all invoices of a buyer down to the signed registers, and all that contracts paid to or from it.
func WantStatement(r archive.View, buyer lamppost.PartyID) (Want, error) {
	var w Want
	if err := w.addMembers(r); err != nil {
		return w, err
	}
	places, err := ledger.View{Reader: r}.Invoices(buyer)
	if err != nil {
		return w, err
	}
	paid, err := w.addPaid(r, buyer)
	if err != nil {
		return w, err
	}
	if len(places) == 0 && !paid {
		return Want{}, lamppost.Refuse(lamppost.CodeNotReady, "%q has no invoice yet, and no contract paid to or from it", buyer)
	}
	if len(places) == 0 {
		return w, w.add(r, lamppost.TxParty, string(buyer), 0)
	}
	if err := w.addInvoices(r, places); err != nil {
		return w, err
	}
	return w, w.addSigners(r)
}

// WantBooks lists what proves all closed periods of a device's books: its terms, the invoices that they rest on with what these rest on, and
// the registers of its own energy.
func WantBooks(r archive.View, id lamppost.DeviceID) (Want, error) {
	var w Want
	if err := w.addMembers(r); err != nil {
		return w, err
	}
	v := ledger.View{Reader: r}
	payouts, err := v.Payouts(id)
	if err != nil {
		return w, err
	}
	if len(payouts) == 0 {
		return w, lamppost.Refuse(lamppost.CodeNotReady, "no period of the books of %q is closed yet", id)
	}
	last := payouts[len(payouts)-1]
	if err := w.addCentre(r, id, last); err != nil {
		return w, err
	}
	for _, at := range payouts {
		w.Txs, w.Blocks = append(w.Txs, at), append(w.Blocks, at.Height)
		p, err := Profit(r, at)
		if err != nil {
			return w, err
		}
		for i := range p.Energy {
			if err := w.addSupply(r, &p.Energy[i], at); err != nil {
				return w, err
			}
		}
		invoices, err := v.Booked(id, p.From, p.To)
		if err == nil {
			invoices, err = corrected(r, invoices)
		}
		if err == nil {
			err = w.addInvoices(r, invoices)
		}
		if err != nil {
			return w, err
		}
	}
	return w, w.addSigners(r)
}

// addCentre adds a device's keys, and its terms with who shares, as they stood at a place.
func (w *Want) addCentre(r archive.View, id lamppost.DeviceID, at ledger.Place) error {
	v := ledger.View{Reader: r}
	versions, err := v.Centre(id)
	if err != nil {
		return err
	}
	if err := w.addUntil(r, lamppost.TxCentre, string(id), at, 1, math.MaxUint32); err != nil {
		return err
	}
	d, err := v.Device(id)
	if err != nil {
		return err
	}
	if err := w.addDevice(r, id, d.KeyEpoch, at); err != nil {
		return err
	}
	if err := w.add(r, lamppost.TxParty, string(d.Owner), 0); err != nil {
		return err
	}
	for i := range versions {
		for _, s := range versions[i].Shares {
			if err := w.add(r, lamppost.TxParty, string(s.Party), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// corrected adds to invoices those that they replace.
func corrected(r archive.View, places []ledger.Place) ([]ledger.Place, error) {
	all := slices.Clone(places)
	for i := 0; i < len(all); i++ {
		inv, err := Invoice(r, all[i])
		if err != nil {
			return nil, err
		}
		if inv.Corrects != nil {
			at, err := ledger.View{Reader: r}.InvoicePlace(inv.Buyer, inv.Seller, inv.Corrects.Number)
			if err != nil {
				return nil, err
			}
			all = append(all, at)
		}
	}
	return all, nil
}

// Profit reads a closed period of a device's books from the outcome of its transaction.
func Profit(r archive.View, at ledger.Place) (*tariff.Profit, error) {
	rec, err := r.Tx(at.Height, at.Index)
	if err != nil {
		return nil, err
	}
	if len(rec.Outcomes) != 1 || rec.Outcomes[0].Code != lamppost.CodeOK {
		return nil, fmt.Errorf("transaction %d of block %d closed no books", at.Index, at.Height)
	}
	p := new(tariff.Profit)
	return p, lamppost.Unmarshal(rec.Outcomes[0].Data, p)
}

// addInvoices adds invoices with all that they rest on.
func (w *Want) addInvoices(r archive.View, places []ledger.Place) error {
	if len(places) == 0 {
		return nil
	}
	last := slices.MaxFunc(places, comparePlaces)
	for _, at := range places {
		inv, err := Invoice(r, at)
		if err != nil {
			return err
		}
		// An agreement that one invoice bills may have ended before another, which then leaves it out.
		for i := range inv.Supplies {
			if id := inv.Supplies[i].Agreement; id != "" {
				if err := w.addUntil(r, lamppost.TxAgreement, id, last, 0, math.MaxUint32); err != nil {
					return err
				}
			}
		}
		w.Txs = append(w.Txs, at)
		w.Blocks = append(w.Blocks, at.Height) // when it was issued
		if err := w.addInvoice(r, inv, at); err != nil {
			return err
		}
	}
	return nil
}

// Invoice reads an invoice from the outcome of its transaction.
func Invoice(r archive.View, at ledger.Place) (*tariff.Invoice, error) {
	rec, err := r.Tx(at.Height, at.Index)
	if err != nil {
		return nil, err
	}
	if len(rec.Outcomes) == 0 || rec.Outcomes[0].Code != lamppost.CodeOK {
		return nil, fmt.Errorf("transaction %d of block %d made no invoice", at.Index, at.Height)
	}
	inv := new(tariff.Invoice)
	return inv, lamppost.Unmarshal(rec.Outcomes[0].Data, inv)
}

func (w *Want) addInvoice(r archive.View, inv *tariff.Invoice, at ledger.Place) error {
	if err := w.add(r, lamppost.TxParty, string(inv.Seller), 0); err != nil {
		return err
	}
	if err := w.add(r, lamppost.TxParty, string(inv.Buyer), 0); err != nil {
		return err
	}
	for i := range inv.Supplies {
		if err := w.addSupply(r, &inv.Supplies[i], at); err != nil {
			return err
		}
	}
	return nil
}

// addSupply adds the terms of a supply as they stood when it was billed at a place, and its registers.
func (w *Want) addSupply(r archive.View, s *tariff.InvoiceSupply, at ledger.Place) error {
	if s.Channel != "" { // the voucher stands on the invoice
		channel, err := ledger.View{Reader: r}.Channel(s.Channel)
		if err != nil {
			return fmt.Errorf("channel %q: %w", s.Channel, err)
		}
		w.Txs = append(w.Txs, channel.Opened)
		return w.add(r, lamppost.TxTariff, s.Tariff, s.Version)
	}
	if s.Session != "" {
		session, err := ledger.View{Reader: r}.Session(s.Session)
		if err != nil {
			return fmt.Errorf("session %q: %w", s.Session, err)
		}
		since, err := ledger.View{Reader: r}.ServesSince(s.Device, s.Register)
		if err != nil {
			return fmt.Errorf("session %q: %w", s.Session, err)
		}
		w.Txs = append(w.Txs, session.Opened, session.Settled, since)
		if err := w.addWord(r, &session); err != nil {
			return fmt.Errorf("session %q: %w", s.Session, err)
		}
	}
	// the next meter says until when this one hung, and perhaps what it showed
	if err := w.addUntil(r, lamppost.TxPoint, s.Point, at, s.Mount, s.Mount+1); err != nil {
		return err
	}
	if err := w.add(r, lamppost.TxTariff, s.Tariff, s.Version); err != nil {
		return err
	}
	for _, f := range s.Findings {
		w.Txs = append(w.Txs, ledger.Place{Height: f.Verdict.Height, Index: f.Verdict.Tx}, ledger.Place{Height: f.Height, Index: f.Tx})
	}
	for j := range s.Edges {
		w.Reports = append(w.Reports, s.Edges[j].Source)
		if s.Edges[j].Estimated {
			w.Reports = append(w.Reports, s.Edges[j].Next)
		}
	}
	return nil
}

// addWord adds the key with which a device accepted a session.
func (w *Want) addWord(r archive.View, s *ledger.Session) error {
	if s.For == "" {
		return nil
	}
	rec, err := r.Tx(s.Opened.Height, s.Opened.Index)
	if err != nil {
		return err
	}
	var b lamppost.AcceptBody
	if err := lamppost.Unmarshal(lamppost.ReadTransaction(rec.Raw).Order.Body, &b); err != nil {
		return err
	}
	return w.addDevice(r, b.Device, b.KeyEpoch, s.Opened)
}

// addUntil adds the versions of something, from the first to the last wanted, that stood before a place; the first must be there.
func (w *Want) addUntil(r archive.View, t lamppost.TxType, id string, before ledger.Place, first, last uint32) error {
	for v := first; ; v++ {
		at, err := ledger.View{Reader: r}.Where(t, id, v)
		if v > first && errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", t, id, err)
		}
		if v > first && comparePlaces(at, before) > 0 {
			return nil
		}
		if w.Txs = append(w.Txs, at); v == last {
			return nil
		}
	}
}

func (w *Want) add(r archive.View, t lamppost.TxType, id string, version uint32) error {
	at, err := ledger.View{Reader: r}.Where(t, id, version)
	if err != nil {
		return fmt.Errorf("%s %q: %w", t, id, err)
	}
	w.Txs = append(w.Txs, at)
	return nil
}

// addMembers adds the founding and every change of the network since: they say whose signature counted when. A change names the block of
// the one before it.
func (w *Want) addMembers(r archive.View) error {
	is, err := ledger.View{Reader: r}.Network()
	if err != nil {
		return err
	}
	for h := is.Changed; h > 1; {
		b, at, err := networkChange(r, h)
		if err != nil {
			return fmt.Errorf("the change of the network in block %d: %w", h, err)
		}
		w.Txs, h = append(w.Txs, at), b.After
	}
	w.Txs = append(w.Txs, ledger.Place{Height: 1})
	return nil
}

// networkChange finds the order that changed the network in a block.
func networkChange(r archive.View, h lamppost.Height) (b lamppost.NetworkBody, at ledger.Place, err error) {
	records, err := r.Records(h)
	for i := range records {
		tx := lamppost.ReadTransaction(records[i].Raw)
		if tx.Type == lamppost.TxNetwork && lamppost.Consented(&records[i].Outcomes[0]) {
			return b, ledger.Place{Height: h, Index: uint32(i)}, lamppost.Unmarshal(tx.Order.Body, &b)
		}
	}
	return b, at, cmp.Or(err, kv.ErrNotFound)
}

// addGateway adds the registrations of a segment's gateway up to the key that its header is signed with, and where that was
// replaced before, what shows that it still counted.
func (w *Want) addGateway(r archive.View, network string, header *lamppost.Signed, at ledger.Place) error {
	keys, err := ledger.View{Reader: r}.GatewayKeys(header.Key)
	if err != nil {
		return err
	}
	for i := len(keys) - 1; i >= 0; i-- {
		public, err := sig.ParsePublicKey(sig.EdDSA, keys[i].Body.Key)
		if err != nil {
			return err
		}
		if comparePlaces(keys[i].Place, at) < 0 && header.Verify(network, lamppost.PurposeSegment, public) {
			addKeys(w, keys, i, at)
			return nil
		}
	}
	return nil
}

// addDevice does the same for a report signed under a key epoch.
func (w *Want) addDevice(r archive.View, id lamppost.DeviceID, epoch uint32, at ledger.Place) error {
	keys, err := ledger.View{Reader: r}.Keys(id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(k ledger.Key[lamppost.DeviceBody]) bool { return k.Body.KeyEpoch == epoch })
	if i < 0 {
		return fmt.Errorf("device %q, key epoch %d: %w", id, epoch, kv.ErrNotFound)
	}
	addKeys(w, keys, i, at)
	return nil
}

// addKeys adds key i and all before it, because each says who put the next one in, with their times. If key i was replaced
// before something was signed with it, the key that follows and both times show that it still counted.
func addKeys[B any](w *Want, keys []ledger.Key[B], i int, at ledger.Place) {
	for j := range keys[:i+1] {
		w.Txs = append(w.Txs, keys[j].Place)
		if j > 0 {
			w.Blocks = append(w.Blocks, keys[j].Place.Height)
		}
	}
	if i+1 < len(keys) && comparePlaces(keys[i+1].Place, at) < 0 {
		next := keys[i+1].Place
		w.Txs = append(w.Txs, next)
		w.Blocks = append(w.Blocks, next.Height, at.Height)
	}
}

// addSigners adds the keys that show whose the reports are, and who packed them.
func (w *Want) addSigners(r archive.View) error {
	g, err := ledger.View{Reader: r}.Network()
	if err != nil {
		return err
	}
	for _, reports := range byPlace(w.Reports) {
		at := placeOf(reports[0])
		if err := w.addSegment(r, g.Network, at, reports); err != nil {
			return fmt.Errorf("transaction %d of block %d: %w", at.Index, at.Height, err)
		}
	}
	return nil
}

func (w *Want) addSegment(r archive.View, network string, at ledger.Place, reports []tariff.Source) error {
	rec, err := r.Tx(at.Height, at.Index)
	if err != nil {
		return err
	}
	if !rec.IsSegment() {
		return nil // entered by hand, and signed by a member
	}
	seg, err := rec.Segment()
	if err != nil {
		return err
	}
	found, err := find(seg, reports)
	if err != nil {
		return err
	}
	header, err := lamppost.ParseSigned(seg.Signed)
	if err != nil {
		return err
	}
	if err := w.addGateway(r, network, &header, at); err != nil {
		return err
	}
	for _, k := range found {
		var rep lamppost.Report
		if err := rep.Decode(k.Report); err != nil {
			return fmt.Errorf("report %d: %w", k.Index, err)
		}
		if rep.Halved() {
			return lamppost.Refuse(lamppost.CodeForbidden, "report %d of %q is cold: its signature is part of a half-aggregate over its segment, which proves all of them together and none alone", rep.Seq.N, rep.Device)
		}
		if err := w.addDevice(r, rep.Device, rep.KeyEpoch, at); err != nil {
			return err
		}
	}
	return nil
}
