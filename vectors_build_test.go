package lamppost_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// How the vectors are made. Bytes that must be refused are written by hand, never by the encoder under test.

type vectorFile struct {
	about   string
	vectors []vector
}

func buildVectors(t testing.TB) map[string]vectorFile {
	return map[string]vectorFile{
		"pack.txt":        {"// SenML packs: what stands between a report's envelope. See docs/formats.md, \"Pack\".\n", buildPacks(t)},
		"report.txt":      {"// Reports with their envelopes. A seed is the key's: see README.md here.\n", buildReports(t)},
		"transaction.txt": {"// Segment headers and transactions.\n", buildTransactions(t)},
		"charter.txt":     {"// Charters: what a device's owner signs about what its guard keeps to.\n", buildCharters(t)},
		"keychange.txt":   {"// Changes of keys: what a device signs with the key it has about the one that takes over.\n", buildKeyChanges(t)},
		"voucher.txt":     {"// Vouchers: what a payer promises a payee while both are offline.\n", buildVouchers(t)},
		"leaf.txt":        {"// What the log keeps.\n", buildLeaves(t)},
		"proof.txt":       {"// Proofs, outcomes, decimals and checkpoints.\n", buildRest(t)},
	}
}

// cborHex reads hexadecimal with spaces, in which "x" is a text string and 'x' a byte string, with their heads.
func cborHex(s string) []byte {
	var b []byte
	for s != "" {
		switch c := s[0]; c {
		case ' ':
			s = s[1:]
		case '"', '\'':
			text, rest, _ := strings.Cut(s[1:], string(c))
			major := byte(0x60)
			if c == '\'' {
				major = 0x40
			}
			b, s = append(cborHead(b, major, uint64(len(text))), text...), rest
		default:
			n := strings.IndexAny(s+" ", " \"'")
			part, err := hex.DecodeString(s[:n])
			if err != nil {
				panic(fmt.Sprintf("%q: %v", s[:n], err))
			}
			b, s = append(b, part...), s[n:]
		}
	}
	return b
}

func cborHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	default:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

func byteString(s []byte) []byte { return append(cborHead(nil, 0x40, uint64(len(s))), s...) }

func packOne() []byte { return cborHex(`81 a4 00 "energy" 01 "Wh" 05 1904d2 22 1a6b49d200`) }

func ok(name, cbor string) vector {
	return vector{name: name, kind: "pack", raw: cborHex(cbor), expect: "ok"}
}

func bad(name, cbor, why string) vector {
	return vector{name: name, kind: "pack", raw: cborHex(cbor), expect: "refused: " + why}
}

const (
	form = "not in deterministic form"
	// valued and summed are packs of one record up to its value; the base time follows.
	valued = `81 a4 00 "temp" 01 "Cel" 02 `
	summed = `81 a4 00 "energy" 01 "Wh" 05 `
	based  = ` 22 1a6b49d200`
	// second is a record that leaves name and unit to the first.
	second = ` a2 05 02 06 190384`
)

