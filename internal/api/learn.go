package api

import (
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/federate"
)

// A SharedModel is what members learn together, as this node has merged it.
type SharedModel struct {
	Model  string        `json:"model"`
	Round  int64         `json:"round"`  // the last that was merged; -1: none
	Hash   lamppost.Hash `json:"hash"`   // of what was merged: the base of the next updates
	Merged int           `json:"merged"` // rounds, by this node
	Rounds []SharedRound `json:"rounds"` // the latest first, up to eight
	Open   []string      `json:"open"`   // who has said something for the round that is open
}

// A SharedRound is what became of a round's updates.
type SharedRound struct {
	Round   int64           `json:"round"`
	From    lamppost.TimeMS `json:"from_ms"`
	Until   lamppost.TimeMS `json:"until_ms"`
	Base    lamppost.Hash   `json:"base"`
	Hash    lamppost.Hash   `json:"hash"`
	Rows    int             `json:"rows"`
	Members int             `json:"members"` // whose updates were held against each other; under three: nobody can tell who lies
	Stale   int             `json:"stale"`   // updates of another base: they are not merged
	Updates []SharedUpdate  `json:"updates"` // by who learned
}

// A SharedUpdate is one, and whether it is in the model.
type SharedUpdate struct {
	federate.Part
	Devices int              `json:"devices"`
	Data    lamppost.Hash    `json:"data"`
	Metric  string           `json:"metric"`
	Before  lamppost.Decimal `json:"before"` // as the one who learned says
	After   lamppost.Decimal `json:"after"`
	Height  lamppost.Height  `json:"height"`
}

// SharedModelList answers GET /api/learn.
type SharedModelList struct {
	Models []SharedModel `json:"models"` // by name
}

func (s *Server) getLearn(w http.ResponseWriter, _ *http.Request) error {
	list := SharedModelList{Models: []SharedModel{}}
	if s.cfg.Learned != nil {
		all, err := s.cfg.Learned()
		if err != nil {
			return err
		}
		list.Models = append(list.Models, all...)
	}
	return writeJSON(w, http.StatusOK, list)
}
