package ocmf

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
)

// A Payload is what the meter, or the gateway beside it, signed (tables 1 to 7 of the format). Texts are empty where the
// record has none.
type Payload struct {
	Version           string    // FV
	Gateway           Component // GI, GS, GV: what made the signature
	Page              Page      // PG
	Meter             Component // MM, MS, MF
	MeterVendor       string    // MV
	User              User      // IS, IL, IF, IT, ID
	TariffText        string    // TT
	PointType         string    // CT
	PointID           string    // CI
	ControllerVersion string    // CCV
	Readings          []Reading
	hasUser           bool
	compensatesLoss   bool // LC: RV has the losses of the cable taken off
}

// A Component is a gateway or a meter.
type Component struct{ Model, Serial, Firmware string }

// A Page is a record's place among those of its context.
type Page struct {
	Context byte // 'T': of transactions; 'F': fiscal, of none
	N       uint64
}

// String is the form of PG, such as "T12345".
func (p Page) String() string { return string(p.Context) + strconv.FormatUint(p.N, 10) }

// A User says who charged, as far as the gateway knows.
type User struct {
	Assigned   bool     // IS
	Level      string   // IL
	Flags      []string // IF, at most 4
	Type, Data string   // IT, ID
}

// HasUser reports whether the record says anything of a user.
func (p *Payload) HasUser() bool { return p.hasUser }

// CompensatesLoss reports whether the values have the losses of the charging cable taken off (LC).
func (p *Payload) CompensatesLoss() bool { return p.compensatesLoss }

// A Reading is one reading of a record, with what it takes over from the one before.
type Reading struct {
	Time     lamppost.TimeMS // TM
	Zone     int             // of TM, minutes east of UTC
	Sync     Sync            // of TM
	Reason   byte            // TX: one of BCXELRAPST; 0: of no transaction
	Value    lamppost.Decimal
	HasValue bool   // else an event without a value
	Register string // RI, an OBIS code
	Unit     string // RU
	Current  string // RT: "AC" or "DC"
	Loss     lamppost.Decimal
	HasLoss  bool   // CL
	Errors   string // EF: 'E' energy, 't' time not to be billed
	Status   byte   // ST: 'G' is good
}

// Sync says how far the time of a reading can be trusted (table 19).
type Sync byte

// Times.
const (
	TimeUnknown      Sync = 'U'
	TimeInformative  Sync = 'I'
	TimeSynchronised Sync = 'S'
	TimeRelative     Sync = 'R' // durations are right, counted on an informative time
)

// Ends reports whether the reading ends a transaction.
func (x *Reading) Ends() bool { return x.Reason != 0 && strings.IndexByte("ELRAP", x.Reason) >= 0 }

// Billable reports whether the meter vouches for the value: it is there, the meter is well, and nothing that went wrong
// touches energy.
func (x *Reading) Billable() bool {
	return x.HasValue && x.Status == 'G' && strings.IndexByte(x.Errors, 'E') < 0
}

func (p *Payload) read(text string) error {
	f := readObject(text)
	p.Version = f.text("FV")
	p.Gateway = Component{f.text("GI"), f.text("GS"), f.text("GV")}
	p.Page = parsePage(&f)
	p.MeterVendor = f.text("MV")
	p.Meter = Component{f.text("MM"), f.text("MS"), f.text("MF")}
	p.hasUser = f.has("IS")
	p.User = User{f.bool("IS"), f.text("IL"), f.texts("IF", 4), f.text("IT"), f.text("ID")}
	p.TariffText, p.ControllerVersion = f.text("TT"), f.text("CCV")
	p.PointType, p.PointID = f.text("CT"), f.text("CI")
	p.compensatesLoss = f.has("LC")
	// Table 3 demands MS; meters whose gateway signs leave it out, as "Relation of Serial Numbers" allows.
	if f.err == nil && p.Gateway.Serial == "" && p.Meter.Serial == "" && p.PointID == "" {
		f.fail(RuleForm, "one of GS, MS and CI says whose record it is; none is there")
	}
	p.readReadings(&f)
	return f.err
}

func parsePage(f *fields) (p Page) {
	s := f.must("PG")
	if f.err != nil {
		return p
	}
	if len(s) > 1 && (s[0] == 'T' || s[0] == 'F') {
		p.Context = s[0]
		p.N, _ = strconv.ParseUint(s[1:], 10, 63)
	}
	if p.Context == 0 || p.String() != s {
		f.fail(RuleForm, "PG %q is not T or F with a number", clip(s))
	}
	return p
}

