package api

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// A Contract answers GET /api/contracts/{id}. In lists it has no source, terms, state and runs.
type Contract struct {
	ID       string              `json:"id"`
	Version  uint32              `json:"version"`
	Source   string              `json:"source,omitempty"`
	Currency string              `json:"currency"`
	Parties  []ContractParty     `json:"parties"`
	Devices  []lamppost.DeviceID `json:"devices"`
	To       lamppost.TimeMS     `json:"to_ms,omitempty"`
	Terms    []lamppost.Arg      `json:"terms,omitempty"`
	Handles  []string            `json:"handles"`         // events
	State    string              `json:"state,omitempty"` // of the program, JSON
	Ended    bool                `json:"ended"`
	Count    uint64              `json:"run_count"`
	Failed   int                 `json:"failed"`         // of the latest, and not repeated
	Runs     []ContractRun       `json:"runs,omitempty"` // the latest, the last first
}

// A ContractParty is bound by a contract.
type ContractParty struct {
	Party lamppost.PartyID `json:"party"`
	Limit lamppost.Micro   `json:"limit"`
	Taken lamppost.Micro   `json:"taken"` // of the limit; below 0: it was given so much more
}

// A ContractRun is one call of a program and what came of it.
type ContractRun struct {
	Height   lamppost.Height    `json:"height"`
	Index    uint32             `json:"index"`
	Version  uint32             `json:"version"`
	Event    contract.Event     `json:"event"`
	Payments []contract.Payment `json:"payments,omitempty"`
	Note     string             `json:"note,omitempty"`
	Failure  string             `json:"failure,omitempty"`
	Again    lamppost.Height    `json:"again,omitempty"`        // block in which something took the place of a run that failed
	Before   string             `json:"state_before,omitempty"` // JSON
	Steps    int64              `json:"steps"`
	Bytes    int64              `json:"bytes"`
}

// ContractList answers GET /api/contracts.
type ContractList struct {
	Contracts []Contract `json:"contracts"`
}

// A ContractTrial asks what a program would have done, in POST /api/contracts/try.
type ContractTrial struct {
	Contract lamppost.ContractBody `json:"contract"` // need not be on the ledger; without parties anybody can be paid
	From     lamppost.TimeMS       `json:"from_ms"`  // invoices issued from then on
	To       lamppost.TimeMS       `json:"to_ms"`    // and before then; 0: all
}

// A ContractTried answers it.
type ContractTried struct {
	Handles  []string      `json:"handles"`
	Bills    int           `json:"bills"`
	Failed   int           `json:"failed"`
	Sums     []ContractSum `json:"sums"` // by party
	State    string        `json:"state"`
	Runs     []ContractRun `json:"runs"` // the latest, the last first
	Currency string        `json:"currency"`
}

// A ContractSum is what a trial comes to for a party.
type ContractSum struct {
	Party lamppost.PartyID `json:"party"`
	Sum   lamppost.Micro   `json:"sum"` // negative: it would have paid
}

const shownRuns = 50 // of a trial

func (s *Server) postContract(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.ContractBody](s, w, r, lamppost.TxContract)
}

func (s *Server) postCall(w http.ResponseWriter, r *http.Request) error {
	var b lamppost.CallBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	b.Contract = r.PathValue("id")
	return s.order(w, r, lamppost.TxCall, b)
}

