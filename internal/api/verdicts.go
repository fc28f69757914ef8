package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// What triage found, what people say of it, and what it should know.

// A Verdict is something that triage found.
type Verdict struct {
	ID lamppost.VerdictID `json:"id"`
	lamppost.Verdict
	By         lamppost.MemberID `json:"by"`         // the member that found it
	Found      lamppost.TimeMS   `json:"found_ms"`   // the time of its block
	Model      lamppost.Model    `json:"model"`      // that found it
	Open       bool              `json:"open"`       // it waits for an answer
	Suspending bool              `json:"suspending"` // it holds something back now
	Reviews    []ledger.Review   `json:"reviews"`    // the last one counts
	// BilledBefore are the invoices that bill what it holds back, or what was found wrong, and were made before that was known.
	BilledBefore []ledger.Billed `json:"billed_before"`
}

// VerdictList answers GET /api/verdicts.
type VerdictList struct {
	Verdicts []Verdict      `json:"verdicts"`       // the latest first
	Next     string         `json:"next,omitempty"` // to ask for with ?before=; empty: these are all
	Judged   []JudgedMember `json:"judged"`
}

// A JudgedMember says how far a member's triage is.
type JudgedMember struct {
	Member  lamppost.MemberID `json:"member"`
	Through lamppost.Height   `json:"through"` // all blocks up to it are judged; 0: it has said nothing
}

// NewReview is the body of POST /api/verdicts/{id}/review.
type NewReview struct {
	Answer lamppost.ReviewAnswer `json:"answer"`
	Reason string                `json:"reason,omitempty"`
}

// WatchList answers GET /api/watch.
type WatchList struct {
	Watch []lamppost.WatchBody `json:"watch"`
}

const defaultVerdicts = 50

// getVerdicts lists what was found, the latest first.
func (s *Server) getVerdicts(w http.ResponseWriter, req *http.Request) error {
	ask, err := readVerdictQuery(req)
	if err != nil {
		return err
	}
	out := VerdictList{Verdicts: []Verdict{}, Judged: []JudgedMember{}}
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		is, err := v.Network()
		if err != nil {
			return err
		}
		for _, m := range is.Members {
			through, err := v.Judged(m.ID)
			if err != nil {
				return err
			}
			out.Judged = append(out.Judged, JudgedMember{m.ID, through})
		}
		return ask.each(v, func(x *ledger.Verdict) error {
			if !ask.wants(x) {
				return nil
			}
			if len(out.Verdicts) == ask.limit {
				out.Next = out.Verdicts[ask.limit-1].ID.String()
				return kv.ErrStop
			}
			shown, err := verdictOf(v, x)
			out.Verdicts = append(out.Verdicts, shown)
			return err
		})
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// A verdictQuery says which verdicts somebody wants.
type verdictQuery struct {
	device lamppost.DeviceID
	kind   lamppost.VerdictKind // 0: all
	open   bool
	before lamppost.VerdictID
	limit  int
}

func readVerdictQuery(req *http.Request) (q verdictQuery, err error) {
	get := req.URL.Query().Get
	q.device, q.limit = lamppost.DeviceID(get("device")), defaultVerdicts
	if text := get("kind"); text != "" {
		if q.kind, err = lamppost.ParseVerdictKind(text); err != nil {
			return q, badRequest("kind: %v", err)
		}
	}
	if text := get("open"); text != "" {
		if q.open, err = strconv.ParseBool(text); err != nil {
			return q, badRequest("open is true or false")
		}
	}
	if text := get("before"); text != "" {
		if q.before, err = lamppost.ParseVerdictID(text); err != nil {
			return q, badRequest("before: %v", err)
		}
	}
	if text := get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 || q.limit > maxVerdictsListed {
			return q, badRequest("limit is a number from 1 to %d", maxVerdictsListed)
		}
	}
	return q, nil
}

// each passes through the shortest list that has all wanted.
func (q *verdictQuery) each(v ledger.View, fn func(*ledger.Verdict) error) error {
	switch {
	case q.open:
		return v.OpenVerdicts(q.before, fn)
	case q.device != "":
		return v.VerdictsOf(q.device, q.before, fn)
	}
	return v.Verdicts(q.before, fn)
}

func (q *verdictQuery) wants(x *ledger.Verdict) bool {
	return (q.device == "" || x.Body.Device == q.device) && (q.kind == 0 || x.Body.Kind == q.kind)
}

func verdictOf(v ledger.View, x *ledger.Verdict) (Verdict, error) {
	billed, err := v.BilledBefore(x)
	out := Verdict{ID: x.ID, Verdict: x.Body, By: x.By, Found: x.Time, Model: x.Model, Open: x.Open(), Suspending: x.Suspending(), Reviews: x.Reviews, BilledBefore: billed}
	if out.Reviews == nil {
		out.Reviews = []ledger.Review{}
	}
	if billed == nil {
		out.BilledBefore = []ledger.Billed{}
	}
	return out, err
}

func (s *Server) getVerdict(w http.ResponseWriter, req *http.Request) error {
	id, err := lamppost.ParseVerdictID(req.PathValue("id"))
	if err != nil {
		return badRequest("%v", err)
	}
	var out Verdict
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		x, err := v.Verdict(id)
		if errors.Is(err, kv.ErrNotFound) {
			return notFound("no verdict %s: GET /api/verdicts lists them", id)
		}
		if err == nil {
			out, err = verdictOf(v, &x)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postReview(w http.ResponseWriter, req *http.Request) error {
	id, err := lamppost.ParseVerdictID(req.PathValue("id"))
	if err != nil {
		return badRequest("%v", err)
	}
	var b NewReview
	if err := readJSON(req, &b); err != nil {
		return err
	}
	return s.order(w, req, lamppost.TxReview, lamppost.ReviewBody{Verdict: id, Answer: b.Answer, Reason: b.Reason})
}

func (s *Server) getWatch(w http.ResponseWriter, _ *http.Request) error {
	return list(s, w, ledger.View.Watched, func(all []lamppost.WatchBody) any { return WatchList{all} })
}

func (s *Server) postWatch(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.WatchBody](s, w, r, lamppost.TxWatch)
}
