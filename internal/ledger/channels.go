package ledger

import (
	"cmp"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Channels: what a payer may promise one payee by vouchers, and the money that is held for it. Each channel has a hold of its own, so
// what a payer promises to many payees together is never more than it has (docs/decisions/0015-vouchers.md).

// A channel is what the state keeps of one.
type channel struct {
	Body    lamppost.ChannelBody `cbor:"1,keyasint"`
	Seller  lamppost.PartyID     `cbor:"2,keyasint"`
	Held    lamppost.Micro       `cbor:"3,keyasint"`
	N       uint64               `cbor:"4,keyasint,omitempty"` // of the latest voucher that was cashed
	Cashed  lamppost.Micro       `cbor:"5,keyasint,omitempty"` // by it
	Voucher []byte               `cbor:"6,keyasint,omitempty"`
	Closed  lamppost.TimeMS      `cbor:"7,keyasint,omitempty"` // 0: it is open
	Reason  string               `cbor:"8,keyasint,omitempty"` // why it was closed early
	Invoice string               `cbor:"9,keyasint,omitempty"`
	Opened  Place                `cbor:"10,keyasint"`
}

func channelKey(id string) []byte { return key('w', id) }

// closedKey holds the ids of channels that are closed and not billed yet.
func closedKey(seller, buyer lamppost.PartyID, id string) []byte {
	return key('x', string(seller), string(buyer), id)
}

// barKey holds why nobody opens a channel for a payer.
func barKey(payer lamppost.PartyID) []byte { return key('x', string(payer)) }

func (s *State) channel(id string) (*channel, error) {
	c, err := read[channel](s.view(), channelKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		err = lamppost.Refuse(lamppost.CodeUnknown, "no channel %q", id)
	}
	return &c, err
}

// openChannel opens a channel and holds what may come to be promised on it.
func (s *State) openChannel(b lamppost.ChannelBody) error {
	if err := lamppost.CheckName("channel", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if _, err := s.get(channelKey(b.ID)); err == nil {
		return lamppost.Refuse(lamppost.CodeExists, "channel %q exists", b.ID)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if _, err := sig.ParsePublicKey(sig.EdDSA, b.Key); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "key of channel %q: %v", b.ID, err)
	}
	t, err := s.channelTerms(&b)
	if err != nil {
		return err
	}
	if _, err := s.get(barKey(b.Payer)); err == nil {
		return lamppost.Refuse(lamppost.CodeForbidden, "%q signed vouchers that contradict each other or their channel: a second order lifts that", b.Payer)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	held, ok := tariff.WithTax(b.Most, t.Tax, t.Currency, t.Rounding)
	if !ok {
		return lamppost.Refuse(lamppost.CodeBadTx, "%s with tax cannot be held", b.Most)
	}
	if err := s.covers(b.Payer, t.Currency, held); err != nil {
		return err
	}
	if err := s.changeHeld(b.Payer, t.Currency, held); err != nil {
		return err
	}
	s.putBody(channelKey(b.ID), channel{Body: b, Seller: t.Seller, Held: held, Opened: Place{s.height, s.index}})
	return nil
}

// channelTerms finds a channel's tariff, and checks what it says of it and of its payer and payee.
func (s *State) channelTerms(b *lamppost.ChannelBody) (*tariff.Tariff, error) {
	versions := s.tariffs[b.Tariff]
	if b.Version == 0 || int(b.Version) > len(versions) {
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "no version %d of tariff %q", b.Version, b.Tariff)
	}
	if _, ok := s.parties[b.Payer]; !ok {
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "no party %q to pay", b.Payer)
	}
	t := &versions[b.Version-1]
	device := s.devices[lamppost.DeviceID(b.Payee)]
	switch {
	case b.Payee != t.Seller && device == nil:
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "no device %q to be paid", b.Payee)
	case b.Payee != t.Seller && device.Body.Owner != t.Seller:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%q belongs to %q, and %q sells under tariff %q", b.Payee, device.Body.Owner, t.Seller, b.Tariff)
	case b.Payer == t.Seller:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "nobody sells to himself")
	case b.Most <= 0 || b.Most > tariff.MaxPrice || !tariff.Whole(b.Most, t.Currency):
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a channel is for at most %s, in whole minor units of %s, and for more than nothing", tariff.MaxPrice, t.Currency)
	case b.From <= 0 || b.From > s.time+lamppost.MaxAheadMS || b.Until <= max(s.time, b.From) || b.Until-b.From > tariff.MaxSessionMS:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a channel begins within a day, has not ended, and lasts a month at most")
	case b.From < t.From || t.To != 0 && b.Until > t.To || int(b.Version) < len(versions) && b.Until > versions[b.Version].From:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "version %d of tariff %q does not hold all the time", b.Version, b.Tariff)
	}
	return t, nil
}

