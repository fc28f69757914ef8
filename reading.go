package lamppost

import (
	"errors"
	"fmt"
)

// A Kind says how readings of one name add up.
type Kind uint8

// Kinds. A register travels in SenML's sum field (RFC 8428 §4.1), which is what a cumulative reading is.
const (
	Gauge    Kind = iota // a value at a time: temperature, dimming level
	Interval             // an amount since the last reading
	Register             // cumulative; what bills are made from
)

var kindNames = [...]string{"gauge", "interval", "register"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "gauge"
}

// A Quality says where a value comes from.
type Quality uint8

// Qualities.
const (
	Measured Quality = iota
	Estimated
	Substituted
	Faulty
)

var qualityNames = [...]string{"measured", "estimated", "substituted", "faulty"}

// String returns the quality's name.
func (q Quality) String() string {
	if int(q) < len(qualityNames) {
		return qualityNames[q]
	}
	return "faulty"
}

// A TimeQuality says how far a device's clock can be trusted.
type TimeQuality uint8

// Time qualities.
const (
	TimeUnknown      TimeQuality = iota
	TimeRelative                 // counts from boot
	TimeInformative              // set once, drifting
	TimeSynchronised             // disciplined by a time service
)

var timeQualityNames = [...]string{"unknown", "relative", "informative", "synchronised"}

// String returns the time quality's name.
func (q TimeQuality) String() string {
	if int(q) < len(timeQualityNames) {
		return timeQualityNames[q]
	}
	return "unknown"
}

// A Reading is one value of one quantity at one time.
type Reading struct {
	Name    string
	Unit    string // SenML unit (RFC 8428 §12.1), e.g. "Wh", "W", "lm"
	Time    TimeMS // device time
	Kind    Kind
	Quality Quality
	Value   Decimal
	Float   float64 // in place of Value where IsFloat: gauges and intervals only, never billed
	IsFloat bool
}

// A MeterRecord is what a meter signed by itself, in the Open Charge Metering Format: evidence beside the readings of a
// billing report, kept as it came. Package ocmf reads it.
type MeterRecord struct {
	Name string // of the register that it speaks of
	Text string
}

// SenML labels (RFC 8428 §6) and the two text labels this project adds, in the order deterministic CBOR sorts them.
const (
	labelName     = 0x00
	labelUnit     = 0x01
	labelValue    = 0x02
	labelText     = 0x03
	labelSum      = 0x05
	labelTime     = 0x06
	labelBaseName = 0x21 // -2
	labelBaseTime = 0x22 // -3
	labelBaseUnit = 0x23 // -4
	labelKind     = 0x61 // text, one letter: "k" = 1 marks an interval
	labelQuality  = 0x61 // "q"
)

// ErrFloatRegister refuses a register whose value is a binary floating point number: it could not be billed exactly.
var ErrFloatRegister = errors.New("a register is an integer or a decimal fraction, never a float")

// check refuses what the pack could not carry and would drop without a word.
func (r *Reading) check() error {
	switch {
	case r.Kind > Register:
		return fmt.Errorf("kind %d is not known", r.Kind)
	case r.Kind == Register && r.IsFloat:
		return ErrFloatRegister
	default:
		return nil
	}
}

// AppendPack writes readings as a SenML pack in its one canonical form: the first record carries the base time, and
// where all of several records share a name or unit, that name or unit once; the other records what differs. The meter's
// records come last; they have no unit.
func AppendPack(b []byte, readings []Reading, meter ...MeterRecord) []byte {
	p := packShapeOf(readings, meter)
	b = appendHead(b, majArray, uint64(len(readings)+len(meter)))
	for i := range readings {
		b = p.appendRecord(b, &readings[i], i == 0)
	}
	for i := range meter {
		b = p.appendMeterRecord(b, &meter[i])
	}
	return b
}

// packShape is what the records of a pack share.
type packShape struct {
	baseName, baseUnit bool
	baseTime           TimeMS
}

