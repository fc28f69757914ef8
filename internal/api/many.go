package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// Orders are many registrations in one request, in POST /api/orders. They are decided in no particular order, so what one of
// them needs of another comes in a request before.
type Orders struct {
	Orders []NewOrder `json:"orders"`
	DryRun bool       `json:"dry_run"` // nothing is ordered; the outcomes say what would be
}

// A NewOrder is one of them. Its body is what the route of its type takes: of a device, a KnownDevice.
type NewOrder struct {
	Type string          `json:"type"` // party, device, point, tariff, agreement or reading
	Body json.RawMessage `json:"body"`
}

// OrderResults answers with an outcome for each order, in their sequence.
type OrderResults struct {
	Results []OrderResult `json:"results"`
}

// An OrderResult is what became of an order. What was refused left no trace.
type OrderResult struct {
	Outcome string          `json:"outcome"` // ok; unchanged: the ledger says so already; new: a dry run found nothing against it; or a code
	Text    string          `json:"text,omitempty"`
	Height  lamppost.Height `json:"height,omitempty"`
	Token   string          `json:"token,omitempty"` // of a device that was announced; shown this once
	Missing []string        `json:"missing,omitempty"`
}

// Outcomes of orders beside the codes.
const (
	OutcomeOK        = "ok"
	OutcomeUnchanged = "unchanged"
	OutcomeNew       = "new"
)

// postOrders has many orders decided at once, so that a block holds many of them.
func (s *Server) postOrders(w http.ResponseWriter, r *http.Request) error {
	var in Orders
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if len(in.Orders) == 0 || len(in.Orders) > MaxOrders {
		return badRequest("body: %d orders, not 1 to %d", len(in.Orders), MaxOrders)
	}
	ctx, cancel := context.WithTimeout(r.Context(), orderTimeout)
	defer cancel()
	out := OrderResults{make([]OrderResult, len(in.Orders))}
	var wait sync.WaitGroup
	turn := make(chan struct{}, maxOrdering)
	for i := range in.Orders {
		turn <- struct{}{}
		wait.Go(func() {
			defer func() { <-turn }()
			out.Results[i] = s.one(ctx, &in.Orders[i], in.DryRun)
		})
	}
	wait.Wait()
	return writeJSON(w, http.StatusOK, out)
}

// one decides one order.
func (s *Server) one(ctx context.Context, o *NewOrder, dry bool) (res OrderResult) {
	t, err := s.registration(o)
	var same bool
	if err == nil {
		same, err = t.same(ledger.View{Reader: s.cfg.Store})
	}
	switch {
	case err != nil:
	case same:
		res.Outcome = OutcomeUnchanged
	case dry:
		res.Outcome = OutcomeNew
		res.Missing, err = t.missing(ledger.View{Reader: s.cfg.Store})
	default:
		res.Outcome = OutcomeOK
		res.Height, res.Token, err = t.order(ctx)
	}
	if err != nil {
		a := answerOf(err)
		if a.status == http.StatusInternalServerError {
			s.log.Error("ordering one of many", "type", o.Type, "err", err)
		}
		res.Outcome, res.Text = a.code, a.text
	}
	return res
}

// A registration is an order of a type with what must be known to repeat it harmlessly.
type registration struct {
	same  func(ledger.View) (bool, error) // the ledger has it already; an error where it has something else under its id
	needs []need
	order func(context.Context) (lamppost.Height, string, error)
}

// A need is something that must be registered before: its kind and id.
type need struct{ kind, id string }