// getContracts lists all contracts by id.
func (s *Server) getContracts(w http.ResponseWriter, _ *http.Request) error {
	out := ContractList{Contracts: []Contract{}}
	err := s.snapshot(func(r archive.View) error {
		all, err := ledger.View{Reader: r}.Contracts()
		for i := range all[:min(len(all), maxListed)] {
			out.Contracts = append(out.Contracts, shownContract(&all[i]))
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getContract(w http.ResponseWriter, req *http.Request) error {
	version, err := queryNumber(req, "version", 0, math.MaxUint32)
	if err != nil {
		return err
	}
	var out Contract
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		c, err := v.Contract(req.PathValue("id"))
		if errors.Is(err, kv.ErrNotFound) {
			return notFound("no contract %q: GET /api/contracts lists them", clip(req.PathValue("id")))
		}
		if err != nil {
			return err
		}
		if version != 0 {
			if c.ContractBody, err = v.ContractVersion(c.ID, uint32(version)); errors.Is(err, kv.ErrNotFound) {
				return notFound("contract %q has no version %d", clip(c.ID), version)
			} else if err != nil {
				return err
			}
		}
		out = shownContract(&c)
		out.Source, out.Terms, out.State = c.Source, c.Terms, string(c.State)
		out.Runs, err = runsOf(v, &c)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func shownContract(c *ledger.Contract) Contract {
	out := Contract{ID: c.ID, Version: c.Version, Currency: c.Currency, Devices: c.Devices, To: c.To, Ended: c.Ended, Count: c.Runs, Failed: len(c.Failed),
		Parties: []ContractParty{}, Handles: []string{}}
	if p, err := contract.Check(c.Source, contract.At(ledger.Rules)); err == nil {
		out.Handles = p.Handlers()
	}
	for i, p := range c.Parties {
		out.Parties = append(out.Parties, ContractParty{p.Party, p.Limit, c.Taken[i]})
	}
	return out
}

// runsOf returns the latest runs of a contract and those that failed, the last first.
func runsOf(v ledger.View, c *ledger.Contract) (all []ContractRun, err error) {
	places := slices.Concat(c.Recent, c.Failed)
	slices.SortFunc(places, func(a, b ledger.Place) int { return b.Compare(a) })
	for _, at := range slices.Compact(places) {
		x, err := v.RunAt(at, c.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, shownRun(&x))
	}
	return all, nil
}

func shownRun(x *ledger.Run) ContractRun {
	out := ContractRun{Height: x.At.Height, Index: x.At.Index, Version: x.Version, Event: x.Event, Payments: x.Payments, Note: x.Note, Before: string(x.Before),
		Steps: x.Cost.Steps, Bytes: x.Cost.Bytes, Again: x.Again.Height}
	if x.Failure != nil {
		out.Failure = x.Failure.Error()
	}
	return out
}

// postContractTrial tells a program of the bills that were made. It orders nothing.
func (s *Server) postContractTrial(w http.ResponseWriter, req *http.Request) error {
	var b ContractTrial
	if err := readJSON(req, &b); err != nil {
		return err
	}
	var out ContractTried
	err := s.snapshot(func(r archive.View) (err error) {
		out, err = tryContract(r, &b)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func tryContract(r archive.View, b *ContractTrial) (out ContractTried, err error) {
	v := ledger.View{Reader: r}
	if _, known := tariff.Minor(b.Contract.Currency); !known {
		return out, badRequest(`"currency": %q is not known`, clip(b.Contract.Currency))
	}
	t, err := v.NewTrial(b.Contract, ledger.Rules)
	var f *contract.Failure
	if errors.As(err, &f) {
		return out, badRequest("the program: %v", f)
	}
	if err != nil {
		return out, err
	}
	p, err := contract.Check(b.Contract.Source, contract.At(ledger.Rules))
	if err != nil {
		return out, err
	}
	out = ContractTried{Handles: p.Handlers(), Currency: b.Contract.Currency, Sums: []ContractSum{}, Runs: []ContractRun{}}
	if !t.Handles(contract.Split) {
		return out, nil
	}
	places, err := v.AllInvoices()
	if err != nil {
		return out, err
	}
	slices.SortFunc(places, func(a, b ledger.Place) int { return a.Compare(b) })
	for _, at := range places {
		inv, err := replica.Invoice(r, at)
		if err != nil {
			return out, err
		}
		if inv.Issued < b.From || b.To != 0 && inv.Issued >= b.To {
			continue
		}
		if x := t.Bill(inv); x != nil {
			x.At = at
			if out.Bills == maxListed {
				return out, badRequest("more than %d bills: choose a shorter time", maxListed)
			}
			out.add(x)
		}
	}
	out.State = string(t.State())
	slices.Reverse(out.Runs)
	slices.SortFunc(out.Sums, func(a, b ContractSum) int { return cmp.Compare(a.Party, b.Party) })
	return out, nil
}

// add counts what a run comes to.
func (out *ContractTried) add(x *ledger.Run) {
	out.Bills++
	if x.Failure != nil {
		out.Failed++
	}
	if out.Runs = append(out.Runs, shownRun(x)); len(out.Runs) > shownRuns {
		out.Runs = out.Runs[1:]
	}
	for _, p := range x.Payments {
		out.sum(p.From, -p.Amount)
		out.sum(p.To, p.Amount)
	}
}

func (out *ContractTried) sum(p lamppost.PartyID, amount lamppost.Micro) {
	i := slices.IndexFunc(out.Sums, func(x ContractSum) bool { return x.Party == p })
	if i < 0 {
		i, out.Sums = len(out.Sums), append(out.Sums, ContractSum{Party: p})
	}
	out.Sums[i].Sum += amount
}
