// Package tariff knows what a quantity costs. It turns cumulative register readings into invoice lines, and it is what an
// auditor runs: the ledger calls [Bill] to make an invoice, and anyone with the signed readings and the tariff calls the
// same function and must get the same bytes.
//
// Start reading at [Tariff] (the terms), then [Tariff.Edges] (at which instants a register must be read), [FillEdges]
// (the readings put there), [Price] (the lines of one supply) and [Bill] (the invoice).
//
// Everything here is a pure function of its arguments, in integers: no float, clock, randomness, map order or time zone
// database. A tariff carries its zone's clock changes as data, so that a bill of today is recomputed alike in thirty
// years. What does not fit, is missing or contradicts is an error, never a guess. All functions may be called
// concurrently. Limits are in limits.go.
//
// The package does not find readings, check signatures, number invoices or keep accounts.
package tariff

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/lamppost/lamppost"
)

// A Tariff is one version of a seller's priced terms. It never changes: other terms are another version. Prices go either
// by Bands of the local week or by a Series of UTC intervals.
type Tariff struct {
	ID       string           `cbor:"1,keyasint" json:"id"`
	Version  uint32           `cbor:"2,keyasint" json:"version"` // from 1
	Seller   lamppost.PartyID `cbor:"3,keyasint" json:"seller"`
	Currency string           `cbor:"4,keyasint" json:"currency"` // ISO 4217; see [Minor]
	// The tariff is valid in [From, To), on UTC quarter hours; To 0 means until further notice.
	From lamppost.TimeMS `cbor:"5,keyasint" json:"from_ms"`
	To   lamppost.TimeMS `cbor:"6,keyasint,omitempty" json:"to_ms,omitempty"`
	// Prices are per PerUnit ("kWh"), registers count in RegisterUnit ("Wh"): one PerUnit is 10^Scale RegisterUnits.
	PerUnit      string `cbor:"7,keyasint" json:"per_unit"`
	RegisterUnit string `cbor:"8,keyasint" json:"register_unit"`
	Scale        uint8  `cbor:"9,keyasint" json:"scale"`
	Zone         Zone   `cbor:"10,keyasint" json:"zone"`
	// Bands tile every local weekday. Bands of one name are one line of the invoice and have one price.
	Bands  []Band  `cbor:"11,keyasint,omitempty" json:"bands,omitempty"`
	Series *Series `cbor:"12,keyasint,omitempty" json:"series,omitempty"`
	// Standing is the charge for every local day that begins in the period, see [Zone.Midnights].
	Standing lamppost.Micro `cbor:"13,keyasint,omitempty" json:"standing"`
	Rounding string         `cbor:"14,keyasint" json:"rounding"` // [RoundHalfUp] or [RoundHalfEven]
	Tax      Tax            `cbor:"15,keyasint" json:"tax"`

	// Blocks cut what a supply counts into parts with prices of their own, in place of the bands' price, which is then 0.
	Blocks    []Block        `cbor:"16,keyasint,omitempty" json:"blocks,omitempty"`
	BlockRule string         `cbor:"17,keyasint,omitempty" json:"block_rule,omitempty"` // [BlockPeriod], [BlockDay] or [BlockReached]
	Capacity  lamppost.Micro `cbor:"18,keyasint,omitempty" json:"capacity,omitempty"`   // per day, for each PerUnit an hour of the highest quarter hour
	Levies    []Levy         `cbor:"19,keyasint,omitempty" json:"levies,omitempty"`
	Minimum   lamppost.Micro `cbor:"20,keyasint,omitempty" json:"minimum,omitempty"` // of the lines of one supply, or session; 0: none
	Maximum   lamppost.Micro `cbor:"21,keyasint,omitempty" json:"maximum,omitempty"`
	Session   *SessionTerms  `cbor:"22,keyasint,omitempty" json:"session,omitempty"` // what sessions cost beside what they use
}

// A Block is a part of what a supply counts in a period or session.
type Block struct {
	To    lamppost.Decimal `cbor:"1,keyasint" json:"to"` // the end, in PerUnit; 0 of the last block: no end
	Price lamppost.Micro   `cbor:"2,keyasint" json:"price"`
}

// A Levy is a charge that a third party set and that has dates of its own. It is per PerUnit, or per local day.
type Levy struct {
	Name  string          `cbor:"1,keyasint" json:"name"`
	Price lamppost.Micro  `cbor:"2,keyasint,omitempty" json:"price,omitempty"` // per PerUnit
	Day   lamppost.Micro  `cbor:"3,keyasint,omitempty" json:"day,omitempty"`   // per local day that begins; none in a session
	From  lamppost.TimeMS `cbor:"4,keyasint,omitempty" json:"from_ms"`         // on UTC quarter hours
	To    lamppost.TimeMS `cbor:"5,keyasint,omitempty" json:"to_ms,omitempty"` // not included; 0: until further notice
}