func buildPacks(testing.TB) (vs []vector) {
	vs = append(vs,
		ok("one register", `81 a4 00 "energy" 01 "Wh" 05 1904d2 22 1a6b49d200`),
		ok("two registers share name and unit", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh"`+second),
		ok("two names, one unit", `82 a4 00 "in" 05 01 22 1a6b49d200 23 "Wh" a2 00 "out" 05 02`),
		ok("one name, two units", `82 a4 01 "Wh" 05 01 21 "energy" 22 1a6b49d200 a2 01 "J" 05 02`),
		ok("nothing shared", `82 a4 00 "in" 01 "Wh" 05 01 22 1a6b49d200 a3 00 "temp" 01 "Cel" 02 02`),
		ok("decimal fraction", summed+`c4 82 22 1a0012d687`+based),
		ok("trailing zeros are kept", summed+`c4 82 20 1832`+based),
		ok("decimal fraction of zero", summed+`c4 82 28 00`+based),
		ok("negative decimal fraction", valued+`c4 82 20 3836`+based),
		ok("largest register", summed+`1b7fffffffffffffff`+based),
		ok("smallest register", summed+`3b7ffffffffffffffe`+based),
		ok("smallest decimal fraction", summed+`c4 82 28 3b7ffffffffffffffe`+based),
		ok("half precision", valued+`f94d40`+based),
		ok("half precision, subnormal", valued+`f90001`+based),
		ok("minus zero", valued+`f98000`+based),
		ok("single precision", valued+`fa47c35000`+based),
		ok("double precision", valued+`fb3fb999999999999a`+based),
		ok("interval", `81 a5 00 "use" 01 "Wh" 02 07 22 1a6b49d200 "k" 01`),
		ok("estimated register", `81 a5 00 "use" 01 "Wh" 05 07 22 1a6b49d200 "q" 01`),
		ok("faulty interval", `81 a6 00 "use" 01 "Wh" 02 07 22 1a6b49d200 "k" 01 "q" 03`),
		ok("milliseconds", summed+`01 22 c4 82 22 1b000001a3185c5001`),
		ok("before 1970", summed+`01 22 20`),
		ok("clock not set", summed+`01 22 00`),
		ok("second record earlier, by milliseconds", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh" a2 05 00 06 c4 82 22 3901f3`),
		ok("no unit", `81 a4 00 "level" 01 60 02 07 22 1a6b49d200`),
		ok("longest name and unit", `81 a4 00 "`+strings.Repeat("n", 64)+`" 01 "`+strings.Repeat("u", 16)+`" 05 01`+based),
		ok("name beyond ASCII", `81 a4 00 "`+"Zähler"+`" 01 "Wh" 05 01`+based),
		ok("integer of 24", summed+`1818`+based),
		ok("latest whole second", summed+`01 22 1b000007ffffffffff`),
		ok("a meter's record of the register", `82 a4 01 "Wh" 05 01 21 "energy" 22 1a6b49d200 a1 03 "OCMF|{}|{}"`),
		ok("a meter's record of another register", `82 a4 00 "energy" 01 "Wh" 05 01 22 1a6b49d200 a2 00 "in" 03 "OCMF|{}|{}"`),
		ok("four records of meters", `85 a4 00 "energy" 01 "Wh" 05 01 22 1a6b49d200`+strings.Repeat(` a2 00 "in" 03 "x"`, 4)),
	)
	vs = append(vs, badMeterRecords()...)
	vs = append(vs, badForm()...)
	vs = append(vs, badValues()...)
	vs = append(vs, badTimes()...)
	return append(vs, badLabels()...)
}

func badMeterRecords() []vector {
	return []vector{
		bad("five records of meters", `86 a4 00 "energy" 01 "Wh" 05 01 22 1a6b49d200`+strings.Repeat(` a2 00 "in" 03 "x"`, 5), "over the limit of 4"),
		bad("a meter's record before the readings", `82 a2 00 "energy" 03 "x" a4 00 "in" 01 "Wh" 05 01 22 1a6b49d200`, "a value (label 2)"),
		bad("a reading after a meter's record", `83 a4 00 "in" 01 "Wh" 05 01 22 1a6b49d200 a2 00 "in" 03 "x" a3 00 "out" 01 "Wh" 05 01`, "come after"),
		bad("a meter's record that repeats the shared name", `82 a4 01 "Wh" 05 01 21 "in" 22 1a6b49d200 a2 00 "in" 03 "x"`, "expected 1"),
		bad("a meter's record with a name of its own that could be shared", `82 a4 00 "in" 01 "Wh" 05 01 22 1a6b49d200 a2 00 "in" 03 "x"`, "stand once"),
		bad("a meter's record without text", `82 a4 01 "Wh" 05 01 21 "in" 22 1a6b49d200 a1 03 60`, "without a name or a text"),
		bad("a meter's record with a time", `82 a4 01 "Wh" 05 01 21 "in" 22 1a6b49d200 a2 03 "x" 06 01`, "a value (label 2)"),
		bad("a meter's record that is too long", `82 a4 01 "Wh" 05 01 21 "in" 22 1a6b49d200 a1 03 792001`, "over the limit of 8192"),
	}
}

func badForm() []vector {
	whole := packOne()
	return []vector{
		{name: "nothing", kind: "pack", expect: "refused: cut short"},
		{name: "cut short", kind: "pack", raw: whole[:len(whole)-1], expect: "refused: cut short"},
		{name: "trailing byte", kind: "pack", raw: append(bytes.Clone(whole), 0), expect: "refused: bytes after the end"},
		{name: "513 readings", kind: "pack", raw: append(cborHex(`990201`), bytes.Repeat(cborHex(`a3 00 "e" 01 60 05 01`), 513)...),
			expect: "refused: 1 to 512 readings"},
		bad("no readings", `80`, "1 to 512 readings"),
		bad("a map in place of the array", `a0`, "expected an array"),
		bad("2^64-1 readings announced", `9bffffffffffffffff`, "1 to 512 readings"),
		bad("array of indefinite length", `9f a4 00 "energy" 01 "Wh" 05 01 22 1a6b49d200 ff`, form),
		bad("map of indefinite length", `81 bf 00 "energy" 01 "Wh" 05 01 22 1a6b49d200 ff`, form),
		bad("text of indefinite length", `81 a4 00 7f "ener" "gy" ff 01 "Wh" 05 01`+based, form),
		bad("array head of two bytes", `9801 a4 00 "energy" 01 "Wh" 05 01`+based, form),
		bad("map head of two bytes", `81 b804 00 "energy" 01 "Wh" 05 01`+based, form),
		bad("text head of two bytes", `81 a4 00 7806 656e65726779 01 "Wh" 05 01`+based, form),
		bad("label of two bytes", `81 a4 1800 "energy" 01 "Wh" 05 01`+based, "label 2"),
		bad("integer 4 in two bytes", summed+`1804`+based, form),
		bad("integer 16 in two bytes", summed+`1810`+based, form),
		bad("integer 23 in two bytes", summed+`1817`+based, form),
		bad("integer 255 in three bytes", summed+`1900ff`+based, form),
		bad("integer 65535 in five bytes", summed+`1a0000ffff`+based, form),
		bad("integer 2^32-1 in nine bytes", summed+`1b00000000ffffffff`+based, form),
		bad("negative integer in two bytes", summed+`3803`+based, form),
		bad("reserved head", summed+`1c`+based, form),
		bad("unit before name", `81 a4 01 "Wh" 00 "energy" 05 01`+based, "label 2"),
		bad("base time before value", `81 a4 00 "energy" 01 "Wh" 22 1a6b49d200 05 01`, "label 2"),
		bad("name twice", `81 a5 00 "energy" 00 "energy" 01 "Wh" 05 01`+based, "label 2"),
		bad("sum twice", `81 a5 00 "energy" 01 "Wh" 05 01 05 01`+based, "base time"),
		bad("more fields announced than come", `81 a5 00 "energy" 01 "Wh" 05 01`+based, "cut short"),
		bad("fewer fields announced than come", `81 a3 00 "energy" 01 "Wh" 05 01`+based, "base time"),
		bad("empty record", `81 a0`, "label 2"),
		bad("2^63 fields announced", `81 bb8000000000000000 00 "energy" 01 "Wh" 05 01`+based, "over the limit"),
	}
}

func badValues() []vector {
	const float, number, exponent = "never a float", "integer of at most 63 bits", "exponent from -9 to -1"
	return []vector{
		bad("no value", `81 a3 00 "energy" 01 "Wh"`+based, "label 2"),
		bad("value and sum", `81 a5 00 "energy" 01 "Wh" 02 01 05 01`+based, "base time"),
		bad("register of half precision", summed+`f93c00`+based, float),
		bad("register of single precision", summed+`fa47c35000`+based, float),
		bad("register of double precision", summed+`fb3fb999999999999a`+based, float),
		bad("register is a boolean", summed+`f5`+based, number),
		bad("half as single precision", valued+`fa3f800000`+based, form),
		bad("half as double precision", valued+`fb3ff8000000000000`+based, form),
		bad("single as double precision", valued+`fb40f86a0000000000`+based, form),
		bad("NaN", valued+`f97e00`+based, "NaN"),
		bad("NaN in single precision", valued+`fa7fc00001`+based, "NaN"),
		bad("NaN in double precision", valued+`fb7ff8000000000000`+based, "NaN"),
		bad("infinity", valued+`f97c00`+based, "infinity"),
		bad("minus infinity in double precision", valued+`fbfff0000000000000`+based, "infinity"),
		bad("true", valued+`f5`+based, "expected a number"),
		bad("null", valued+`f6`+based, "expected a number"),
		bad("simple value of two bytes", valued+`f8ff`+based, "expected a number"),
		bad("text as value", valued+`"7"`+based, number),
		bad("bytes as value", valued+`4107`+based, number),
		bad("bignum", summed+`c2 41 07`+based, "tag of a decimal fraction"),
		bad("2^63", summed+`1b8000000000000000`+based, number),
		bad("-2^63", summed+`3b7fffffffffffffff`+based, number),
		bad("exponent 0", summed+`c4 82 00 07`+based, exponent),
		bad("exponent 1", summed+`c4 82 01 07`+based, exponent),
		bad("exponent -10", summed+`c4 82 29 07`+based, exponent),
		bad("exponent -2^32", summed+`c4 82 3affffffff 07`+based, exponent),
		bad("exponent in two bytes", summed+`c4 82 3802 07`+based, form),
		bad("mantissa 2^63", summed+`c4 82 20 1b8000000000000000`+based, number),
		bad("mantissa -2^63", summed+`c4 82 20 3b7fffffffffffffff`+based, number),
		bad("mantissa is a bignum", summed+`c4 82 20 c2 41 07`+based, number),
		bad("mantissa is a float", summed+`c4 82 20 f93c00`+based, number),
		bad("decimal fraction of three", summed+`c4 83 20 07 00`+based, "expected 2, got 3"),
		bad("decimal fraction of indefinite length", summed+`c4 9f 20 07 ff`+based, form),
		bad("tag in two bytes", summed+`d804 82 20 07`+based, form),
		bad("bigfloat", summed+`c5 82 20 07`+based, "tag of a decimal fraction"),
		bad("tag twice", summed+`c4 c4 82 20 07`+based, "expected an array"),
	}
}

func badTimes() []vector {
	const time = "whole seconds, or a decimal fraction with exponent -3"
	return []vector{
		bad("no base time", `81 a3 00 "energy" 01 "Wh" 05 01`, "base time"),
		bad("time in place of the base time", `81 a4 00 "energy" 01 "Wh" 05 01 06 1a6b49d200`, form),
		bad("time beside the base time", `81 a5 00 "energy" 01 "Wh" 05 01 06 01`+based, form),
		bad("base time in the second record", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh" a2 05 02 22 1a6b49d201`, "expected a text string"),
		bad("second record at time 0 after the first", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh" a2 05 02 06 00`, form),
		bad("float time", summed+`01 22 fb41dad27480000000`, "integer of at most 63 bits"),
		bad("exponent -1 in a time", summed+`01 22 c4 82 20 1b000000042e1a3c81`, time),
		bad("exponent -6 in a time", summed+`01 22 c4 82 25 1b0006651728988001`, time),
		bad("whole second as milliseconds", summed+`01 22 c4 82 22 1b000001a3185c5000`, time),
		bad("second 2^43", summed+`01 22 1b0000080000000000`, time),
		bad("second -2^43", summed+`01 22 3b000007ffffffffff`, time),
		bad("millisecond 2^53", summed+`01 22 c4 82 22 1b0020000000000001`, time),
		bad("text time", summed+`01 22 "2027-01-15"`, "integer of at most 63 bits"),
	}
}

func badLabels() []vector {
	const field, named = "unknown or misplaced field", "each record has a name and a unit"
	long, shared := strings.Repeat("n", 65), "shared names and units stand once"
	return []vector{
		bad("name is missing", `81 a3 01 "Wh" 05 01`+based, named),
		bad("unit is missing", `81 a3 00 "energy" 05 01`+based, named),
		bad("empty name", `81 a4 00 60 01 "Wh" 05 01`+based, "without a name"),
		bad("name of 65 bytes", `81 a4 00 "`+long+`" 01 "Wh" 05 01`+based, "over the limit of 64"),
		bad("unit of 17 bytes", `81 a4 00 "energy" 01 "`+long[:17]+`" 05 01`+based, "over the limit of 16"),
		bad("name as bytes", `81 a4 00 'energy' 01 "Wh" 05 01`+based, "expected a text string"),
		bad("name is Latin-1", `81 a4 00 62 e434 01 "Wh" 05 01`+based, "not UTF-8"),
		bad("name is cut in a character", `81 a4 00 61 c3 01 "Wh" 05 01`+based, "not UTF-8"),
		bad("name is overlong UTF-8", `81 a4 00 62 c080 01 "Wh" 05 01`+based, "not UTF-8"),
		bad("name is a surrogate", `81 a4 00 63 eda080 01 "Wh" 05 01`+based, "not UTF-8"),
		bad("unit is not UTF-8", `81 a4 00 "energy" 01 61 ff 05 01`+based, "not UTF-8"),
		bad("name and base name", `82 a5 00 "energy" 05 01 21 "energy" 22 1a6b49d200 23 "Wh"`+second, named),
		bad("name repeated under a base name", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh" a2 00 "energy" 05 02`, named),
		bad("unit repeated under a base unit", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh" a2 01 "Wh" 05 02`, named),
		bad("base name repeated in the second record", `82 a4 05 01 21 "energy" 22 1a6b49d200 23 "Wh" a2 05 02 21 "energy"`, "expected a text string"),
		bad("base name of a single reading", `81 a4 01 "Wh" 05 01 21 "energy" 22 1a6b49d200`, shared),
		bad("base unit of a single reading", `81 a4 00 "energy" 05 01 22 1a6b49d200 23 "Wh"`, shared),
		bad("shared name is not put first", `82 a4 00 "e" 05 01 22 1a6b49d200 23 "Wh" a2 00 "e" 05 02`, shared),
		bad("shared unit is not put first", `82 a4 01 "Wh" 05 01 21 "e" 22 1a6b49d200 a2 01 "Wh" 05 02`, shared),
		bad("base unit before base time", `82 a4 05 01 21 "energy" 23 "Wh" 22 1a6b49d200`+second, "base time"),
		bad("base name is a prefix", `82 a4 00 "a" 05 01 21 "energy/" 22 1a6b49d200 a2 00 "b" 05 02`, named),
		bad("base version", `81 a5 00 "energy" 01 "Wh" 05 01 20 0a`+based, "base time"),
		bad("base value", `82 a5 05 01 21 "energy" 22 1a6b49d200 23 "Wh" 24 01`+second, "expected a text string"),
		bad("string value", `81 a4 00 "energy" 01 "Wh" 03 "on"`+based, "label 2"),
		bad("update time", `81 a5 00 "energy" 01 "Wh" 05 01 07 01`+based, "base time"),
		bad("unknown letter", `81 a5 00 "energy" 01 "Wh" 05 01 22 1a6b49d200 "x" 01`, field),
		bad("unknown word", `81 a5 00 "energy" 01 "Wh" 05 01 22 1a6b49d200 "kind" 01`, "over the limit of 1"),
		bad("kind 0", `81 a5 00 "use" 01 "Wh" 02 07 22 1a6b49d200 "k" 00`, field),
		bad("kind 2", `81 a5 00 "use" 01 "Wh" 02 07 22 1a6b49d200 "k" 02`, field),
		bad("register marked as interval", `81 a5 00 "use" 01 "Wh" 05 07 22 1a6b49d200 "k" 01`, field),
		bad("kind twice", `81 a6 00 "use" 01 "Wh" 02 07 22 1a6b49d200 "k" 01 "k" 01`, field),
		bad("quality 0", `81 a5 00 "use" 01 "Wh" 05 07 22 1a6b49d200 "q" 00`, field),
		bad("quality 4", `81 a5 00 "use" 01 "Wh" 05 07 22 1a6b49d200 "q" 04`, field),
		bad("quality twice", `81 a6 00 "use" 01 "Wh" 05 07 22 1a6b49d200 "q" 01 "q" 02`, field),
		bad("quality before kind", `81 a6 00 "use" 01 "Wh" 02 07 22 1a6b49d200 "q" 01 "k" 01`, field),
	}
}

// reportHeader writes the protected header of a report.
func reportHeader(suite sig.Suite, kid string, epoch, n, flags, quality, boot, mono uint64) []byte {
	b := append(cborHex(`a3 01`), algorithm(suite)...)
	b = append(append(b, 4), byteString([]byte(kid))...)
	b = append(b, cborHex(`3a00010000 86`)...)
	for _, v := range []uint64{epoch, n, flags, quality, boot, mono} {
		b = cborHead(b, 0, v)
	}
	return b
}

func algorithm(suite sig.Suite) []byte {
	if suite < 0 {
		return cborHead(nil, 0x20, uint64(-1-int64(suite)))
	}
	return cborHead(nil, 0, uint64(suite))
}

// toBeSigned writes the Sig_structure or MAC_structure.
func toBeSigned(suite sig.Suite, network, purpose string, protected, payload []byte) []byte {
	context := `84 "Signature1" `
	if suite == sig.HMAC256 {
		context = `84 "MAC0" `
	}
	b := append(cborHex(context), byteString(protected)...)
	b = append(b, byteString(cborHex(`82 "`+network+`" "`+purpose+`"`))...)
	return append(b, byteString(payload)...)
}

func envelope(tag string, protected, payload, signature []byte) []byte {
	b := append(cborHex(tag+` 84`), byteString(protected)...)
	return append(append(append(b, 0xa0), byteString(payload)...), byteString(signature)...)
}

// signRaw puts any header and payload into an envelope with a good signature of lamp-17, so that nothing is wrong with it
// but what a vector is about.
func signRaw(t testing.TB, suite sig.Suite, protected, payload []byte) []byte {
	t.Helper()
	signature := want(keyOf(t, suite, "lamp-17").Sign(toBeSigned(suite, network, "report", protected, payload)))(t)
	if suite == sig.HMAC256 {
		return envelope(`d1`, protected, payload, signature)
	}
	return envelope(`d2`, protected, payload, signature)
}

func given(suite sig.Suite, name string) []string {
	return []string{"suite: " + suite.String(), fmt.Sprintf("seed: %x", seedOf(suite, name)), "network: " + network}
}

func buildReports(t testing.TB) (vs []vector) {
	add := func(suite sig.Suite, name string, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: "report", given: given(suite, "lamp-17"), raw: raw, expect: expect})
	}
	sign := func(suite sig.Suite, name string, r lamppost.Report) {
		add(suite, name, want(lamppost.SignReport(&r, network, keyOf(t, suite, "lamp-17")))(t), "ok")
	}
	for _, suite := range suites {
		sign(suite, "one reading, "+suite.String(), oneReading())
	}
	sign(sig.EdDSA, "billing", billingReport())
	sign(sig.ES256, "gauges", gaugeReport())
	sign(sig.HMAC256, "largest header", largestHeader())
	wrapped := billingReport()
	wrapped.Flags |= lamppost.FlagWrapped
	vs = append(vs, vector{name: "wrapped by the gateway gw-1", kind: "report", given: given(sig.EdDSA, "gw-1"), expect: "ok",
		raw: want(lamppost.SignReport(&wrapped, network, keyOf(t, sig.EdDSA, "gw-1")))(t)})
	vs = append(vs, badHeaders(t)...)
	vs = append(vs, badEnvelopes(t)...)
	vs = append(vs, badPayloads(t)...)
	return append(vs, badSignatures(t)...)
}

func billingReport() lamppost.Report {
	r := lamppost.Report{Device: "lamp-17", KeyEpoch: 2, Seq: lamppost.Seq{Epoch: 1, N: 4711}, Flags: lamppost.FlagBilling,
		TimeQuality: lamppost.TimeSynchronised, BootID: 0xdecaf, MonoMS: 86_400_123}
	for i, hour := range []lamppost.TimeMS{0, 6, 22} {
		r.Readings = append(r.Readings, lamppost.Reading{Name: "energy", Unit: "Wh", Time: 1_800_057_600_000 + hour*3_600_000,
			Kind: lamppost.Register, Value: lamppost.Dec(123_456_700+int64(i)*1_234_500, -3)})
	}
	r.Readings[1].Quality = lamppost.Estimated
	return r
}

func gaugeReport() lamppost.Report {
	return lamppost.Report{Device: "lamp-17", Seq: lamppost.Seq{N: 2}, TimeQuality: lamppost.TimeRelative, BootID: 7, MonoMS: 60_250,
		Readings: []lamppost.Reading{
			{Name: "temp", Unit: "Cel", Time: 60_250, Value: lamppost.Dec(-45, -1)},
			{Name: "light", Unit: "lm", Time: 60_250, IsFloat: true, Float: 812.5},
			{Name: "use", Unit: "Wh", Time: 60_000, Kind: lamppost.Interval, Quality: lamppost.Substituted, Value: lamppost.Dec(3, 0)},
		}}
}

func largestHeader() lamppost.Report {
	r := oneReading()
	r.Device, r.KeyEpoch = lamppost.DeviceID(strings.Repeat("Z", lamppost.MaxNameBytes)), math.MaxUint32
	r.Seq, r.Flags, r.BootID, r.MonoMS = lamppost.Seq{Epoch: math.MaxUint32, N: math.MaxInt64}, lamppost.FlagBilling, math.MaxUint32, math.MaxInt64
	return r
}

func badHeaders(t testing.TB) (vs []vector) {
	add := func(name string, protected []byte) {
		vs = append(vs, vector{name: name, kind: "report", given: given(sig.EdDSA, "lamp-17"), raw: signRaw(t, sig.EdDSA, protected, packOne()), expect: "bad_report"})
	}
	for name, kid := range map[string]string{
		"key id without epoch": "lamp-17", "key id with an empty epoch": "lamp-17/", "key epoch with a leading zero": "lamp-17/01",
		"key epoch 00": "lamp-17/00", "key epoch with a sign": "lamp-17/+1", "key epoch of 33 bits": "lamp-17/4294967296",
		"key epoch of eleven digits": "lamp-17/10000000000", "key id without device": "/1", "empty key id": "", "key id with two slashes": "a/b/1",
		"device with a space": "lamp 17/1", "device begins with a dot": ".lamp/1", "device beyond ASCII": "lampe-ä/1",
		"device of 41 characters": strings.Repeat("x", 41) + "/1", "key id of 300 bytes": strings.Repeat("x", 298) + "/1",
	} {
		add(name, reportHeader(sig.EdDSA, kid, 0, 1, 0, 3, 0, 0))
	}
	sortByName(vs)
	const kid = `04 'lamp-17/1' `
	for _, c := range [][2]string{
		{"empty protected header", ``},
		{"header is an empty map", `a0`},
		{"no number", `a2 01 27 ` + kid},
		{"no key id", `a2 01 27 3a00010000 86 00 01 00 03 00 00`},
		{"no algorithm", `a2 ` + kid + `3a00010000 86 00 01 00 03 00 00`},
		{"unknown label", `a4 01 27 ` + kid + `05 00 3a00010000 86 00 01 00 03 00 00`},
		{"critical label", `a4 01 27 02 81 3a00010000 ` + kid + `3a00010000 86 00 01 00 03 00 00`},
		{"label -65538 in place of -65537", `a3 01 27 ` + kid + `3a00010001 86 00 01 00 03 00 00`},
		{"label in nine bytes", `a3 01 27 ` + kid + `3b0000000000010000 86 00 01 00 03 00 00`},
		{"labels out of order", `a3 ` + kid + `01 27 3a00010000 86 00 01 00 03 00 00`},
		{"algorithm twice", `a4 01 27 01 27 ` + kid + `3a00010000 86 00 01 00 03 00 00`},
		{"algorithm as text", `a3 01 "EdDSA" ` + kid + `3a00010000 86 00 01 00 03 00 00`},
		{"algorithm in two bytes", `a3 01 3807 ` + kid + `3a00010000 86 00 01 00 03 00 00`},
		{"header of indefinite length", `bf 01 27 ` + kid + `3a00010000 86 00 01 00 03 00 00 ff`},
		{"header map in two bytes", `b803 01 27 ` + kid + `3a00010000 86 00 01 00 03 00 00`},
		{"key id as text", `a3 01 27 04 "lamp-17/1" 3a00010000 86 00 01 00 03 00 00`},
		{"five numbers", `a3 01 27 ` + kid + `3a00010000 85 00 01 00 03 00`},
		{"seven numbers", `a3 01 27 ` + kid + `3a00010000 87 00 01 00 03 00 00 00`},
		{"n is 0", `a3 01 27 ` + kid + `3a00010000 86 00 00 00 03 00 00`},
		{"n is negative", `a3 01 27 ` + kid + `3a00010000 86 00 20 00 03 00 00`},
		{"n is 2^63", `a3 01 27 ` + kid + `3a00010000 86 00 1b8000000000000000 00 03 00 00`},
		{"n of 16 in two bytes", `a3 01 27 ` + kid + `3a00010000 86 00 1810 00 03 00 00`},
		{"epoch of 33 bits", `a3 01 27 ` + kid + `3a00010000 86 1b0000000100000000 01 00 03 00 00`},
		{"unknown flag", `a3 01 27 ` + kid + `3a00010000 86 00 01 08 03 00 00`},
		{"cold and billing", `a3 01 27 ` + kid + `3a00010000 86 00 01 05 03 00 00`},
		{"cold and wrapped", `a3 01 27 ` + kid + `3a00010000 86 00 01 06 03 00 00`},
		{"flag of bit 31", `a3 01 27 ` + kid + `3a00010000 86 00 01 1a80000000 03 00 00`},
		{"time quality 4", `a3 01 27 ` + kid + `3a00010000 86 00 01 00 04 00 00`},
		{"boot id of 33 bits", `a3 01 27 ` + kid + `3a00010000 86 00 01 00 03 1b0000000100000000 00`},
		{"time since boot of 64 bits", `a3 01 27 ` + kid + `3a00010000 86 00 01 00 03 00 1b8000000000000000`},
		{"trailing byte in the header", `a3 01 27 ` + kid + `3a00010000 86 00 01 00 03 00 00 00`},
	} {
		add(c[0], cborHex(c[1]))
	}
	return vs
}

func sortByName(vs []vector) {
	for i := range vs {
		for j := i; j > 0 && vs[j].name < vs[j-1].name; j-- {
			vs[j], vs[j-1] = vs[j-1], vs[j]
		}
	}
}

func badEnvelopes(t testing.TB) (vs []vector) {
	good := signRaw(t, sig.EdDSA, reportHeader(sig.EdDSA, "lamp-17/1", 0, 1, 0, 3, 0, 0), packOne())
	header := byteString(reportHeader(sig.EdDSA, "lamp-17/1", 0, 1, 0, 3, 0, 0))
	rest := good[2+len(header)+1:] // payload and signature
	payload, signature := byteString(packOne()), rest[len(rest)-66:]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	add := func(name string, raw []byte) {
		vs = append(vs, vector{name: name, kind: "report", given: given(sig.EdDSA, "lamp-17"), raw: raw, expect: "bad_report"})
	}
	x := cborHex
	add("empty", nil)
	add("first byte only", good[:1])
	add("last byte missing", good[:len(good)-1])
	add("trailing byte", join(good, x(`00`)))
	add("twice", join(good, good))
	add("no tag", good[1:])
	add("tag in two bytes", join(x(`d812`), good[1:]))
	add("tag of COSE_Sign", join(x(`d862`), good[1:]))
	add("tag of COSE_Mac0 around a signature", join(x(`d1`), good[1:]))
	add("CWT tag around it", join(x(`d83d`), good))
	add("tag of self-described CBOR around it", join(x(`d9d9f7`), good))
	add("array of indefinite length", join(x(`d2 9f`), good[2:], x(`ff`)))
	add("array of three", join(x(`d2 83`), header, x(`a0`), payload))
	add("array of five", join(x(`d2 85`), good[2:], x(`40`)))
	add("array head in two bytes", join(x(`d2 9804`), good[2:]))
	add("unprotected header with a key id", join(x(`d2 84`), header, x(`a1 04 'lamp-17/1'`), rest))
	add("unprotected header with text", join(x(`d2 84`), header, x(`a1 "note" "hello"`), rest))
	add("unprotected header of indefinite length", join(x(`d2 84`), header, x(`bfff`), rest))
	add("unprotected header is an array", join(x(`d2 84`), header, x(`80`), rest))
	add("detached payload", join(x(`d2 84`), header, x(`a0 f6`), signature))
	add("payload of indefinite length", join(x(`d2 84`), header, x(`a0 5f`), payload, x(`ff`), signature))
	add("payload is not in a byte string", join(x(`d2 84`), header, x(`a0`), packOne(), signature))
	add("header is not in a byte string", join(x(`d2 84`), reportHeader(sig.EdDSA, "lamp-17/1", 0, 1, 0, 3, 0, 0), x(`a0`), rest))
	add("length of the payload in five bytes", join(x(`d2 84`), header, x(`a0 5a000000`), payload[1:], signature))
	add("payload announced at 2^64-1 bytes", join(x(`d2 84`), header, x(`a0 5bffffffffffffffff`)))
	for _, c := range []struct {
		name string
		tag  string
		alg  sig.Suite
	}{
		{"HMAC under the tag of COSE_Sign1", `d2`, sig.HMAC256}, {"ES256 under the tag of COSE_Mac0", `d1`, sig.ES256},
		{"ES384", `d2`, -35}, {"ES256K", `d2`, -47}, {"reserved: ML-DSA-44", `d2`, sig.MLDSA44}, {"HMAC cut to 64 bits", `d1`, 4}, {"algorithm 0", `d2`, 0},
	} {
		add(c.name, envelope(c.tag, reportHeader(c.alg, "lamp-17/1", 0, 1, 0, 3, 0, 0), packOne(), make([]byte, 64)))
	}
	vs = append(vs, vector{name: "16385 bytes", kind: "report", given: given(sig.EdDSA, "lamp-17"),
		raw: join(good, make([]byte, lamppost.MaxReportBytes+1-len(good))), expect: "too_large"})
	return vs
}

func badPayloads(t testing.TB) (vs []vector) {
	for _, c := range [][3]string{
		{"a pack with a trailing byte", `81 a4 00 "energy" 01 "Wh" 05 01 22 1a6b49d200 00`, "bad_report"},
		{"no readings", `80`, "bad_report"},
		{"513 readings announced", `990201`, "too_large"},
		{"a float in place of a register", `81 a4 00 "energy" 01 "Wh" 05 fb3fb999999999999a 22 1a6b49d200`, "float_billed"},
		{"an interval that is NaN", `81 a5 00 "energy" 01 "Wh" 02 f97e00 22 1a6b49d200 "k" 01`, "bad_report"},
		{"JSON", `5b5d`, "bad_report"},
		{"a meter's record in a report that is not for billing", `82 a4 01 "Wh" 05 01 21 "energy" 22 1a6b49d200 a1 03 "OCMF|{}|{}"`, "bad_report"},
		{"empty payload", ``, "bad_report"},
	} {
		raw := signRaw(t, sig.EdDSA, reportHeader(sig.EdDSA, "lamp-17/1", 0, 1, 0, 3, 0, 0), cborHex(c[1]))
		vs = append(vs, vector{name: c[0], kind: "report", given: given(sig.EdDSA, "lamp-17"), raw: raw, expect: c[2]})
	}
	return vs
}

// badSignatures are well-formed reports that somebody else signed, or something else was signed.
func badSignatures(t testing.TB) (vs []vector) {
	add := func(name string, suite sig.Suite, key *sig.PrivateKey, network, purpose string, spoil func(signature []byte) []byte) {
		protected := reportHeader(suite, "lamp-17/1", 0, 1, 0, 3, 0, 0)
		signature := want(key.Sign(toBeSigned(suite, network, purpose, protected, packOne())))(t)
		tag := `d2`
		if suite == sig.HMAC256 {
			tag = `d1`
		}
		vs = append(vs, vector{name: name, kind: "report", given: given(suite, "lamp-17"),
			raw: envelope(tag, protected, packOne(), spoil(signature)), expect: "bad_signature"})
	}
	keep := func(s []byte) []byte { return s }
	for _, suite := range suites {
		key := keyOf(t, suite, "lamp-17")
		add("one bit of the signature is wrong, "+suite.String(), suite, key, network, "report", func(s []byte) []byte { s[20] ^= 4; return s })
		add("key of another device, "+suite.String(), suite, keyOf(t, suite, "lamp-18"), network, "report", keep)
		add("signature is cut short, "+suite.String(), suite, key, network, "report", func(s []byte) []byte { return s[:len(s)-1] })
		add("no signature, "+suite.String(), suite, key, network, "report", func([]byte) []byte { return nil })
	}
	key := keyOf(t, sig.EdDSA, "lamp-17")
	add("signed for another network", sig.EdDSA, key, "harbor", "report", keep)
	add("signed as a transaction", sig.EdDSA, key, network, "transaction", keep)
	add("signature with high S", sig.ES256, keyOf(t, sig.ES256, "lamp-17"), network, "report", func(s []byte) []byte { flipS(s); return s })
	return vs
}

func buildTransactions(t testing.TB) (vs []vector) {
	key := keyOf(t, sig.EdDSA, "north")
	seed := lamppost.Seed([]byte("0123456789abcdef"))
	report := want(lamppost.SignReport(ptr(oneReading()), network, keyOf(t, sig.EdDSA, "lamp-17")))(t)
	items := []lamppost.SegmentItem{
		{Salt: [16]byte([]byte("salt of report 1")), Received: 1_800_000_000_250, Report: report},
		{Salt: [16]byte([]byte("salt of report 2")), Received: 1_800_000_000_100, Report: vectorReport(t, billingReport())},
		{Salt: [16]byte([]byte("salt of report 3")), Received: 1_800_000_000_300, Report: []byte{}},
	}
	segment := want(lamppost.NewSegment(network, lamppost.Seq{Epoch: 1, N: 5}, 4, items, "north", key, seed))(t)
	party := lamppost.Order{Type: lamppost.TxParty, ExpiryHeight: 1000, ExpiryTime: 1_800_000_600_000, Nonce: [16]byte([]byte("nonce of a party")),
		Body: lamppost.Marshal(lamppost.PartyBody{ID: "acme", Name: "Acme GmbH", CreditLimit: 250_000_000})}
	order := want(lamppost.NewTx(network, party, "north", key, seed))(t)
	es := want(lamppost.NewTx(network, party, "north", keyOf(t, sig.ES256, "north"), seed))(t)
	add := func(kind, name string, suite sig.Suite, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: kind, given: given(suite, "north"), raw: raw, expect: expect})
	}
	add("segment-header", "header of three reports", sig.EdDSA, segment.SignedRaw, "ok")
	vs = append(vs, badSegmentHeaders(t)...)
	add("transaction", "segment of three reports", sig.EdDSA, segment.Append(nil), "ok")
	halves := aggregateVector(t, key, seed)
	add("segment-header", "header with a half-aggregate", sig.EdDSA, halves.SignedRaw, "ok")
	add("transaction", "segment of a whole report and two halved ones", sig.EdDSA, halves.Append(nil), "ok")
	vs = append(vs, thinVectors(t, segment)...)
	segment.Verdicts = []byte("verdicts are opaque here")
	add("transaction", "segment with verdicts", sig.EdDSA, segment.Append(nil), "ok")
	add("transaction", "party", sig.EdDSA, order.Append(nil), "ok")
	add("transaction", "party, es256", sig.ES256, es.Append(nil), "ok")
	for _, o := range orderVectors(t) {
		order := lamppost.Order{Type: o.t, ExpiryHeight: 1000, ExpiryTime: 1_800_000_600_000, Nonce: [16]byte([]byte("nonce of an orde")), Body: lamppost.Marshal(o.body)}
		add("transaction", o.name, sig.EdDSA, want(lamppost.NewTx(network, order, "north", key, seed))(t).Append(nil), "ok")
	}
	return append(vs, badTransactions(t, segment, order)...)
}

// buildKeyChanges has lamp-17 pass on to a second key.
func buildKeyChanges(t testing.TB) (vs []vector) {
	add := func(suite sig.Suite, name string, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: "key-change", given: given(suite, "lamp-17"), raw: raw, expect: expect})
	}
	next := keyOf(t, sig.EdDSA, "lamp-17, key 2").Public().Bytes()
	for _, suite := range []sig.Suite{sig.EdDSA, sig.ES256} {
		c := lamppost.KeyChange{ID: "lamp-17", Epoch: 1, Next: 2, Suite: suite, Key: keyOf(t, suite, "lamp-17, key 2").Public().Bytes()}
		add(suite, "a second key, "+suite.String(), want(c.Sign(network, lamppost.PurposeDeviceKey, keyOf(t, suite, "lamp-17")))(t), "ok")
	}
	protected := append(cborHex(`a2 01 27 04`), byteString([]byte("lamp-17/1"))...)
	good := cborHex(`84 01 02 27 ` + hex.EncodeToString(byteString(next)))
	sign := func(purpose string, protected, payload []byte) []byte {
		signature := want(keyOf(t, sig.EdDSA, "lamp-17").Sign(toBeSigned(sig.EdDSA, network, purpose, protected, payload)))(t)
		return envelope(`d2`, protected, payload, signature)
	}
	add(sig.EdDSA, "signed by hand", sign("device-key", protected, good), "ok")
	add(sig.EdDSA, "signed as a gateway", sign("gateway-key", protected, good), "bad_signature")
	add(sig.EdDSA, "signed as a report", sign("report", protected, good), "bad_signature")
	for _, c := range [][3]string{
		{"version 2", `84 02 02 27 41 00`, "refused: expected the integer 1"},
		{"three fields", `83 01 02 27`, "refused: expected 4, got 3"},
		{"epoch of 33 bits", `84 01 1b0000000100000000 27 41 00`, "refused: over the limit"},
		{"epoch in two bytes", `84 01 1802 27 41 00`, "refused: " + form},
		{"algorithm 256", `84 01 02 190100 41 00`, "refused: no algorithm 256"},
		{"key as text", `84 01 02 27 61 41`, "refused: expected a byte string"},
		{"trailing byte in the payload", `84 01 02 27 41 00 00`, "refused: bytes after the end"},
		{"a key too long", `84 01 02 27 590200 ` + strings.Repeat("00", 512), "refused: over the limit of 512"},
	} {
		add(sig.EdDSA, c[0], sign("device-key", protected, cborHex(c[1])), c[2])
	}
	bare := append(cborHex(`a2 01 27 04`), byteString([]byte("lamp-17"))...)
	add(sig.EdDSA, "key id without an epoch", sign("device-key", bare, good), "refused: <device>/<key epoch>")
	add(sig.EdDSA, "protected header of a report", sign("device-key", reportHeader(sig.EdDSA, "lamp-17/1", 0, 1, 0, 0, 0, 0), good), "refused: fields of the protected header")
	mac := append(cborHex(`a2 01 05 04`), byteString([]byte("lamp-17/1"))...)
	add(sig.EdDSA, "a MAC in place of a signature", envelope(`d1`, mac, good, make([]byte, 32)), "refused: a MAC is not enough")
	add(sig.EdDSA, "nothing", nil, "refused: cut short")
	return vs
}