func packShapeOf(readings []Reading, meter []MeterRecord) packShape {
	p := packShape{baseName: len(readings)+len(meter) > 1, baseUnit: len(readings) > 1}
	for i := range readings {
		p.baseName = p.baseName && readings[i].Name == readings[0].Name
		p.baseUnit = p.baseUnit && readings[i].Unit == readings[0].Unit
	}
	for i := range meter {
		p.baseName = p.baseName && meter[i].Name == readings[0].Name
	}
	if len(readings) > 0 {
		p.baseTime = readings[0].Time
	}
	return p
}

func (p packShape) appendMeterRecord(b []byte, m *MeterRecord) []byte {
	if p.baseName {
		b = appendHead(b, majMap, 1)
	} else {
		b = appendText(append(appendHead(b, majMap, 2), labelName), m.Name)
	}
	return appendText(append(b, labelText), m.Text)
}

func (p packShape) appendRecord(b []byte, r *Reading, first bool) []byte {
	dt := r.Time - p.baseTime
	fields := uint64(1) // the value
	for _, present := range [...]bool{!p.baseName, !p.baseUnit, dt != 0, first, first && p.baseName, first && p.baseUnit,
		r.Kind == Interval, r.Quality != Measured} {
		if present {
			fields++
		}
	}
	b = appendHead(b, majMap, fields)
	if !p.baseName {
		b = appendText(append(b, labelName), r.Name)
	}
	if !p.baseUnit {
		b = appendText(append(b, labelUnit), r.Unit)
	}
	b = appendValue(b, r)
	if dt != 0 {
		b = appendTime(append(b, labelTime), dt)
	}
	if first && p.baseName {
		b = appendText(append(b, labelBaseName), r.Name)
	}
	if first {
		b = appendTime(append(b, labelBaseTime), p.baseTime)
	}
	if first && p.baseUnit {
		b = appendText(append(b, labelBaseUnit), r.Unit)
	}
	if r.Kind == Interval {
		b = append(b, labelKind, 'k', 1)
	}
	if r.Quality != Measured {
		b = append(b, labelQuality, 'q', byte(r.Quality))
	}
	return b
}

func appendValue(b []byte, r *Reading) []byte {
	switch {
	case r.Kind == Register:
		return appendDecimal(append(b, labelSum), r.Value)
	case r.IsFloat:
		return appendFloat(append(b, labelValue), r.Float)
	default:
		return appendDecimal(append(b, labelValue), r.Value)
	}
}

// decodePack reads a canonical pack, appending to dst and meter. Strings alias b.
func decodePack(dst []Reading, meter []MeterRecord, b []byte) ([]Reading, []MeterRecord, error) {
	w := wire{b: b}
	n := w.arrayLen()
	if n == 0 || n > MaxReadings {
		w.fail(fmt.Errorf("a report has 1 to %d readings, not %d", MaxReadings, n))
	}
	var d packDecoder
	start, metered := len(dst), len(meter)
	for i := uint64(0); i < n && w.err == nil; i++ {
		switch {
		case i > 0 && atMeterRecord(w):
			meter = append(meter, d.meterRecord(&w))
		case len(meter) > metered:
			w.fail(fmt.Errorf("a meter's records come after the readings: %w", errCanonical))
		default:
			dst = append(dst, d.record(&w, i == 0))
		}
	}
	if len(meter)-metered > MaxMeterRecords {
		w.fail(fmt.Errorf("%d records of a meter are over the limit of %d", len(meter)-metered, MaxMeterRecords))
	}
	if err := w.end("SenML pack"); err != nil {
		return dst, meter, err
	}
	if p := packShapeOf(dst[start:], meter[metered:]); p.baseName != d.hasBaseName || p.baseUnit != d.hasBaseUnit {
		return dst, meter, fmt.Errorf("SenML pack: shared names and units stand once, in the first record: %w", errCanonical)
	}
	return dst, meter, nil
}

// atMeterRecord looks ahead in a copy: a map of a text, with or without a name before it.
func atMeterRecord(w wire) bool {
	switch w.mapLen() {
	case 1:
	case 2:
		if w.peek() != labelName {
			return false
		}
		w.off++
		w.text(MaxReadingNameBytes)
	default:
		return false
	}
	return w.err == nil && w.peek() == labelText
}

type packDecoder struct {
	baseName, baseUnit       string
	hasBaseName, hasBaseUnit bool
	baseTime                 TimeMS
}

