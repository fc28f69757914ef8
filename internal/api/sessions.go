package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// A Session answers GET /api/sessions/{id}.
type Session struct {
	ledger.Session
	State    string `json:"state"` // open, settled, billed or void
	Currency string `json:"currency"`
	Overdue  bool   `json:"overdue"` // open, though it has ended
}

// SessionList answers GET /api/sessions.
type SessionList struct {
	Sessions []Session `json:"sessions"`
}

// A Settle ends a session, in POST /api/sessions/{id}/settle.
type Settle struct {
	Stop lamppost.TimeMS `json:"stop_ms"`        // 0: now, or when it has ended at the latest
	Void string          `json:"void,omitempty"` // why nothing is billed
}

// A Quote answers GET /api/tariffs/{id}/quote: what a session would come to if its use were even.
type Quote struct {
	Tariff   string           `json:"tariff"`
	Version  uint32           `json:"version"` // in force at From
	Seller   lamppost.PartyID `json:"seller"`
	Currency string           `json:"currency"`
	Terms    string           `json:"terms"` // in words
	From     lamppost.TimeMS  `json:"from_ms"`
	Units    lamppost.Decimal `json:"units"` // of PerUnit
	PerUnit  string           `json:"per_unit"`
	Minutes  uint64           `json:"minutes"`
	Idle     uint64           `json:"idle_minutes"` // of these, at the end
	Lines    []tariff.Line    `json:"lines"`
	Net      lamppost.Micro   `json:"net"`
	Total    lamppost.Micro   `json:"total"` // with tax
	Limit    lamppost.Micro   `json:"limit"` // before tax: as asked for, or Net, and no less than the tariff's minimum
	Hold     lamppost.Micro   `json:"hold"`  // Limit with tax: what is held of the buyer's money
}

func (s *Server) postSession(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.SessionBody](s, w, r, lamppost.TxSession)
}

func (s *Server) postSettle(w http.ResponseWriter, r *http.Request) error {
	var b Settle
	if err := readJSON(r, &b); err != nil {
		return err
	}
	session, err := s.sessionOf(ledger.View{Reader: s.cfg.Store}, r.PathValue("id"))
	if err != nil {
		return err
	}
	if b.Stop == 0 {
		b.Stop = min(s.cfg.Now(), session.Until)
	}
	return s.order(w, r, lamppost.TxSettle, lamppost.SettleBody{Session: session.ID, Stop: b.Stop, Void: b.Void})
}