// SessionTerms price a session. Minutes are begun ones.
type SessionTerms struct {
	Start  lamppost.Micro `cbor:"1,keyasint,omitempty" json:"start,omitempty"`   // once
	Minute lamppost.Micro `cbor:"2,keyasint,omitempty" json:"minute,omitempty"`  // from start to stop
	Idle   lamppost.Micro `cbor:"3,keyasint,omitempty" json:"idle,omitempty"`    // per minute after Grace without use, to the stop
	Grace  uint32         `cbor:"4,keyasint,omitempty" json:"grace,omitempty"`   // minutes
	MaxMin uint32         `cbor:"5,keyasint,omitempty" json:"max_min,omitempty"` // idle minutes that are charged at most; 0: all
}

// A Band is the price of some hours of some days of the local week. A band over midnight is written as two of one name.
type Band struct {
	Name    string         `cbor:"1,keyasint" json:"name"`
	Days    uint8          `cbor:"2,keyasint,omitempty" json:"days"` // bit 0 is Monday … bit 6 Sunday; 0 is every day
	FromMin uint16         `cbor:"3,keyasint" json:"from_min"`       // local minute of the day, a multiple of 15
	ToMin   uint16         `cbor:"4,keyasint" json:"to_min"`         // exclusive; 1440 is the end of the day
	Price   lamppost.Micro `cbor:"5,keyasint" json:"price"`          // per PerUnit; negative pays the buyer
}

// A Series is a list of prices for intervals of equal length in UTC, such as the hours of a power exchange.
type Series struct {
	From   lamppost.TimeMS  `cbor:"1,keyasint" json:"from_ms"`
	StepMS lamppost.TimeMS  `cbor:"2,keyasint" json:"step_ms"` // a multiple of 15 minutes
	Prices []lamppost.Micro `cbor:"3,keyasint" json:"prices"`  // per PerUnit
}

// end returns the instant after the last interval.
func (s *Series) end() lamppost.TimeMS {
	return s.From + s.StepMS*lamppost.TimeMS(len(s.Prices))
}

// A Tax is the category and rate that the seller states for the supply.
type Tax struct {
	Category    string `cbor:"1,keyasint" json:"category"` // EN 16931 BT-151, a code of UNCL 5305: "S", "Z", "E", …
	BasisPoints uint16 `cbor:"2,keyasint" json:"basis_points"`
}

// Rounding rules for amounts that lie between two minor units of the currency.
const (
	// RoundHalfUp takes ties away from zero, so that a credit note rounds like the invoice it undoes.
	RoundHalfUp = "half_up"
	// RoundHalfEven takes ties to the even minor unit.
	RoundHalfEven = "half_even"
)

// How blocks count.
const (
	BlockPeriod  = ""        // each part at its block's price; a block's end is per supply, or session
	BlockDay     = "day"     // likewise; ends are per local day that begins in the supply
	BlockReached = "reached" // everything at the price of the block that the whole comes to
)

// Names of lines that are not a band's or a levy's, which cannot have them.
const (
	LineSeries   = "series"
	LineStanding = "standing"
	LineCapacity = "capacity"
	LineStart    = "session-start"
	LineTime     = "session-time"
	LineIdle     = "session-idle"
	LineMinimum  = "minimum"
	LineMaximum  = "maximum"
	LineVouchers = "vouchers"
)

func reserved(name string) bool {
	switch name {
	case LineSeries, LineStanding, LineCapacity, LineStart, LineTime, LineIdle, LineMinimum, LineMaximum, LineVouchers:
		return true
	}
	return false
}

// Minor returns how many digits after the point amounts of a currency have (ISO 4217), or false for a currency that the
// rules do not know. Adding one is a change of the rules version.
func Minor(currency string) (digits uint8, ok bool) {
	switch currency {
	case "CLP", "ISK", "JPY", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF":
		return 0, true
	case "AED", "AUD", "BAM", "BGN", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP", "GEL", "GHS",
		"HKD", "HUF", "IDR", "ILS", "INR", "KES", "KZT", "MAD", "MDL", "MKD", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN",
		"PHP", "PKR", "PLN", "RON", "RSD", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "TZS", "UAH", "USD", "ZAR", "ZMW":
		return 2, true
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3, true
	}
	return 0, false
}

// Validate refuses terms that could not price every moment of their validity in exactly one way. The error says what to
// change. [Price] and [Bill] check again, because an auditor trusts nobody.
func (t *Tariff) Validate() error {
	checks := [...]func() error{
		t.checkNames, t.checkValidity, t.checkUnits, t.checkZone, t.checkPrices, t.checkMoney, t.Tax.Check,
		t.checkBlocks, t.checkLevies, t.checkBounds, t.checkSession,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return fmt.Errorf("tariff %q version %d: %v", clip(t.ID), t.Version, err)
		}
	}
	return nil
}

func (t *Tariff) checkNames() error {
	if err := lamppost.CheckName("tariff id", t.ID); err != nil {
		return err
	}
	if t.Version == 0 {
		return fmt.Errorf("versions count from 1, not 0")
	}
	return lamppost.CheckName("seller", string(t.Seller))
}

