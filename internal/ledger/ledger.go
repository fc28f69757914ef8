// Package ledger is the deterministic state machine: it decides what every report and transaction does to the registry,
// the registers, the accounts and the invoices. The same transactions in the same order at the same times give the same
// outcomes, the same writes and therefore the same log root on every replica and in every replay.
//
// It reads nothing but its arguments and the key/value state it wrote itself: no clock, randomness, network, float or
// map order. A bad transaction is a refused outcome, never an error; an error means the state cannot be read, and the
// replica stops.
//
// Start reading at [State.Apply]. reports.go has the rule for a device's reports, sequence.go the sequence rule,
// rotation.go devices and keys that follow each other, gateways.go gateways, fraud.go what becomes of their lies,
// registry.go parties and agreements, charters.go what guards keep to and are asked, money.go accounts and invoices, bills.go corrections
// and disputes, sessions.go sessions, contracts.go and runs.go contracts, channels.go vouchers, centres.go devices' own books, deals.go
// what devices agree on, keys.go the layout of the state.
package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// MaxExpiryMS is how far ahead a transaction's expiry may lie: ids are remembered until then. It is part of the rules.
const MaxExpiryMS lamppost.TimeMS = 24 * 3600 * 1000

// Rules is the newest version of the rules that this package implements, beside all before it.
const Rules = 1

// A State is the ledger at a height, with the writes of the block being applied on top. One goroutine uses it.
type State struct {
	store kv.Reader

	// The registry, held in memory because every report needs it.
	net        lamppost.Network
	members    map[lamppost.MemberID]*member // by id, from net
	newest     uint32                        // the newest rules there are
	gateways   map[lamppost.MemberID]*gateway
	parties    map[lamppost.PartyID]lamppost.PartyBody
	devices    map[lamppost.DeviceID]*device
	points     map[string][]lamppost.PointBody // by mount
	metered    map[lamppost.DeviceID]bool      // devices of the points
	units      map[register][]string           // in which points count it
	serving    map[lamppost.DeviceID][]string  // their registers at points that have sessions
	tariffs    map[string][]tariff.Tariff      // by version
	agreements map[string]lamppost.AgreementBody
	centres    map[lamppost.DeviceID][]lamppost.CentreBody // by version
	changed    map[string]uint32                           // how often an agreement's end was changed
	bySide     map[sides][]string                          // agreement ids in the order they were made

	contracts map[string]*bound
	hearing   map[lamppost.DeviceID][]string // contracts that hear of a device's bills, by id

	soonest []byte // the key of the id that expires first, or one before it

	// The block being applied.
	height lamppost.Height
	time   lamppost.TimeMS
	index  uint32
	writes []byte             // of the current transaction, encoded
	spent  int64              // steps of contracts
	ran    []lamppost.Outcome // what contracts did for the current transaction, beside its own outcome

	// Everything applied since the last Committed.
	round   uint64 // counts them
	overlay overlay
	staged  []byte // all writes, encoded

	checker reportChecker
	own     Signatures
	block   *Signatures // own, or what Verified was given
}

type sides struct{ seller, buyer lamppost.PartyID }

// Open reads the registry from a store that is at rest. The store must not be written except with what Stage puts
// into a batch.
func Open(store kv.Reader) (*State, error) {
	s := &State{
		store:      store,
		members:    map[lamppost.MemberID]*member{},
		gateways:   map[lamppost.MemberID]*gateway{},
		parties:    map[lamppost.PartyID]lamppost.PartyBody{},
		devices:    map[lamppost.DeviceID]*device{},
		points:     map[string][]lamppost.PointBody{},
		metered:    map[lamppost.DeviceID]bool{},
		units:      map[register][]string{},
		serving:    map[lamppost.DeviceID][]string{},
		tariffs:    map[string][]tariff.Tariff{},
		agreements: map[string]lamppost.AgreementBody{},
		centres:    map[lamppost.DeviceID][]lamppost.CentreBody{},
		changed:    map[string]uint32{},
		bySide:     map[sides][]string{},
		contracts:  map[string]*bound{},
		hearing:    map[lamppost.DeviceID][]string{},
		newest:     Rules,
		overlay:    newOverlay(),
		round:      1,
		soonest:    key('X'),
	}
	s.block = &s.own
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("reading the ledger's state: %w", err)
	}
	return s, nil
}

