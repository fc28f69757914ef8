package api

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/internal/render"
)

// A PartyBudget is a budget with whose it is.
type PartyBudget struct {
	Party lamppost.PartyID `json:"party"`
	outlook.Budget
}

// BudgetList answers GET /api/budgets.
type BudgetList struct {
	Budgets []PartyBudget    `json:"budgets"` // by party and currency
	Next    lamppost.PartyID `json:"next"`    // ?after= it for the others; empty: these were the last
}

// getOutlook says what a party may expect as a buyer.
func (s *Server) getOutlook(w http.ResponseWriter, req *http.Request) error {
	details, err := s.details()
	if err != nil {
		return err
	}
	party := lamppost.PartyID(req.PathValue("party"))
	var out *outlook.Outlook
	err = s.snapshot(func(r archive.View) (err error) {
		view := ledger.View{Reader: r}
		body, err := view.Party(party)
		if errors.Is(err, kv.ErrNotFound) {
			return notFound("no party %q", clip(string(party)))
		}
		if err == nil {
			err = erasedParty(view, &body)
		}
		if err == nil {
			out, err = outlookOf(r, party, details, s.cfg.Now())
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// getBudgets says of parties with a budget how much of it is used.
func (s *Server) getBudgets(w http.ResponseWriter, req *http.Request) error {
	details, err := s.details()
	if err != nil {
		return err
	}
	out := BudgetList{Budgets: []PartyBudget{}}
	parties := withBudget(details, req.URL.Query().Get("after"))
	if len(parties) > maxBudgets {
		parties = parties[:maxBudgets]
		out.Next = lamppost.PartyID(parties[maxBudgets-1])
	}
	err = s.snapshot(func(r archive.View) error {
		source, err := outlook.Open(r, s.cfg.Now())
		for _, id := range parties {
			var spent []outlook.Budget
			if err == nil {
				spent, err = source.Spent(lamppost.PartyID(id), details[id].Budgets)
			}
			if err != nil {
				return err
			}
			for _, b := range spent {
				out.Budgets = append(out.Budgets, PartyBudget{lamppost.PartyID(id), b})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// withBudget lists the parties after one that have a budget.
func withBudget(all render.Details, after string) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if id > after && len(all[id].Budgets) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func outlookOf(r archive.View, party lamppost.PartyID, details render.Details, now lamppost.TimeMS) (*outlook.Outlook, error) {
	source, err := outlook.Open(r, now)
	if err != nil {
		return nil, err
	}
	return source.Of(party, details[string(party)].Budgets)
}