func (p *Payload) readReadings(f *fields) {
	var all []json.RawMessage
	if f.err == nil && !f.has("RD") {
		f.fail(RuleForm, "RD is missing")
	}
	f.into("RD", "[", "a list of readings", &all)
	switch n := len(all); {
	case f.err != nil:
		return
	case n == 0:
		f.fail(RuleForm, "RD has no reading")
		return
	case n > MaxRecordReadings:
		f.fail(RuleLimit, "%d readings are over the limit of %d", n, MaxRecordReadings)
		return
	}
	var x Reading
	for i, raw := range all {
		r := readObject(string(raw))
		x.read(&r, i == 0)
		if r.err != nil {
			f.err = r.err.(*Refusal).at(i)
			return
		}
		p.Readings = append(p.Readings, x)
	}
}

func (r *Refusal) at(i int) *Refusal {
	return refuse(r.Rule, "reading %d: %s", i+1, r.Text)
}

// read takes a reading's fields over those of the one before: what did not change since is left out (under "Readings").
func (x *Reading) read(f *fields, first bool) {
	if first || f.has("TM") {
		x.readTime(f)
	}
	if f.has("TX") {
		x.Reason = oneOf(f, "TX", "BCXELRAPST")
	}
	if f.has("RI") != f.has("RU") {
		f.fail(RuleForm, "RI and RU stand together or not at all")
	}
	if f.has("RI") {
		x.Register, x.Unit = f.text("RI"), f.text("RU")
	}
	if f.has("RV") {
		x.Value, x.HasValue = f.decimal("RV"), true
	}
	if f.has("CL") {
		x.Loss, x.HasLoss = f.decimal("CL"), true
	}
	if f.has("RT") {
		x.Current = f.text("RT")
	}
	if f.has("EF") {
		x.readErrors(f)
	}
	if first && f.err == nil && !f.has("ST") {
		f.fail(RuleForm, "ST is missing")
	}
	if f.has("ST") {
		x.Status = oneOf(f, "ST", "NGTDRMXIOSEF")
	}
	if f.err == nil && x.HasValue && x.Unit == "" {
		f.fail(RuleForm, "RV has no unit")
	}
}

func (x *Reading) readErrors(f *fields) {
	x.Errors = f.text("EF")
	if strings.Trim(x.Errors, "Et") != "" {
		f.fail(RuleForm, "EF %q has others than E and t", clip(x.Errors))
	}
}

// oneOf reads a field of one letter.
func oneOf(f *fields, name, letters string) byte {
	s := f.text(name)
	if len(s) != 1 || !strings.Contains(letters, s) {
		f.fail(RuleForm, "%s %q is not one of %s", name, clip(s), letters)
		return 0
	}
	return s[0]
}

// readTime reads TM, such as "2018-07-24T13:22:04,000+0200 S".
func (x *Reading) readTime(f *fields) {
	const form = "0000-00-00T00:00:00,000+0000 S"
	s := f.must("TM")
	ok := len(s) == len(form)
	for i := 0; ok && i < len(form); i++ {
		switch c := s[i]; form[i] {
		case '0':
			ok = '0' <= c && c <= '9'
		case '+':
			ok = c == '+' || c == '-'
		case 'S':
			ok = strings.IndexByte("UISR", c) >= 0
		default:
			ok = c == form[i]
		}
	}
	if ok {
		ok = x.setTime(s)
	}
	if !ok {
		f.fail(RuleForm, "TM %q is not a time like 2018-07-24T13:22:04,000+0200 S", clip(s))
	}
}

// setTime reads a time whose digits stand where they should.
func (x *Reading) setTime(s string) bool {
	n := func(from, to int) int {
		v, _ := strconv.Atoi(s[from:to])
		return v
	}
	year, month, day, hour, minute, second := n(0, 4), n(5, 7), n(8, 10), n(11, 13), n(14, 16), n(17, 19)
	zoneHour, zoneMinute := n(24, 26), n(26, 28)
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 ||
		zoneHour > 14 || zoneMinute > 59 {
		return false
	}
	x.Zone = zoneHour*60 + zoneMinute
	if s[23] == '-' {
		x.Zone = -x.Zone
	}
	minutes := (daysBefore(year, month)+day-1)*24*60 + hour*60 + minute - x.Zone
	x.Time = lamppost.TimeMS(minutes*60+second)*1000 + lamppost.TimeMS(n(20, 23))
	x.Sync = Sync(s[29])
	return x.Time >= 0
}

func daysIn(year, month int) int {
	return daysBefore(year, month+1) - daysBefore(year, month)
}

// daysBefore counts the days from 1970-01-01 to the first of a month; month 13 is the next January.
func daysBefore(year, month int) int {
	before := [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}
	y := year - 1
	days := year*365 + y/4 - y/100 + y/400 - (1970*365 + 1969/4 - 1969/100 + 1969/400) + before[month-1]
	if month > 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		days++
	}
	return days
}