// Network is the network's id, empty before its genesis.
func (s *State) Network() string { return s.net.Network }

// Members returns the members in the order in which they came.
func (s *State) Members() []lamppost.Member { return s.net.Members }

// FormerMembers returns those who were members.
func (s *State) FormerMembers() []lamppost.MemberID { return s.net.Former }

// Policy says who checks the devices' signatures.
func (s *State) Policy() lamppost.Policy { return s.net.Verify }

// Member returns a member's key, or nil.
func (s *State) Member(id lamppost.MemberID) *sig.PublicKey {
	if m := s.members[id]; m != nil {
		return m.key
	}
	return nil
}

// Begin starts a block on top of what was applied before; Verify may follow, then Apply for each transaction. Its writes
// become part of the store by Stage and Committed, or the State is thrown away.
func (s *State) Begin(height lamppost.Height, time lamppost.TimeMS) {
	s.height, s.time, s.index, s.spent = height, time, 0, 0
	s.own.reset()
	s.block = &s.own
}

// Apply decides one transaction and returns one outcome per report of a segment; otherwise one, with what contracts did for it after
// that; and the encoded state writes, valid until the next call. checked says that the caller verified the reports' signatures itself. An error
// means that the state could not be read.
func (s *State) Apply(tx *lamppost.Transaction, id lamppost.TxID, checked bool) ([]lamppost.Outcome, []byte, error) {
	s.writes, s.ran = s.writes[:0], nil
	if v := s.rules(); v > s.newest {
		return nil, nil, fmt.Errorf("block %d goes by rules version %d, and this program knows versions up to %d: install a newer one", s.height, v, s.newest)
	}
	outcomes, err := s.apply(tx, id, checked)
	if err != nil {
		return nil, nil, fmt.Errorf("applying transaction %d of block %d: %w", s.index, s.height, err)
	}
	s.staged = append(s.staged, s.writes...)
	s.index++
	return outcomes, s.writes, nil
}

func (s *State) apply(tx *lamppost.Transaction, id lamppost.TxID, checked bool) ([]lamppost.Outcome, error) {
	if tx.Type == lamppost.TxSegment {
		return s.applySegment(tx, checked)
	}
	out, err := s.applyOrder(tx, id)
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		if len(s.writes) > 0 {
			panic("ledger: a refused transaction wrote state: " + refusal.Error())
		}
		return []lamppost.Outcome{{Code: refusal.Code, Text: refusal.Text}}, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]lamppost.Outcome{out}, s.ran...), nil
}

// applyOrder checks who signed and when, runs the order once, and remembers its id until it expires. Each case checks
// everything before it writes anything, so a refusal leaves no trace in the state.
func (s *State) applyOrder(tx *lamppost.Transaction, id lamppost.TxID) (lamppost.Outcome, error) {
	var none lamppost.Outcome
	o := &tx.Order
	if o.Type == lamppost.TxGenesis {
		return none, s.genesis(tx)
	}
	m := s.members[tx.Signed.Key]
	if m == nil || !tx.Signed.Verify(s.net.Network, lamppost.PurposeTx, m.key) {
		return none, lamppost.Refuse(lamppost.CodeBadSignature, "no member %q signed this for network %q", tx.Signed.Key, s.net.Network)
	}
	if o.ExpiryTime <= s.time || o.ExpiryHeight != 0 && o.ExpiryHeight < s.height || o.ExpiryTime > s.time+MaxExpiryMS {
		return none, lamppost.Refuse(lamppost.CodeExpired, "a transaction expires after its block and at most a day later")
	}
	switch first, err := s.get(idKey(id)); {
	case err == nil:
		return lamppost.Outcome{Code: lamppost.CodeDuplicate, Data: first[:8]}, nil // its height
	case !errors.Is(err, kv.ErrNotFound):
		return none, err
	}
	out, err := s.dispatch(tx)
	if err != nil || out.Code == lamppost.CodeDuplicate { // of what was said before in another order
		return out, err
	}
	expires := txKey(o.ExpiryTime, id)
	s.put(expires, Place{s.height, s.index}.append(nil))
	if bytes.Compare(expires, s.soonest) < 0 {
		s.soonest = expires
	}
	s.put(idKey(id), Place{s.height, s.index}.append(nil))
	if err := s.forgetExpired(); err != nil {
		return none, err
	}
	return out, s.forgetSegments()
}

