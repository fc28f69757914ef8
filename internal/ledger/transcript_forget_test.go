package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// forgetting makes the orders about what is kept:
//
//	retention [DEVICE] [raw=DAYS] [summary=DAYS] [error=THOUSANDTHS]        hold ID [DEVICE] [from=TIME] [to=TIME] [reason=TEXT] [lifted]
//	erase [device=ID] [party=ID] [basis=TEXT]           erased HEIGHT INDEX
//	snapshot HEIGHT [size=N] [root=N] [digest=N]         show kept|snapshots
func (d *desk) forgetting(w words) (lamppost.TxType, any) {
	text := func(key string) string { return strings.ReplaceAll(w.or(key, ""), "_", " ") }
	switch w.verb {
	case "retention":
		return lamppost.TxRetention, lamppost.RetentionBody{Device: lamppost.DeviceID(w.arg(0)), Error: uint32(number(w.or("error", "0"))), RawDays: uint32(number(w.or("raw", "0"))),
			SummaryDays: uint32(number(w.or("summary", "0")))}
	case "hold":
		b := lamppost.HoldBody{ID: w.arg(0), Reason: text("reason"), Lifted: w.has("lifted")}
		if len(w.args) > 1 && w.arg(1) != "lifted" {
			b.Device = lamppost.DeviceID(w.arg(1))
		}
		for key, at := range map[string]*lamppost.TimeMS{"from": &b.From, "to": &b.To} {
			if s, ok := w.opts[key]; ok {
				*at = d.time(s)
			}
		}
		return lamppost.TxHold, b
	case "erase":
		return lamppost.TxErase, lamppost.EraseBody{Device: lamppost.DeviceID(w.or("device", "")), Party: lamppost.PartyID(w.or("party", "")), Basis: text("basis")}
	case "erased":
		return lamppost.TxErased, lamppost.ErasedBody{Height: lamppost.Height(number(w.arg(0))), Index: uint32(number(w.arg(1)))}
	case "snapshot":
		return lamppost.TxSnapshot, lamppost.SnapshotBody{Height: lamppost.Height(number(w.arg(0))), Size: number(w.or("size", "1")),
			Root: lamppost.Hash{byte(number(w.or("root", "0")))}, Digest: lamppost.Hash{byte(number(w.or("digest", "0")))}}
	}
	return d.triage(w)
}

// forgotten shows what is kept and what was erased.
func (d *desk) forgotten() (out []string) {
	v := ledger.View{Reader: d.store}
	retentions, err := v.Retentions()
	must(err)
	for _, r := range retentions {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("retention %q raw %d days, summaries %d days, error %d", r.Device, r.RawDays, r.SummaryDays, r.Error), ", error 0"))
	}
	holds, err := v.Holds()
	must(err)
	for _, h := range holds {
		out = append(out, fmt.Sprintf("hold %s of %q from %d to %d, lifted %v: %s", h.ID, h.Device, h.From, h.To, h.Lifted, h.Reason))
	}
	erasures, err := v.Erasures()
	must(err)
	for _, e := range erasures {
		var by []string
		for m := range e.Attested {
			by = append(by, string(m))
		}
		slices.Sort(by)
		out = append(out, fmt.Sprintf("erased by transaction %d of block %d: device %q, party %q under %s; attested by %v", e.Index, e.Height, e.Device, e.Party, e.Basis, by))
	}
	gone, err := v.Gone()
	must(err)
	for _, at := range slices.SortedFunc(maps.Keys(gone), ledger.Place.Compare) {
		by := gone[at]
		out = append(out, fmt.Sprintf("gone: transaction %d of block %d, by transaction %d of block %d", at.Index, at.Height, by.Index, by.Height))
	}
	changed, erased, err := v.KeptSince()
	must(err)
	return append(out, fmt.Sprintf("changed in block %d, erased in block %d", changed, erased))
}

// snapshots shows what members said of their states.
func (d *desk) snapshots() (out []string) {
	all, err := ledger.View{Reader: d.store}.Snapshots()
	must(err)
	for _, one := range all {
		for _, w := range one.Words {
			out = append(out, fmt.Sprintf("height %d: %s said size %d, root %.2s, digest %.2s in transaction %d of block %d", one.Height, w.Member, w.Body.Size,
				w.Body.Root, w.Body.Digest, w.At.Index, w.At.Height))
		}
		if one.Disagree {
			out = append(out, fmt.Sprintf("height %d: they disagree", one.Height))
		}
	}
	return append(out, fmt.Sprintf("%d heights", len(all)))
}
