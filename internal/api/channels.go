package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// A Channel answers GET /api/channels/{id}: its terms, as payer and payee need them, and what became of it.
type Channel struct {
	ledger.Channel
	Network  string         `json:"network"`
	State    string         `json:"state"` // open, unused, closed or billed
	Currency string         `json:"currency"`
	Ended    bool           `json:"ended"` // open, though nobody gives or takes vouchers any more
	Kept     lamppost.Micro `json:"kept"`  // promised by the highest voucher that this node was paid with; 0: none
}

// ChannelList answers GET /api/channels.
type ChannelList struct {
	Channels []Channel `json:"channels"`
}

// A Cash is POST /api/channels/cash. Vouchers that are not wanted any more, or that a later one of the same channel makes up for, are left out by the node.
type Cash struct {
	Vouchers [][]byte `json:"vouchers,omitempty"` // base64
	Kept     bool     `json:"kept,omitempty"`     // also those that this node was paid with
	Close    []string `json:"close,omitempty"`    // channels
	Reason   string   `json:"reason,omitempty"`   // why before the payee's time is over
}

// A Contradiction is what was shown of a payer.
type Contradiction struct {
	ledger.Contradiction
	Why string `json:"why"`
}

// ContradictionList answers GET /api/contradictions.
type ContradictionList struct {
	Contradictions []Contradiction `json:"contradictions"`
}

func (s *Server) postChannel(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.ChannelBody](s, w, r, lamppost.TxChannel)
}

func (s *Server) postContradiction(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.ContradictBody](s, w, r, lamppost.TxContradict)
}

// getChannels lists channels by id, with ?state= those in one state, with ?payer= and ?payee= those of one.
func (s *Server) getChannels(w http.ResponseWriter, req *http.Request) error {
	q := req.URL.Query()
	state := q.Get("state")
	if !slices.Contains([]string{"", "open", "unused", "closed", "billed"}, state) {
		return badRequest("state=%q: expected open, unused, closed or billed", clip(state))
	}
	out := ChannelList{Channels: []Channel{}}
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		all, err := v.Channels()
		if err != nil {
			return err
		}
		for i := range all {
			c := &all[i]
			if state != "" && c.State() != state || q.Has("payer") && string(c.Payer) != q.Get("payer") || q.Has("payee") && string(c.Payee) != q.Get("payee") {
				continue
			}
			x, err := s.channelShown(v, c)
			if err != nil {
				return err
			}
			if out.Channels = append(out.Channels, x); len(out.Channels) == maxListed {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getChannel(w http.ResponseWriter, req *http.Request) error {
	var out Channel
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		c, err := v.Channel(req.PathValue("id"))
		if errors.Is(err, kv.ErrNotFound) {
			err = notFound("no channel %q: GET /api/channels lists them", clip(req.PathValue("id")))
		}
		if err != nil {
			return err
		}
		out, err = s.channelShown(v, &c)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) channelShown(v ledger.View, c *ledger.Channel) (Channel, error) {
	t, err := v.Tariff(c.Tariff, c.Version)
	if err != nil {
		return Channel{}, err
	}
	out := Channel{Channel: *c, Network: s.cfg.Network, State: c.State(), Currency: t.Currency, Ended: c.Closed == 0 && s.cfg.Now() >= c.Until}
	x, err := openTill(v.Reader, c.ID)
	if errors.Is(err, kv.ErrNotFound) {
		return out, nil
	}
	if err == nil {
		out.Kept = x.Paid()
	}
	return out, err
}

func (s *Server) getContradictions(w http.ResponseWriter, _ *http.Request) error {
	out := ContradictionList{Contradictions: []Contradiction{}}
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		all, err := v.Contradictions()
		for _, c := range all {
			_, why, err := v.Contradict(s.cfg.Network, c.Vouchers)
			if err != nil {
				return err
			}
			out.Contradictions = append(out.Contradictions, Contradiction{c, why})
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postCash(w http.ResponseWriter, r *http.Request) error {
	var b Cash
	if err := readJSON(r, &b); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), orderTimeout)
	defer cancel()
	d, err := s.cash(ctx, b)
	if err != nil {
		return err
	}
	done, err := doneOf(lamppost.TxCash, d)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, done)
}

// cash orders to cash vouchers and what this node was paid with: the highest of each channel, once.
func (s *Server) cash(ctx context.Context, b Cash) (consensus.Decision, error) {
	var none consensus.Decision
	if b.Kept {
		kept, err := s.keptVouchers(func(*ledger.Channel) bool { return true })
		if err != nil {
			return none, err
		}
		b.Vouchers = append(b.Vouchers, kept...)
	}
	order := lamppost.CashBody{Close: b.Close, Reason: b.Reason}
	at := map[string]int{}
	amounts := []lamppost.Micro{}
	for _, raw := range b.Vouchers {
		var v lamppost.Voucher
		if err := v.Decode(raw); err != nil {
			return none, badRequest("vouchers: %v", err)
		}
		i, known := at[v.Channel]
		switch {
		case !known:
			at[v.Channel] = len(order.Vouchers)
			order.Vouchers, amounts = append(order.Vouchers, raw), append(amounts, v.Amount)
		case v.Amount > amounts[i]:
			order.Vouchers[i], amounts[i] = raw, v.Amount
		}
	}
	if len(order.Vouchers)+len(order.Close) == 0 {
		return none, &statusError{http.StatusConflict, lamppost.CodeNotReady.String(), "there is nothing to cash: no voucher came, and this node holds none that is not cashed"}
	}
	return s.cfg.Order.do(ctx, lamppost.TxCash, order)
}

// channelSummary says in a line what an order around vouchers does.
func channelSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	switch tx.Type {
	case lamppost.TxChannel:
		return words(tx, func(b lamppost.ChannelBody) string {
			return fmt.Sprintf("channel %s: %s may promise %s at most %s until %s, on %s version %d", b.ID, b.Payer, b.Payee, b.Most, utc(b.Until), b.Tariff, b.Version)
		})
	case lamppost.TxCash:
		var all []lamppost.Cashed
		if !said(outcomes, &all) {
			return "vouchers to be cashed"
		}
		var more lamppost.Micro
		closed := 0
		for i := range all {
			more += all[i].More
			if all[i].Closed {
				closed++
			}
		}
		return fmt.Sprintf("vouchers of %d channels cashed, %s more in all; %d closed", len(all), more, closed)
	}
	return words(tx, func(b lamppost.ContradictBody) string {
		if b.Lift != "" {
			return fmt.Sprintf("%s may open channels again: %s", b.Lift, b.Reason)
		}
		var v lamppost.Voucher
		if len(b.Vouchers) == 0 || v.Decode(b.Vouchers[0]) != nil {
			return "vouchers that nobody can read"
		}
		return fmt.Sprintf("%d vouchers of channel %s shown that no honest payer signs", len(b.Vouchers), v.Channel)
	})
}
