package agent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
)

// Limits of a clearing.
const (
	MaxOffers = 4096
	MaxLevels = 16
)

// An Offer is what one device of a site would buy or sell in an interval: a step curve. A site's connection offers too: to sell what the limit allows at the
// grid's price, and to buy at what is paid for feeding in. So sharing a limit and trading are one thing.
type Offer struct {
	ID     string  `cbor:"1,keyasint" json:"id"` // of the device; one offer to buy and one to sell each
	Sells  bool    `cbor:"2,keyasint,omitempty" json:"sells,omitempty"`
	Levels []Level `cbor:"3,keyasint" json:"levels"` // buying: falling prices; selling: rising
}

// A Level is a quantity more at a price: at most it if buying, at least if selling.
type Level struct {
	_        struct{}       `cbor:",toarray"`
	Price    lamppost.Micro `json:"price"` // per kWh
	Quantity int64          `json:"quantity"`
}

// A Fill is what an offer gets, at the price that all get.
type Fill struct {
	ID       string `cbor:"1,keyasint" json:"id"`
	Quantity int64  `cbor:"2,keyasint" json:"quantity"`
	// Why is filled (all of it), price (its other levels are not worth the price), rationed (there was not enough at the very price, and others
	// came first by their ids) or idle (nobody trades).
	Why  string          `cbor:"3,keyasint" json:"why"`
	Next *lamppost.Micro `cbor:"4,keyasint,omitempty" json:"next,omitempty"` // the price of what it did not get

	Sells bool `cbor:"5,keyasint,omitempty" json:"sells,omitempty"`
}

// A Clearing is the outcome of an interval, fills in the order of ids.
type Clearing struct {
	Price    lamppost.Micro `cbor:"1,keyasint" json:"price"`
	Quantity int64          `cbor:"2,keyasint" json:"quantity"`
	Fills    []Fill         `cbor:"3,keyasint" json:"fills"`
}

// A step is a level of an offer in the order of all.
type step struct {
	price    lamppost.Micro
	quantity int64
	offer, n int
}

// Clear finds the price at which as much as possible is traded. All who trade pay or get that price: nobody pays above an offer or gets less than asked
// for, what is bought is what is sold, and the order of offers does not matter. Where prices from one to another would do, it is the middle,
// rounded down. Levels of one price come first by their ids.
func Clear(offers []Offer) (*Clearing, error) {
	sorted := slices.Clone(offers)
	slices.SortFunc(sorted, byID)
	if err := checkOffers(sorted); err != nil {
		return nil, err
	}
	buy, sell := steps(sorted, false), steps(sorted, true)
	got := make([]int64, len(sorted))
	c := &Clearing{}
	b, s := 0, 0
	var buyLeft, sellLeft int64 // of the levels at hand that are partly traded
	var lastBuy, lastSell lamppost.Micro
	for b < len(buy) && s < len(sell) && buy[b].price >= sell[s].price {
		if buyLeft == 0 {
			buyLeft = buy[b].quantity
		}
		if sellLeft == 0 {
			sellLeft = sell[s].quantity
		}
		q := min(buyLeft, sellLeft)
		got[buy[b].offer], got[sell[s].offer] = got[buy[b].offer]+q, got[sell[s].offer]+q
		c.Quantity, lastBuy, lastSell = c.Quantity+q, buy[b].price, sell[s].price
		if buyLeft -= q; buyLeft == 0 {
			b++
		}
		if sellLeft -= q; sellLeft == 0 {
			s++
		}
	}
	if c.Quantity > 0 {
		low, high := lastSell, lastBuy
		if b < len(buy) {
			low = max(low, min(buy[b].price, high)) // who does not get more would pay that much
		}
		if s < len(sell) {
			high = min(high, max(sell[s].price, low))
		}
		c.Price = low + (high-low)/2
	}
	for i, o := range sorted {
		c.Fills = append(c.Fills, c.fill(o, got[i]))
	}
	return c, nil
}

// steps lists the levels of one side, the best first.
func steps(offers []Offer, sells bool) (all []step) {
	for i, o := range offers {
		if o.Sells != sells {
			continue
		}
		for n, l := range o.Levels {
			if l.Quantity > 0 {
				all = append(all, step{l.Price, l.Quantity, i, n})
			}
		}
	}
	slices.SortFunc(all, func(a, b step) int {
		byPrice := cmp.Compare(b.price, a.price)
		if sells {
			byPrice = -byPrice
		}
		return cmp.Or(byPrice, cmp.Compare(a.offer, b.offer), cmp.Compare(a.n, b.n))
	})
	return all
}

// fill says why an offer got what it got.
func (c *Clearing) fill(o Offer, got int64) Fill {
	f := Fill{ID: o.ID, Sells: o.Sells, Quantity: got, Why: "filled"}
	for _, l := range o.Levels {
		if got >= l.Quantity {
			got -= l.Quantity
			continue
		}
		next := l.Price
		f.Next = &next
		worth := next > c.Price
		if o.Sells {
			worth = next < c.Price
		}
		switch {
		case c.Quantity == 0:
			f.Why = "idle"
		case worth || next == c.Price || got > 0:
			f.Why = "rationed"
		default:
			f.Why = "price"
		}
		return f
	}
	return f
}

var errOffers = errors.New("offers of a site have ids of their own, up to 16 levels each, buying at falling and selling at rising prices, and quantities up to 10,000,000")

// checkOffers checks offers in the order of their ids.
func checkOffers(offers []Offer) error {
	if len(offers) > MaxOffers {
		return fmt.Errorf("%d offers, at most %d", len(offers), MaxOffers)
	}
	for i, o := range offers {
		if len(o.Levels) > MaxLevels || i > 0 && byID(o, offers[i-1]) == 0 {
			return fmt.Errorf("offer of %q: %w", o.ID, errOffers)
		}
		for n, l := range o.Levels {
			ok := within(int64(l.Price), MaxPrice) && between(l.Quantity, 0, MaxPower)
			if n > 0 {
				before := o.Levels[n-1].Price
				ok = ok && (o.Sells && l.Price >= before || !o.Sells && l.Price <= before)
			}
			if !ok {
				return fmt.Errorf("offer of %q, level %d: %w", o.ID, n+1, errOffers)
			}
		}
	}
	return nil
}