// lock is the charter of a lock, whose owner is acme and whose second party is a tenant.
func lock(t testing.TB, suite sig.Suite, second bool) *lamppost.Charter {
	key := func(name string) lamppost.CharterKey {
		return lamppost.CharterKey{Suite: suite, Key: keyOf(t, suite, name).Public().Bytes()}
	}
	c := &lamppost.Charter{Version: 1, Device: "lock-3", Number: 1, Owner: key("acme"), Functions: []lamppost.Function{
		{Name: "heat", Class: lamppost.Essential, Min: 20, Notice: lamppost.MinNoticeMS, Grace: lamppost.MinGraceMS}, {Name: "in", Class: lamppost.Ordinary},
		{Name: "lamp", Class: lamppost.Public, Min: 30}, {Name: "out", Class: lamppost.Life}}}
	if second {
		k := key("tenant")
		c.Second = &k
	}
	return c
}

// buildCharters has acme sign what may be done to a lock.
func buildCharters(t testing.TB) (vs []vector) {
	add := func(suite sig.Suite, name string, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: "charter", given: given(suite, "acme"), raw: raw, expect: expect})
	}
	for _, suite := range []sig.Suite{sig.EdDSA, sig.ES256} {
		add(suite, "a lock, "+suite.String(), want(lock(t, suite, true).Sign(network, lamppost.PurposeCharter, keyOf(t, suite, "acme")))(t), "ok")
	}
	c := lock(t, sig.EdDSA, false)
	acme := keyOf(t, sig.EdDSA, "acme")
	add(sig.EdDSA, "nobody may agree to less", want(c.Sign(network, lamppost.PurposeCharter, acme))(t), "ok")
	add(sig.EdDSA, "signed as the second party", want(c.Sign(network, lamppost.PurposeAgreed, acme))(t), "bad_signature")
	add(sig.EdDSA, "signed by the tenant", want(c.Sign(network, lamppost.PurposeCharter, keyOf(t, sig.EdDSA, "tenant")))(t), "bad_signature")
	protected := append(cborHex(`a2 01 27 04`), byteString([]byte("lock-3/1"))...)
	sign := func(payload []byte) []byte {
		signature := want(acme.Sign(toBeSigned(sig.EdDSA, network, "charter", protected, payload)))(t)
		return envelope(`d2`, protected, payload, signature)
	}
	for _, bad := range []struct {
		name   string
		change func(*lamppost.Charter)
		expect string
	}{
		{"version 2", func(c *lamppost.Charter) { c.Version = 2 }, "refused: version 2"},
		{"number 2 in a header that says 1", func(c *lamppost.Charter) { c.Number = 2 }, "refused: it is signed as"},
		{"no function", func(c *lamppost.Charter) { c.Functions = nil }, "refused: 1 to 32 functions"},
		{"a function twice", func(c *lamppost.Charter) { c.Functions[1].Name = "heat" }, "refused: each once"},
		{"functions out of order", func(c *lamppost.Charter) { c.Functions[0].Name = "zone" }, "refused: in the order of their names"},
		{"class 4", func(c *lamppost.Charter) { c.Functions[1].Class = 4 }, "refused: no safety class 4"},
		{"a minimum of an ordinary function", func(c *lamppost.Charter) { c.Functions[1].Min = 1 }, "refused: a least level"},
		{"a minimum above 100", func(c *lamppost.Charter) { c.Functions[2].Min = 101 }, "refused: a least level"},
		{"a notice of six days", func(c *lamppost.Charter) { c.Functions[0].Notice -= 86_400_000 }, "refused: at least 7 days"},
		{"a grace of two days", func(c *lamppost.Charter) { c.Functions[0].Grace -= 86_400_000 }, "refused: at least 72 h"},
		{"a grace of a public function", func(c *lamppost.Charter) { c.Functions[2].Grace = 1 }, "refused: only an essential one"},
		{"the owner as second party", func(c *lamppost.Charter) { c.Second = &c.Owner }, "refused: somebody else than the owner"},
		{"an owner with a shared key", func(c *lamppost.Charter) { c.Owner.Suite = sig.HMAC256 }, "refused: a MAC is not enough"},
	} {
		c := lock(t, sig.EdDSA, false)
		bad.change(c)
		add(sig.EdDSA, bad.name, sign(lamppost.Marshal(c)), bad.expect)
	}
	add(sig.EdDSA, "trailing byte in the payload", sign(append(lamppost.Marshal(c), 0)), "refused: reading CBOR")
	add(sig.EdDSA, "nothing", nil, "refused: cut short")
	return vs
}