func (s *State) dispatch(tx *lamppost.Transaction) (out lamppost.Outcome, err error) {
	o := &tx.Order
	switch o.Type {
	case lamppost.TxParty:
		err = body(o, s.party)
	case lamppost.TxCredit:
		err = body(o, s.credit)
	case lamppost.TxDevice:
		err = body(o, s.device)
	case lamppost.TxGateway:
		err = body(o, func(b lamppost.GatewayBody) error { return s.gateway(b, tx.Signed.Key) })
	case lamppost.TxRevoke:
		err = body(o, func(b lamppost.RevokeBody) error { return s.revoke(b, tx.Signed.Key) })
	case lamppost.TxFraud:
		err = body(o, func(b lamppost.FraudBody) (err error) {
			out.Data, err = s.fraud(b)
			return err
		})
	case lamppost.TxRetention:
		err = body(o, s.retention)
	case lamppost.TxHold:
		err = body(o, s.hold)
	case lamppost.TxErase:
		err = body(o, s.erase)
	case lamppost.TxErased:
		err = body(o, func(b lamppost.ErasedBody) error { return s.erased(b, tx.Signed.Key) })
	case lamppost.TxSnapshot:
		err = body(o, func(b lamppost.SnapshotBody) error { return s.snapshot(b, tx.Signed.Key) })
	case lamppost.TxNetwork:
		err = body(o, func(b lamppost.NetworkBody) (err error) {
			out.Data, err = s.changeNetwork(b, tx.Signed.Key)
			return err
		})
	case lamppost.TxVerdicts:
		err = body(o, func(b lamppost.VerdictsBody) (err error) {
			out, err = s.verdicts(b, tx.Signed.Key)
			return err
		})
	case lamppost.TxReview:
		err = body(o, func(b lamppost.ReviewBody) error { return s.review(b, tx.Signed.Key) })
	case lamppost.TxWatch:
		err = body(o, s.watch)
	case lamppost.TxCharter:
		err = body(o, s.charter)
	case lamppost.TxRestrict:
		err = body(o, s.restrict)
	case lamppost.TxDecisions:
		err = body(o, func(b lamppost.DecisionsBody) error { return s.decisions(b, tx.Signed.Key) })
	case lamppost.TxAgent:
		err = body(o, s.agent)
	case lamppost.TxLearn:
		err = body(o, func(b lamppost.LearnBody) error { return s.learn(b, tx.Signed.Key) })
	case lamppost.TxDesire:
		err = body(o, func(b lamppost.DesireBody) (err error) {
			out, err = s.desire(b)
			return err
		})
	case lamppost.TxPoint:
		err = body(o, s.point)
	case lamppost.TxTariff:
		err = body(o, s.tariff)
	case lamppost.TxReading:
		err = body(o, s.reading)
	case lamppost.TxAgreement:
		err = body(o, s.agreement)
	case lamppost.TxTransfer:
		err = body(o, s.transfer)
	case lamppost.TxConvert:
		err = body(o, s.convert)
	case lamppost.TxSession:
		err = body(o, func(b lamppost.SessionBody) error { return s.begin(use{Body: b}) })
	case lamppost.TxSettle:
		err = body(o, func(b lamppost.SettleBody) (err error) {
			out.Data, err = s.settle(b)
			return err
		})
	case lamppost.TxChannel:
		err = body(o, s.openChannel)
	case lamppost.TxCash:
		err = body(o, func(b lamppost.CashBody) (err error) {
			out.Data, err = s.cash(b)
			return err
		})
	case lamppost.TxContradict:
		err = body(o, s.contradict)
	case lamppost.TxCentre:
		err = body(o, s.profitCentre)
	case lamppost.TxPayout:
		err = body(o, func(b lamppost.PayoutBody) (err error) {
			out.Data, err = s.payout(b)
			return err
		})
	case lamppost.TxOffer:
		err = body(o, func(b lamppost.OfferBody) (err error) {
			out, err = s.offer(b)
			return err
		})
	case lamppost.TxAccept:
		err = body(o, func(b lamppost.AcceptBody) (err error) {
			out, err = s.accept(b)
			return err
		})
	case lamppost.TxDispute:
		err = body(o, s.changeDispute)
	case lamppost.TxCorrect:
		err = body(o, func(b lamppost.CorrectBody) (err error) {
			out.Data, err = s.correct(b)
			return err
		})
	case lamppost.TxContract:
		err = body(o, s.deploy)
	case lamppost.TxCall:
		err = body(o, func(b lamppost.CallBody) (err error) {
			out.Data, err = s.call(b, tx.Signed.Key)
			return err
		})
	case lamppost.TxInvoice:
		err = body(o, func(b lamppost.InvoiceBody) (err error) {
			out.Data, err = s.invoice(b)
			return err
		})
	default:
		err = lamppost.Refuse(lamppost.CodeBadTx, "transaction type %d is not known to rules version %d", o.Type, s.rules())
	}
	return out, err
}

