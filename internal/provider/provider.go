// Package provider knows about what payment providers report by webhook: whether a notice is theirs, and which payment it tells of.
//
// It promises that nothing is read of a notice before its signature was found good, and that one movement of money has one reference,
// whichever and however many notices tell of it. It books nothing: what comes of it is a [books.Payment] like one of a bank's statement.
// It calls no provider; authorising, capturing and paying back is done there by whoever sells.
//
// Start reading at [Webhook.Read], then standard.go and stripe.go. All methods may be called concurrently.
package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/books"
)

const (
	// Tolerance is how far a notice's time may be from now: who has copied one cannot send it later.
	Tolerance = 5 * time.Minute

	maxSecrets     = 8        // that count at a time
	maxSecretBytes = 16 << 10 // of their file
	minSecretBytes = 16
	maxSignatures  = 16 // in a header: a provider signs with each secret that counts
)

// A Notice is what a provider reports of one event.
type Notice struct {
	ID      string         // of the event
	Type    string         // as the provider calls it
	Payment *books.Payment // nil: no money moved
}

// ErrUnsigned means that nothing shows the notice to be the provider's: no good signature, or one of another time.
var ErrUnsigned = errors.New("not signed")

// A Malformed notice is signed and cannot be understood, or asks for what only a person can do.
type Malformed struct{ Reason string }

// Error returns the reason.
func (e *Malformed) Error() string { return e.Reason }

func malformed(format string, args ...any) error { return &Malformed{fmt.Sprintf(format, args...)} }

// A dialect is how a kind of provider signs and speaks.
type dialect struct {
	sealed func(header http.Header, body []byte) (seal, error)
	secret func(text string) ([]byte, error)
	read   func(body []byte) (event, error)
}

// A seal is what a notice's header says: which bytes were signed when, and the signatures, of which one must be good.
type seal struct {
	id         string // of the notice, where the header has one
	unix       string // seconds
	signed     []byte
	signatures [][]byte
}

// An event is what a notice says, in whatever dialect.
type event struct {
	id, kind string
	moved    string // captured, refunded, charged_back or reinstated; empty: nothing did
	of       string // the provider's id of the movement
	amount   lamppost.Micro
	currency string
	invoice  string
	payer    string
}

var dialects = map[string]dialect{
	"standard": {standardSeal, standardSecret, readStandard},
	"stripe":   {stripeSeal, stripeSecret, readStripe},
}

// Kinds are the dialects there are.
func Kinds() []string { return []string{"standard", "stripe"} }

// A Webhook reads the notices of one provider.
type Webhook struct {
	Name    string           // by which its references are told from others'
	Kind    string           // of [Kinds]
	Seller  lamppost.PartyID // whose money it is
	Secrets string           // file with a secret in each line, read for each notice: a new one counts at once
}

// Check refuses a webhook that could read nothing.
func (w *Webhook) Check() error {
	if err := lamppost.CheckName("payment provider", w.Name); err != nil {
		return err
	}
	if !slices.Contains(Kinds(), w.Kind) {
		return fmt.Errorf("payment provider %q: kind %q is not one of %s", w.Name, w.Kind, strings.Join(Kinds(), ", "))
	}
	if err := lamppost.CheckName("seller", string(w.Seller)); err != nil {
		return fmt.Errorf("payment provider %q: %w", w.Name, err)
	}
	if w.Secrets == "" {
		return fmt.Errorf("payment provider %q: secrets names no file; whoever knows the address could report payments", w.Name)
	}
	return nil
}

// Read finds out what a notice says. An error is [ErrUnsigned], a [*Malformed], or one of reading the secrets.
func (w *Webhook) Read(header http.Header, body []byte, now lamppost.TimeMS) (Notice, error) {
	d := dialects[w.Kind]
	secrets, err := w.secrets()
	if err != nil {
		return Notice{}, err
	}
	s, err := d.sealed(header, body)
	if err != nil {
		return Notice{}, err
	}
	if err := s.check(secrets, now); err != nil {
		return Notice{}, err
	}
	e, err := d.read(body)
	if err != nil {
		return Notice{}, err
	}
	n := Notice{ID: e.id, Type: e.kind}
	if n.ID == "" {
		n.ID = s.id
	}
	n.Payment, err = e.payment(w)
	return n, err
}

func (w *Webhook) secrets() (all [][]byte, err error) {
	raw, err := os.ReadFile(w.Secrets)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets of payment provider %q: %w", w.Name, err)
	}
	for _, line := range strings.Fields(string(raw[:min(len(raw), maxSecretBytes)])) {
		secret, err := dialects[w.Kind].secret(line)
		if err != nil || len(secret) < minSecretBytes {
			return nil, fmt.Errorf("the secrets of payment provider %q: %q holds one that is not of kind %s, or shorter than %d bytes", w.Name, w.Secrets, w.Kind, minSecretBytes)
		}
		all = append(all, secret)
	}
	if len(all) == 0 || len(all) > maxSecrets {
		return nil, fmt.Errorf("the secrets of payment provider %q: %q has %d, not 1 to %d", w.Name, w.Secrets, len(all), maxSecrets)
	}
	return all, nil
}

// Ready reads the secrets once, to tell of a mistake before the first notice does.
func (w *Webhook) Ready() error {
	_, err := w.secrets()
	return err
}

func unsigned(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsigned, fmt.Sprintf(format, args...))
}

// check finds a good signature of a time near now.
func (s *seal) check(secrets [][]byte, now lamppost.TimeMS) error {
	at, err := strconv.ParseInt(s.unix, 10, 40)
	if err != nil || len(s.signatures) == 0 {
		return unsigned("its header has no time or no signature")
	}
	good := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write(s.signed)
		sum := mac.Sum(nil)
		for _, have := range s.signatures[:min(len(s.signatures), maxSignatures)] {
			good = hmac.Equal(sum, have) || good
		}
	}
	if !good {
		return unsigned("its signature is by no secret that counts")
	}
	if off := time.UnixMilli(int64(now)).Sub(time.Unix(at, 0)).Abs(); off > Tolerance {
		return unsigned("it was signed %s from now, more than %s: send it anew, or set the clocks", off.Round(time.Second), Tolerance)
	}
	return nil
}

// payment is what an event comes to, nil where no money moved. What went back to the buyer is due again, unless the invoice was corrected
// before.
func (e *event) payment(w *Webhook) (*books.Payment, error) {
	if e.moved == "" {
		return nil, nil
	}
	if e.of == "" || e.amount <= 0 || e.currency == "" {
		return nil, malformed("%s: it says no id, no amount above zero or no currency", e.kind)
	}
	p := &books.Payment{Reference: w.Name + "/" + e.moved + "/" + e.of, Seller: w.Seller, Amount: e.amount, Currency: e.currency, EndToEnd: e.invoice, Payer: e.payer}
	switch e.moved {
	case refunded, chargedBack:
		p.Out, p.Returned = true, e.moved
	case reinstated:
		p.Returned = e.moved
	}
	return p, nil
}

// What moved money.
const (
	captured    = "captured"
	refunded    = "refunded"
	chargedBack = "charged_back"
	reinstated  = "reinstated" // what was charged back came again
)

// decode reads JSON of which only some is of interest.
func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return malformed("the notice is no JSON of the expected shape: %v", err)
	}
	return nil
}