type orderVector struct {
	name string
	t    lamppost.TxType
	body any
}

// orderVectors are the orders that say who vouches for whom, and what is kept.
func orderVectors(t testing.TB) []orderVector {
	salt, shared := []byte("salt of a device"), seedOf(sig.HMAC256, "fan")
	commitment := lamppost.KeyCommitment(salt, shared)
	gw := keyOf(t, sig.EdDSA, "gw-1").Public().Bytes()
	north := lamppost.Member{ID: "north", Key: keyOf(t, sig.EdDSA, "north").Public().Bytes()}
	members := []lamppost.Member{north, {ID: "south", Org: "coop", Key: keyOf(t, sig.EdDSA, "south").Public().Bytes(), Address: "south.example:7650", URL: "https://south.example:8443"}}
	change := lamppost.KeyChange{ID: "lamp-17", Epoch: 1, Next: 2, Suite: sig.EdDSA, Key: keyOf(t, sig.EdDSA, "lamp-17, key 2").Public().Bytes()}
	consent := want(change.Sign(network, lamppost.PurposeDeviceKey, keyOf(t, sig.EdDSA, "lamp-17")))(t)
	gwChange := lamppost.KeyChange{ID: "gw-1", Epoch: 0, Next: 1, Suite: sig.EdDSA, Key: keyOf(t, sig.EdDSA, "gw-1, key 1").Public().Bytes()}
	gwConsent := want(gwChange.Sign(network, lamppost.PurposeGatewayKey, keyOf(t, sig.EdDSA, "gw-1")))(t)
	return []orderVector{
		{"genesis that admits unsigned devices", lamppost.TxGenesis,
			lamppost.GenesisBody{Network: network, Rules: 1, Members: []lamppost.Member{north}, AdmitUnsigned: true}},
		{"genesis of two members who order by raft", lamppost.TxGenesis, lamppost.GenesisBody{Network: network, Rules: 1, Members: members, Engine: lamppost.Raft,
			Trust: [][]string{{"utility", "coop"}, {"coop", "city"}}, Reason: "a pilot"}},
		{"network with new rules", lamppost.TxNetwork, lamppost.NetworkBody{After: 1, Members: members, Rules: 2, From: 90}},
		{"gateway", lamppost.TxGateway, lamppost.GatewayBody{ID: "gw-1", Member: "north", Key: gw}},
		{"device, gateway-vouched", lamppost.TxDevice, lamppost.DeviceBody{ID: "fan", Owner: "acme", Suite: sig.HMAC256, Key: commitment[:], KeyEpoch: 1,
			Safety: lamppost.Ordinary, Salt: salt, Assurance: lamppost.GatewayVouched, Gateway: "gw-1"}},
		{"device, channel-authenticated", lamppost.TxDevice, lamppost.DeviceBody{ID: "plug", Owner: "acme", KeyEpoch: 1, Safety: lamppost.Ordinary, Salt: salt,
			Assurance: lamppost.ChannelAuthenticated, Gateway: "gw-1"}},
		{"device, unsigned", lamppost.TxDevice, lamppost.DeviceBody{ID: "bulb", Owner: "acme", KeyEpoch: 1, Safety: lamppost.Ordinary, Salt: salt,
			Assurance: lamppost.Unsigned, Gateway: "gw-1"}},
		{"retention", lamppost.TxRetention, lamppost.RetentionBody{RawDays: 30, SummaryDays: 730}},
		{"retention of a device", lamppost.TxRetention, lamppost.RetentionBody{Device: "lamp-17", RawDays: 7, SummaryDays: 7}},
		{"hold", lamppost.TxHold, lamppost.HoldBody{ID: "case-7", Device: "lamp-17", From: 1_800_000_000_000, To: 1_800_086_400_000, Reason: "dispute"}},
		{"hold lifted", lamppost.TxHold, lamppost.HoldBody{ID: "case-7", Reason: "settled", Lifted: true}},
		{"erase the reports of a device", lamppost.TxErase, lamppost.EraseBody{Device: "lamp-17", Basis: "GDPR Art. 17(1)(b)"}},
		{"erase a party's name", lamppost.TxErase, lamppost.EraseBody{Party: "tenant-3", Basis: "GDPR Art. 17(1)(a)"}},
		{"erased", lamppost.TxErased, lamppost.ErasedBody{Height: 7, Index: 1}},
		{"channel", lamppost.TxChannel, lamppost.ChannelBody{ID: "ch-1", Payer: "tenant-3", Payee: "lamp-17", Tariff: "light", Version: 1, Most: 10_000_000, From: 1_800_000_000_000,
			Until: 1_800_086_400_000, Key: keyOf(t, sig.EdDSA, "tenant-3").Public().Bytes()}},
		{"cash and close", lamppost.TxCash, lamppost.CashBody{Vouchers: [][]byte{{1}}, Close: []string{"ch-1"}, Reason: "done"}},
		{"contradict", lamppost.TxContradict, lamppost.ContradictBody{Vouchers: [][]byte{{1}, {2}}}},
		{"contradiction lifted", lamppost.TxContradict, lamppost.ContradictBody{Lift: "tenant-3", Reason: "its key was stolen"}},
		{"snapshot", lamppost.TxSnapshot, lamppost.SnapshotBody{Height: 7, Size: 300, Root: lamppost.Hash{1}, Digest: lamppost.Hash{2}}},
		{"contract", lamppost.TxContract, lamppost.ContractBody{ID: "split-lamp", Version: 1, Source: "def split(event, state):\n    pay(\"lamp-17\", \"ivy\", share(event[\"net\"], terms[\"share\"], 10000))\n",
			Currency: "EUR", Parties: []lamppost.ContractParty{{Party: "ivy"}, {Party: "lamp-17", Limit: 5_000_000}}, Devices: []lamppost.DeviceID{"lamp-17"}, To: 1_900_000_000_000,
			Terms: []lamppost.Arg{{Name: "holder", Text: "ivy"}, {Name: "share", Number: 3000}}}},
		{"call of a contract", lamppost.TxCall, lamppost.CallBody{Contract: "batch-7", Event: "milestone", Args: []lamppost.Arg{{Name: "amount", Number: -1}},
			Readings: []lamppost.ReadingRef{{Device: "tag-7", Register: "kg", Time: 1_800_000_000_000}}}},
		{"call that repeats a run", lamppost.TxCall, lamppost.CallBody{Contract: "split-lamp", Height: 7, Index: 1}},
		{"revoke", lamppost.TxRevoke, lamppost.RevokeBody{Device: "lamp-17", KeyEpoch: 2, Reason: "stolen with the lamp"}},
		{"device, its second key with its consent", lamppost.TxDevice, lamppost.DeviceBody{ID: "lamp-17", Owner: "acme", Suite: sig.EdDSA, Key: change.Key,
			KeyEpoch: 2, Safety: lamppost.Public, Salt: salt, Consent: consent}},
		{"gateway, its second key with its consent", lamppost.TxGateway, lamppost.GatewayBody{ID: "gw-1", Member: "north", Key: gwChange.Key, KeyEpoch: 1, Consent: gwConsent}},
		{"genesis that trusts gateways", lamppost.TxGenesis,
			lamppost.GenesisBody{Network: network, Rules: 1, Members: []lamppost.Member{north}, Verify: lamppost.VerifyGateway}},
		{"fraud", lamppost.TxFraud, fraudBody(t)},
		{"charter", lamppost.TxCharter, lamppost.CharterBody{Device: "lock-3", Charter: want(lock(t, sig.EdDSA, true).Sign(network, lamppost.PurposeCharter, keyOf(t, sig.EdDSA, "acme")))(t)}},
		{"restrict", lamppost.TxRestrict, lamppost.RestrictBody{ID: "arrears-7", Device: "lock-3", Function: "in", Level: 0, By: "acme", Reason: "two rents are due",
			Notice: 1_800_000_000_000, Until: 1_802_592_000_000}},
		{"restrict lifted", lamppost.TxRestrict, lamppost.RestrictBody{ID: "arrears-7", Device: "lock-3", Function: "in", Level: 0, By: "acme", Reason: "paid",
			Until: 1_802_592_000_000, Lifted: true}},
		{"desire", lamppost.TxDesire, lamppost.DesireBody{Device: "lamp-17", ID: "dusk-1", By: "ann", Reason: "a quiet street", Until: 1_800_000_900_000,
			Set: lamppost.Setpoints{{Name: "level", Value: lamppost.Dec(60, 0), Unit: lamppost.Level}, {Name: "power", Value: lamppost.Dec(-35, -1), Unit: "kW"}}}},
		{"desire of an agent, after another", lamppost.TxDesire, lamppost.DesireBody{Device: "lamp-17", ID: "d1204.3.0", By: "agent", After: new(uint64), Mode: lamppost.ModeBounded,
			Until: 1_800_000_900_000, Set: lamppost.Setpoints{{Name: "level", Value: lamppost.Dec(60, 0), Unit: lamppost.Level}}}},
		{"desire taken back", lamppost.TxDesire, lamppost.DesireBody{Device: "lamp-17", ID: "dawn-1", By: "ann"}},
		{"revoke of a gateway", lamppost.TxRevoke, lamppost.RevokeBody{Gateway: "gw-1", KeyEpoch: 1, Reason: "stolen from the cellar"}},
		{"profit centre", lamppost.TxCentre, lamppost.CentreBody{Device: "lamp-17", Version: 1, From: 1_799_999_100_000, Currency: "EUR",
			Shares: []lamppost.Share{{Party: "acme", Parts: 70}, {Party: "ann", Parts: 30}}, Point: "feed", Tariff: "spot",
			Costs: []lamppost.Cost{{Kind: lamppost.CostDepreciation, Amount: 900 * lamppost.MicroUnit, From: 1_800_000_000_000, To: 2_100_000_000_000, Text: "the pole, too"}},
			Limit: 20 * lamppost.MicroUnit, LimitDays: 1}},
		{"payout", lamppost.TxPayout, lamppost.PayoutBody{Device: "lamp-17", From: 1_799_999_100_000, To: 1_800_002_700_000}},
		{"offer by the device's own word", lamppost.TxOffer, offer(t)},
		{"offer by a member for the owner", lamppost.TxOffer, lamppost.OfferBody{ID: "night", Device: "lamp-17", Point: "bay", Tariff: "fast", Version: 2, Most: 10 * lamppost.MicroUnit,
			Longest: 7_200_000, Until: 1_800_086_400_000, To: "robot-1"}},
		{"acceptance by the device's own word", lamppost.TxAccept, acceptance(t)},
		{"agent", lamppost.TxAgent, lamppost.AgentBody{Device: "cell-1", Kind: lamppost.AgentStorage, Mode: lamppost.AgentBounded, Member: "north", Currency: "EUR", Site: "yard", Tariff: "spot",
			Inputs: []lamppost.AgentInput{{Name: "load", Device: "meter-1", Reading: "power"}}, Rules: []lamppost.AgentRule{{Name: "power_max", Value: lamppost.Dec(50000, -1), Unit: "W"}}}},
		{"decisions", lamppost.TxDecisions, decisions()},
		{"decisions: outcomes alone", lamppost.TxDecisions, lamppost.DecisionsBody{Model: decisions().Model,
			Outcomes: []lamppost.DecisionOutcome{{Decision: lamppost.DecisionID{Height: 7, Tx: 1}, Until: 1_800_000_060_000, Gain: -20, Spent: 4_000, Measured: 950, Data: lamppost.Hash{8}}}}},
		{"update of a shared model", lamppost.TxLearn, learned(t)},
	}
}

