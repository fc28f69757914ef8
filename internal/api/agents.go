package api

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/replica"
)

// What owners want of agents, what these decided, and what came of it.

// An Agent is how an owner wants a device's agent, with its record.
type Agent struct {
	lamppost.AgentBody
	DeviceName string           `json:"device_name"`
	Owner      lamppost.PartyID `json:"owner"`
	Here       bool             `json:"here"`    // this node runs it
	Last       *Decision        `json:"last"`    // its last decision; null: none
	Records    []ledger.Record  `json:"records"` // by month, the oldest first
	Better     int              `json:"better"`  // thousandths of its outcomes, of acting or advising, that gained against the safe rule
}

// A Tally counts decisions, and what they came to.
type Tally = ledger.Tally

// AgentList answers GET /api/agents.
type AgentList struct {
	Agents []Agent `json:"agents"` // by device
}

// A Decision is an agent's decision in the reader's words.
type Decision struct {
	ledger.Decision
	Words render.Decided `json:"words"`
}

// DecisionList answers GET /api/decisions.
type DecisionList struct {
	Decisions []Decision `json:"decisions"` // the latest first
}

// A DecisionEvidence answers GET /api/decisions/{id}/evidence: what a decision is replayed from, and the proof that it stands in the log.
type DecisionEvidence struct {
	Decision ledger.Decision `json:"decision"`
	Inputs   string          `json:"inputs"`            // base64: what it was decided from
	Data     string          `json:"data,omitempty"`    // base64: what its outcome was computed from
	Proof    string          `json:"proof"`             // base64: of its order
	Missing  string          `json:"missing,omitempty"` // inputs: this node has none of it, or not any more
	Why      string          `json:"why,omitempty"`     // in words
}

const (
	defaultDecisions   = 50
	maxDecisionsListed = 256 // that the state has of a device
)

