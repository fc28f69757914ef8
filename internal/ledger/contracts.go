package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// Contracts: programs that say what becomes of money once a bill is made. This file puts them on the ledger; runs.go runs them.

// A bound contract is what of it is in memory.
type bound struct {
	versions uint32
	parties  []lamppost.ContractParty
	ended    bool
}

// A standing is what the state keeps of a contract beside its source.
type standing struct {
	State  []byte      `cbor:"1,keyasint,omitempty"` // of the program
	Taken  []takenFrom `cbor:"2,keyasint,omitempty"` // of the parties, by id
	Ended  bool        `cbor:"3,keyasint,omitempty"`
	Runs   uint64      `cbor:"4,keyasint,omitempty"`
	Recent []Place     `cbor:"5,keyasint,omitempty"` // where the latest runs stand
	Failed []Place     `cbor:"6,keyasint,omitempty"` // and the latest that failed and were not repeated
}

// takenFrom is what a contract took of a party beyond what bills brought it, less what it gave.
type takenFrom struct {
	Party  lamppost.PartyID `cbor:"1,keyasint"`
	Amount lamppost.Micro   `cbor:"2,keyasint"`
}

// Limits of contracts. They are part of the rules.
const (
	maxContractParties = 16
	maxContractDevices = 64
	maxContractArgs    = 64
	maxCallReadings    = 16
	maxHearing         = 8  // contracts that hear of one device's bills
	keptPlaces         = 32 // of runs, in a standing

	// blockSteps bounds what contracts cost of a block, so that no node falls behind. What has no room is a failure that can be repeated.
	blockSteps = 4_000_000
)

func contractKey(id string, version uint32) []byte { return epochKey('k', id, version) }
func standingKey(id string) []byte                 { return key('j', id) }

// deploy puts a program on the ledger, or a new version of it.
func (s *State) deploy(b lamppost.ContractBody) error {
	if err := lamppost.CheckName("contract", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	before := s.contracts[b.ID]
	switch {
	case before == nil && b.Version != 1:
		return lamppost.Refuse(lamppost.CodeUnknown, "no contract %q: its first version is 1", b.ID)
	case before != nil && b.Version != before.versions+1:
		return lamppost.Refuse(lamppost.CodeExists, "contract %q has %d versions; the next is %d", b.ID, before.versions, before.versions+1)
	case b.Version > maxMounts:
		return lamppost.Refuse(lamppost.CodeExists, "a contract has at most %d versions", maxMounts)
	case before != nil && before.ended:
		return lamppost.Refuse(lamppost.CodeExists, "contract %q has ended", b.ID)
	}
	if err := s.checkContract(&b); err != nil {
		return err
	}
	if before != nil {
		first, err := read[lamppost.ContractBody](s.view(), contractKey(b.ID, 1))
		if err != nil {
			return err
		}
		if first.Currency != b.Currency || !slices.Equal(first.Parties, b.Parties) || !slices.Equal(first.Devices, b.Devices) {
			return lamppost.Refuse(lamppost.CodeBadTx, "a version of contract %q keeps its currency, parties, limits and devices: others are bound by another contract", b.ID)
		}
	}
	if err := s.checkProgram(&b); err != nil {
		return err
	}
	s.bind(b)
	s.putBody(contractKey(b.ID, b.Version), b)
	if before == nil {
		s.put(standingKey(b.ID), lamppost.Marshal(standing{}))
		for _, p := range b.Parties {
			s.put(boundKey(p.Party, b.ID), nil)
			if d := s.devices[lamppost.DeviceID(p.Party)]; d != nil && !b.Binds(d.Body.Owner) {
				s.put(boundKey(d.Body.Owner, b.ID), nil)
			}
		}
	}
	return nil
}

func (s *State) checkProgram(b *lamppost.ContractBody) error {
	if s.spent+int64(len(b.Source)) > blockSteps {
		return lamppost.Refuse(lamppost.CodeNotReady, "the block has no room for another program: order it again")
	}
	s.spent += int64(len(b.Source))
	if _, err := contract.Check(b.Source, contract.At(s.rules())); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "the program of contract %q: %v", b.ID, err)
	}
	return nil
}

// checkContract checks who is bound, and to what.
func (s *State) checkContract(b *lamppost.ContractBody) error {
	bad := func(format string, args ...any) error {
		return lamppost.Refuse(lamppost.CodeBadTx, "contract %q: "+format, append([]any{b.ID}, args...)...)
	}
	_, known := tariff.Minor(b.Currency)
	byParty := func(a, b lamppost.ContractParty) int { return strings.Compare(string(a.Party), string(b.Party)) }
	switch n := len(b.Parties); {
	case !known:
		return bad("%.10q is not a known currency", b.Currency)
	case n < 2 || n > maxContractParties || !ascending(b.Parties, byParty):
		return bad("2 to %d parties are bound, each once, in the order of their ids", maxContractParties)
	case len(b.Devices) > maxContractDevices || !ascending(b.Devices, func(a, b lamppost.DeviceID) int { return strings.Compare(string(a), string(b)) }):
		return bad("it is about %d devices at most, each once, in the order of their ids", maxContractDevices)
	case b.To != 0 && b.To <= s.time:
		return bad("it ends in the future, or not at all")
	}
	for _, p := range b.Parties {
		if !s.hasAccount(p.Party) {
			return lamppost.Refuse(lamppost.CodeUnknown, "no party or device %q to be bound by contract %q", p.Party, b.ID)
		}
		if p.Limit < 0 {
			return bad("a limit is not negative")
		}
	}
	for _, d := range b.Devices {
		if err := s.checkHearing(b, d); err != nil {
			return err
		}
	}
	return checkArgs(b.Terms)
}

