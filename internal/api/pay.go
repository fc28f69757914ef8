package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
	"github.com/lamppost/lamppost/voucher"
)

// HTTP 402: routes that are open to whoever pays, in the shape of x402, by vouchers on this ledger. docs/vouchers.md has the rule.

// metered are the routes that may have a price, and what they answer with: it is of devices. Nothing that is meant for one party is for sale.
var metered = map[string]string{"GET /api/export/readings.parquet": "application/vnd.apache.parquet", "GET /api/devices/{id}/series": "application/json"}

// Pay says what strangers may read for money.
type Pay struct {
	Payee  lamppost.PartyID          // a device of the tariff's seller, or the seller
	Tariff string                    // that channels must be on: seller, currency and tax are its
	Prices map[string]lamppost.Micro // before tax, of a request, by route
}

// Check refuses prices of routes that are not for sale. Nil is fine.
func (p *Pay) Check() error {
	if p == nil {
		return nil
	}
	if p.Payee == "" || p.Tariff == "" || len(p.Prices) == 0 {
		return errors.New("who is paid names a payee, a tariff and prices")
	}
	for pattern, price := range p.Prices {
		if _, ok := metered[pattern]; !ok {
			return fmt.Errorf("route %q is not for sale: %q are", pattern, slices.Sorted(maps.Keys(metered)))
		}
		if price <= 0 || price > tariff.MaxPrice {
			return fmt.Errorf("route %q: a price of %s is not above 0 and up to %s", pattern, price, tariff.MaxPrice)
		}
	}
	return nil
}

// tillPrefix is before the ids of channels that this node was paid on; see enrol.go.
var (
	tillPrefix = []byte("nV")
	tillEnd    = []byte("nW")
)

// A tillFile keeps a till's state under a key of the node's store.
type tillFile struct {
	store kv.Store
	key   []byte
	data  []byte
}

func (f *tillFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *tillFile) WriteAt(p []byte, off int64) (int, error) {
	if n := int(off) + len(p) - len(f.data); n > 0 {
		f.data = append(f.data, make([]byte, n)...)
	}
	return copy(f.data[off:], p), nil
}

// Sync makes it durable.
func (f *tillFile) Sync() error {
	var b kv.Batch
	b.Set(f.key, f.data)
	return f.store.Apply(&b)
}

func tillKey(channel string) []byte { return append(slices.Clone(tillPrefix), channel...) }

// openTill reads the till of a channel, or returns kv.ErrNotFound.
func openTill(r kv.Reader, channel string) (*voucher.Till, error) {
	raw, err := r.Get(tillKey(channel))
	if err != nil {
		return nil, err
	}
	return voucher.OpenTill(&tillFile{data: slices.Clone(raw)})
}

// till returns the till of a channel, to take from. The caller holds s.paying.
func (s *Server) till(c *ledger.Channel) (*voucher.Till, error) {
	f := &tillFile{store: s.cfg.Store, key: tillKey(c.ID)}
	raw, err := s.cfg.Store.Get(f.key)
	if errors.Is(err, kv.ErrNotFound) {
		return voucher.NewTill(f, voucher.Terms{Network: s.cfg.Network, Channel: c.ChannelBody})
	}
	if err != nil {
		return nil, err
	}
	f.data = slices.Clone(raw)
	return voucher.OpenTill(f)
}

// sell lets in whoever pays for a route, and answers all others with what it costs.
func (s *Server) sell(w http.ResponseWriter, req *http.Request, r route, price lamppost.Micro) error {
	if err := s.forSale(req); err != nil {
		return err
	}
	t, err := s.payTerms()
	if err != nil {
		return err
	}
	accept := voucher.Accept{Scheme: voucher.Scheme, Network: voucher.NetworkName(s.cfg.Network), MaxAmountRequired: strconv.FormatInt(int64(price), 10),
		Resource: "http://" + req.Host + req.URL.RequestURI(), Description: fmt.Sprintf("%s: %s %s and tax a request", r.pattern, price, t.Currency),
		MimeType: metered[r.pattern], PayTo: string(s.cfg.Pay.Payee), MaxTimeoutSeconds: int(writeTimeout.Seconds()), Asset: t.Currency,
		Extra: voucher.Extra{Seller: t.Seller, Tariff: t.ID}}
	if req.TLS != nil {
		accept.Resource = "https" + accept.Resource[len("http"):]
	}
	header := req.Header.Get(voucher.PaymentHeader)
	if header == "" {
		return required(w, "a request costs "+price.String()+" "+t.Currency+" and tax: send X-PAYMENT with a voucher", accept)
	}
	raw, err := voucher.ReadPayment(s.cfg.Network, header)
	if err != nil {
		return badRequest("%s: %v", voucher.PaymentHeader, err)
	}
	paid, err := s.takePayment(raw, price, &accept.Extra)
	w.Header().Set(voucher.ResponseHeader, voucher.Header(paid))
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		return required(w, refusal.Text, accept)
	}
	if err != nil {
		return err
	}
	answered := &answered{ResponseWriter: w}
	if err := r.handle(answered, req); err != nil {
		if !answered.begun {
			w.Header().Del(voucher.ResponseHeader)
			return errors.Join(err, s.giveBack(raw, price))
		}
		return err
	}
	return nil
}

