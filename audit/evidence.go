package audit

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sort"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Evidence is what a proof turned out to prove. It does not change after [CheckProof] and may be read concurrently.
type Evidence struct {
	Network    string
	Pinned     bool                // the members are the pin's; otherwise the network's own word
	Checkpoint lamppost.Checkpoint // the first of the quorum, all of which are equal but for their origin
	Signers    []string            // origins of the members' checkpoints
	Cosigned   []Cosignature       // of the checkpoints
	Txs        []Tx                // in log order
	Reports    []Report            // in the proof's order
	Runs       []Run               // of contracts, in log order

	proof     *lamppost.Proof
	members   *roster // whose checkpoints count; nil without a pin until the transactions are read
	terms     []term  // who the members were when, where the proof shows the founding
	witnesses witnesses
	blocks    []lamppost.BlockLeaf
	bodies    map[bodyKey][]int     // transactions that say something of a name, in log order
	places    map[tariff.Source]int // reports by where they stand, the record being 0
	edges     map[register][]edge   // by time
	moments   map[register][]edge   // at their very times, of registers that sessions rest on
	sources   map[tariff.Source]*edge
	numbers   map[billNumber]*Tx              // invoices that were computed again
	used      map[string]use                  // what they billed, by agreement or session
	accepted  map[string]*lamppost.AcceptBody // by session: what devices took on themselves
	again     bool                            // the programs of all runs were run again
	hidden    int                             // runs of contracts for the invoices that the proof does not show
}

type billNumber struct {
	seller lamppost.PartyID
	number string
}

// Members returns whose signatures counted, with their keys.
func (e *Evidence) Members() []lamppost.Member { return e.members.members }

// A Tx is a transaction that stands in the log.
type Tx struct {
	Leaf    int64
	Type    lamppost.TxType
	Height  lamppost.Height
	Index   uint32
	ID      lamppost.TxID
	Signer  lamppost.MemberID
	Outcome lamppost.Outcome // of an order that is shown
	Order   lamppost.Order   // likewise
	Invoice *Invoice         // of an accepted invoice order: computed again
	Profit  *Profit          // of an accepted payout: computed again

	key     *sig.PublicKey // that a segment is signed with, or that an enrolment names
	gateway *Tx            // what made that key known, where it is not a member's
	claim   sig.Item       // a member's signature that is still to be checked, or none
	proof   *lamppost.TxProof
	body    any // of a kind that has lookups, where the outcome is [lamppost.CodeOK]
}

// String names the transaction in messages.
func (t *Tx) String() string { return fmt.Sprintf("%s %d of block %d", t.Type, t.Index, t.Height) }

// header is a segment's.
func (t *Tx) header() *lamppost.SegmentHeader { return &t.proof.Segment.Header }

// readTxs reads the transactions. Their signatures are checked later, all together.
func (e *Evidence) readTxs() error {
	e.Txs = make([]Tx, 0, len(e.proof.Txs))
	for i := range e.proof.Txs {
		p := &e.proof.Txs[i]
		t := Tx{Leaf: p.Leaf, Height: p.Height, Index: p.Index, proof: p}
		if err := e.readTx(&t); err != nil {
			return fmt.Errorf("%s: %w", &t, err)
		}
		if i > 0 && !e.Txs[i-1].before(&t) {
			return fmt.Errorf("%s: the transactions of a proof stand in log order", &t)
		}
		e.Txs = append(e.Txs, t)
		e.remember(i)
	}
	return nil
}

func (t *Tx) before(u *Tx) bool {
	return t.Leaf < u.Leaf && (t.Height < u.Height || t.Height == u.Height && t.Index < u.Index)
}

