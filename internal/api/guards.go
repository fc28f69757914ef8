package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Guards tells the devices' guards what is asked of them, and keeps in memory what they decide. It sends nothing by itself: a device
// with the SDK asks, and so does a gateway for devices without it. All methods may be called concurrently.
type Guards struct {
	store   kv.Reader
	network string
	now     func() lamppost.TimeMS
	desires *Desires

	mu    sync.Mutex
	words map[lamppost.DeviceID][]GuardWord // at most one of each who speaks for a device
}

// NewGuards returns Guards that have heard of nobody.
func NewGuards(store kv.Reader, network string, now func() lamppost.TimeMS, desires *Desires) *Guards {
	return &Guards{store: store, network: network, now: now, desires: desires, words: map[lamppost.DeviceID][]GuardWord{}}
}

// A GuardState answers GET /api/devices/{id}/guard.
type GuardState struct {
	Safety       string                  `json:"safety"`            // as enrolled
	Charter      *lamppost.Charter       `json:"charter,omitempty"` // the latest
	Restrictions []lamppost.RestrictBody `json:"restrictions"`      // that are asked for
	Words        []GuardWord             `json:"words"`             // of the device's guard and of its gateway's, since the node started
}

// A GuardWord is what a guard said last.
type GuardWord struct {
	By        string          `json:"by"` // the device, or "gateway" and its id
	At        lamppost.TimeMS `json:"at_ms"`
	Charter   uint32          `json:"charter"`           // number of the latest that it has
	Refused   string          `json:"refused,omitempty"` // why it does not take the next
	Decisions []GuardDecision `json:"decisions"`
}

// A GuardDecision is a guard's decision, and the same in words.
type GuardDecision struct {
	guard.Decision
	Text string `json:"text"`
}

// deviceItself is who speaks where the device has a guard of its own.
const deviceItself = "device"

// AskDevice is Ask for a device with a guard of its own.
func (g *Guards) AskDevice(_ context.Context, id lamppost.DeviceID, w guard.Word) (guard.Asked, error) {
	return g.Ask(id, deviceItself, w)
}

// Ask takes the word of who speaks for a device and returns what is asked of it.
func (g *Guards) Ask(id lamppost.DeviceID, by string, w guard.Word) (guard.Asked, error) {
	if len(w.Decisions) > maxDecisions || len(w.Refused) > maxRefusedText {
		return guard.Asked{}, lamppost.Refuse(lamppost.CodeTooLarge, "a guard decides on at most %d functions", maxDecisions)
	}
	v := ledger.View{Reader: g.store}
	if _, err := v.Device(id); errors.Is(err, kv.ErrNotFound) {
		return guard.Asked{}, lamppost.Refuse(lamppost.CodeUnknown, "device %q is not enrolled", clip(string(id)))
	} else if err != nil {
		return guard.Asked{}, err
	}
	asked, err := g.asked(v, id, w.Charter)
	if err == nil {
		g.keep(id, by, w, asked.Requests)
	}
	return asked, err
}

func (g *Guards) asked(v ledger.View, id lamppost.DeviceID, after uint32) (guard.Asked, error) {
	a := guard.Asked{Network: g.network, Charters: []guard.Signed{}, Requests: []guard.Request{}}
	charters, err := v.Charters(id) // numbered from 1
	if err != nil {
		return a, err
	}
	for _, b := range charters[min(int(after), len(charters)):] {
		a.Charters = append(a.Charters, guard.Signed{Charter: b.Charter, Second: b.Second})
	}
	restrictions, err := v.Restrictions(id)
	now := g.now()
	for _, r := range restrictions {
		if left := r.Until - now; left > 0 {
			a.Requests = append(a.Requests, guard.Request{ID: fmt.Sprintf("%s@%d.%d", r.ID, r.Place.Height, r.Place.Index), Function: r.Function,
				Level: r.Level, By: r.By, Reason: r.Reason, Left: left})
		}
	}
	return a, err
}