// checkHearing checks a device whose bills a contract hears of: it, or whose it is, is bound.
func (s *State) checkHearing(b *lamppost.ContractBody, id lamppost.DeviceID) error {
	d := s.devices[id]
	if d == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q for contract %q to be about", id, b.ID)
	}
	if !b.Binds(lamppost.PartyID(id)) && !b.Binds(d.Body.Owner) {
		return lamppost.Refuse(lamppost.CodeForbidden, "device %q belongs to %q, and contract %q binds neither", id, d.Body.Owner, b.ID)
	}
	if heard := s.hearing[id]; len(heard) >= maxHearing && !slices.Contains(heard, b.ID) {
		return lamppost.Refuse(lamppost.CodeExists, "%d contracts are about device %q, and no more can be", maxHearing, id)
	}
	return nil
}

// checkArgs checks values with names: a text or a number each, in the order of their names.
func checkArgs(args []lamppost.Arg) error {
	if len(args) > maxContractArgs || !ascending(args, func(a, b lamppost.Arg) int { return strings.Compare(a.Name, b.Name) }) {
		return lamppost.Refuse(lamppost.CodeBadTx, "there are at most %d values, each name once, in the order of their names", maxContractArgs)
	}
	for _, a := range args {
		if err := lamppost.CheckName("value", a.Name); err != nil {
			return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
		}
		if len(a.Text) > lamppost.MaxTextBytes || !utf8.ValidString(a.Text) || a.Text != "" && a.Number != 0 {
			return lamppost.Refuse(lamppost.CodeBadTx, "%q is a number, or text of at most %d bytes", a.Name, lamppost.MaxTextBytes)
		}
	}
	return nil
}

// ascending reports whether each is greater than the one before.
func ascending[X any](all []X, compare func(a, b X) int) bool {
	for i := 1; i < len(all); i++ {
		if compare(all[i-1], all[i]) >= 0 {
			return false
		}
	}
	return true
}

// bind remembers a version of a contract.
func (s *State) bind(b lamppost.ContractBody) {
	c := s.contracts[b.ID]
	if c == nil {
		c = &bound{parties: b.Parties}
		s.contracts[b.ID] = c
		for _, d := range b.Devices {
			at, _ := slices.BinarySearch(s.hearing[d], b.ID)
			s.hearing[d] = slices.Insert(s.hearing[d], at, b.ID)
		}
	}
	c.versions = b.Version
}

// loadEnded reads which contracts have ended.
func (s *State) loadEnded() error {
	from := key('j')
	return s.store.Scan(from, end(from), func(k, val []byte) error {
		var st standing
		if err := lamppost.Unmarshal(val, &st); err != nil {
			return err
		}
		if st.Ended {
			s.end(string(k[2:]))
		}
		return nil
	})
}

// end lets a contract hear of nothing more.
func (s *State) end(id string) {
	s.contracts[id].ended = true
	for d, heard := range s.hearing {
		s.hearing[d] = slices.DeleteFunc(heard, func(x string) bool { return x == id })
	}
}

// binding finds a contract that binds a party and has not ended, or "".
func (s *State) binding(p lamppost.PartyID) string {
	least := ""
	for id, c := range s.contracts {
		binds := slices.ContainsFunc(c.parties, func(x lamppost.ContractParty) bool { return x.Party == p })
		if binds && !c.ended && (least == "" || id < least) {
			least = id
		}
	}
	return least
}

func (s *State) standing(id string) (st standing, err error) {
	raw, err := s.get(standingKey(id))
	if err != nil {
		return st, err
	}
	return st, lamppost.Unmarshal(raw, &st)
}

// took returns what was taken of a party.
func (st *standing) took(p lamppost.PartyID) lamppost.Micro {
	for _, t := range st.Taken {
		if t.Party == p {
			return t.Amount
		}
	}
	return 0
}

// take says what was taken of a party now.
func (st *standing) take(p lamppost.PartyID, amount lamppost.Micro) {
	at, there := slices.BinarySearchFunc(st.Taken, p, func(t takenFrom, p lamppost.PartyID) int { return strings.Compare(string(t.Party), string(p)) })
	st.Taken = slices.Clone(st.Taken)
	if there {
		st.Taken = slices.Delete(st.Taken, at, at+1)
	}
	if amount != 0 {
		st.Taken = slices.Insert(st.Taken, at, takenFrom{p, amount})
	}
}