func (e *Evidence) readTx(t *Tx) error {
	switch p := t.proof; {
	case p.Segment != nil:
		return e.readSegment(t)
	case p.Result != nil:
		t.Type = p.Result.Type
		return t.readRuns()
	case p.Order == nil:
		return errors.New("it is an order, a segment or a result")
	}
	s, err := lamppost.ParseSigned(t.proof.Order.Signed)
	if err != nil {
		return err
	}
	if t.Order, err = lamppost.ParseOrder(s); err != nil {
		return err
	}
	t.Type, t.Signer = t.Order.Type, s.Key
	if t.Type == lamppost.TxBlock || t.Type == lamppost.TxSegment {
		return errors.New("it is no order")
	}
	t.ID = s.ID(e.Network, lamppost.PurposeTx)
	if t.Outcome, err = lamppost.DecodeOutcome(t.proof.Order.Outcome); err != nil {
		return err
	}
	if err := t.readRuns(); err != nil {
		return err
	}
	if t.Type == lamppost.TxGenesis {
		return e.checkGenesis(t, &s)
	}
	if !t.Outcome.Code.Accepted() {
		return nil // refused, perhaps for its signature
	}
	if err := e.claimed(t, &s, lamppost.PurposeTx); err != nil || t.Type != lamppost.TxNetwork {
		return err
	}
	return e.changeMembers(t)
}

func (e *Evidence) readSegment(t *Tx) error {
	seg := t.proof.Segment
	t.Type, t.Signer = lamppost.TxSegment, seg.Header.Gateway
	if len(seg.Kept) == 0 {
		return errors.New("the proof shows no report of it")
	}
	s, err := lamppost.ParseSigned(seg.Signed)
	if err != nil {
		return err
	}
	t.ID = s.ID(e.Network, lamppost.PurposeSegment)
	registered := e.registered(t.Signer, t.Leaf)
	if t.key = e.memberKey(t.Signer); t.key != nil || len(registered) == 0 {
		return e.claimed(t, &s, lamppost.PurposeSegment)
	}
	for i := len(registered) - 1; i >= 0; i-- {
		key, err := sig.ParsePublicKey(sig.EdDSA, registered[i].body.(*lamppost.GatewayBody).Key)
		if err != nil {
			return fmt.Errorf("a registered key of gateway %q cannot be read: %v", t.Signer, err)
		}
		if s.Verify(e.Network, lamppost.PurposeSegment, key) {
			t.key, t.gateway = key, registered[i]
			return nil
		}
	}
	return fmt.Errorf("it does not match the signature of gateway %q", t.Signer)
}

// claimed leaves a member's signature to be checked.
func (e *Evidence) claimed(t *Tx, s *lamppost.Signed, p lamppost.Purpose) error {
	key := e.memberKey(t.Signer)
	if key == nil {
		return e.noMember(t.Signer)
	}
	if t.claim = s.Item(e.Network, p, key); t.claim.Key == nil {
		return t.unsigned()
	}
	return nil
}

func (t *Tx) unsigned() error {
	return fmt.Errorf("it does not match the signature of member %q", t.Signer)
}

// leaf is the transaction's in the log.
func (t *Tx) leaf() []byte {
	l := lamppost.Leaf{Type: t.Type, Height: t.Height, Index: t.Index}
	if seg := t.proof.Segment; seg != nil {
		l.Body = seg.BodyDigest()
		l.Result, _ = seg.ResultDigest()
		return l.Append(nil)
	}
	if r := t.proof.Result; r != nil {
		l.Body, l.Result = r.Body, lamppost.ResultDigest(t.result(r.Outcome), r.Writes)
		return l.Append(nil)
	}
	outcome := t.proof.Order.Outcome
	if t.Invoice != nil {
		outcome = lamppost.Outcome{Code: lamppost.CodeOK, Data: lamppost.Marshal(t.Invoice.Invoice)}.Append(nil)
	}
	if t.Profit != nil {
		outcome = lamppost.Outcome{Code: lamppost.CodeOK, Data: lamppost.Marshal(t.Profit.Profit)}.Append(nil)
	}
	l.Body = lamppost.BodyDigest(t.proof.Order.Salt, lamppost.Hash{}, t.proof.Order.Signed)
	l.Result = lamppost.ResultDigest(t.result(lamppost.OutcomeHash(t.proof.Order.OutcomeSalt, outcome)), t.proof.Order.Writes)
	return l.Append(nil)
}