func (s *Server) getAgents(w http.ResponseWriter, req *http.Request) error {
	as, err := speakerOf(req)
	if err != nil {
		return err
	}
	out := AgentList{Agents: []Agent{}}
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		all, err := v.Agents()
		for i := range all {
			if err != nil || len(out.Agents) == maxListed {
				break
			}
			var a Agent
			a, err = s.agent(v, &all[i], as)
			out.Agents = append(out.Agents, a)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getAgent(w http.ResponseWriter, req *http.Request) error {
	as, err := speakerOf(req)
	if err != nil {
		return err
	}
	id := lamppost.DeviceID(req.PathValue("device"))
	var out Agent
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		b, err := v.Agent(id)
		if errors.Is(err, kv.ErrNotFound) {
			return notFound("device %q has no agent: POST /api/agents gives it one", clip(string(id)))
		}
		if err == nil {
			out, err = s.agent(v, &b, as)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) agent(v ledger.View, b *lamppost.AgentBody, as speaker) (a Agent, err error) {
	a = Agent{AgentBody: *b, Here: b.Member == s.cfg.Member}
	d, err := v.Device(b.Device)
	if err != nil {
		return a, err
	}
	a.DeviceName, a.Owner = d.Name, d.Owner
	if a.Inputs == nil {
		a.Inputs = []lamppost.AgentInput{}
	}
	if a.Rules == nil {
		a.Rules = []lamppost.AgentRule{}
	}
	if a.Records, err = v.Records(b.Device); err != nil {
		return a, err
	}
	better, all := 0, 0
	for i := range a.Records {
		for _, t := range [...]ledger.Tally{a.Records[i].Acted, a.Records[i].Advised} {
			better, all = better+int(t.Better), all+int(t.Outcomes)
		}
	}
	if all > 0 {
		a.Better = better * 1000 / all
	}
	if a.Records == nil {
		a.Records = []ledger.Record{}
	}
	err = v.DecisionsOf(b.Device, func(x *ledger.Decision) error {
		told, err := as.decision(x)
		a.Last = &told
		return errors.Join(err, kv.ErrStop)
	})
	return a, err
}

func (p speaker) decision(x *ledger.Decision) (Decision, error) {
	words, err := render.TellDecision(&x.Body, x.Outcome, p.lang, p.loc)
	if err != nil {
		return Decision{}, err
	}
	return Decision{*x, *words}, nil
}

func (s *Server) postAgent(w http.ResponseWriter, req *http.Request) error {
	var b lamppost.AgentBody
	if err := readJSON(req, &b); err != nil {
		return err
	}
	if b.Member == "" {
		b.Member = s.cfg.Member
	}
	slices.SortFunc(b.Inputs, func(x, y lamppost.AgentInput) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(b.Rules, func(x, y lamppost.AgentRule) int { return strings.Compare(x.Name, y.Name) })
	return s.order(w, req, lamppost.TxAgent, b)
}

// getDecisions lists a device's decisions.
func (s *Server) getDecisions(w http.ResponseWriter, req *http.Request) error {
	as, err := speakerOf(req)
	if err != nil {
		return err
	}
	device := lamppost.DeviceID(req.URL.Query().Get("device"))
	if device == "" {
		return badRequest("device is whose decisions are asked for: GET /api/agents lists who has any")
	}
	limit, err := queryNumber(req, "limit", defaultDecisions, maxDecisionsListed)
	if err != nil {
		return err
	}
	out := DecisionList{Decisions: []Decision{}}
	err = s.snapshot(func(r archive.View) error {
		return ledger.View{Reader: r}.DecisionsOf(device, func(x *ledger.Decision) error {
			if uint64(len(out.Decisions)) == limit {
				return kv.ErrStop
			}
			told, err := as.decision(x)
			out.Decisions = append(out.Decisions, told)
			return err
		})
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getDecision(w http.ResponseWriter, req *http.Request) error {
	as, err := speakerOf(req)
	if err != nil {
		return err
	}
	var out Decision
	err = s.snapshot(func(r archive.View) error {
		x, err := s.findDecision(r, req.PathValue("id"))
		if err == nil {
			out, err = as.decision(&x)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// findDecision looks into the state, and for an older one into the order, which says nothing of what came of it.
func (s *Server) findDecision(r archive.View, text string) (d ledger.Decision, err error) {
	id, err := lamppost.ParseDecisionID(text)
	if err != nil {
		return d, badRequest("%v", err)
	}
	v := ledger.View{Reader: r}
	if d, err = v.Decision(id); !errors.Is(err, kv.ErrNotFound) {
		return d, err
	}
	gone, err := v.Gone()
	if err != nil {
		return d, err
	}
	if _, erased := gone[ledger.Place{Height: id.Height, Index: id.Tx}]; erased {
		return d, goneDecision(id)
	}
	none := notFound("no decision %s: GET /api/decisions lists those of a device", id)
	rec, err := r.Tx(id.Height, id.Tx)
	if errors.Is(err, archive.ErrForgotten) || errors.Is(err, archive.ErrAbsent) {
		return d, goneDecision(id)
	}
	if errors.Is(err, kv.ErrNotFound) {
		return d, none
	}
	if err != nil {
		return d, err
	}
	tx, err := lamppost.ParseTransaction(rec.Raw)
	if err != nil {
		return d, none
	}
	var b lamppost.DecisionsBody
	if tx.Type != lamppost.TxDecisions || len(rec.Outcomes) != 1 || !rec.Outcomes[0].Code.Accepted() || lamppost.Unmarshal(tx.Order.Body, &b) != nil || int(id.Index) >= len(b.Decisions) {
		return d, none
	}
	return ledger.Decision{ID: id, By: tx.Signed.Key, Model: b.Model, Body: b.Decisions[id.Index]}, nil
}

func goneDecision(id lamppost.DecisionID) error {
	return &statusError{http.StatusGone, "gone", "decision " + id.String() + " was erased, or is not kept any more"}
}

func (s *Server) getDecisionEvidence(w http.ResponseWriter, req *http.Request) error {
	var out DecisionEvidence
	err := s.snapshot(func(r archive.View) (err error) {
		if out.Decision, err = s.findDecision(r, req.PathValue("id")); err != nil {
			return err
		}
		if s.cfg.DecisionInputs == nil {
			err = kv.ErrNotFound
		} else {
			var inputs, data []byte
			inputs, data, err = s.cfg.DecisionInputs(&out.Decision.Body)
			out.Inputs, out.Data = base64.StdEncoding.EncodeToString(inputs), base64.StdEncoding.EncodeToString(data)
		}
		if errors.Is(err, kv.ErrNotFound) {
			out.Missing, out.Why, err = "inputs", "this node does not have what it was decided from: another member's decided it, it is older than 32 days, or it was erased", nil
		}
		return err
	})
	if err != nil {
		return err
	}
	err = s.proven(func(r archive.View) (replica.Want, error) { return replica.WantDecision(r, out.Decision.ID) }, func(p *lamppost.Proof, pin *audit.Pin) error {
		_, err := audit.CheckProof(p, pin)
		out.Proof = base64.StdEncoding.EncodeToString(p.Append(nil))
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// UpdateList answers GET /api/updates.
type UpdateList struct {
	Updates []ledger.Update `json:"updates"` // by model and who learned
}

func (s *Server) getUpdates(w http.ResponseWriter, req *http.Request) error {
	return list(s, w, func(v ledger.View) ([]ledger.Update, error) { return v.Updates(req.URL.Query().Get("model")) }, func(all []ledger.Update) any { return UpdateList{all} })
}

func (s *Server) postUpdate(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.LearnBody](s, w, r, lamppost.TxLearn)
}
