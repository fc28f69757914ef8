package api

import (
	"net/http"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Network answers GET /api/network: who the members are, how they agree, and what is proposed.
type Network struct {
	Network string              `json:"network"`
	Engine  string              `json:"engine"`
	Quorum  int                 `json:"quorum"`  // members whose signatures make a checkpoint the network's
	Consent int                 `json:"consent"` // members who must order a change
	Members []lamppost.Member   `json:"members"`
	Former  []lamppost.MemberID `json:"former"`
	Trust   [][]string          `json:"trust"`
	Reason  string              `json:"reason"`
	Rules   uint32              `json:"rules"`
	From    lamppost.Height     `json:"from"`    // the block that Rules begin with
	Changed lamppost.Height     `json:"changed"` // the block of the last change
	Changes []Change            `json:"changes"`
}

// A Change is one that too few members have ordered as yet.
type Change struct {
	lamppost.NetworkBody
	By []lamppost.MemberID `json:"by"`
}

func (s *Server) getNetwork(w http.ResponseWriter, _ *http.Request) error {
	var out Network
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		n, err := v.Network()
		if err != nil {
			return err
		}
		out = Network{Network: n.Network, Engine: n.Engine.String(), Quorum: n.Engine.Quorum(len(n.Members)), Consent: n.Engine.Consent(len(n.Members)), Members: n.Members,
			Former: n.Former, Trust: n.Trust, Reason: n.Reason, Rules: n.Rules, From: n.From, Changed: n.Changed, Changes: []Change{}}
		changes, err := v.Changes()
		for _, c := range changes {
			out.Changes = append(out.Changes, Change{c.NetworkBody, c.By})
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postNetwork(w http.ResponseWriter, r *http.Request) error {
	var b lamppost.NetworkBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	if b.Engine != lamppost.Solo { // the engine's log must be there before
		return badRequest("the engine is changed in the folder of a stopped node: lamppost init raft")
	}
	return s.order(w, r, lamppost.TxNetwork, b)
}

// getCheckpoint is for the other members, who need this one's signature on the checkpoint that they publish. It tells nothing that
// the published log does not.
func (s *Server) getCheckpoint(w http.ResponseWriter, r *http.Request) error {
	size, err := strconv.ParseInt(r.PathValue("size"), 10, 64)
	if err != nil || size < 1 {
		return badRequest("a checkpoint is asked for by its size, such as /api/checkpoints/26")
	}
	if s.cfg.Sign == nil {
		return notReady("nothing is signed here")
	}
	note, err := s.cfg.Sign(size)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write([]byte(note))
	return err
}