// checkSignatures checks the signatures of all transactions and reports together.
func (e *Evidence) checkSignatures() error {
	items := make([]sig.Item, 0, len(e.Txs)+len(e.Reports))
	for i := range e.Txs {
		items = append(items, e.Txs[i].claim)
	}
	for i := range e.Reports {
		items = append(items, e.Reports[i].claim)
	}
	ok := make([]bool, len(items))
	sig.VerifyAll(runtime.GOMAXPROCS(0), items, ok)
	for i := range e.Txs {
		if t := &e.Txs[i]; t.claim.Key != nil && !ok[i] {
			return fmt.Errorf("%s: %w", t, t.unsigned())
		}
	}
	ok = ok[len(e.Txs):]
	for i := range e.Reports {
		if r := &e.Reports[i]; r.Outcome.Code.Accepted() && !ok[i] && !r.vouched {
			return &reportFault{i, r.Signed.Device, fmt.Sprintf("does not match the signature of %s", r.signer()), e.accusation(i)}
		}
	}
	return nil
}

// A bodyKey is the name under which a transaction's body is found.
type bodyKey struct {
	kind    lamppost.TxType
	id      string
	version uint32 // of a tariff or contract, or one more than a point's mount; 0 for any
}

// remember reads the body of a transaction that took effect. One that cannot be read is only missing from the lookups:
// what the log holds is proven all the same.
func (e *Evidence) remember(i int) {
	t := &e.Txs[i]
	if t.proof.Order == nil || t.Outcome.Code != lamppost.CodeOK {
		return
	}
	keep := func(body any, keys ...bodyKey) {
		t.body = body
		for _, k := range keys {
			e.bodies[k] = append(e.bodies[k], i)
		}
	}
	switch raw := t.Order.Body; t.Type {
	case lamppost.TxParty:
		if b, ok := decode[lamppost.PartyBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: string(b.ID)})
		}
	case lamppost.TxDevice:
		if b, ok := decode[lamppost.DeviceBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: string(b.ID)})
		}
	case lamppost.TxGateway:
		if b, ok := decode[lamppost.GatewayBody](raw); ok && b.Member == t.Signer {
			keep(b, bodyKey{kind: t.Type, id: string(b.ID)})
		}
	case lamppost.TxRevoke:
		if b, ok := decode[lamppost.RevokeBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: cmp.Or(string(b.Device), string(b.Gateway))})
		}
	case lamppost.TxPoint:
		if b, ok := decode[lamppost.PointBody](raw); ok {
			keep(b, bodyKey{t.Type, b.ID, b.Mount + 1})
		}
	case lamppost.TxVerdicts:
		if b, ok := decode[lamppost.VerdictsBody](raw); ok && len(b.Verdicts) > 0 && b.Check() == nil {
			keep(b, bodyKey{kind: t.Type, id: string(b.Verdicts[0].Device)}) // one that suspends registers is about one device
		}
	case lamppost.TxReview:
		if b, ok := decode[lamppost.ReviewBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: b.Verdict.String()})
		}
	case lamppost.TxReading:
		if b, ok := decode[lamppost.ReadingBody](raw); ok {
			keep(b)
		}
	case lamppost.TxSession:
		if b, ok := decode[lamppost.SessionBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: b.ID})
		}
	case lamppost.TxAccept:
		if b, ok := decode[lamppost.AcceptBody](raw); ok {
			keep(&b.Session, bodyKey{kind: lamppost.TxSession, id: b.Session.ID})
			e.accepted[b.Session.ID] = b
		}
	case lamppost.TxCentre:
		if b, ok := decode[lamppost.CentreBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: string(b.Device)})
		}
	case lamppost.TxContract:
		if b, ok := decode[lamppost.ContractBody](raw); ok {
			keep(b, bodyKey{t.Type, b.ID, b.Version})
		}
	case lamppost.TxPayout:
		if b, ok := decode[lamppost.PayoutBody](raw); ok {
			keep(b)
		}
	case lamppost.TxSettle:
		if b, ok := decode[lamppost.SettleBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: b.Session})
		}
	case lamppost.TxChannel:
		if b, ok := decode[lamppost.ChannelBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: b.ID})
		}
	case lamppost.TxAgreement:
		if b, ok := decode[lamppost.AgreementBody](raw); ok {
			keep(b, bodyKey{kind: t.Type, id: b.ID})
		}
	case lamppost.TxTariff:
		if b, ok := decode[tariff.Tariff](raw); ok {
			keep(b, bodyKey{t.Type, b.ID, b.Version}, bodyKey{kind: t.Type, id: b.ID})
		}
	}
}

