package api

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/tariff"
	"golang.org/x/mod/sumdb/tlog"
)

func (s *Server) getLog(w http.ResponseWriter, req *http.Request) error {
	limit, err := queryNumber(req, "limit", defaultLogSize, maxListed)
	if err != nil {
		return err
	}
	head := s.head()
	out := Log{Size: head.Size, Root: head.Root, Checkpoint: head.Checkpoint, Transactions: []LogEntry{}}
	top := s.cfg.Status().Height
	err = s.snapshot(func(r archive.View) error {
		for h := top; h > 0 && top-h < maxLogBlocks && len(out.Transactions) < int(limit); h-- {
			if err := s.appendBlock(&out, r, h, int(limit)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// appendBlock lists a block's transactions, the last one first, until the list is long enough.
func (s *Server) appendBlock(out *Log, r archive.View, h lamppost.Height, limit int) error {
	blk, err := r.Block(h)
	if errors.Is(err, archive.ErrAbsent) {
		return nil // empty, or younger than the snapshot
	}
	if err != nil {
		return err
	}
	for i := int(blk.Count) - 1; i >= 0 && len(out.Transactions) < limit; i-- {
		e := LogEntry{Height: h, Index: uint32(i), Leaf: blk.First + int64(i), Time: blk.Time}
		rec, err := r.Tx(h, uint32(i))
		switch {
		case errors.Is(err, archive.ErrForgotten):
			e.Type, e.Summary = "erased", "erased: the log keeps only its commitment"
		case err != nil:
			return err
		case rec.Thin != nil:
			e.describeThin(s.cfg.Network, rec.Thin)
		default:
			e.describe(s.cfg.Network, rec)
		}
		out.Transactions = append(out.Transactions, e)
	}
	return nil
}

func (e *LogEntry) describe(network string, rec archive.Record) {
	e.Outcome = outcomeWords(rec.Outcomes)
	tx, err := lamppost.ParseTransaction(rec.Raw)
	if err != nil {
		e.Type, e.Summary = "unreadable", fmt.Sprintf("%d bytes that are no transaction", len(rec.Raw))
		return
	}
	e.Type, e.ID, e.Signer = tx.Type.String(), tx.ID(network).String(), tx.Signed.Key
	if tx.Type == lamppost.TxSegment {
		e.Reports, e.Readings = int(tx.Header.Count), int(tx.Header.Readings)
	}
	e.Summary = summary(tx, rec.Outcomes)
}

// describeThin says what is left of a segment.
func (e *LogEntry) describeThin(network string, t *lamppost.ThinSegment) {
	e.Type, e.Signer, e.Reports, e.Readings = lamppost.TxSegment.String(), t.Header.Gateway, int(t.Header.Count), int(t.Header.Readings)
	if s, err := lamppost.ParseSigned(t.Signed); err == nil {
		e.ID = s.ID(network, lamppost.PurposeSegment).String()
	}
	var outcomes []lamppost.Outcome
	for i := range t.Kept {
		if o, err := lamppost.DecodeOutcome(t.Kept[i].Outcome); err == nil {
			outcomes = append(outcomes, o)
		}
	}
	e.Outcome = outcomeWords(outcomes)
	e.Summary = segmentSummary(&t.Header) + fmt.Sprintf(", of which %d are kept", len(t.Kept))
}

func segmentSummary(h *lamppost.SegmentHeader) string {
	return fmt.Sprintf("segment %d/%d: %s in %s", h.Seq.Epoch, h.Seq.N, plural(int(h.Readings), "reading"), plural(int(h.Count), "report"))
}

// outcomeWords is a code's name, or how many reports had which code where they differ.
func outcomeWords(outcomes []lamppost.Outcome) any {
	counts := map[string]int{}
	for i := range outcomes {
		counts[outcomes[i].Code.String()]++
	}
	if len(counts) == 1 {
		return outcomes[0].Code.String()
	}
	return counts
}

// summary says in a line what a transaction does.
func summary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	switch tx.Type {
	case lamppost.TxSegment:
		return segmentSummary(&tx.Header)
	case lamppost.TxGenesis:
		return words(tx, func(b lamppost.GenesisBody) string {
			return fmt.Sprintf("network %s founded by %s", b.Network, plural(len(b.Members), "member"))
		})
	case lamppost.TxParty:
		return words(tx, func(b lamppost.PartyBody) string { return fmt.Sprintf("party %s: %s", b.ID, b.Name) })
	case lamppost.TxDevice:
		return words(tx, func(b lamppost.DeviceBody) string {
			return fmt.Sprintf("device %s of %s enrolled with key epoch %d (%s)", b.ID, b.Owner, b.KeyEpoch, b.Suite)
		})
	case lamppost.TxGateway:
		return words(tx, func(b lamppost.GatewayBody) string {
			return fmt.Sprintf("gateway %s of %s registered with key epoch %d", b.ID, b.Member, b.KeyEpoch)
		})
	case lamppost.TxRevoke:
		return words(tx, func(b lamppost.RevokeBody) string {
			if b.Gateway != "" {
				return fmt.Sprintf("key epoch %d of gateway %s revoked: %s", b.KeyEpoch, b.Gateway, b.Reason)
			}
			return fmt.Sprintf("key epoch %d of device %s revoked: %s", b.KeyEpoch, b.Device, b.Reason)
		})
	case lamppost.TxFraud:
		return fraudSummary(tx, outcomes)
	case lamppost.TxPoint:
		return words(tx, func(b lamppost.PointBody) string {
			if b.Mount > 0 {
				return fmt.Sprintf("metering point %s: meter %d from %s on is %s of %s", b.ID, b.Mount, utc(b.From), b.Register, b.Device)
			}
			return fmt.Sprintf("metering point %s: %s of %s in %s", b.ID, b.Register, b.Device, b.Unit)
		})
	case lamppost.TxTariff:
		return words(tx, func(b tariff.Tariff) string {
			return fmt.Sprintf("tariff %s version %d of %s in %s per %s", b.ID, b.Version, b.Seller, b.Currency, b.PerUnit)
		})
	case lamppost.TxAgreement:
		return words(tx, func(b lamppost.AgreementBody) string {
			until := ""
			if b.To != 0 {
				until = " until " + utc(b.To)
			}
			return fmt.Sprintf("agreement %s: %s sells to %s at %s under %s%s", b.ID, b.Seller, b.Buyer, b.Point, b.Tariff, until)
		})
	case lamppost.TxTransfer:
		return words(tx, func(b lamppost.TransferBody) string {
			return fmt.Sprintf("transfer from %s to %s: %s %s", b.From, b.To, b.Amount, b.Currency)
		})
	case lamppost.TxInvoice:
		return invoiceSummary(tx, outcomes)
	case lamppost.TxRetention:
		return words(tx, func(b lamppost.RetentionBody) string {
			text := fmt.Sprintf("reports of %s stay raw for %s, summed up for %s", whose(b.Device), days(b.RawDays), days(b.SummaryDays))
			if b.Error > 0 {
				text += fmt.Sprintf(" within %g %% of the range", float64(b.Error)/10)
			}
			return text
		})
	case lamppost.TxHold:
		return words(tx, func(b lamppost.HoldBody) string {
			if b.Lifted {
				return fmt.Sprintf("hold %s lifted: %s", b.ID, b.Reason)
			}
			return fmt.Sprintf("hold %s on reports of %s: %s", b.ID, whose(b.Device), b.Reason)
		})
	case lamppost.TxErase:
		return words(tx, func(b lamppost.EraseBody) string {
			if b.Party != "" {
				return fmt.Sprintf("name of party %s erased under %s", b.Party, b.Basis)
			}
			return fmt.Sprintf("reports of device %s erased under %s", b.Device, b.Basis)
		})
	case lamppost.TxErased:
		return words(tx, func(b lamppost.ErasedBody) string {
			return fmt.Sprintf("%s says that what block %d erased is in none of its files", tx.Signed.Key, b.Height)
		})
	}
	return orderSummary(tx, outcomes)
}

func whose(d lamppost.DeviceID) string {
	if d == "" {
		return "all devices"
	}
	return "device " + string(d)
}

func days(n uint32) string {
	if n == 0 {
		return "ever"
	}
	return plural(int(n), "day")
}

func invoiceSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	var inv tariff.Invoice
	if len(outcomes) > 0 && outcomes[0].Code == lamppost.CodeOK && lamppost.Unmarshal(outcomes[0].Data, &inv) == nil {
		return fmt.Sprintf("invoice %s to %s: %s %s", inv.Number, inv.Buyer, inv.Total, inv.Currency)
	}
	return words(tx, func(b lamppost.InvoiceBody) string {
		return fmt.Sprintf("invoice of %s to %s in %s asked for", b.Seller, b.Buyer, b.Currency)
	})
}

func fraudSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	var c lamppost.Correction
	if len(outcomes) == 1 && outcomes[0].Code == lamppost.CodeOK && lamppost.Unmarshal(outcomes[0].Data, &c) == nil {
		s := fmt.Sprintf("report %d/%d of %s was not signed by %s: %s taken back", c.Epoch, c.N, c.Device, c.Device, plural(int(c.Edges), "edge"))
		if c.Suspended {
			s += fmt.Sprintf(", gateway %s suspended", c.Gateway)
		}
		if len(c.Invoices) > 0 {
			s += ", on which rests " + strings.Join(c.Invoices, ", ")
		}
		return s
	}
	return words(tx, func(b lamppost.FraudBody) string {
		return fmt.Sprintf("report %d of segment %d in block %d called a lie", b.Report, b.Tx, b.Height)
	})
}

func words[B any](tx *lamppost.Transaction, f func(B) string) string {
	var b B
	if lamppost.Unmarshal(tx.Order.Body, &b) != nil {
		return tx.Type.String() + " with a body that cannot be read"
	}
	return f(b)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (s *Server) getLogProof(w http.ResponseWriter, req *http.Request) error {
	height, err := queryNumber(req, "height", 0, math.MaxInt64)
	if err != nil {
		return err
	}
	index, err := queryNumber(req, "index", 0, lamppost.MaxBlockTxs)
	if err != nil {
		return err
	}
	if height == 0 {
		return badRequest("which transaction? add ?height= and &index=")
	}
	note, c, _, err := s.cfg.Checkpoint()
	if err != nil {
		return notReady("no checkpoint is published yet")
	}
	var out LogProof
	err = s.snapshot(func(r archive.View) (err error) {
		out, err = prove(r, s.tree(c), lamppost.Height(height), uint32(index))
		return err
	})
	if err != nil {
		return err
	}
	out.Checkpoint = note
	return writeJSON(w, http.StatusOK, out)
}

// tree reads the published log under a checkpoint.
func (s *Server) tree(c lamppost.Checkpoint) *tilelog.Tree {
	return tilelog.NewTree(s.cfg.Files, c.Size, tlog.Hash(c.Root))
}

// prove shows the leaf of a transaction, or with an index one past the last the block's own.
func prove(r archive.View, tree *tilelog.Tree, height lamppost.Height, index uint32) (LogProof, error) {
	blk, err := r.Block(height)
	if errors.Is(err, archive.ErrAbsent) || err == nil && index > blk.Count {
		return LogProof{}, notFound("no transaction %d in block %d", index, height)
	}
	if err != nil {
		return LogProof{}, err
	}
	at := blk.First + int64(index)
	if at >= tree.Size() {
		return LogProof{}, notReady(fmt.Sprintf("block %d is committed but not published yet: ask again in a second", height))
	}
	leaf, err := tree.Leaf(at)
	if err != nil {
		return LogProof{}, err
	}
	path, err := tree.ProveRecord(at)
	if err != nil {
		return LogProof{}, err
	}
	out := LogProof{Leaf: hex.EncodeToString(leaf), LeafHash: lamppost.Hash(tlog.RecordHash(leaf)).String(), LeafIndex: at, Size: tree.Size(),
		Root: lamppost.Hash(tree.Root()).String(), Path: []string{}}
	for _, h := range path {
		out.Path = append(out.Path, lamppost.Hash(h).String())
	}
	return out, nil
}

// queryNumber reads a number of the query, or what is meant without it.
func queryNumber(r *http.Request, name string, absent, limit uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > limit {
		return 0, badRequest("%s=%q: expected a number up to %d", name, clip(text), limit)
	}
	return n, nil
}