func decisions() lamppost.DecisionsBody {
	power := func(w int64) lamppost.Action {
		return lamppost.Action{Name: "power", Value: lamppost.Dec(w, 0), Unit: "W"}
	}
	price := lamppost.Dec(21, -2)
	return lamppost.DecisionsBody{Model: lamppost.Model{ID: "agent", Version: 1, Hash: lamppost.Hash{3}}, Decisions: []lamppost.Decision{{Device: "cell-1", Kind: lamppost.AgentStorage,
		At: 1_800_000_000_000, Until: 1_800_003_600_000, Mode: lamppost.AgentBounded, Action: power(-2000), Inputs: lamppost.Hash{4}, Gain: 310_000, Spend: 4_000, Currency: "EUR",
		Forecast: []lamppost.Expected{{Name: "price", Unit: "EUR/kWh", Mean: lamppost.Dec(25, -2), Low: lamppost.Dec(22, -2), High: lamppost.Dec(30, -2)}},
		Reasons:  []lamppost.VerdictReason{{Code: "price_high", Value: &price}}, Alternatives: []lamppost.Alternative{{Action: power(0)}, {Action: power(2000), Gain: -5_000}},
		Flip: &lamppost.Flip{What: "price", Threshold: price, Unit: "EUR/kWh", Below: true, Other: power(2000)}}}}
}

