package ingest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/sig"
)

// An Item is a submitted report.
type Item struct {
	Raw   []byte
	At    lamppost.TimeMS // when it was received
	From  *Origin
	Token uint64 // given back to Sink with the reply
	Sink  Sink

	Alone   bool // not to be checked together with others: a bad report came from there lately
	Unheard bool // not to be checked at all: far too many did
}

// A Core takes one batch at a time from the bytes that devices sent to the replies they get: what a worker does before
// and after the engine, without goroutine, clock or queue, so that the simulator drives the same code. It keeps its
// memory from one batch to the next.
type Core struct {
	cfg *Config

	report   lamppost.Report
	signed   []byte // what every report signs, one after the other
	entries  []entry
	bad      []*Origin
	checks   []sig.Item
	ok       []bool
	salts    []byte
	items    []lamppost.SegmentItem
	verifier sig.Verifier
	raw      []byte
	seq      lamppost.Seq // of the segment at hand

	halves []byte // reports with half a signature, one after the other
	cold   []sig.Item
}

// An entry is a report between Pack and Reply.
type entry struct {
	item     *Item
	key      *sig.PublicKey
	from, to int // in signed
	id       lamppost.ReportID
	readings int
	sig      []byte
	valid    bool
	cold     bool // may be half-aggregated
	halved   bool
	sight    sight
}

// NewCore returns a Core that signs and judges as cfg says: Network, Gateway, Key, Epoch, KeyOf, Salts, Metrics.
func NewCore(cfg Config) *Core {
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Core{cfg: &cfg}
}

// Pack reads a batch, checks its signatures together, answers what is refused, and packs the rest into a segment of that
// number. It returns the segment's id and bytes, valid until the next Pack; raw is empty if nothing is left. The batch
// belongs to the Core until Reply or the next Pack.
func (c *Core) Pack(batch []Item, number uint64) (id lamppost.TxID, raw []byte, err error) {
	c.read(batch)
	c.verify()
	if len(c.entries) == 0 {
		return id, nil, nil
	}
	c.sort()
	tx, err := c.segment(number)
	if err != nil {
		return id, nil, err
	}
	c.raw = tx.Append(c.raw[:0])
	return tx.ID(c.cfg.Network), c.raw, nil
}

// Bad returns who brought the bad reports of the last batch, once for each. It is valid until the next Pack.
func (c *Core) Bad() []*Origin { return c.bad }

// Reply tells the senders of the batch what was decided. It is called once the decision is durable, and never where the
// segment may not have been committed: then nobody is answered, and the devices send again.
func (c *Core) Reply(d consensus.Decision) {
	m := c.cfg.Metrics
	for i := range c.entries {
		e := &c.entries[i]
		o := &d.Outcomes[i]
		r := Reply{Code: o.Code, ID: e.id, Height: d.Height, Text: o.Text, Received: e.item.At, Segment: c.seq}
		switch {
		case o.Code == lamppost.CodeDuplicate && len(o.Data) == 8:
			r.Height = lamppost.Height(binary.BigEndian.Uint64(o.Data))
		case e.halved && o.Code == lamppost.CodeBadSignature: // it is good: a key among them was replaced meanwhile
			r.Code, r.Text, r.Height = lamppost.CodeNotReady, "packed with a report whose key counts no longer: send it again", 0
		case !o.Code.Accepted():
			r.Height = 0
		}
		m.count(r.Code)
		e.item.From.Tally.decided(&e.sight, len(e.item.Raw), e.readings, r.Code)
		if o.Code == lamppost.CodeOK {
			m.Readings.Add(float64(e.readings))
		}
		e.item.Sink.Done(e.item.Token, r)
	}
}

// read decodes every report of the batch, refuses those that cannot be, and looks up their keys.
func (c *Core) read(batch []Item) {
	c.entries, c.signed, c.bad = c.entries[:0], c.signed[:0], c.bad[:0]
	for i := range batch {
		it := &batch[i]
		r := &c.report
		if it.Unheard {
			c.refuse(it, lamppost.ReportID{}, lamppost.CodeBusy, "too many reports before this one could not be read or were wrongly signed: send it again later")
			continue
		}
		if err := r.Decode(it.Raw); err != nil {
			var refusal *lamppost.Refusal
			if !errors.As(err, &refusal) {
				refusal = lamppost.Refuse(lamppost.CodeBadReport, "%v", err)
			}
			c.refuseBad(it, lamppost.ReportID{}, refusal.Code, refusal.Text)
			continue
		}
		e := entry{item: it, from: len(c.signed), readings: len(r.Readings), sig: r.Signature(), cold: r.Cold() && r.Suite() == sig.EdDSA}
		c.signed = r.AppendToBeSigned(c.signed, c.cfg.Network)
		e.to = len(c.signed)
		e.id = sha256.Sum256(c.signed[e.from:])
		key, why := c.cfg.KeyOf(r.Device, r.KeyEpoch)
		switch {
		case r.Device != it.From.Device:
			it.From.Tally.Forbid("")
			c.refuse(it, e.id, lamppost.CodeForbidden, "this connection is another device's")
		case why == KeyOver:
			c.refuseBad(it, e.id, why.Code, why.Text)
		case why != nil:
			c.refuse(it, e.id, why.Code, why.Text)
		case key.Suite() != r.Suite():
			c.refuseBad(it, e.id, lamppost.CodeBadSignature, "signed with another algorithm than the device's key is for")
		default:
			e.key, e.sight = key, it.From.Tally.look(r)
			c.entries = append(c.entries, e)
			continue
		}
		c.signed = c.signed[:e.from]
	}
}

