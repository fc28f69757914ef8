package sig_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// A part is a signature that goes into a half-aggregate, as its bytes.
type part struct{ public, message, signature []byte }

// coefficients are the z of docs/formats.md, made a second time.
func coefficients(parts []part) []*edwards25519.Scalar {
	transcript := binary.BigEndian.AppendUint64([]byte("lamppost/half-aggregate/1"), uint64(len(parts)))
	for _, p := range parts {
		k := challenge(p.signature[:32], p.public, p.message)
		transcript = slices.Concat(transcript, p.public, p.signature[:32], k.Bytes())
	}
	seed := sha256.Sum256(transcript)
	all := make([]*edwards25519.Scalar, len(parts))
	for i := range all {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(bytes.Clone(seed[:]), uint64(i)))
		var err error
		if all[i], err = new(edwards25519.Scalar).SetCanonicalBytes(append(sum[:16:16], make([]byte, 16)...)); err != nil {
			panic(err)
		}
	}
	return all
}

// combineAny makes a half-aggregate of any signatures, valid or not, on another implementation of the curve.
func combineAny(parts []part) []byte {
	var out []byte
	s := edwards25519.NewScalar()
	for i, z := range coefficients(parts) {
		own, err := new(edwards25519.Scalar).SetCanonicalBytes(parts[i].signature[32:])
		if err != nil {
			panic(err)
		}
		s.MultiplyAdd(z, own, s)
		out = append(out, parts[i].signature[:32]...)
	}
	return append(out, s.Bytes()...)
}

// referenceAggregate decides a half-aggregate on another implementation of the curve. The signatures of the parts are
// not looked at.
func referenceAggregate(parts []part, aggregate []byte) bool {
	if len(parts) == 0 || len(parts) > sig.MaxAggregate || len(aggregate) != 32*len(parts)+32 {
		return false
	}
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i].signature = aggregate[32*i : 32*i+32]
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(aggregate[32*len(parts):])
	if err != nil {
		return false
	}
	rest := new(edwards25519.Point).ScalarBaseMult(s)
	for i, z := range coefficients(parts) {
		A, errA := new(edwards25519.Point).SetBytes(parts[i].public)
		R, errR := new(edwards25519.Point).SetBytes(parts[i].signature)
		if errA != nil || errR != nil {
			return false
		}
		k := challenge(parts[i].signature, parts[i].public, parts[i].message)
		A.ScalarMult(k, A)
		rest.Subtract(rest, R.ScalarMult(z, R.Add(R, A)))
	}
	return rest.MultByCofactor(rest).Equal(edwards25519.NewIdentityPoint()) == 1
}

func partOf(item sig.Item) part { return part{item.Key.Bytes(), item.Msg, item.Sig} }

func partsOf(items []sig.Item) []part {
	parts := make([]part, len(items))
	for i, item := range items {
		parts[i] = partOf(item)
	}
	return parts
}

// signedOf decodes the keys by ZIP-215 alone. It reports false if one is no point.
func signedOf(parts []part) (signed []sig.Signed, decoded bool) {
	for _, p := range parts {
		key, err := sig.DecodeZIP215(p.public)
		if err != nil {
			return nil, false
		}
		signed = append(signed, sig.Signed{Key: key, Msg: p.message})
	}
	return signed, true
}

// checkAggregate: sig and the reference decide alike, and as wanted.
func checkAggregate(t interface{ Fatalf(string, ...any) }, name string, parts []part, aggregate []byte, want bool) {
	if got := referenceAggregate(parts, aggregate); got != want {
		t.Fatalf("%s: reference says %t, want %t", name, got, want)
	}
	signed, decoded := signedOf(parts)
	if got := decoded && new(sig.Verifier).VerifyAggregate(signed, aggregate); got != want {
		t.Fatalf("%s: got %t, want %t: %x", name, got, want, aggregate)
	}
}

func mustAggregate(t interface{ Fatalf(string, ...any) }, items []sig.Item) []byte {
	aggregate, err := new(sig.Verifier).Aggregate(sig.Cold, items)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return aggregate
}