func learned(t testing.TB) lamppost.LearnBody {
	b := lamppost.LearnBody{Model: "load-24h", Base: lamppost.Hash{1}, Data: lamppost.Hash{2}, Rows: 8760, Metric: "mae", Before: lamppost.Dec(41, -2), After: lamppost.Dec(39, -2),
		Statistics: []byte("XtX"), Gateway: "gw-1"}
	if err := b.Sign(network, keyOf(t, sig.EdDSA, "gw-1")); err != nil {
		t.Fatal(err)
	}
	return b
}

func offer(t testing.TB) lamppost.OfferBody {
	b := lamppost.OfferBody{ID: "noon", Device: "lamp-17", Point: "bay", Tariff: "fast", Version: 2, Most: 10 * lamppost.MicroUnit, Longest: 7_200_000, Until: 1_800_086_400_000, KeyEpoch: 1}
	if err := b.Sign(network, keyOf(t, sig.EdDSA, "lamp-17")); err != nil {
		t.Fatal(err)
	}
	return b
}

func acceptance(t testing.TB) lamppost.AcceptBody {
	b := lamppost.AcceptBody{Offer: "noon", Device: "robot-1", KeyEpoch: 3, Session: lamppost.SessionBody{ID: "robot-1-7", Buyer: "farm", Point: "bay", Tariff: "fast", Version: 2,
		Limit: 6 * lamppost.MicroUnit, From: 1_800_000_000_000, Until: 1_800_003_600_000}}
	if err := b.Sign(network, keyOf(t, sig.EdDSA, "robot-1")); err != nil {
		t.Fatal(err)
	}
	return b
}

// fraudBody accuses gw-1 of a report of lamp-17 that another key signed, the second of two.
func fraudBody(t testing.TB) lamppost.FraudBody {
	r := oneReading()
	forged := want(lamppost.SignReport(&r, network, keyOf(t, sig.EdDSA, "somebody")))(t)
	items := []lamppost.SegmentItem{{Received: 1_800_000_000_500, Report: vectorReport(t, r)}, {Received: 1_800_000_000_700, Report: forged}}
	for i := range items {
		copy(items[i].Salt[:], fmt.Sprintf("salt of report %d", i))
	}
	tx := want(lamppost.NewSegment(network, lamppost.Seq{Epoch: 5, N: 9}, 2, items, "gw-1", keyOf(t, sig.EdDSA, "gw-1"), lamppost.Seed{}))(t)
	return lamppost.FraudBody{Height: 12, Tx: 3, Report: 1, Header: tx.SignedRaw, Salt: items[1].Salt[:], Received: items[1].Received, Raw: forged,
		Path: lamppost.MerklePath(tx.Leaves(), 1)}
}

func vectorReport(t testing.TB, r lamppost.Report) []byte {
	return want(lamppost.SignReport(&r, network, keyOf(t, sig.EdDSA, "lamp-17")))(t)
}

// signedBody puts any payload into an envelope with a good signature of north.
func signedBody(t testing.TB, purpose string, payload []byte) []byte {
	protected := append(cborHex(`a2 01 27 04`), byteString([]byte("north"))...)
	signature := want(keyOf(t, sig.EdDSA, "north").Sign(toBeSigned(sig.EdDSA, network, purpose, protected, payload)))(t)
	return envelope(`d2`, protected, payload, signature)
}

// thinVectors are what is left of a segment of three reports.
func thinVectors(t testing.TB, segment *lamppost.Transaction) (vs []vector) {
	outcomes := []lamppost.Outcome{{}, {Code: lamppost.CodeDuplicate, Data: []byte{0, 0, 0, 0, 0, 0, 0, 9}}, {Code: lamppost.CodeBadReport}}
	add := func(name, expect string, t *lamppost.ThinSegment) {
		vs = append(vs, vector{name: name, kind: "thin-segment", raw: t.Append(nil), expect: expect})
	}
	thin := func(kept ...int) *lamppost.ThinSegment {
		return lamppost.Thin(segment, outcomes, lamppost.Hash{31: 1}, func(i int) bool { return slices.Contains(kept, i) })
	}
	add("all kept", "ok", thin(0, 1, 2))
	add("the second is gone", "ok", thin(0, 2))
	add("the first two are gone: one hash stands for both", "ok", thin(2))
	add("header only", "ok", thin())
	bad := func(name, expect string, change func(*lamppost.ThinSegment)) {
		t := thin(0, 2)
		change(t)
		add(name, expect, t)
	}
	bad("a kept report was changed", "refused: not those the gateway signed", func(t *lamppost.ThinSegment) { t.Kept[0].Report = []byte("x") })
	bad("a hash was changed", "refused: not those the gateway signed", func(t *lamppost.ThinSegment) { t.ReportNodes[0][0] ^= 1 })
	bad("a hash too many", "refused: do not make a tree", func(t *lamppost.ThinSegment) {
		t.ReportNodes = append(t.ReportNodes, lamppost.Hash{})
		t.OutcomeNodes = append(t.OutcomeNodes, lamppost.Hash{})
	})
	bad("a hash is missing", "refused: do not make a tree", func(t *lamppost.ThinSegment) { t.ReportNodes, t.OutcomeNodes = nil, nil })
	bad("trees of different shapes", "refused: different shapes", func(t *lamppost.ThinSegment) { t.OutcomeNodes = nil })
	bad("a report twice", "refused: out of order", func(t *lamppost.ThinSegment) { t.Kept[1] = t.Kept[0] })
	bad("a report beyond the last", "refused: not among 3", func(t *lamppost.ThinSegment) { t.Kept[1].Index = 3 })
	bad("an outcome that is none", "refused: outcome", func(t *lamppost.ThinSegment) { t.Kept[1].Outcome = []byte{0x80} })
	bad("hashes and no report", "refused: of which nothing is kept", func(t *lamppost.ThinSegment) { t.Kept, t.Writes = nil, lamppost.Hash{} })
	bad("a digest of writes and no report", "refused: if and only if a report is", func(t *lamppost.ThinSegment) { t.Kept, t.ReportNodes, t.OutcomeNodes = nil, nil, nil })
	vs = append(vs, differenceVectors(t)...)
	raw := thin().Append(nil)
	vs = append(vs, vector{name: "a digest of zeros is not left out", kind: "thin-segment",
		raw:    bytes.Replace(raw, []byte{0x40, 0x80, 0x40, 0x40}, append(append([]byte{0x58, 32}, make([]byte, 32)...), 0x80, 0x40, 0x40), 1),
		expect: "refused: or none where it is zero"})
	return append(vs, vector{name: "thin segment of version 1", kind: "thin-segment", raw: append([]byte{raw[0], 1}, raw[2:]...), expect: "refused: expected the integer 2, got 1"})
}

// hourly is a report of a register at three hours, and of another one.
func hourly() lamppost.Report {
	r := oneReading()
	r.Readings = append(r.Readings, lamppost.Reading{Name: "export", Unit: "Wh", Time: 1_800_000_000_000, Kind: lamppost.Register, Value: lamppost.Dec(90, -1)})
	for i := range lamppost.TimeMS(2) {
		at := 1_800_003_600_000 + i*3_600_000
		r.Readings = append(r.Readings, lamppost.Reading{Name: "energy", Unit: "Wh", Time: at, Kind: lamppost.Register, Value: lamppost.Dec(1534+int64(i), 0)})
	}
	return r
}

// differenceVectors are about reports as they stand in a thin segment.
func differenceVectors(t testing.TB) (vs []vector) {
	full := oneReading() // a register at the end of its digits
	full.Readings[0].Value = lamppost.Dec(math.MaxInt64, 0)
	full.Readings = append(full.Readings, full.Readings[0])
	full.Readings[1].Time += 7000
	one := vectorReport(t, oneReading())
	items := []lamppost.SegmentItem{{Report: one}, {Report: vectorReport(t, hourly())}, {Report: vectorReport(t, full)}, {Report: []byte("no report")}}
	segment := want(lamppost.NewSegment(network, lamppost.Seq{N: 1}, 0, items, "north", keyOf(t, sig.EdDSA, "north"), lamppost.Seed{}))(t)
	raw := lamppost.Thin(segment, make([]lamppost.Outcome, len(items)), lamppost.Hash{31: 1}, func(int) bool { return true }).Append(nil)
	add := func(name, expect string, raw []byte) {
		vs = append(vs, vector{name: name, kind: "thin-segment", raw: raw, expect: expect})
	}
	swap := func(old, new []byte) []byte {
		if !bytes.Contains(raw, old) {
			t.Fatalf("%x is not in %x", old, raw)
		}
		return bytes.Replace(raw, old, new, 1)
	}
	add("reports as differences, and one that cannot be read", "ok", raw)
	header := 4 + int(one[3]) // after its length
	parts := append(append([]byte{0x83}, one[2:header]...), one[header+1:]...)
	add("a report that can be read stands as it is", "refused: deterministic", swap(parts, byteString(one)))
	add("one that cannot stands as differences", "refused: protected header", swap(byteString([]byte("no report")), cborHex(`83 40 40 40`)))
	add("a report of two parts", "refused: expected 3, got 2", swap(byteString([]byte("no report")), cborHex(`82 40 40`)))
	add("a difference too large", "refused: add up to what is no reading", swap(cborHex(`a2 05 00 06 07`), cborHex(`a2 05 01 06 07`)))
	return vs
}

