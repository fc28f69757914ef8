package masterdata

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
)

// A kind is what one file has in its rows.
type kind struct {
	typ                lamppost.TxType
	required, optional []string
	read               func(*values) (body any, key string)
}

var kinds = map[lamppost.TxType]*kind{
	lamppost.TxParty: {lamppost.TxParty, []string{"id", "name"}, []string{"credit_limit"}, readParty},
	lamppost.TxDevice: {lamppost.TxDevice, []string{"id", "owner"},
		[]string{"name", "site", "safety", "suite", "key", "meter_key", "assurance"}, readDevice},
	lamppost.TxPoint: {lamppost.TxPoint, []string{"id", "device"}, []string{"register", "unit", "place", "main", "sessions", "rolls_at"}, readPoint},
	lamppost.TxTariff: {lamppost.TxTariff, []string{"id", "seller", "currency", "from", "price"},
		[]string{"version", "to", "per_unit", "register_unit", "scale", "standing", "tax_category", "tax_percent", "rounding"}, readTariff},
	lamppost.TxAgreement: {lamppost.TxAgreement, []string{"seller", "buyer", "point", "tariff", "from"},
		[]string{"id", "to", "tax_category", "tax_reason"}, readAgreement},
	lamppost.TxReading: {lamppost.TxReading, []string{"device", "time", "value"}, []string{"register", "unit", "quality", "reason"}, readReading},
}

func readParty(v *values) (any, string) {
	b := lamppost.PartyBody{ID: lamppost.PartyID(v.name("id")), Name: v.text("name"), CreditLimit: v.micro("credit_limit")}
	return b, string(b.ID)
}

func readDevice(v *values) (any, string) {
	b := api.KnownDevice{NewDevice: api.NewDevice{ID: lamppost.DeviceID(v.name("id")), Owner: lamppost.PartyID(v.name("owner")), Name: v.text("name"),
		Site: v.text("site"), Safety: v.text("safety"), MeterKey: v.text("meter_key")},
		Suite: v.or("suite", ""), Key: strings.ToLower(v.text("key")), Assurance: v.text("assurance")}
	if b.Key != "" && b.Suite == "" {
		b.Suite = "ed25519"
	}
	return b, string(b.ID)
}

func readPoint(v *values) (any, string) {
	b := lamppost.PointBody{ID: v.name("id"), Device: lamppost.DeviceID(v.name("device")), Register: v.or("register", "energy"), Unit: v.or("unit", "Wh"),
		Place: v.text("place"), Main: v.name("main"), Sessions: v.yes("sessions")}
	if v.text("rolls_at") != "" {
		d := v.decimal("rolls_at")
		b.RollsAt = &d
	}
	return b, b.ID
}

// zoneYears is for how many years a tariff carries its zone's clock changes.
const zoneYears = 5

// readTariff makes a tariff of one price all day. Any other is written as JSON, like `lamppost tariff example`.
func readTariff(v *values) (any, string) {
	t := tariff.Tariff{ID: v.name("id"), Version: uint32(v.number("version", 1)), Seller: lamppost.PartyID(v.name("seller")), Currency: v.text("currency"),
		From: v.time("from"), To: v.time("to"), PerUnit: v.or("per_unit", "kWh"), RegisterUnit: v.or("register_unit", "Wh"), Scale: uint8(v.number("scale", 3)),
		Bands: []tariff.Band{{Name: "flat", ToMin: 24 * 60, Price: v.micro("price")}}, Standing: v.micro("standing"), Rounding: v.or("rounding", tariff.RoundHalfUp)}
	percent := v.decimal("tax_percent")
	if points, ok := percent.At(-2); ok && points >= 0 && points <= 10_000 {
		t.Tax = tariff.Tax{Category: v.or("tax_category", "S"), BasisPoints: uint16(points)}
	} else {
		v.fail("tax_percent", errors.New("is not between 0 and 100 with two decimals"))
	}
	t.Zone = tariff.ZoneOf(v.zone, t.From, lamppost.TimeMS(time.UnixMilli(int64(t.From)).AddDate(zoneYears, 0, 0).UnixMilli()))
	return t, fmt.Sprintf("%s version %d", t.ID, t.Version)
}