// A cashing is an order to cash being looked into: every channel it names, in the order it names them.
type cashing struct {
	channels []*channel
	done     []lamppost.Cashed
	vouchers []lamppost.Voucher // zero where a channel is only closed
	at       map[string]int     // where a channel stands in them
}

// cash cashes vouchers and closes channels, all of them or none, and returns what each came to.
func (s *State) cash(b lamppost.CashBody) ([]byte, error) {
	if n := len(b.Vouchers) + len(b.Close); n == 0 || n > lamppost.MaxCashed {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "an order cashes or closes 1 to %d channels, not %d", lamppost.MaxCashed, n)
	}
	if err := checkText(b.Reason); err != nil {
		return nil, err
	}
	c, err := s.readVouchers(b.Vouchers)
	if err != nil {
		return nil, err
	}
	for i, x := range c.channels {
		if v := &c.vouchers[i]; v.Amount > x.Cashed {
			c.done[i].More = v.Amount - x.Cashed
			x.N, x.Cashed, x.Voucher = v.N, v.Amount, b.Vouchers[i]
		}
	}
	if err := s.close(c, &b); err != nil {
		return nil, err
	}
	for i, x := range c.channels {
		d := &c.done[i]
		d.Channel, d.N, d.Amount, d.Closed = x.Body.ID, x.N, x.Cashed, x.Closed != 0
		s.putBody(channelKey(x.Body.ID), x)
	}
	return lamppost.Marshal(c.done), nil
}

// readVouchers finds the channel of each voucher, and checks that all of them count.
func (s *State) readVouchers(all [][]byte) (*cashing, error) {
	c := &cashing{done: make([]lamppost.Cashed, len(all)), vouchers: make([]lamppost.Voucher, len(all)), at: map[string]int{}}
	items, ok := make([]sig.Item, len(all)), make([]bool, len(all))
	for i, raw := range all {
		v := &c.vouchers[i]
		if err := v.Decode(raw); err != nil {
			return nil, lamppost.Refuse(lamppost.CodeBadTx, "voucher %d of the order: %v", i+1, err)
		}
		x, err := s.channel(v.Channel)
		if err != nil {
			return nil, err
		}
		key, err := sig.ParsePublicKey(sig.EdDSA, x.Body.Key)
		if err != nil {
			return nil, err
		}
		_, twice := c.at[v.Channel]
		switch why := x.Body.Breach(v); {
		case twice:
			return nil, lamppost.Refuse(lamppost.CodeBadTx, "channel %q stands twice: its last voucher is enough", v.Channel)
		case x.Closed != 0:
			return nil, lamppost.Refuse(lamppost.CodeExists, "channel %q is closed", v.Channel)
		case why != "":
			return nil, lamppost.Refuse(lamppost.CodeBadTx, "voucher %d of channel %q: %s", v.N, v.Channel, why)
		}
		c.at[v.Channel] = i
		c.channels, items[i] = append(c.channels, x), v.Item(s.net.Network, key)
	}
	sig.VerifyAll(1, items, ok)
	if i := slices.Index(ok, false); i >= 0 {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "the key of channel %q did not sign voucher %d of it", c.vouchers[i].Channel, c.vouchers[i].N)
	}
	return c, nil
}