// record reads one map. Keys come in the order of the label constants; each is optional but the value, and what the
// base fields give must not be repeated.
func (d *packDecoder) record(w *wire, first bool) (r Reading) {
	fields := w.max(w.mapLen(), 9)
	has := func(label byte) bool {
		if w.err != nil || fields == 0 || w.peek() != label {
			return false
		}
		fields--
		w.off++
		return true
	}
	hasName := has(labelName)
	if hasName {
		r.Name = w.text(MaxReadingNameBytes)
	}
	hasUnit := has(labelUnit)
	if hasUnit {
		r.Unit = w.text(MaxUnitBytes)
	}
	d.value(w, &r, has)
	if has(labelTime) {
		if r.Time = w.time(); r.Time == 0 || first {
			w.fail(errCanonical)
		}
	}
	if first {
		d.base(w, has)
	}
	for fields > 0 && w.err == nil {
		d.extra(w, &r, &fields)
	}
	if hasName == d.hasBaseName || hasUnit == d.hasBaseUnit {
		w.fail(errors.New("each record has a name and a unit, from itself or from the first record, not from both"))
	}
	if d.hasBaseName {
		r.Name = d.baseName
	}
	if d.hasBaseUnit {
		r.Unit = d.baseUnit
	}
	if r.Name == "" {
		w.fail(errors.New("a reading without a name"))
	}
	r.Time += d.baseTime
	return r
}

// meterRecord reads a record that atMeterRecord has seen.
func (d *packDecoder) meterRecord(w *wire) MeterRecord {
	m := MeterRecord{Name: d.baseName}
	fields := uint64(1)
	if !d.hasBaseName {
		fields = 2
	}
	w.exactly(w.mapLen(), fields, "fields of a meter's record")
	if !d.hasBaseName {
		w.constInt(labelName)
		m.Name = w.text(MaxReadingNameBytes)
	}
	w.constInt(labelText)
	if m.Text = w.text(MaxMeterRecordBytes); m.Name == "" || m.Text == "" {
		w.fail(errors.New("a meter's record without a name or a text"))
	}
	return m
}

func (d *packDecoder) value(w *wire, r *Reading, has func(byte) bool) {
	switch {
	case has(labelValue):
		if w.peek()&0xe0 == majOther {
			r.Float, r.IsFloat = w.float(), true
		} else {
			r.Value = w.decimal()
		}
	case has(labelSum):
		r.Kind = Register
		if c := w.peek(); c >= majOther|25 && c <= majOther|27 {
			w.fail(ErrFloatRegister)
			return
		}
		r.Value = w.decimal()
	default:
		w.fail(errors.New("a record has a value (label 2) or a sum (label 5)"))
	}
}

func (d *packDecoder) base(w *wire, has func(byte) bool) {
	if d.hasBaseName = has(labelBaseName); d.hasBaseName {
		d.baseName = w.text(MaxReadingNameBytes)
	}
	if !has(labelBaseTime) {
		w.fail(errors.New("the first record carries the base time (label -3)"))
		return
	}
	d.baseTime = w.time()
	if d.hasBaseUnit = has(labelBaseUnit); d.hasBaseUnit {
		d.baseUnit = w.text(MaxUnitBytes)
	}
}

// extra reads the two text labels, "k" before "q".
func (d *packDecoder) extra(w *wire, r *Reading, fields *uint64) {
	*fields--
	key := w.text(1)
	val := w.uint()
	switch {
	case key == "k" && val == 1 && r.Kind == Gauge && r.Quality == Measured:
		r.Kind = Interval
	case key == "q" && val >= 1 && val <= uint64(Faulty) && r.Quality == Measured:
		r.Quality = Quality(val)
	default:
		w.fail(fmt.Errorf("unknown or misplaced field %q in a record", key))
	}
}

// SnapToEdge returns the UTC quarter hour that a register read at t stands for in a bill, if one is near enough.
func SnapToEdge(t TimeMS) (edge TimeMS, ok bool) {
	edge = (t + EdgeMS/2) / EdgeMS * EdgeMS
	d := t - edge
	return edge, t >= 0 && -EdgeToleranceMS <= d && d <= EdgeToleranceMS
}