func (t *Tariff) checkValidity() error {
	if err := checkGrid("the tariff's begin", t.From); err != nil {
		return err
	}
	if t.To == 0 {
		return nil
	}
	if t.To <= t.From {
		return fmt.Errorf("it ends at %s, not after its begin at %s", stamp(t.To), stamp(t.From))
	}
	return checkGrid("the tariff's end", t.To)
}

func (t *Tariff) checkUnits() error {
	if err := checkText("unit of the prices", t.PerUnit, lamppost.MaxUnitBytes); err != nil {
		return err
	}
	if t.Scale > MaxScale {
		return fmt.Errorf("a scale of %d is over %d: price a smaller unit than %q", t.Scale, MaxScale, t.PerUnit)
	}
	return checkText("unit of the register", t.RegisterUnit, lamppost.MaxUnitBytes)
}

func (t *Tariff) checkZone() error {
	if err := t.Zone.check(); err != nil {
		return err
	}
	if first := t.Zone.Transitions[0].AtMS; first > t.From {
		return fmt.Errorf("zone %q: the first offset holds from %s, but the tariff begins earlier, at %s: add the offset before",
			t.Zone.Name, stamp(first), stamp(t.From))
	}
	return nil
}

func (t *Tariff) checkPrices() error {
	switch {
	case t.Series != nil && len(t.Bands) > 0:
		return fmt.Errorf("it has bands and a series: leave one of them out")
	case t.Series != nil:
		return t.checkSeries()
	default:
		return t.checkBands()
	}
}

func (t *Tariff) checkSeries() error {
	s := t.Series
	if s.StepMS <= 0 || s.StepMS%lamppost.EdgeMS != 0 || s.StepMS > MaxPeriodMS {
		return fmt.Errorf("series: a step of %d ms is not a multiple of 15 minutes up to 400 days", s.StepMS)
	}
	if n := len(s.Prices); n == 0 || n > MaxSeriesPrices {
		return fmt.Errorf("series: %d prices, not 1 to %d", n, MaxSeriesPrices)
	}
	if err := checkGrid("the series' begin", s.From); err != nil {
		return err
	}
	if s.From > t.From || t.To == 0 || s.end() < t.To {
		return fmt.Errorf("series: prices from %s to %s must cover the tariff's validity: set its begin and end inside",
			stamp(s.From), stamp(s.end()))
	}
	for i, p := range s.Prices {
		if err := checkPrice("series", "price", p); err != nil {
			return fmt.Errorf("%v at %s", err, stamp(s.From+s.StepMS*lamppost.TimeMS(i)))
		}
	}
	return nil
}

func (t *Tariff) checkMoney() error {
	if _, ok := Minor(t.Currency); !ok {
		return fmt.Errorf("currency %q: not a known ISO 4217 code", clip(t.Currency))
	}
	if t.Rounding != RoundHalfUp && t.Rounding != RoundHalfEven {
		return fmt.Errorf("rounding %q: use %q or %q", clip(t.Rounding), RoundHalfUp, RoundHalfEven)
	}
	return checkPrice("charge", LineStanding, t.Standing)
}

// Check follows EN 16931: the standard rate is above zero (BR-S-5), and what is not taxed has none (BR-Z-5, BR-E-5, …).
func (x Tax) Check() error {
	switch x.Category {
	case "S":
		if x.BasisPoints == 0 {
			return fmt.Errorf("tax category \"S\" needs a rate: use \"Z\" for a zero rate or \"E\" for exempt")
		}
	case "AE", "E", "G", "K", "O", "Z":
		if x.BasisPoints != 0 {
			return fmt.Errorf("tax category %q has no rate, not %d basis points: use \"S\"", x.Category, x.BasisPoints)
		}
	case "L", "M":
	default:
		return fmt.Errorf("tax category %q: use S, Z, E, AE, K, G, O, L or M of EN 16931", clip(x.Category))
	}
	if x.BasisPoints > 10_000 {
		return fmt.Errorf("a tax of %d basis points is over 100 %%", x.BasisPoints)
	}
	return nil
}

func checkPrice(what, name string, p lamppost.Micro) error {
	if p > MaxPrice || p < -MaxPrice {
		return fmt.Errorf("%s %s: %s is beyond ±%s", what, name, p, MaxPrice)
	}
	return nil
}

func checkGrid(what string, at lamppost.TimeMS) error {
	if at < 0 || at > maxTimeMS || at%lamppost.EdgeMS != 0 {
		return fmt.Errorf("%s at %s is not a UTC quarter hour between 1970 and 9999", what, stamp(at))
	}
	return nil
}

// checkText refuses free text that could not stand in a table: empty, long, not UTF-8, or with control characters. Which
// characters are printable changes with each Unicode version, so with each Go; which are controls never does.
func checkText(what, s string, limit int) error {
	if len(s) == 0 || len(s) > limit || !utf8.ValidString(s) {
		return fmt.Errorf("%s %q: needs 1 to %d bytes of UTF-8", what, clip(s), limit)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%s %q: has the control character %U", what, s, r)
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 2*lamppost.MaxNameBytes {
		return s[:2*lamppost.MaxNameBytes] + "…"
	}
	return s
}