func decode[B any](raw []byte) (*B, bool) {
	b := new(B)
	return b, lamppost.Unmarshal(raw, b) == nil
}

// latest returns what the log last said of a name before a leaf, or nil.
func latest[B any](e *Evidence, k bodyKey, before int64) *B {
	found := e.bodies[k]
	for i := len(found) - 1; i >= 0; i-- {
		if t := &e.Txs[found[i]]; t.Leaf < before {
			return t.body.(*B)
		}
	}
	return nil
}

// Party returns what the log said of a party before a leaf, or nil where the proof does not have it. So do Point, Agreement
// and Tariff.
func (e *Evidence) Party(id lamppost.PartyID, before int64) *lamppost.PartyBody {
	return latest[lamppost.PartyBody](e, bodyKey{kind: lamppost.TxParty, id: string(id)}, before)
}

// Point returns a meter of a metering point, see [Evidence.Party].
func (e *Evidence) Point(id string, mount uint32, before int64) *lamppost.PointBody {
	return latest[lamppost.PointBody](e, bodyKey{lamppost.TxPoint, id, mount + 1}, before)
}

// Agreement returns an agreement, see [Evidence.Party].
func (e *Evidence) Agreement(id string, before int64) *lamppost.AgreementBody {
	return latest[lamppost.AgreementBody](e, bodyKey{kind: lamppost.TxAgreement, id: id}, before)
}

// Tariff returns a version of a tariff, see [Evidence.Party].
func (e *Evidence) Tariff(id string, version uint32, before int64) *tariff.Tariff {
	if version == 0 {
		return nil
	}
	return latest[tariff.Tariff](e, bodyKey{lamppost.TxTariff, id, version}, before)
}

// Report returns the report at a place of the log, or nil where the proof does not have it.
func (e *Evidence) Report(at tariff.Source) *Report {
	at.Record = 0
	if i, ok := e.places[at]; ok {
		return &e.Reports[i]
	}
	return nil
}

// Time returns when a block was agreed on, or false where the proof does not have its leaf.
func (e *Evidence) Time(h lamppost.Height) (lamppost.TimeMS, bool) {
	i := sort.Search(len(e.blocks), func(i int) bool { return e.blocks[i].Height >= h })
	if i == len(e.blocks) || e.blocks[i].Height != h {
		return 0, false
	}
	return e.blocks[i].Time, true
}

// invoices returns the transactions that made an invoice, or corrected one.
func (e *Evidence) invoices() []*Tx {
	var found []*Tx
	for i := range e.Txs {
		if t := &e.Txs[i]; (t.Type == lamppost.TxInvoice || t.Type == lamppost.TxCorrect) && t.proof.Order != nil && t.Outcome.Code == lamppost.CodeOK {
			found = append(found, t)
		}
	}
	return found
}