func (t *registration) missing(v ledger.View) (all []string, err error) {
	for _, n := range t.needs {
		switch n.kind {
		case "party":
			_, err = v.Party(lamppost.PartyID(n.id))
		case "device":
			_, err = v.Device(lamppost.DeviceID(n.id))
		case "point":
			_, err = v.Point(n.id)
		case "tariff":
			_, err = v.Tariff(n.id, 1)
		}
		if errors.Is(err, kv.ErrNotFound) {
			all = append(all, n.kind+" "+n.id)
		} else if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// registration reads an order's body by its type.
func (s *Server) registration(o *NewOrder) (*registration, error) {
	switch o.Type {
	case lamppost.TxParty.String():
		return register(s, o, lamppost.TxParty, func(b *lamppost.PartyBody, v ledger.View) (lamppost.PartyBody, error) { return v.Party(b.ID) }, nil)
	case lamppost.TxPoint.String():
		return register(s, o, lamppost.TxPoint, pointThere, func(b *lamppost.PointBody) []need {
			return needsOf(need{"device", string(b.Device)}, need{"point", b.Main})
		})
	case lamppost.TxTariff.String():
		return register(s, o, lamppost.TxTariff, func(b *tariff.Tariff, v ledger.View) (tariff.Tariff, error) { return v.Tariff(b.ID, b.Version) },
			func(b *tariff.Tariff) []need { return needsOf(need{"party", string(b.Seller)}) })
	case lamppost.TxAgreement.String():
		return register(s, o, lamppost.TxAgreement, agreementThere, func(b *lamppost.AgreementBody) []need {
			return needsOf(need{"party", string(b.Seller)}, need{"party", string(b.Buyer)}, need{"point", b.Point}, need{"tariff", b.Tariff})
		})
	case lamppost.TxReading.String():
		return s.readingOrder(o)
	case lamppost.TxDevice.String():
		return s.deviceOrder(o)
	}
	return nil, badRequest("type %q: use party, device, point, tariff, agreement or reading", clip(o.Type))
}

func needsOf(all ...need) []need {
	return slices.DeleteFunc(all, func(n need) bool { return n.id == "" })
}

// register is the registration of a body that there says the ledger's version of, or kv.ErrNotFound.
func register[B any](s *Server, o *NewOrder, t lamppost.TxType, there func(*B, ledger.View) (B, error), needs func(*B) []need) (*registration, error) {
	b := new(B)
	if err := decodeStrictly(o.Body, b); err != nil {
		return nil, err
	}
	reg := &registration{order: func(ctx context.Context) (lamppost.Height, string, error) {
		d, err := s.cfg.Order.do(ctx, t, *b)
		return d.Height, "", err
	}}
	if needs != nil {
		reg.needs = needs(b)
	}
	reg.same = func(v ledger.View) (bool, error) {
		have, err := there(b, v)
		if errors.Is(err, kv.ErrNotFound) {
			return false, nil
		}
		if err != nil || bytes.Equal(lamppost.Marshal(have), lamppost.Marshal(*b)) {
			return err == nil, err
		}
		return false, lamppost.Refuse(lamppost.CodeExists, "this %s is registered otherwise: %s", t, differences(have, *b))
	}
	return reg, nil
}

func pointThere(b *lamppost.PointBody, v ledger.View) (lamppost.PointBody, error) {
	mounts, err := v.Point(b.ID)
	if err != nil || int(b.Mount) >= len(mounts) {
		return lamppost.PointBody{}, cmp.Or(err, kv.ErrNotFound)
	}
	return mounts[b.Mount], nil
}

// agreementThere finds nothing where only the end is another: that can be ordered.
func agreementThere(b *lamppost.AgreementBody, v ledger.View) (lamppost.AgreementBody, error) {
	have, err := v.Agreement(b.ID)
	if same := have; err == nil && have != *b {
		if same.To = b.To; same == *b {
			err = kv.ErrNotFound
		}
	}
	return have, err
}

// readingOrder enters a value by hand, unless the register is known to show it.
func (s *Server) readingOrder(o *NewOrder) (*registration, error) {
	var b lamppost.ReadingBody
	if err := decodeStrictly(o.Body, &b); err != nil {
		return nil, err
	}
	return &registration{
		needs: needsOf(need{"device", string(b.Device)}),
		same: func(v ledger.View) (bool, error) {
			e, err := v.Edge(b.Device, b.Register, b.Time)
			if errors.Is(err, kv.ErrNotFound) {
				return false, nil
			}
			return err == nil && e.Value.Cmp(b.Value) == 0, err
		},
		order: func(ctx context.Context) (lamppost.Height, string, error) {
			d, err := s.cfg.Order.do(ctx, lamppost.TxReading, b)
			return d.Height, "", err
		},
	}, nil
}

// decodeStrictly reads an order's body like that of a request of its own.
func decodeStrictly(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return badBody(err)
	}
	return nil
}

// differences names the fields in which two bodies of one kind differ.
func differences(have, want any) string {
	x, y := fieldsOf(have), fieldsOf(want)
	var all []string
	for name := range x {
		if _, ok := y[name]; !ok {
			y[name] = nil
		}
	}
	for name, val := range y {
		if !bytes.Equal(x[name], val) {
			all = append(all, name+" is "+orNone(x[name])+", not "+orNone(val))
		}
	}
	slices.Sort(all)
	return clipText(strings.Join(all, "; "))
}

func fieldsOf(body any) (fields map[string]json.RawMessage) {
	if raw, err := json.Marshal(body); err == nil {
		_ = json.Unmarshal(raw, &fields) // we wrote it
	}
	return fields
}

func orNone(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "nothing"
	}
	return string(raw)
}

func clipText(s string) string {
	if len(s) > 300 {
		return strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
