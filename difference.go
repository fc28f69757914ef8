package lamppost

import "errors"

// A report among what is kept of a segment stands as differences where it can be read: registers at equal steps are then
// records of equal bytes but for what was used in each step, and a compressor leaves two bytes of a reading instead of six.
// Nothing is lost: a report has one spelling, so its bytes follow from its readings.

// appendReport writes a report as it stands in a thin segment: CBOR [protected header, pack of differences, signature], or
// one that cannot be read, or whose differences are no pack, as the byte string it is.
func appendReport(b, raw []byte) []byte {
	var r Report
	if r.Decode(raw) != nil || !subtract(r.Readings) {
		return appendBytes(b, raw)
	}
	pack := AppendPack(make([]byte, 0, len(r.env.payload)), r.Readings, r.Meter...)
	if _, _, err := decodePack(nil, nil, pack); err != nil {
		return appendBytes(b, raw)
	}
	b = appendBytes(append(b, majArray|3), r.env.protected)
	return appendBytes(appendBytes(b, pack), r.env.signature)
}

// report reads what appendReport writes. A byte string aliases the input.
func (w *wire) report() []byte {
	if w.peek()&0xe0 == majBytes {
		raw := w.bytes()
		w.max(uint64(len(raw)), MaxReportBytes)
		if w.err == nil && appendReport(nil, raw)[0]&0xe0 != majBytes {
			w.fail(errCanonical)
		}
		return raw
	}
	w.array(3)
	e := envelope{protected: w.bytes(), payload: w.bytes(), signature: w.bytes()}
	if w.err != nil {
		return nil
	}
	raw, err := e.added()
	if err != nil {
		w.fail(err)
	}
	return raw
}

// added returns the report whose pack of differences is the envelope's payload.
func (e *envelope) added() ([]byte, error) {
	if e.decodeSuite(tagSign1) != nil {
		if err := e.decodeSuite(tagMac0); err != nil {
			return nil, err
		}
	}
	readings, meter, err := decodePack(nil, nil, e.payload)
	if err != nil {
		return nil, err
	}
	if !add(readings) {
		return nil, errors.New("the differences of a report add up to what is no reading")
	}
	pack := AppendPack(make([]byte, 0, 2*len(e.payload)), readings, meter...)
	raw := appendEnvelope(make([]byte, 0, len(e.protected)+len(pack)+len(e.signature)+16), e.suite, e.protected, pack, e.signature)
	return raw, new(Report).Decode(raw)
}

// subtract puts in place of every time but the first what passed since the one before, counted from the first, and in place of
// a value what was added since the record of its name before. It reports false where a difference does not fit.
func subtract(readings []Reading) bool {
	for i := len(readings) - 1; i > 0; i-- {
		r := &readings[i]
		r.Time += readings[0].Time - readings[i-1].Time
		if j := before(readings, i); j >= 0 {
			var ok bool
			if r.Value, ok = r.Value.Sub(readings[j].Value); !ok {
				return false
			}
		}
	}
	return true
}

// add undoes subtract.
func add(readings []Reading) bool {
	const far = 1 << 54 // ms; twice what a pack's time can say, so that no sum here overflows
	for i := 1; i < len(readings); i++ {
		r := &readings[i]
		r.Time += readings[i-1].Time - readings[0].Time
		if r.Time > far || r.Time < -far {
			return false
		}
		if j := before(readings, i); j >= 0 {
			var ok bool
			if r.Value, ok = r.Value.Add(readings[j].Value); !ok {
				return false
			}
		}
	}
	return true
}

// maxBefore is how many records are looked through for the one before of the same name.
const maxBefore = 8

// before returns the record from which the value of record i is counted, or -1.
func before(readings []Reading, i int) int {
	r := &readings[i]
	for j := i - 1; j >= max(0, i-maxBefore); j-- {
		if p := &readings[j]; p.Name == r.Name {
			if p.IsFloat || r.IsFloat || p.Value.Exponent != r.Value.Exponent {
				return -1
			}
			return j
		}
	}
	return -1
}