// forSale refuses what a payer may not ask for although the route is for sale.
func (s *Server) forSale(req *http.Request) error {
	if req.URL.Query().Has("names") {
		return &statusError{http.StatusForbidden, lamppost.CodeForbidden.String(), "parties' names are not for sale: leave ?names= out"}
	}
	return nil
}

func required(w http.ResponseWriter, text string, accept voucher.Accept) error {
	return writeJSON(w, http.StatusPaymentRequired, voucher.Required{X402Version: voucher.X402Version, Error: text, Accepts: []voucher.Accept{accept}})
}

// payTerms finds the version of the tariff that holds.
func (s *Server) payTerms() (*tariff.Tariff, error) {
	return versionAt(ledger.View{Reader: s.cfg.Store}, s.cfg.Pay.Tariff, s.cfg.Now())
}

// takePayment keeps a voucher and uses a price of it. What is not enough is a *lamppost.Refusal, and extra says what would be.
func (s *Server) takePayment(raw []byte, price lamppost.Micro, extra *voucher.Extra) (voucher.Settlement, error) {
	out := voucher.Settlement{Network: voucher.NetworkName(s.cfg.Network)}
	fail := func(code lamppost.Code, format string, args ...any) (voucher.Settlement, error) {
		out.ErrorReason = code.String()
		return out, lamppost.Refuse(code, format, args...)
	}
	var v lamppost.Voucher
	if err := v.Decode(raw); err != nil {
		return fail(lamppost.CodeBadTx, "%v", err)
	}
	c, err := ledger.View{Reader: s.cfg.Store}.Channel(v.Channel)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return fail(lamppost.CodeUnknown, "no channel %q on this ledger", v.Channel)
	case err != nil:
		return out, err
	case c.Payee != s.cfg.Pay.Payee || c.Tariff != s.cfg.Pay.Tariff:
		return fail(lamppost.CodeForbidden, "channel %q is to %q on tariff %q: open one to %q on %q", c.ID, c.Payee, c.Tariff, s.cfg.Pay.Payee, s.cfg.Pay.Tariff)
	case c.Closed != 0:
		return fail(lamppost.CodeExists, "channel %q is closed: open another", c.ID)
	}
	out.Transaction, out.Payer = v.ID(s.cfg.Network).String(), c.Payer
	s.paying.Lock()
	defer s.paying.Unlock()
	x, err := s.till(&c)
	if err != nil {
		return out, err
	}
	err = x.Take(s.cfg.Now(), raw, price)
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		out.ErrorReason = refusal.Code.String()
		if refusal.Code == lamppost.CodeNoFunds || refusal.Code == lamppost.CodeForbidden { // its key signed what came
			extra.Last, extra.Promise = x.Last(), strconv.FormatInt(int64(x.Paid()-x.Credit()+price), 10)
		}
	}
	out.Success = err == nil
	return out, err
}

// giveBack returns the price of what was not delivered.
func (s *Server) giveBack(raw []byte, price lamppost.Micro) error {
	var v lamppost.Voucher
	if err := v.Decode(raw); err != nil {
		return err
	}
	s.paying.Lock()
	defer s.paying.Unlock()
	c, err := ledger.View{Reader: s.cfg.Store}.Channel(v.Channel)
	if err != nil {
		return err
	}
	x, err := s.till(&c)
	if err != nil {
		return err
	}
	return x.GiveBack(price)
}

// An answered knows whether an answer has begun.
type answered struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answered) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// keptVouchers returns the highest voucher of each channel that this node was paid on and that promises more than was cashed, of those
// channels that are wanted, and forgets tills of channels that are closed. At most as many as one order takes.
func (s *Server) keptVouchers(wanted func(*ledger.Channel) bool) (all [][]byte, err error) {
	s.paying.Lock()
	defer s.paying.Unlock()
	var gone kv.Batch
	forget := false
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		return r.Scan(tillPrefix, tillEnd, func(key, raw []byte) error {
			c, err := v.Channel(string(key[len(tillPrefix):]))
			if err != nil {
				return err
			}
			if c.Closed != 0 {
				gone.Delete(slices.Clone(key))
				forget = true
				return nil
			}
			x, err := voucher.OpenTill(&tillFile{data: slices.Clone(raw)})
			if err == nil && x.Paid() > c.Cashed && wanted(&c) && len(all) < lamppost.MaxCashed {
				all = append(all, x.Last())
			}
			return err
		})
	})
	if err == nil && forget {
		err = s.cfg.Store.Apply(&gone)
	}
	return all, err
}

// CashEnded cashes what this node was paid with on channels that have ended, in one order. It is for the node to call now and then: a payee
// who does not cash within three days after the end may find the channel closed. It returns how many channels it cashed.
func (s *Server) CashEnded(ctx context.Context) (int, error) {
	now := s.cfg.Now()
	all, err := s.keptVouchers(func(c *ledger.Channel) bool { return now >= c.Until })
	if err != nil || len(all) == 0 {
		return 0, err
	}
	order := lamppost.CashBody{Vouchers: all, Reason: "ended"}
	for _, raw := range all {
		var v lamppost.Voucher
		if err := v.Decode(raw); err != nil {
			return 0, err
		}
		order.Close = append(order.Close, v.Channel)
	}
	n := min(len(all), lamppost.MaxCashed/2)
	order.Vouchers, order.Close = all[:n], order.Close[:n]
	_, err = s.cfg.Order.do(ctx, lamppost.TxCash, order)
	return n, err
}