// A Contract is a contract as it stands.
type Contract struct {
	lamppost.ContractBody
	State  []byte           // of the program, JSON
	Taken  []lamppost.Micro // of each party, beyond what bills brought it; below 0: it was given more
	Ended  bool
	Runs   uint64
	Recent []Place // the latest runs, the last at the end
	Failed []Place // those that failed and were not repeated
	At     Place   // of the order of this version
}

// Contracts returns the latest versions of all contracts, by id.
func (v View) Contracts() (all []Contract, err error) {
	from := key('k')
	err = v.Scan(from, end(from), func(_, val []byte) error {
		b, err := decodeBody[lamppost.ContractBody](slices.Clone(val))
		if err != nil {
			return err
		}
		if n := len(all); n > 0 && all[n-1].ID == b.ID {
			all = all[:n-1]
		}
		at, err := decodePlace(val)
		all = append(all, Contract{ContractBody: b, At: at})
		return err
	})
	for i := 0; err == nil && i < len(all); i++ {
		err = v.standing(&all[i])
	}
	return all, err
}

// Contract returns the latest version of a contract, or kv.ErrNotFound.
func (v View) Contract(id string) (c Contract, err error) {
	from := append(key('k', id), 0)
	err = v.Scan(from, end(from), func(_, val []byte) (err error) {
		if c.At, err = decodePlace(val); err == nil {
			c.ContractBody, err = decodeBody[lamppost.ContractBody](slices.Clone(val))
		}
		return err
	})
	if err == nil && c.ID == "" {
		err = kv.ErrNotFound
	}
	if err != nil {
		return c, err
	}
	return c, v.standing(&c)
}

// ContractVersion returns a version of a contract, or kv.ErrNotFound.
func (v View) ContractVersion(id string, version uint32) (lamppost.ContractBody, error) {
	return read[lamppost.ContractBody](v, contractKey(id, version))
}

func (v View) standing(c *Contract) error {
	raw, err := v.Get(standingKey(c.ID))
	if err != nil {
		return err
	}
	var st standing
	if err := lamppost.Unmarshal(raw, &st); err != nil {
		return err
	}
	c.State, c.Ended, c.Runs, c.Recent, c.Failed = st.State, st.Ended, st.Runs, st.Recent, st.Failed
	for _, p := range c.Parties {
		c.Taken = append(c.Taken, st.took(p.Party))
	}
	return nil
}

// A Run is what a contract did, with what the ledger noted about it later.
type Run struct {
	lamppost.Run
	Again Place `cbor:"10,keyasint,omitzero" json:"-"` // of what took its place, where it failed: it again, or a correction
	At    Place `cbor:"-" json:"-"`
}

func runKey(at Place, id string) []byte { return append(at.append(key('i')), id...) }

func boundKey(p lamppost.PartyID, id string) []byte { return key('9', string(p), id) }
func nthRunKey(id string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(key('7', id, ""), n)
}

// Runs returns what contracts did in the blocks of [from, to), in their order.
func (v View) Runs(from, to lamppost.Height) (all []Run, err error) {
	begin := binary.BigEndian.AppendUint64(key('i'), uint64(from))
	err = v.Scan(begin, binary.BigEndian.AppendUint64(key('i'), uint64(to)), func(k, val []byte) error {
		x, err := asRun(k, val)
		all = append(all, x)
		return err
	})
	return all, err
}

// RunAt returns a run of a contract, or kv.ErrNotFound.
func (v View) RunAt(at Place, id string) (Run, error) {
	k := runKey(at, id)
	raw, err := v.Get(k)
	if err != nil {
		return Run{}, err
	}
	return asRun(k, raw)
}

func asRun(k, val []byte) (x Run, err error) {
	if err := lamppost.Unmarshal(slices.Clone(val), &x); err != nil {
		return x, fmt.Errorf("run %x: %w", k, err)
	}
	x.At, err = decodePlace(k[2:])
	return x, err
}

// ContractsOf returns the ids of the contracts that bind a party or a device of it, ended or not.
func (v View) ContractsOf(p lamppost.PartyID) (ids []string, err error) {
	from := boundKey(p, "")
	err = v.Scan(from, end(from), func(k, _ []byte) error {
		ids = append(ids, string(k[len(from):]))
		return nil
	})
	return ids, err
}

// RunsOf returns where a contract's runs stand, from the first on.
func (v View) RunsOf(id string) ([]Place, error) { return v.places(key('7', id, "")) }

// contract finds a contract that has not ended.
func (s *State) contract(id string) (b lamppost.ContractBody, st standing, err error) {
	c := s.contracts[id]
	switch {
	case c == nil:
		return b, st, lamppost.Refuse(lamppost.CodeUnknown, "no contract %.40q", id)
	case c.ended:
		return b, st, lamppost.Refuse(lamppost.CodeExists, "contract %q has ended", id)
	}
	if b, err = read[lamppost.ContractBody](s.view(), contractKey(id, c.versions)); err == nil {
		st, err = s.standing(id)
	}
	if errors.Is(err, kv.ErrNotFound) {
		err = fmt.Errorf("contract %q has no version %d in the state", id, c.versions)
	}
	return b, st, err
}