// body decodes an order's body and hands it to f.
func body[B any](o *lamppost.Order, f func(B) error) error {
	var b B
	if err := lamppost.Unmarshal(o.Body, &b); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%s: %v", o.Type, err)
	}
	return f(b)
}

// Stage puts the writes of all blocks since the last Committed into the batch that makes them durable.
func (s *State) Stage(b *kv.Batch) {
	forEachWrite(s.staged, func(key, val []byte, deleted bool) {
		if deleted {
			b.Delete(key)
		} else {
			b.Set(key, val)
		}
	})
}

// Committed says that the staged writes are in the store now.
func (s *State) Committed() {
	s.round++
	s.overlay.clear()
	s.staged = s.staged[:0]
}

// A Known is a key with what it is checked with: nil where the ledger has none.
type Known[B any] struct {
	Key[B]
	Public  *sig.PublicKey
	Revoked bool
}

// known returns the key there is and the one before; nil: none.
func (k *keys[B]) known() (now, former *Known[B]) {
	show := func(h *held[B]) *Known[B] { return &Known[B]{h.Key, h.public, k.isRevoked(h.epoch)} }
	if k.former != nil {
		former = show(k.former)
	}
	return show(&k.held), former
}

// DeviceKeys returns the key a device has and the one it had before; nil: none.
func (s *State) DeviceKeys(id lamppost.DeviceID) (now, former *Known[lamppost.DeviceBody]) {
	if d := s.devices[id]; d != nil {
		return d.known()
	}
	return nil, nil
}

// GatewayKeys returns the key a registered gateway has and the one it had before; nil: none.
func (s *State) GatewayKeys(id lamppost.MemberID) (now, former *Known[lamppost.GatewayBody]) {
	if g := s.gateways[id]; g != nil {
		return g.known()
	}
	return nil, nil
}

// EachDevice calls fn for every enrolled device.
func (s *State) EachDevice(fn func(lamppost.DeviceID)) {
	for id := range s.devices {
		fn(id)
	}
}

// EachGateway calls fn for every registered gateway.
func (s *State) EachGateway(fn func(lamppost.MemberID)) {
	for id := range s.gateways {
		fn(id)
	}
}
