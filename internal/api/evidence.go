package api

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// A bundle is what both sides of a dispute, or whom they ask, need to check it without the node: the buyer's statement, and a
// receipt for each report of the disputed devices.
type bundle struct {
	s        *Server
	dispute  Dispute
	invoice  *tariff.Invoice
	sources  []tariff.Source // of the receipts
	more     int             // reports beyond the limit
	alone    []tariff.Source // that cannot be proven alone
	zip      *zip.Writer
	modified time.Time
}

// getEvidence streams the bundle of a dispute as a ZIP. If it cannot be finished the connection breaks.
func (s *Server) getEvidence(w http.ResponseWriter, req *http.Request) error {
	b := bundle{s: s, modified: time.UnixMilli(int64(s.cfg.Now())).UTC()}
	if err := s.snapshot(func(r archive.View) error { return b.find(r, req.PathValue("id")) }); err != nil {
		return err
	}
	st, err := s.statement(b.invoice.Buyer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="evidence-`+b.dispute.ID+`.zip"`)
	out := newDownload(w, "application/zip")
	b.zip = zip.NewWriter(out)
	if err := b.write(req, st.Encode()); err != nil {
		s.log.Error("writing evidence", "dispute", b.dispute.ID, "err", err)
		if out.begun {
			panic(http.ErrAbortHandler)
		}
		return err
	}
	return nil
}

// find reads the dispute, and looks for the reports of its devices.
func (b *bundle) find(r archive.View, id string) error {
	d, err := disputeOf(r, id)
	if err == nil {
		b.dispute, err = b.s.disputed(r, d)
	}
	if err == nil {
		b.invoice, _, err = invoiceOf(r, d.Invoice)
	}
	if err != nil {
		return err
	}
	devices := map[lamppost.DeviceID]bool{}
	for i := range b.invoice.Supplies {
		for j := range b.invoice.Supplies[i].Lines {
			if d.Line == 0 || b.invoice.Supplies[i].Lines[j].N == d.Line {
				devices[b.invoice.Supplies[i].Device] = true
			}
		}
	}
	return b.findReports(r, devices)
}

// lateMS is how long after a bill's period reports of it are looked for.
const lateMS = 2 * 24 * 3600 * 1000

// findReports walks the blocks of the invoice's period.
func (b *bundle) findReports(r archive.View, devices map[lamppost.DeviceID]bool) error {
	after, err := b.heightBefore(r, b.invoice.From)
	for err == nil {
		var part *archive.Part
		if part, err = r.Part(after); err != nil || part == nil {
			return err
		}
		for i := range part.Blocks {
			blk := &part.Blocks[i]
			if blk.Time >= b.invoice.To+lateMS {
				return nil
			}
			if err := b.findIn(blk, devices); err != nil {
				return fmt.Errorf("block %d: %w", blk.Height, err)
			}
			after = blk.Height
		}
	}
	return err
}

// heightBefore is a height such that no block up to it is as late as a time.
func (b *bundle) heightBefore(r archive.View, t lamppost.TimeMS) (h lamppost.Height, err error) {
	top := b.s.cfg.Status().Height
	n := sort.Search(int(top), func(i int) bool {
		for h := lamppost.Height(i + 1); h <= top && err == nil; h++ { // empty blocks are not kept
			blk, blockErr := r.Block(h)
			if errors.Is(blockErr, archive.ErrAbsent) {
				continue
			}
			err = blockErr
			return blk.Time >= t
		}
		return true
	})
	return lamppost.Height(n), err
}

func (b *bundle) findIn(blk *archive.PartBlock, devices map[lamppost.DeviceID]bool) error {
	for i := range blk.Records {
		rec := &blk.Records[i]
		if !rec.IsSegment() {
			continue
		}
		seg, err := rec.Segment()
		if err != nil {
			return err
		}
		for j := range seg.Kept {
			k := &seg.Kept[j]
			if !b.concerns(k, devices) {
				continue
			}
			if len(b.sources) == maxReceipts {
				b.more++
				continue
			}
			b.sources = append(b.sources, tariff.Source{Height: blk.Height, Tx: uint32(i), Report: k.Index})
		}
	}
	return nil
}

// concerns says whether a report was accepted, is of one of the devices, and was received or read in the invoice's period.
func (b *bundle) concerns(k *lamppost.KeptReport, devices map[lamppost.DeviceID]bool) bool {
	o, err := lamppost.DecodeOutcome(k.Outcome)
	var rep lamppost.Report
	if err != nil || o.Code != lamppost.CodeOK || rep.Decode(k.Report) != nil || !devices[rep.Device] {
		return false
	}
	in := func(t lamppost.TimeMS) bool { return b.invoice.From <= t && t <= b.invoice.To }
	return in(k.Received) || slices.ContainsFunc(rep.Readings, func(x lamppost.Reading) bool { return in(x.Time) })
}

func (b *bundle) write(req *http.Request, statement []byte) error {
	dispute, err := json.MarshalIndent(b.dispute, "", "  ")
	if err != nil {
		return err
	}
	if err := errors.Join(b.add("statement.json", statement), b.add("dispute.json", append(dispute, '\n'))); err != nil {
		return err
	}
	for _, at := range b.sources {
		if err := req.Context().Err(); err != nil {
			return err
		}
		select {
		case <-b.s.closed:
			return errors.New("the node is stopping")
		default:
		}
		if err := b.receipt(at); err != nil {
			return err
		}
	}
	return errors.Join(b.add("README.txt", []byte(b.readme())), b.zip.Close())
}

func (b *bundle) add(name string, data []byte) error {
	w, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.modified})
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// receipt adds the receipt of a report. One that cannot be proven alone is named in the readme.
func (b *bundle) receipt(at tariff.Source) error {
	var receipt *audit.Receipt
	err := b.s.proven(func(r archive.View) (replica.Want, error) { return replica.WantReport(r, at) }, func(p *lamppost.Proof, pin *audit.Pin) (err error) {
		receipt, err = audit.NewReceipt(p, pin)
		return err
	})
	var refusal *lamppost.Refusal
	var decided *statusError
	if errors.As(err, &refusal) || errors.As(err, &decided) || errors.Is(err, archive.ErrForgotten) {
		b.alone = append(b.alone, at)
		return nil
	}
	if err != nil {
		return err
	}
	return b.add(fmt.Sprintf("receipts/%s-%d-%d.json", receipt.Report.Device.ID, receipt.Report.Epoch, receipt.Report.Number), receipt.Encode())
}

// readme says in plain words what is in the bundle, how to check it, and what it leaves open.
func (b *bundle) readme() string {
	var t strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&t, format+"\n", args...) }
	d, inv := &b.dispute, b.invoice
	say("Evidence in dispute %s", d.ID)
	say("")
	about := "all of it"
	if d.Line != 0 {
		about = fmt.Sprintf("line %d", d.Line)
	}
	say("It is about invoice %s of %s to %s, %s, for %s to %s.", inv.Number, inv.Seller, inv.Buyer, about, utc(inv.From), utc(inv.To))
	say("The invoice comes to %s %s. The dispute is %s: %s", inv.Total, inv.Currency, d.Status, d.Reason)
	if d.Replaced != "" {
		say("Invoice %s has replaced it since.", d.Replaced)
	}
	say("")
	say("What is here")
	say("  statement.json   all invoices of %s, with the proof of every line: tariffs, agreements, signed", inv.Buyer)
	say("                   registers, and what was entered by hand and by whom")
	say("  receipts/        the reports of the devices in question: what each signed, and when it came")
	say("  dispute.json     the dispute itself")
	say("")
	say("How to check it, without the seller and without a network")
	say("  lamppost verify --pin network.pin statement.json receipts/*.json")
	say("Get the file network.pin from somebody else than this bundle: another member, or your own copy of it.")
	say("Without the program, open the same files on the page /check/ of any node.")
	say("")
	say("What it does not show")
	if b.more > 0 {
		say("  %d further reports: a bundle has receipts for the first %d. lamppost export has the readings of all.", b.more, maxReceipts)
	}
	if len(b.alone) > 0 {
		say("  %d reports that cannot be proven one by one: thinned, signed together with others, or not published yet.", len(b.alone))
	}
	say("  Reports that were pruned before the dispute was opened; while it is open none are.")
	say("  Whether a meter measured right: only somebody who tests the meter can tell.")
	return t.String()
}

func utc(at lamppost.TimeMS) string {
	return time.UnixMilli(int64(at)).UTC().Format("2006-01-02 15:04:05Z")
}