// aggregateVector has the cold reports of two devices as halves, and a billing report that is whole.
func aggregateVector(t testing.TB, key *sig.PrivateKey, seed lamppost.Seed) *lamppost.Transaction {
	items := []lamppost.SegmentItem{{Salt: [16]byte([]byte("salt of report 1")), Received: 1_800_000_000_100, Report: vectorReport(t, billingReport())}}
	var signed []sig.Item
	for i, id := range []lamppost.DeviceID{"lamp-17", "lamp-18"} {
		r := oneReading()
		r.Device, r.Flags = id, lamppost.FlagCold
		own := keyOf(t, sig.EdDSA, string(id))
		var decoded lamppost.Report
		if err := decoded.Decode(want(lamppost.SignReport(ptr(r), network, own))(t)); err != nil {
			t.Fatal(err)
		}
		signed = append(signed, sig.Item{Key: own.Public(), Msg: decoded.AppendToBeSigned(nil, network), Sig: decoded.Signature()})
		items = append(items, lamppost.SegmentItem{Salt: [16]byte(fmt.Appendf(nil, "salt of report %d", i+2)), Received: 1_800_000_000_200, Report: decoded.Halve(nil)})
	}
	var v sig.Verifier
	aggregate := want(v.Aggregate(sig.Cold, signed))(t)
	return want(lamppost.NewAggregate(network, lamppost.Seq{Epoch: 1, N: 6}, 4, items, aggregate[64:], "north", key, seed))(t)
}

func badSegmentHeaders(t testing.TB) (vs []vector) {
	root := ` 5820 ` + strings.Repeat("ab", 32)
	for _, c := range [][3]string{
		{"aggregate in version 1", `89 01 01 05 01 02 01 01` + root + root, "refused: expected the integer 2, got 1"},
		{"aggregate of 31 bytes", `89 02 01 05 01 02 01 01` + root + ` 581f ` + strings.Repeat("ab", 31), "refused: bytes of an aggregate: expected 32, got 31"},
		{"version 2 without an aggregate", `88 02 01 05 01 02 01 01` + root, "refused: expected the integer 1"},
		{"segment number 0", `88 01 01 00 01 02 01 01` + root, "refused: unnumbered"},
		{"no reports", `88 01 01 05 01 02 00 00` + root, "refused: empty"},
		{"ends before it begins", `88 01 01 05 02 01 01 01` + root, "refused: ends before it begins"},
		{"4097 reports", `88 01 01 05 01 02 191001 01` + root, "refused: over the limit of 4096"},
		{"too many readings", `88 01 01 05 01 02 01 1a00200001` + root, "refused: over the limit of 2097152"},
		{"time of 64 bits", `88 01 01 05 01 1b8000000000000000 01 01` + root, "refused: over the limit"},
		{"root of 31 bytes", `88 01 01 05 01 02 01 01 581f ` + strings.Repeat("ab", 31), "refused: a digest has 32 bytes"},
		{"seven fields", `87 01 01 05 01 02 01` + root, "refused: expected 8, got 7"},
		{"trailing byte in the payload", `88 01 01 05 01 02 01 01` + root + ` 00`, "refused: bytes after the end"},
		{"count in two bytes", `88 01 01 05 01 02 1801 01` + root, "refused: " + form},
	} {
		vs = append(vs, vector{name: c[0], kind: "segment-header", given: given(sig.EdDSA, "north"), raw: signedBody(t, "segment", cborHex(c[1])), expect: c[2]})
	}
	good := cborHex(`88 01 01 05 01 02 01 01` + root)
	spoil := func(name string, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: "segment-header", given: given(sig.EdDSA, "north"), raw: raw, expect: expect})
	}
	spoil("signed as a transaction", signedBody(t, "transaction", good), "bad_signature")
	mac := append(cborHex(`a2 01 05 04`), byteString([]byte("north"))...)
	spoil("a MAC in place of a signature", envelope(`d1`, mac, good, make([]byte, 32)), "refused: a MAC is not enough")
	kid := append(cborHex(`a2 01 27 04`), byteString([]byte("no/rth"))...)
	spoil("key id is no name", envelope(`d2`, kid, good, make([]byte, 64)), "refused: an id has only letters")
	extra := append(cborHex(`a3 01 27 04`), append(byteString([]byte("north")), 5, 0)...)
	spoil("unknown label", envelope(`d2`, extra, good, make([]byte, 64)), "refused: fields of the protected header")
	spoil("nothing", nil, "refused: cut short")
	return vs
}

func badTransactions(t testing.TB, segment, order *lamppost.Transaction) (vs []vector) {
	add := func(name string, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: "transaction", given: given(sig.EdDSA, "north"), raw: raw, expect: expect})
	}
	seed := ` 50 ` + hex.EncodeToString([]byte("0123456789abcdef")) + ` `
	signed := func(payload string) string {
		return hex.EncodeToString(byteString(signedBody(t, "transaction", cborHex(payload))))
	}
	nonce := ` 50 ` + strings.Repeat("cd", 16)
	good := signed(`86 01 03 00 00` + nonce + ` 41a0`)
	add("version 2", cborHex(`86 02 03`+seed+good+` 80 40`), "refused: expected the integer 1")
	add("five fields", cborHex(`85 01 03`+seed+good+` 80`), "refused: expected 6, got 5")
	add("type in two bytes", cborHex(`86 01 1803`+seed+good+` 80 40`), "refused: "+form)
	add("type 256", cborHex(`86 01 190100`+seed+good+` 80 40`), "refused: over the limit of 255")
	add("type of the block leaf", cborHex(`86 01 00`+seed+signed(`86 01 00 00 00`+nonce+` 41a0`)+` 80 40`), "refused: type 0")
	add("another type outside than inside", cborHex(`86 01 04`+seed+good+` 80 40`), "refused: type 4 around a signed order of type 3")
	add("an order of type segment", cborHex(`86 01 02`+seed+signed(`86 01 02 00 00`+nonce+` 41a0`)+` 80 40`), "refused: expected 8, got 6")
	add("seed of 15 bytes", cborHex(`86 01 03 4f `+strings.Repeat("00", 15)+good+` 80 40`), "refused: a salt has 16 bytes")
	add("reports beside an order", cborHex(`86 01 03`+seed+good+` 81 83`+seed+`00 40 40`), "refused: reports or verdicts beside")
	add("verdicts beside an order", cborHex(`86 01 03`+seed+good+` 80 4101`), "refused: reports or verdicts beside")
	add("nonce of 17 bytes", cborHex(`86 01 03`+seed+signed(`86 01 03 00 00 51 `+strings.Repeat("cd", 17)+` 41a0`)+` 80 40`), "refused: a salt has 16 bytes")
	add("expiry height of 64 bits", cborHex(`86 01 03`+seed+signed(`86 01 03 1b8000000000000000 00`+nonce+` 41a0`)+` 80 40`), "refused: over the limit")
	add("order with a trailing byte", cborHex(`86 01 03`+seed+signed(`86 01 03 00 00`+nonce+` 41a0 00`)+` 80 40`), "refused: bytes after the end")
	add("4097 reports announced", cborHex(`86 01 02`+seed+good+` 991001`), "refused: over the limit of 4096")
	add("4096 reports announced, none there", cborHex(`86 01 02`+seed+good+` 991000 40`), "refused: cut short")
	raw := segment.Append(nil)
	add("cut short", raw[:len(raw)-1], "refused: cut short")
	add("trailing byte", append(bytes.Clone(raw), 0), "refused: bytes after the end")
	fewer := *segment
	fewer.Items = segment.Items[:2]
	add("a report of the segment is missing", fewer.Append(nil), "refused: the header counts 3 reports, 2 came")
	forged := *order
	forged.SignedRaw = bytes.Clone(order.SignedRaw)
	forged.SignedRaw[len(forged.SignedRaw)-1] ^= 1
	add("one bit of the signature is wrong", forged.Append(nil), "bad_signature")
	return vs
}

func buildLeaves(testing.TB) (vs []vector) {
	body, result := sha256.Sum256([]byte("body")), sha256.Sum256([]byte("result"))
	leaf := lamppost.Leaf{Type: lamppost.TxSegment, Height: 7, Index: 3, Body: body, Result: result}
	block := lamppost.BlockLeaf{Height: 7, Index: 4, Time: 1_800_000_000_123, Block: body, Members: result}
	l, b := leaf.Append(nil), block.Append(nil)
	change := func(b []byte, i int, v byte) []byte { b = bytes.Clone(b); b[i] = v; return b }
	const noLeaf, noBlock = "refused: not a transaction's leaf", "refused: not a block's leaf"
	return []vector{
		{name: "segment", kind: "leaf", raw: l, expect: "ok"},
		{name: "unknown type", kind: "leaf", raw: change(l, 1, 200), expect: "ok"},
		{name: "version 2", kind: "leaf", raw: change(l, 0, 2), expect: noLeaf},
		{name: "version 0", kind: "leaf", raw: change(l, 0, 0), expect: noLeaf},
		{name: "type 0", kind: "leaf", raw: change(l, 1, 0), expect: noLeaf},
		{name: "cut short", kind: "leaf", raw: l[:77], expect: noLeaf},
		{name: "trailing byte", kind: "leaf", raw: append(bytes.Clone(l), 0), expect: noLeaf},
		{name: "a block's leaf", kind: "leaf", raw: b, expect: noLeaf},
		{name: "empty", kind: "leaf", expect: noLeaf},
		{name: "block", kind: "block-leaf", raw: b, expect: "ok"},
		{name: "block of version 2", kind: "block-leaf", raw: change(b, 0, 2), expect: noBlock},
		{name: "block of type 1", kind: "block-leaf", raw: change(b, 1, 1), expect: noBlock},
		{name: "block cut short", kind: "block-leaf", raw: b[:85], expect: noBlock},
		{name: "block with a trailing byte", kind: "block-leaf", raw: append(bytes.Clone(b), 0), expect: noBlock},
	}
}

func buildRest(t testing.TB) (vs []vector) {
	add := func(kind, name, expect string, raw []byte) {
		vs = append(vs, vector{name: name, kind: kind, raw: raw, expect: expect})
	}
	add("outcome", "committed", "ok", cborHex(`82 00 40`))
	add("outcome", "duplicate of a report at height 7", "ok", cborHex(`82 01 48 0000000000000007`))
	add("outcome", "number reused", "ok", cborHex(`82 06 40`))
	add("outcome", "a code of a later version", "ok", cborHex(`82 18c8 40`))
	add("outcome", "code in two bytes", "refused: "+form, cborHex(`82 1806 40`))
	add("outcome", "code 256", "refused: over the limit", cborHex(`82 190100 40`))
	add("outcome", "text as data", "refused: expected a byte string", cborHex(`82 06 60`))
	add("outcome", "outcome of three", "refused: expected 2, got 3", cborHex(`83 06 40 40`))
	add("outcome", "outcome cut short", "refused: cut short", cborHex(`82 06 42 00`))
	add("outcome", "outcome with a trailing byte", "refused: bytes after the end", cborHex(`82 06 40 00`))
	vs = append(vs, decimalVectors()...)
	vs = append(vs, proofVectors(t)...)
	root := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	add("checkpoint", "size 300", "ok", []byte("harbour/north\n300\n"+root))
	add("checkpoint", "extension line", "refused: three lines", []byte("harbour/north\n300\n"+root+"more\n"))
	add("checkpoint", "size with a leading zero", "refused: plain decimal", []byte("harbour/north\n0300\n"+root))
	add("checkpoint", "origin without member", "refused: <network>/<member>", []byte("harbour\n300\n"+root))
	add("checkpoint", "root of 31 bytes", "refused: root hash", []byte("harbour/north\n300\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"))
	add("checkpoint", "stray bits in the root", "refused: root hash", []byte("harbour/north\n300\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n"))
	return append(vs, cosignedVectors(t)...)
}