// TestHalfAggregateIsAll: with keys repeated or not, what is made of valid signatures holds, is half as large and the same
// as the reference makes; with any part spoiled it is not made, and if somebody makes it all the same it does not hold;
// with any bit changed, or for other keys, messages or another order, it does not hold either.
func TestHalfAggregateIsAll(t *testing.T) {
	t.Parallel()
	pool := manyItems(t, 12)
	for n := range pool[:4] { // more messages of the same keys
		k, msg := testKey(t, sig.EdDSA, uint64(n)), []byte("again")
		pool = append(pool, sig.Item{Key: k.Public(), Msg: msg, Sig: mustSign(t, k, msg)})
	}
	rapid.Check(t, func(r *rapid.T) {
		items := rapid.SliceOfN(rapid.SampledFrom(pool), 1, 20).Draw(r, "items")
		aggregate, parts := mustAggregate(r, items), partsOf(items)
		if len(aggregate) != sig.HalfAggregateSize(len(items)) || !bytes.Equal(aggregate, combineAny(parts)) {
			r.Fatalf("made %x, the reference %x", aggregate, combineAny(parts))
		}
		checkAggregate(r, "as made", parts, aggregate, true)
		checkAggregate(r, "bit changed", parts, flip(aggregate, rapid.IntRange(0, 8*len(aggregate)-1).Draw(r, "bit")), false)

		at := rapid.IntRange(0, len(items)-1).Draw(r, "at")
		other := slices.Clone(parts)
		other[at].message = append(bytes.Clone(other[at].message), 'x')
		checkAggregate(r, "other message", other, aggregate, false)
		other = slices.Clone(parts)
		other[at].public = testKey(t, sig.EdDSA, 99).Public().Bytes()
		checkAggregate(r, "other key", other, aggregate, false)

		spoilt := slices.Clone(items)
		spoilt[at] = spoil(spoilt[at], rapid.SampledFrom([]int{2, 3}).Draw(r, "way"))
		if made, err := new(sig.Verifier).Aggregate(sig.Cold, spoilt); err == nil || !strings.Contains(err.Error(), fmt.Sprint("item ", at)) {
			r.Fatalf("item %d spoilt: made %x, error %v", at, made, err)
		}
		if parts = partsOf(spoilt); spoilt[at].Sig[63] < 16 { // s < l
			checkAggregate(r, "made of a forgery", parts, combineAny(parts), false)
		}
	})
}

// TestHalfAggregateOrder: parts that change places, in whole or in part, do not hold.
func TestHalfAggregateOrder(t *testing.T) {
	t.Parallel()
	items := manyItems(t, 5)
	aggregate := mustAggregate(t, items)
	for i := range items {
		for j := range i {
			parts, swapped := partsOf(items), bytes.Clone(aggregate)
			parts[i], parts[j] = parts[j], parts[i]
			checkAggregate(t, "messages swapped", parts, swapped, false)
			copy(swapped[32*i:], aggregate[32*j:32*j+32])
			copy(swapped[32*j:], aggregate[32*i:32*i+32])
			checkAggregate(t, "parts swapped", parts, swapped, false)
			checkAggregate(t, "only R swapped", partsOf(items), swapped, false)
		}
	}
}

// TestHalfAggregateEdges: the edge cases of single signatures, alone and among others, of one key and of several, are as
// valid half-aggregated as they are alone. What is decided by s or the length is not asked: there is no s of one any more.
func TestHalfAggregateEdges(t *testing.T) {
	t.Parallel()
	good := partsOf(manyItems(t, 2))
	asked := 0
	for _, c := range edgeCases() {
		if _, err := new(edwards25519.Scalar).SetCanonicalBytes(c.signature[min(32, len(c.signature)):]); err != nil {
			continue
		}
		asked++
		p := part{c.public, c.message, c.signature}
		for _, parts := range [][]part{{p}, {p, p, p}, {good[0], p, good[1]}} {
			checkAggregate(t, c.name, parts, combineAny(parts), c.valid)
		}
	}
	if asked < 30 {
		t.Errorf("only %d edge cases asked", asked)
	}
}