// close closes channels, among them such as the order does not cash, and frees what is not needed of their holds. It checks everything
// before it writes anything.
func (s *State) close(c *cashing, b *lamppost.CashBody) error {
	var closing []int
	for _, id := range b.Close {
		i, cashed := c.at[id]
		if !cashed {
			x, err := s.channel(id)
			if err != nil {
				return err
			}
			i = len(c.channels)
			c.at[id] = i
			c.channels, c.done, c.vouchers = append(c.channels, x), append(c.done, lamppost.Cashed{}), append(c.vouchers, lamppost.Voucher{})
		}
		switch x := c.channels[i]; {
		case x.Closed != 0:
			return lamppost.Refuse(lamppost.CodeExists, "channel %q is closed", id)
		case b.Reason == "" && s.time < x.Body.Until+lamppost.ClaimMS:
			return lamppost.Refuse(lamppost.CodeNotReady, "%q can cash vouchers of channel %q for three days after its end: give a reason to close it now", x.Body.Payee, id)
		}
		x := c.channels[i]
		left, err := s.stillHeld(x)
		if err != nil {
			return err
		}
		x.Closed, x.Reason, c.done[i].Freed = s.time, b.Reason, x.Held-left
		x.Held = left
		closing = append(closing, i)
	}
	for _, i := range closing {
		x := c.channels[i]
		if err := s.changeHeld(x.Body.Payer, s.tariffs[x.Body.Tariff][0].Currency, -c.done[i].Freed); err != nil {
			return err
		}
		if x.Cashed > 0 {
			s.put(closedKey(x.Seller, x.Body.Payer, x.Body.ID), nil)
		}
	}
	return nil
}

// stillHeld is what must be held of a channel until its bill: what was cashed, with tax.
func (s *State) stillHeld(x *channel) (lamppost.Micro, error) {
	if x.Cashed == 0 {
		return 0, nil
	}
	t := &s.tariffs[x.Body.Tariff][x.Body.Version-1]
	lines, err := tariff.PriceVoucher(t, &x.Body, x.Voucher)
	if err != nil {
		return 0, err
	}
	held, _ := tariff.WithTax(lines[0].Amount, t.Tax, t.Currency, t.Rounding) // no more than at the opening, which was possible
	return held, nil
}

// channelSupply is what a closed channel came to.
func (s *State) channelSupply(x *channel) tariff.Supply {
	sup := tariff.Supply{Tariff: s.tariffs[x.Body.Tariff][x.Body.Version-1], Channel: &x.Body, Voucher: x.Voucher}
	if x.Body.Payee != x.Seller {
		sup.Device = lamppost.DeviceID(x.Body.Payee)
	}
	return sup
}

// addChannels appends the channels that are closed and not billed, and returns them.
func (s *State) addChannels(b *lamppost.InvoiceBody, all []tariff.Supply) ([]tariff.Supply, []*channel, error) {
	ids, err := s.idsUnder(closedKey(b.Seller, b.Buyer, ""))
	if err != nil {
		return nil, nil, err
	}
	var channels []*channel
	for _, id := range ids {
		x, err := s.channel(id)
		if err != nil {
			return nil, nil, err
		}
		if max(x.Closed, x.Body.From) > b.To || s.tariffs[x.Body.Tariff][0].Currency != b.Currency || len(all) == tariff.MaxSupplies {
			continue
		}
		all, channels = append(all, s.channelSupply(x)), append(channels, x)
	}
	return all, channels, nil
}

// billChannels notes that channels stand on an invoice, and releases what was held for them.
func (s *State) billChannels(channels []*channel, number string) error {
	for _, x := range channels {
		if err := s.changeHeld(x.Body.Payer, s.tariffs[x.Body.Tariff][0].Currency, -x.Held); err != nil {
			return err
		}
		x.Held, x.Invoice = 0, number
		s.putBody(channelKey(x.Body.ID), x)
		s.del(closedKey(x.Seller, x.Body.Payer, x.Body.ID))
	}
	return nil
}

// A contradiction is what the state keeps of one.
type contradiction struct {
	Channel  string   `cbor:"1,keyasint"`
	Vouchers [][]byte `cbor:"2,keyasint"`
}

