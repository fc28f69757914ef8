package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Keeping answers GET /api/keeping: how long what is kept, and what was forgotten.
type Keeping struct {
	Retentions []lamppost.RetentionBody `json:"retentions"`
	Holds      []lamppost.HoldBody      `json:"holds"`
	Erasures   []Erasure                `json:"erasures"`
	Archive    Archive                  `json:"archive"`
	Backups    []Backup                 `json:"backups"`
}

// An Erasure is an order to forget and what became of it.
type Erasure struct {
	Height   lamppost.Height                       `json:"height"`
	Index    uint32                                `json:"index"`
	Device   lamppost.DeviceID                     `json:"device"`
	Party    lamppost.PartyID                      `json:"party"`
	Basis    string                                `json:"basis"`
	Time     lamppost.TimeMS                       `json:"time_ms"`
	Due      lamppost.TimeMS                       `json:"due_ms"`
	Attested map[lamppost.MemberID]lamppost.TimeMS `json:"attested_ms"`
	Backups  []string                              `json:"backups"` // of this node, that may still hold it
	Overdue  bool                                  `json:"overdue"` // this member should have attested it
}

// Archive is how this node keeps older bodies.
type Archive struct {
	Packs   int    `json:"packs"`
	Bytes   int64  `json:"bytes"`
	Reports uint64 `json:"reports"` // that ever were in these packs
	Kept    uint64 `json:"kept"`    // of these, raw
}

func (s *Server) getKeeping(w http.ResponseWriter, _ *http.Request) error {
	out := Keeping{Erasures: []Erasure{}}
	var err error
	if out.Backups, err = s.backups(); err != nil {
		return err
	}
	now := s.cfg.Now()
	err = s.snapshot(func(r archive.View) (err error) {
		v := ledger.View{Reader: r}
		if out.Retentions, err = v.Retentions(); err != nil {
			return err
		}
		if out.Holds, err = v.Holds(); err != nil {
			return err
		}
		erasures, err := v.Erasures()
		if err != nil {
			return err
		}
		for _, e := range erasures {
			one := Erasure{Height: e.Height, Index: e.Index, Device: e.Device, Party: e.Party, Basis: e.Basis, Time: e.Time, Due: e.Due(),
				Attested: e.Attested, Backups: []string{}}
			if _, said := e.Attested[s.cfg.Member]; !said {
				one.Backups, one.Overdue = holds(out.Backups, e.Height), now > e.Due()
			}
			out.Erasures = append(out.Erasures, one)
		}
		packs, err := r.All()
		for _, p := range packs {
			out.Archive.Packs++
			out.Archive.Bytes += p.Bytes
			out.Archive.Reports += p.Reports
			out.Archive.Kept += p.Kept
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postRetention(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.RetentionBody](s, w, r, lamppost.TxRetention)
}

func (s *Server) postHold(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.HoldBody](s, w, r, lamppost.TxHold)
}

func (s *Server) postErasure(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.EraseBody](s, w, r, lamppost.TxErase)
}

// gone answers for what was there once.
func gone(format string, args ...any) error {
	return &statusError{http.StatusGone, "gone", fmt.Sprintf(format, args...)}
}

// erased says when and under what something was erased.
func erased(what string, e *ledger.Erasure) error {
	return gone("%s: %s", what, erasedWords(e))
}

func erasedWords(e *ledger.Erasure) string {
	return fmt.Sprintf("erased on %s under %s, by transaction %d of block %d", time.UnixMilli(int64(e.Time)).UTC().Format(time.DateOnly), e.Basis, e.Index, e.Height)
}

// forgottenReport says of a report that nobody remembers whether it was erased.
func forgottenReport(v ledger.View, device lamppost.DeviceID, seq lamppost.Seq) error {
	e, err := v.Erased(device)
	if errors.Is(err, kv.ErrNotFound) {
		return notFound("report %d/%d of device %q is not among the last %d that are kept", seq.Epoch, seq.N, clip(string(device)), lamppost.RecentIDs)
	}
	if err != nil {
		return err
	}
	return erased(fmt.Sprintf("reports of device %q up to then", clip(string(device))), &e)
}

// erasedParty returns an answer for a party whose name was erased, nil for others.
func erasedParty(v ledger.View, p *lamppost.PartyBody) error {
	if !p.Erased {
		return nil
	}
	all, err := v.Erasures()
	for i := range all {
		if all[i].Party == p.ID {
			return erased(fmt.Sprintf("the name of party %q", p.ID), &all[i])
		}
	}
	return err
}