func readAgreement(v *values) (any, string) {
	b := lamppost.AgreementBody{ID: v.name("id"), Seller: lamppost.PartyID(v.name("seller")), Buyer: lamppost.PartyID(v.name("buyer")), Point: v.name("point"),
		Tariff: v.name("tariff"), From: v.time("from"), To: v.time("to"), TaxCategory: v.text("tax_category"), TaxReason: v.text("tax_reason")}
	if b.ID == "" {
		b.ID = b.Point
	}
	return b, b.ID
}

func readReading(v *values) (any, string) {
	b := lamppost.ReadingBody{Device: lamppost.DeviceID(v.name("device")), Register: v.or("register", "energy"), Unit: v.or("unit", "Wh"), Time: v.time("time"),
		Value: v.decimal("value"), Reason: v.or("reason", "opening reading of the system before")}
	switch q := v.or("quality", "estimated"); q {
	case "estimated":
		b.Quality = lamppost.Estimated
	case "substituted":
		b.Quality = lamppost.Substituted
	default:
		v.fail("quality", fmt.Errorf("%q: a value entered by hand is estimated or substituted", q))
	}
	return b, fmt.Sprintf("%s %s at %s", b.Device, b.Register, time.UnixMilli(int64(b.Time)).UTC().Format(time.RFC3339))
}

// values are the cells of a row by their columns. The first that cannot be read is remembered.
type values struct {
	cells, head []string
	zone        *time.Location
	err         error
}

func (v *values) fail(column string, err error) {
	if v.err == nil && err != nil {
		v.err = fmt.Errorf("column %s: %w", column, err)
	}
}

func (v *values) text(column string) string {
	i := slices.Index(v.head, column)
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(v.cells[i])
}

func (v *values) or(column, otherwise string) string {
	if t := v.text(column); t != "" {
		return t
	}
	return otherwise
}

func (v *values) name(column string) string {
	external := v.text(column)
	if external == "" {
		return ""
	}
	name := Name(external)
	if len(name) > lamppost.MaxNameBytes {
		v.fail(column, fmt.Errorf("%q: as a name, %q, it is longer than %d characters", external, name, lamppost.MaxNameBytes))
	}
	return name
}

func (v *values) micro(column string) lamppost.Micro {
	m, err := lamppost.ParseMicro(v.or(column, "0"))
	v.fail(column, err)
	return m
}

func (v *values) decimal(column string) lamppost.Decimal {
	d, err := lamppost.ParseDecimal(v.or(column, "0"))
	v.fail(column, err)
	return d
}

func (v *values) number(column string, otherwise uint64) uint64 {
	text := v.text(column)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		v.fail(column, fmt.Errorf("%q is not a number up to 255", text))
	}
	return n
}

func (v *values) yes(column string) bool {
	switch t := v.or(column, "no"); t {
	case "yes", "true", "1":
		return true
	case "no", "false", "0":
	default:
		v.fail(column, fmt.Errorf("%q is neither yes nor no", t))
	}
	return false
}

// time reads an instant, or a date as its midnight in the zone; nothing is 0.
func (v *values) time(column string) lamppost.TimeMS {
	text := v.text(column)
	if text == "" {
		return 0
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.ParseInLocation(time.DateOnly, text, v.zone)
	}
	if err != nil || at.UnixMilli() <= 0 {
		v.fail(column, fmt.Errorf("%q is neither a date like 2026-11-01 nor an instant like 2026-11-01T06:30:00+01:00, after 1970", text))
		return 0
	}
	return lamppost.TimeMS(at.UnixMilli())
}