// contradict records what a payer signed that no honest one does, or lifts what that caused.
func (s *State) contradict(b lamppost.ContradictBody) error {
	if err := checkText(b.Reason); err != nil {
		return err
	}
	if b.Lift != "" {
		return s.liftBar(&b)
	}
	x, _, err := s.view().Contradict(s.net.Network, b.Vouchers)
	if err != nil {
		return err
	}
	at := barKey(x.Payer)
	if _, err := s.get(at); err == nil {
		return lamppost.Refuse(lamppost.CodeExists, "that %q contradicts itself was shown before", x.Payer)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	s.putBody(at, contradiction{x.ID, b.Vouchers})
	return nil
}

// Contradict says in words what one or two vouchers show of the payer of their channel, or refuses them.
func (v View) Contradict(network string, all [][]byte) (*Channel, string, error) {
	if len(all) < 1 || len(all) > 2 {
		return nil, "", lamppost.Refuse(lamppost.CodeBadTx, "one voucher contradicts its channel, or two each other: there are %d", len(all))
	}
	vs := make([]lamppost.Voucher, len(all))
	for i, raw := range all {
		if err := vs[i].Decode(raw); err != nil {
			return nil, "", lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
		}
	}
	first, last := &vs[0], &vs[len(vs)-1]
	x, err := v.Channel(first.Channel)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, "", lamppost.Refuse(lamppost.CodeUnknown, "no channel %q", first.Channel)
	case err != nil:
		return nil, "", err
	case first.Channel != last.Channel:
		return nil, "", lamppost.Refuse(lamppost.CodeBadTx, "vouchers of channels %q and %q contradict nothing", first.Channel, last.Channel)
	}
	key, err := sig.ParsePublicKey(sig.EdDSA, x.Key)
	if err != nil {
		return nil, "", err
	}
	for i := range vs {
		if !vs[i].Verify(network, key) {
			return nil, "", lamppost.Refuse(lamppost.CodeBadSignature, "the key of channel %q did not sign voucher %d of it", x.ID, vs[i].N)
		}
	}
	why := cmp.Or(x.Breach(first), x.Breach(last), first.Contradicts(last))
	if why == "" {
		return nil, "", lamppost.Refuse(lamppost.CodeBadTx, "nothing contradicts here: an honest payer signs this on channel %q", x.ID)
	}
	return &x, why, nil
}

func (s *State) liftBar(b *lamppost.ContradictBody) error {
	if len(b.Vouchers) > 0 || b.Reason == "" {
		return lamppost.Refuse(lamppost.CodeBadTx, "a contradiction is lifted with a reason, and without vouchers")
	}
	if _, err := s.get(barKey(b.Lift)); errors.Is(err, kv.ErrNotFound) {
		return lamppost.Refuse(lamppost.CodeUnknown, "no contradiction of %q", b.Lift)
	} else if err != nil {
		return err
	}
	s.del(barKey(b.Lift))
	return nil
}

// A Channel is a channel as the state has it.
type Channel struct {
	lamppost.ChannelBody
	Seller  lamppost.PartyID `json:"seller"`
	Held    lamppost.Micro   `json:"held"`   // of the payer's money, with tax
	N       uint64           `json:"n"`      // of the latest voucher that was cashed; 0: none
	Cashed  lamppost.Micro   `json:"cashed"` // before tax
	Voucher []byte           `json:"voucher,omitempty"`
	Closed  lamppost.TimeMS  `json:"closed_ms,omitempty"`
	Reason  string           `json:"reason,omitempty"`
	Invoice string           `json:"invoice,omitempty"`
	Opened  Place            `json:"-"`
}

// State says in a word where a channel stands.
func (c *Channel) State() string {
	switch {
	case c.Closed == 0:
		return "open"
	case c.Cashed == 0:
		return "unused"
	case c.Invoice == "":
		return "closed"
	}
	return "billed"
}

func (c *channel) shown() Channel {
	return Channel{c.Body, c.Seller, c.Held, c.N, c.Cashed, c.Voucher, c.Closed, c.Reason, c.Invoice, c.Opened}
}

// Channel returns a channel, or kv.ErrNotFound.
func (v View) Channel(id string) (Channel, error) {
	c, err := read[channel](v, channelKey(id))
	return c.shown(), err
}

// Channels returns all channels by id.
func (v View) Channels() (all []Channel, err error) {
	list, err := readAll[channel](v, 'w')
	for i := range list {
		all = append(all, list[i].shown())
	}
	return all, err
}

// A Contradiction is what was shown of a payer, for whom nobody opens a channel since.
type Contradiction struct {
	Payer    lamppost.PartyID `json:"payer"`
	Channel  string           `json:"channel"`
	Vouchers [][]byte         `json:"vouchers"`
}

// Contradictions returns them by payer.
func (v View) Contradictions() (all []Contradiction, err error) {
	from := key('x')
	err = v.Scan(from, end(from), func(k, val []byte) error {
		if slices.Contains(k, 0) {
			return nil // a channel to bill
		}
		c, err := decodeBody[contradiction](slices.Clone(val))
		all = append(all, Contradiction{lamppost.PartyID(k[len(from):]), c.Channel, c.Vouchers})
		return err
	})
	return all, err
}