// cosignedVectors are checkpoints with a member's signature and a witness's.
func cosignedVectors(t testing.TB) (vs []vector) {
	const name = "witness.example/w1"
	seed := sha256.Sum256([]byte("ed25519 " + name))
	witness := want(lamppost.NewCosigner(name, seed[:]))(t)
	signer, verifier, member := noteKeys(t, "harbour/north")
	plain, _, _ := noteKeys(t, name)
	text := lamppost.Checkpoint{Origin: "harbour/north", Size: 300}.Text()
	add := func(name, expect string, raw []byte) {
		vs = append(vs, vector{name: name, kind: "cosigned-checkpoint", raw: raw, expect: expect, given: []string{
			field("suite", sig.EdDSA), "seed: " + hex.EncodeToString(seed[:]), field("member", member), field("witness", witness.Key())}})
	}
	write := func(text string, at int64) []byte {
		n := want(note.Sign(&note.Note{Text: text}, signer))(t)
		own := want(note.Open(n, note.VerifierList(verifier)))(t).Sigs
		return want(lamppost.SignedNote(text, append(own, want(witness.Cosign(text, at))(t))...))(t)
	}
	good := write(text, 1_800_000_000)
	add("cosigned in 2027", "ok", good)
	add("cosigned in the first second", "ok", write(text, 1))
	late := want(witness.Cosign(text, 1_800_000_001))(t)
	raw := want(base64.StdEncoding.DecodeString(late.Base64))(t)
	raw[11]-- // the time says the second before
	late.Base64 = base64.StdEncoding.EncodeToString(raw)
	lines := bytes.SplitAfter(good, []byte("\n"))
	add("another time than was signed", "refused: invalid signature", append(bytes.Join(lines[:5], nil), "— "+late.Name+" "+late.Base64+"\n"...))
	add("signed by the witness as a member signs", "refused: no cosignature",
		append(bytes.Join(lines[:5], nil), bytes.SplitAfter(want(note.Sign(&note.Note{Text: text}, plain))(t), []byte("\n"))[4]...))
	return vs
}

// noteKeys makes a member's key from a fixed seed, with its verifier key as text.
func noteKeys(t testing.TB, name string) (note.Signer, note.Verifier, string) {
	seed := sha256.Sum256([]byte("ed25519 " + name))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), name)
	if err != nil {
		t.Fatal(err)
	}
	return want(note.NewSigner(skey))(t), want(note.NewVerifier(vkey))(t), vkey
}

func decimalVectors() (vs []vector) {
	for _, c := range [][3]string{
		{"integer", `1904d2`, "ok"}, {"minus one", `20`, "ok"}, {"five point nought", `c4 82 20 1832`, "ok"},
		{"nine digits after the point", `c4 82 28 01`, "ok"}, {"largest", `1b7fffffffffffffff`, "ok"}, {"smallest", `3b7ffffffffffffffe`, "ok"},
		{"2^63", `1b8000000000000000`, "63 bits"}, {"-2^63", `3b7fffffffffffffff`, "63 bits"}, {"exponent 0", `c4 82 00 01`, "exponent"},
		{"exponent 1", `c4 82 01 01`, "exponent"}, {"ten digits after the point", `c4 82 29 01`, "exponent"}, {"float", `f93c00`, "63 bits"},
		{"bignum", `c2 41 01`, "tag"}, {"null", `f6`, "63 bits"}, {"text", `"1"`, "63 bits"}, {"integer 16 in two bytes", `1810`, "deterministic"},
		{"trailing byte of a decimal", `01 00`, "extraneous"},
	} {
		if c[2] != "ok" {
			c[2] = "refused: " + c[2]
		}
		vs = append(vs, vector{name: "decimal: " + c[0], kind: "decimal", raw: cborHex(c[1]), expect: c[2]})
	}
	return vs
}

func proofVectors(t testing.TB) (vs []vector) {
	add := func(name, expect string, raw []byte) {
		vs = append(vs, vector{name: name, kind: "proof", raw: raw, expect: expect})
	}
	order := want(lamppost.NewTx(network, lamppost.Order{Type: lamppost.TxParty}, "north", keyOf(t, sig.EdDSA, "north"), lamppost.Seed{}))(t)
	a, b := lamppost.Hash(sha256.Sum256([]byte("a"))), lamppost.Hash(sha256.Sum256([]byte("b")))
	block := lamppost.BlockLeaf{Height: 7, Index: 1}
	items := []lamppost.SegmentItem{{Received: 1, Report: vectorReport(t, oneReading())}, {Received: 2, Report: vectorReport(t, hourly())}, {Report: []byte("no report")}}
	segment := want(lamppost.NewSegment(network, lamppost.Seq{N: 1}, 0, items, "north", keyOf(t, sig.EdDSA, "north"), lamppost.Seed{}))(t)
	thin := lamppost.Thin(segment, make([]lamppost.Outcome, 3), b, func(i int) bool { return i > 0 })
	p := lamppost.Proof{Network: network, Checkpoints: []string{"a signed note stands here"}, Witnesses: []string{"a verifier key stands here"},
		Txs: []lamppost.TxProof{
			{Leaf: 1, Height: 7, Order: &lamppost.OrderProof{Salt: order.Seed.Salt(lamppost.SaltBody), Signed: order.SignedRaw, Writes: b,
				OutcomeSalt: order.OutcomeSalt(0), Outcome: cborHex(`82 00 40`)}},
			{Leaf: 3, Height: 8, Segment: thin},
		},
		Blocks: []lamppost.BlockProof{{Leaf: 2, Raw: block.Append(nil)}}, Nodes: []lamppost.Hash{a, b}}
	raw := p.Append(nil)
	add("of an order, a block, and a segment with two of three reports", "ok", raw)
	add("of nothing", "ok", cborHex(`87 02 "harbour" 80 80 80 80 40`))
	add("of version 1", "refused: version 1, this program reads versions 2 and 3", cborHex(`87 01 "harbour" 80 80 80 80 40`))
	add("cut short", "refused: cut short", raw[:len(raw)-1])
	add("trailing byte", "refused: bytes after the end", append(bytes.Clone(raw), 0))
	add("a field is missing", "refused: expected 7, got 6", cborHex(`86 02 "harbour" 80 80 80 80`))
	add("a field too many", "refused: expected 7, got 8", cborHex(`88 02 "harbour" 80 80 80 80 40 40`))
	add("a map", "refused: expected an array", cborHex(`a1 01 02`))
	add("null in place of a list", "refused: expected an array", cborHex(`87 02 "harbour" f6 80 80 80 40`))
	add("list of indefinite length", "refused: deterministic", cborHex(`87 02 "harbour" 9fff 80 80 80 40`))
	add("a list of single bytes", "refused: a list of 4 items in 6 bytes", cborHex(`87 02 "harbour" 80 80 84 00000000 80 40`))
	add("a transaction of six fields", "refused: expected 8, got 6", cborHex(`87 02 "harbour" 80 80 81 86 01 07 00 00 00 80 58 20 `+strings.Repeat("00", 32)))
	add("of version 3 without runs", "refused: version 3, what it holds is of version 2", cborHex(`87 03 "harbour" 80 80 80 80 40`))
	ran := lamppost.Marshal(lamppost.Run{Contract: "split-lamp", Version: 1, N: 3, Currency: "EUR", Note: "30 % to ivy", Payments: []lamppost.Payment{{From: "lamp-17", To: "ivy", Amount: 600_000}},
		Event: lamppost.RunEvent{Name: "split", Time: 1_800_003_600_000, Bill: &lamppost.RunBill{Number: "works-000001", Seller: "works", Buyer: "bob", To: 1_800_003_600_000,
			Parts: []lamppost.RunPart{{Device: "lamp-17", Agreement: "a", Earns: "lamp-17", Pays: "bob", Net: 2_000_000, Used: 5_000_000}}}}, Cost: lamppost.RunCost{Steps: 90, Bytes: 700}})
	runs := []lamppost.RunProof{{Hash: lamppost.Hash{7}}, {Salt: [16]byte{1, 2}, Run: ran}}
	q := p
	q.Txs = append(slices.Clone(p.Txs), lamppost.TxProof{Leaf: 90, Height: 40, Runs: runs,
		Result: &lamppost.ResultProof{Type: lamppost.TxInvoice, Body: lamppost.Hash{1}, Outcome: lamppost.Hash{2}, Writes: lamppost.Hash{3}}})
	add("with a result: one of two runs of contracts", "ok", q.Append(nil))
	q.Txs = slices.Clone(p.Txs)
	for i := range q.Txs {
		if q.Txs[i].Order != nil {
			q.Txs[i].Runs = runs
		}
	}
	add("of an order with runs", "ok", q.Append(nil))
	none := q.Append(nil)
	none[1] = 2
	add("of version 2 with runs", "refused: version 2, what it holds is of version 3", none)
	add("half a hash", "refused: no list of digests", cborHex(`87 02 "harbour" 80 80 80 80 50 `+strings.Repeat("00", 16)))
	return vs
}

// buildVouchers has tenant-3 promise lamp-17.
func buildVouchers(t testing.TB) (vs []vector) {
	key := keyOf(t, sig.EdDSA, "tenant-3")
	add := func(name string, raw []byte, expect string) {
		vs = append(vs, vector{name: name, kind: "voucher", given: given(sig.EdDSA, "tenant-3"), raw: raw, expect: expect})
	}
	v := lamppost.Voucher{Channel: "ch-1", Payee: "lamp-17", N: 3, Amount: 750_000, Until: 1_800_086_400_000}
	add("the third", want(v.Sign(network, key))(t), "ok")
	long := lamppost.Voucher{Channel: strings.Repeat("c", 40), Payee: lamppost.PartyID(strings.Repeat("p", 40)), N: 1<<63 - 1, Amount: 1<<63 - 1, Until: 1<<63 - 1}
	add("the longest", want(long.Sign(network, key))(t), "ok")
	protected := append(cborHex(`a2 01 27 04`), byteString([]byte("ch-1"))...)
	sign := func(purpose string, protected, payload []byte) []byte {
		return envelope(`d2`, protected, payload, want(key.Sign(toBeSigned(sig.EdDSA, network, purpose, protected, payload)))(t))
	}
	good := cborHex(`85 01 "lamp-17" 03 1a000b71b0 1b000001a31d82ac00`)
	add("signed by hand", sign("voucher", protected, good), "ok")
	add("signed as a transaction", sign("transaction", protected, good), "bad_signature")
	for _, c := range [][3]string{
		{"version 2", `85 02 "lamp-17" 03 01 01`, "refused: expected the integer 1"},
		{"four fields", `84 01 "lamp-17" 03 01`, "refused: expected 5, got 4"},
		{"number 0", `85 01 "lamp-17" 00 01 01`, "refused: begin above 0"},
		{"amount 0", `85 01 "lamp-17" 01 00 01`, "refused: begin above 0"},
		{"an amount of 64 bits", `85 01 "lamp-17" 01 1b8000000000000000 01`, "refused: over the limit"},
		{"an amount below 0", `85 01 "lamp-17" 01 20 01`, "refused: expected an unsigned integer"},
		{"amount in two bytes", `85 01 "lamp-17" 01 1801 01`, "refused: " + form},
		{"a payee that is no id", `85 01 "lamp 17" 01 01 01`, "refused: an id has only letters"},
		{"trailing byte in the payload", `85 01 "lamp-17" 01 01 01 00`, "refused: bytes after the end"},
	} {
		add(c[0], sign("voucher", protected, cborHex(c[1])), c[2])
	}
	es := append(cborHex(`a2 01 26 04`), byteString([]byte("ch-1"))...)
	add("es256", envelope(`d2`, es, good, make([]byte, 64)), "refused: not ed25519")
	add("over 200 bytes", make([]byte, 201), "refused: over the limit of 200")
	add("nothing", nil, "refused: cut short")
	return vs
}