// TestHalfAggregateLimits: the sizes at the limits, and readings that must not be aggregated.
func TestHalfAggregateLimits(t *testing.T) {
	t.Parallel()
	var v sig.Verifier
	one := manyItems(t, 1)
	for _, use := range []sig.Use{0, sig.Billed, sig.Personal, 4} {
		if made, err := v.Aggregate(use, one); err == nil {
			t.Errorf("use %d: made %x", use, made)
		}
	}
	full := slices.Repeat(manyItems(t, 16), sig.MaxAggregate/16)
	signed := make([]sig.Signed, len(full))
	for i, item := range full {
		signed[i] = sig.Signed{Key: item.Key, Msg: item.Msg}
	}
	aggregate, err := v.Aggregate(sig.Cold, full)
	if err != nil || !v.VerifyAggregate(signed, aggregate) {
		t.Errorf("%d signatures: refused, %v", len(full), err)
	}
	if _, err := v.Aggregate(sig.Cold, append(full, one[0])); err == nil {
		t.Error("one too many: made")
	}
	if v.VerifyAggregate(append(signed, signed[0]), make([]byte, sig.HalfAggregateSize(len(full)+1))) {
		t.Error("one too many: held")
	}
	if _, err := v.Aggregate(sig.Cold, nil); err == nil || v.VerifyAggregate(nil, make([]byte, 32)) {
		t.Error("an aggregate of nothing says something")
	}
	for _, item := range []sig.Item{goodItem(t, sig.ES256, 1), goodItem(t, sig.HMAC256, 1), {}} {
		if made, err := v.Aggregate(sig.Cold, []sig.Item{one[0], item}); err == nil {
			t.Errorf("suite of item 1: made %x", made)
		}
		if v.VerifyAggregate([]sig.Signed{{Key: item.Key, Msg: item.Msg}}, make([]byte, 64)) {
			t.Error("another suite or no key: held")
		}
	}
}