// getSessions lists sessions by id, with ?state= those in one state.
func (s *Server) getSessions(w http.ResponseWriter, req *http.Request) error {
	state := req.URL.Query().Get("state")
	if !slices.Contains([]string{"", "open", "settled", "billed", "void"}, state) {
		return badRequest("state=%q: expected open, settled, billed or void", clip(state))
	}
	out := SessionList{Sessions: []Session{}}
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		all, err := v.Sessions()
		if err != nil {
			return err
		}
		for i := range all {
			if state != "" && all[i].State() != state {
				continue
			}
			x, err := s.shown(v, all[i])
			if err != nil {
				return err
			}
			if out.Sessions = append(out.Sessions, x); len(out.Sessions) == maxListed {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getSession(w http.ResponseWriter, req *http.Request) error {
	var out Session
	err := s.snapshot(func(r archive.View) (err error) {
		out, err = s.sessionOf(ledger.View{Reader: r}, req.PathValue("id"))
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) sessionOf(v ledger.View, id string) (Session, error) {
	x, err := v.Session(id)
	if errors.Is(err, kv.ErrNotFound) {
		err = notFound("no session %q: GET /api/sessions lists them", clip(id))
	}
	if err != nil {
		return Session{}, err
	}
	return s.shown(v, x)
}

func (s *Server) shown(v ledger.View, x ledger.Session) (Session, error) {
	t, err := v.Tariff(x.Tariff, x.Version)
	return Session{Session: x, State: x.State(), Currency: t.Currency, Overdue: x.Stop == 0 && s.cfg.Now() > x.Until}, err
}

// getQuote prices ?units= and ?minutes= of a session under the version of the tariff that holds at ?from_ms=, or now.
func (s *Server) getQuote(w http.ResponseWriter, req *http.Request) error {
	q := Quote{Tariff: req.PathValue("id")}
	from, err := queryNumber(req, "from_ms", uint64(s.cfg.Now()), 1<<53)
	if err != nil {
		return err
	}
	if q.Minutes, err = queryNumber(req, "minutes", 60, uint64(tariff.MaxSessionMS/minuteMS)); err != nil {
		return err
	}
	if q.Idle, err = queryNumber(req, "idle_minutes", 0, q.Minutes); err != nil {
		return err
	}
	for name, to := range map[string]interface{ UnmarshalText([]byte) error }{"units": &q.Units, "limit": &q.Limit} {
		if text := req.URL.Query().Get(name); text != "" && (to.UnmarshalText([]byte(text)) != nil || q.Limit < 0 || q.Units.Mantissa < 0) {
			return badRequest("%s=%q: expected a number such as 12.5", name, clip(text))
		}
	}
	q.From = lamppost.TimeMS(from)
	t, err := versionAt(ledger.View{Reader: s.cfg.Store}, q.Tariff, q.From)
	if err == nil {
		err = q.price(t)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, q)
}

const minuteMS = 60_000

// versionAt finds the version of a tariff that holds at a time.
func versionAt(v ledger.View, id string, at lamppost.TimeMS) (*tariff.Tariff, error) {
	all, err := v.Tariffs()
	if err != nil {
		return nil, err
	}
	var found *tariff.Tariff
	known := false
	for i := range all {
		if t := &all[i]; t.ID == id {
			known = true
			if t.From <= at { // versions follow one another
				found = t
			}
		}
	}
	switch {
	case !known:
		return nil, notFound("no tariff %q: GET /api/tariffs lists them", clip(id))
	case found == nil || found.To != 0 && found.To <= at:
		return nil, badRequest("no version of tariff %q holds at %d ms", id, at)
	}
	return found, nil
}

// edges are the register of even use, which begins at 0.
func (q *Quote) edges(t *tariff.Tariff) ([]tariff.Edge, error) {
	use := q.Units
	use.Exponent += int8(t.Scale)
	for use.Exponent > 0 {
		if use.Mantissa > 1<<58 {
			return nil, fmt.Errorf("units=%s: too many", q.Units)
		}
		use = lamppost.Dec(use.Mantissa*10, use.Exponent-1)
	}
	to := q.From + lamppost.TimeMS(max(q.Minutes, 1))*minuteMS
	have := []tariff.Edge{{Time: q.From, Value: lamppost.Dec(0, use.Exponent)}, {Time: to, Value: use}}
	if idle := to - lamppost.TimeMS(q.Idle)*minuteMS; q.From < idle && idle < to {
		have = slices.Insert(have, 1, tariff.Edge{Time: idle, Value: use})
	}
	edges, err := tariff.SessionEdges(t, have, q.From, to, nil)
	for i := range edges {
		edges[i].Quality, edges[i].Estimated = lamppost.Measured, false // all of it is made up
	}
	return edges, err
}

// price computes what even use comes to, and what is held for it.
func (q *Quote) price(t *tariff.Tariff) error {
	q.Version, q.Seller, q.Currency, q.Terms, q.PerUnit = t.Version, t.Seller, t.Currency, audit.Terms(t), t.PerUnit
	edges, err := q.edges(t)
	if err != nil {
		return badRequest("%v", err)
	}
	limit := q.Limit
	if limit == 0 {
		limit = tariff.MaxPrice
	}
	if q.Lines, err = tariff.PriceSession(t, edges, limit); err != nil {
		return badRequest("%v", err)
	}
	for i := range q.Lines {
		q.Net += q.Lines[i].Amount // bounded by the limit
	}
	if q.Limit == 0 {
		q.Limit = max(q.Net, t.Minimum, 0)
	}
	var ok1, ok2 bool
	q.Total, ok1 = tariff.WithTax(q.Net, t.Tax, t.Currency, t.Rounding)
	q.Hold, ok2 = tariff.WithTax(q.Limit, t.Tax, t.Currency, t.Rounding)
	if !ok1 || !ok2 {
		return badRequest("amounts of this size cannot be held")
	}
	return nil
}