// verify checks the signatures of the batch together, and those of suspects alone, and refuses the bad ones.
func (c *Core) verify() {
	c.checks, c.ok = c.checks[:0], c.ok[:0]
	for i := range c.entries {
		e := &c.entries[i]
		if check := (sig.Item{Key: e.key, Msg: c.signed[e.from:e.to], Sig: e.sig}); e.item.Alone {
			e.valid = e.key.Verify(check.Msg, check.Sig)
		} else {
			c.checks, c.ok = append(c.checks, check), append(c.ok, false)
		}
	}
	m := c.cfg.Metrics
	m.Alone.Add(float64(len(c.entries) - len(c.checks)))
	m.Together.Add(float64(len(c.checks)))
	if len(c.checks) > 0 && c.verifier.Verify(c.checks, c.ok) < len(c.checks) {
		m.Searches.Inc()
	}
	good, ok := c.entries[:0], c.ok
	for _, e := range c.entries {
		if !e.item.Alone {
			e.valid, ok = ok[0], ok[1:]
		}
		if e.valid {
			good = append(good, e)
		} else {
			c.refuseBad(e.item, e.id, lamppost.CodeBadSignature, "the signature does not verify against the device's key")
		}
	}
	c.entries = good
}

// sort puts the reports in the order of their devices, a device's as they came. Devices of one house or customer often have
// neighbouring names; beside each other they need fewer hashes to be proven together.
func (c *Core) sort() {
	slices.SortFunc(c.entries, func(a, b entry) int {
		return cmp.Or(strings.Compare(string(a.item.From.Device), string(b.item.From.Device)), cmp.Compare(a.from, b.from))
	})
}

// segment packs and signs what is left. It gives every report its own salt.
func (c *Core) segment(number uint64) (*lamppost.Transaction, error) {
	n := len(c.entries)
	if need := (n + 1) * lamppost.SaltBytes; cap(c.salts) < need {
		c.salts = make([]byte, need)
	}
	c.salts = c.salts[:(n+1)*lamppost.SaltBytes]
	c.cfg.Salts(c.salts)
	c.items = c.items[:0]
	readings := 0
	for i := range c.entries {
		it := lamppost.SegmentItem{Received: c.entries[i].item.At, Report: c.entries[i].item.Raw}
		copy(it.Salt[:], c.salts[i*lamppost.SaltBytes:])
		c.items = append(c.items, it)
		readings += c.entries[i].readings
	}
	seed := lamppost.Seed(c.salts[n*lamppost.SaltBytes:])
	c.seq = lamppost.Seq{Epoch: c.cfg.Epoch, N: number}
	s, err := c.halve()
	if err != nil {
		return nil, err
	}
	return lamppost.NewAggregate(c.cfg.Network, c.seq, readings, c.items, s, c.cfg.Gateway, c.cfg.Key(), seed)
}

// halve takes half of their signatures from the cold reports, if there are several, and returns what stands for the rest.
func (c *Core) halve() (s []byte, err error) {
	c.cold, c.halves = c.cold[:0], c.halves[:0]
	for i := range c.entries {
		if e := &c.entries[i]; e.cold && !c.cfg.Whole {
			c.cold = append(c.cold, sig.Item{Key: e.key, Msg: c.signed[e.from:e.to], Sig: e.sig})
		}
	}
	if len(c.cold) < 2 {
		return nil, nil
	}
	aggregate, err := c.verifier.AggregateValid(sig.Cold, c.cold)
	if err != nil {
		return nil, err
	}
	for i := range c.entries {
		e := &c.entries[i]
		if e.halved = e.cold; !e.cold {
			continue
		}
		if err := c.report.Decode(e.item.Raw); err != nil {
			return nil, err
		}
		c.halves = slices.Grow(c.halves, len(e.item.Raw)) // what was written before keeps the memory it is in
		from := len(c.halves)
		c.halves = c.report.Halve(c.halves)
		c.items[i].Report = c.halves[from:len(c.halves):len(c.halves)]
	}
	return aggregate[len(aggregate)-lamppost.AggregateBytes:], nil
}

// refuseBad refuses what cannot be read or verified, and notes who brought it.
func (c *Core) refuseBad(it *Item, id lamppost.ReportID, code lamppost.Code, text string) {
	c.bad = append(c.bad, it.From)
	it.From.Tally.bad()
	c.refuse(it, id, code, text)
}

func (c *Core) refuse(it *Item, id lamppost.ReportID, code lamppost.Code, text string) {
	c.cfg.Metrics.count(code)
	it.Sink.Done(it.Token, Reply{Code: code, ID: id, Text: text})
}