// TestHalfAggregateVectors: testdata/halfagg.txt is what this test builds, and is decided as it says, by sig and by the
// reference; what has signatures is made of them again byte by byte.
func TestHalfAggregateVectors(t *testing.T) {
	cases := halfaggCases(t)
	var file bytes.Buffer
	file.WriteString("# Half-aggregates of Ed25519 signatures (docs/formats.md). Made by TestHalfAggregateVectors; -rewrite writes them anew.\n" +
		"# Every public line begins a part. Where each part has its signature, the aggregate is what these make.\n")
	for _, c := range cases {
		c.write(&file)
	}
	const path = "testdata/halfagg.txt"
	if *rewrite {
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(committed, file.Bytes()) {
		t.Errorf("%s differs from what the test builds (%v); run with -rewrite and look at the difference", path, err)
	}
	read, err := readHalfAggregates(string(committed))
	if err != nil || len(read) != len(cases) {
		t.Fatalf("%s: %d vectors, %v, want %d", path, len(read), err, len(cases))
	}
	for _, c := range read {
		checkAggregate(t, c.name, c.parts, c.aggregate, c.valid)
		if c.parts != nil && c.parts[0].signature != nil {
			c.checkMade(t)
		}
	}
}

// A halfaggCase is one half-aggregate and its verdict. With signatures, Aggregate must make it of them.
type halfaggCase struct {
	name      string
	parts     []part
	aggregate []byte
	valid     bool
}

func (c *halfaggCase) checkMade(t *testing.T) {
	t.Helper()
	signed, _ := signedOf(c.parts)
	items := make([]sig.Item, len(signed))
	for i, s := range signed {
		items[i] = sig.Item{Key: s.Key, Msg: s.Msg, Sig: c.parts[i].signature}
	}
	if made := mustAggregate(t, items); !bytes.Equal(made, c.aggregate) {
		t.Errorf("%s: made %x, want %x", c.name, made, c.aggregate)
	}
}

// halfaggCases builds what holds and, from it, what must be refused.
func halfaggCases(t *testing.T) []halfaggCase {
	items := make([]sig.Item, 4)
	for i := range items { // short messages, for people who read the file
		k := testKey(t, sig.EdDSA, uint64(i%3)) // the first key signs twice
		items[i] = sig.Item{Key: k.Public(), Msg: fmt.Appendf(nil, "reading %d", i)}
		items[i].Sig = mustSign(t, k, items[i].Msg)
	}
	parts := partsOf(items)
	all := combineAny(parts)
	cases := []halfaggCase{
		{"one", parts[:1], combineAny(parts[:1]), true},
		{"four of three keys", parts, all, true},
		{"the same signature twice", []part{parts[1], parts[1]}, combineAny([]part{parts[1], parts[1]}), true},
	}
	for _, c := range edgeCases() {
		if c.valid && (strings.Contains(c.name, "mixed") || strings.Contains(c.name, "non-canonical R")) {
			among := []part{parts[0], {c.public, c.message, c.signature}, parts[1]}
			cases = append(cases, halfaggCase{"among others: " + c.name, among, combineAny(among), true})
		}
	}
	return append(cases, refusedAggregates(parts, all)...)
}

// refusedAggregates changes the aggregate of the four parts in each way that must be noticed.
func refusedAggregates(parts []part, all []byte) []halfaggCase {
	unsigned := make([]part, len(parts))
	for i, p := range parts {
		unsigned[i] = part{public: p.public, message: p.message}
	}
	l, s := groupOrder(), fromLittleEndian(all[128:])
	rs := func(order ...int) (out []byte) {
		for _, i := range order {
			out = append(out, all[32*i:32*i+32]...)
		}
		return out
	}
	pick := func(order ...int) (out []part) {
		for _, i := range order {
			out = append(out, unsigned[i])
		}
		return out
	}
	withS := func(s *big.Int) []byte { return append(rs(0, 1, 2, 3), littleEndian(s)...) }
	forged := slices.Clone(parts)
	forged[1].signature = shiftS(parts[1].signature, big.NewInt(8), l)
	forged[2].signature = shiftS(parts[2].signature, big.NewInt(-8), l)
	plain := new(big.Int)
	for _, p := range parts {
		plain.Add(plain, fromLittleEndian(p.signature[32:]))
	}
	return []halfaggCase{
		{"changed order", pick(1, 0, 2, 3), slices.Concat(rs(1, 0, 2, 3), all[128:]), false},
		{"changed order of messages alone", pick(1, 0, 2, 3), all, false},
		{"changed order of R alone", unsigned, slices.Concat(rs(1, 0, 2, 3), all[128:]), false},
		{"last part left out", pick(0, 1, 2), slices.Concat(rs(0, 1, 2), all[128:]), false},
		{"last message left out", pick(0, 1, 2), all, false},
		{"a part more", pick(0, 1, 2, 3, 3), slices.Concat(rs(0, 1, 2, 3, 3), all[128:]), false},
		{"a part in place of another", pick(0, 1, 2, 2), slices.Concat(rs(0, 1, 2, 2), all[128:]), false},
		{"aggregate of each, one after the other", pick(0, 1), slices.Concat(combineAny(parts[:1]), combineAny(parts[1:2])), false},
		{"one R changed", unsigned, flip(all, 8*32), false},
		{"one R negated", unsigned, flip(all, 8*64+255), false},
		{"one R off the curve", unsigned, slices.Concat(rs(0), offCurve(), rs(2, 3), all[128:]), false},
		{"one R non-canonical", unsigned, slices.Concat(rs(0), largeNonCanonical()[0], rs(2, 3), all[128:]), false},
		{"s = l", unsigned, withS(l), false},
		{"s + l", unsigned, withS(new(big.Int).Add(s, l)), false},
		{"s + 1", unsigned, withS(new(big.Int).Mod(new(big.Int).Add(s, big.NewInt(1)), l)), false},
		{"s of zeros", unsigned, withS(new(big.Int)), false},
		{"s of ones", unsigned, append(rs(0, 1, 2, 3), bytes.Repeat([]byte{255}, 32)...), false},
		{"cancelling forgeries", unsigned, combineAny(forged), false},
		{"sum of s without coefficients", unsigned, withS(plain.Mod(plain, l)), false},
		{"one byte less", unsigned, all[:len(all)-1], false},
		{"one byte more", unsigned, append(bytes.Clone(all), 0), false},
		{"nothing", nil, make([]byte, 32), false},
	}
}

func (c *halfaggCase) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nname: %s\n", c.name)
	for _, p := range c.parts {
		fmt.Fprintf(b, "public: %x\nmessage: %x\n", p.public, p.message)
		if p.signature != nil {
			fmt.Fprintf(b, "signature: %x\n", p.signature)
		}
	}
	fmt.Fprintf(b, "aggregate: %x\nexpect: %s\n", c.aggregate, map[bool]string{true: "valid", false: "invalid"}[c.valid])
}

func readHalfAggregates(text string) ([]halfaggCase, error) {
	var cases []halfaggCase
	for n, line := range strings.Split(text, "\n") {
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case field == "name":
			cases = append(cases, halfaggCase{name: value})
			continue
		case len(cases) == 0:
			return nil, errors.New("a vector begins with its name")
		}
		if err := cases[len(cases)-1].set(field, value); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return cases, nil
}

func (c *halfaggCase) set(field, value string) (err error) {
	switch field {
	case "public":
		c.parts = append(c.parts, part{})
	case "expect":
		c.valid = value == "valid"
		return nil
	}
	raw, err := hex.DecodeString(value)
	switch field {
	case "public":
		c.parts[len(c.parts)-1].public = raw
	case "message":
		c.parts[len(c.parts)-1].message = raw
	case "signature":
		c.parts[len(c.parts)-1].signature = raw
	case "aggregate":
		c.aggregate = raw
	default:
		err = fmt.Errorf("unknown field %q", field)
	}
	return err
}