// keep notes a word. A guard with little memory names only the request that it answers: the ledger knows whose it is and why.
func (g *Guards) keep(id lamppost.DeviceID, by string, w guard.Word, asked []guard.Request) {
	word := GuardWord{By: by, At: g.now(), Charter: w.Charter, Refused: w.Refused, Decisions: []GuardDecision{}}
	for _, d := range w.Decisions {
		if at := slices.IndexFunc(asked, func(r guard.Request) bool { return r.ID == d.Request }); d.By == "" && at >= 0 {
			d.By, d.Reason = asked[at].By, asked[at].Reason
		}
		word.Decisions = append(word.Decisions, GuardDecision{d, d.String()})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	words := slices.DeleteFunc(slices.Clone(g.words[id]), func(w GuardWord) bool { return w.By == by })
	if len(words) == maxWords {
		words = words[1:]
	}
	g.words[lamppost.DeviceID(strings.Clone(string(id)))] = append(words, word)
}

// For returns what is asked of those of a gateway's devices of which anything is, or of which it has a word.
func (g *Guards) For(gateway lamppost.MemberID, fleet []GatewayDevice, words map[lamppost.DeviceID]guard.Word) (map[lamppost.DeviceID]guard.Asked, error) {
	all := map[lamppost.DeviceID]guard.Asked{}
	v := ledger.View{Reader: g.store}
	for i := range fleet {
		id := fleet[i].ID
		w, spoken := words[id]
		var a guard.Asked
		var err error
		if by := "gateway " + string(gateway); spoken {
			if w.Own {
				by = deviceItself
			}
			a, err = g.Ask(id, by, w)
		} else {
			a, err = g.asked(v, id, 0)
		}
		if err == nil {
			a.Desired, err = g.desires.forGateway(v, id)
		}
		if w.Ack != nil && !w.Own {
			g.desires.said(id, "gateway "+string(gateway), w.Ack)
		}
		var refusal *lamppost.Refusal
		switch {
		case errors.As(err, &refusal): // not enrolled yet
		case err != nil:
			return nil, err
		case spoken || len(a.Charters)+len(a.Requests) > 0 || a.Desired != nil:
			all[id] = a
		}
	}
	return all, nil
}

func (g *Guards) said(id lamppost.DeviceID) []GuardWord {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]GuardWord{}, g.words[id]...)
}

func (s *Server) getGuard(w http.ResponseWriter, req *http.Request) error {
	id := lamppost.DeviceID(req.PathValue("id"))
	out := GuardState{Restrictions: []lamppost.RestrictBody{}, Words: []GuardWord{}}
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		b, err := v.Device(id)
		if errors.Is(err, kv.ErrNotFound) {
			return notFound("no device %q", clip(string(id)))
		}
		if err != nil {
			return err
		}
		out.Safety = b.Safety.String()
		charters, err := v.Charters(id)
		if err != nil {
			return err
		}
		if n := len(charters); n > 0 {
			c, err := lamppost.ParseCharter(charters[n-1].Charter)
			if err != nil {
				return err
			}
			out.Charter = &c.Charter
		}
		restrictions, err := v.Restrictions(id)
		for _, r := range restrictions {
			out.Restrictions = append(out.Restrictions, r.RestrictBody)
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.cfg.Guards != nil {
		out.Words = s.cfg.Guards.said(id)
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postCharter(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.CharterBody](s, w, r, lamppost.TxCharter)
}

func (s *Server) postRestriction(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.RestrictBody](s, w, r, lamppost.TxRestrict)
}

func charterSummary(b lamppost.CharterBody) string {
	c, err := lamppost.ParseCharter(b.Charter)
	if err != nil {
		return "charter of " + string(b.Device)
	}
	var parts []string
	for _, f := range c.Functions {
		parts = append(parts, fmt.Sprintf("%s %s", f.Name, f.Class))
	}
	return fmt.Sprintf("charter %d of %s: %s", c.Number, c.Device, strings.Join(parts, ", "))
}

func restrictSummary(b lamppost.RestrictBody) string {
	if b.Lifted {
		return fmt.Sprintf("restriction %s of %s lifted: %s", b.ID, b.Device, b.Reason)
	}
	return fmt.Sprintf("restriction %s: %s asks for %s of %s at %d %%: %s", b.ID, b.By, b.Function, b.Device, b.Level, b.Reason)
}
