package sig_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"github.com/lamppost/lamppost/sig"
)

// reference decides an Ed25519 signature by the rule of the package comment, on another implementation of the curve.
func reference(public, msg, signature []byte) bool {
	if len(public) != 32 || len(signature) != 64 {
		return false
	}
	A, errA := new(edwards25519.Point).SetBytes(public)
	R, errR := new(edwards25519.Point).SetBytes(signature[:32])
	s, errS := new(edwards25519.Scalar).SetCanonicalBytes(signature[32:])
	if errA != nil || errR != nil || errS != nil {
		return false
	}
	rest := new(edwards25519.Point).ScalarBaseMult(s)
	rest.Subtract(rest, new(edwards25519.Point).ScalarMult(challenge(signature[:32], public, msg), A))
	rest.Subtract(rest, R)
	return rest.MultByCofactor(rest).Equal(edwards25519.NewIdentityPoint()) == 1
}

func challenge(r, public, msg []byte) *edwards25519.Scalar {
	sum := sha512.Sum512(slices.Concat(r, public, msg))
	k, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		panic(err)
	}
	return k
}

// checkAgreement: alone, in a batch of its own, in a batch among good ones, and by the reference, one verdict.
func checkAgreement(t *testing.T, name string, public, msg, signature []byte, want bool) {
	t.Helper()
	if got := reference(public, msg, signature); got != want {
		t.Errorf("%s: reference says %t, want %t", name, got, want)
	}
	key, err := sig.DecodeZIP215(public)
	if err != nil {
		if want {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if got := key.Verify(msg, signature); got != want {
		t.Errorf("%s: alone: got %t, want %t", name, got, want)
	}
	item := sig.Item{Key: key, Msg: msg, Sig: signature}
	good := goodItem(t, sig.EdDSA, 1)
	for _, items := range [][]sig.Item{
		{item, item, item, item, item, item, item, item},
		{good, good, good, item, good, good, good, good},
	} {
		ok := make([]bool, len(items))
		new(sig.Verifier).Verify(items, ok)
		if ok[3] != want {
			t.Errorf("%s: in a batch: got %t, want %t", name, ok[3], want)
		}
	}
}

// TestEdgeCases: on keys and signatures at the edges of the rule (in the manner of Chalkias, Garillot, Nikolaenko,
// "Taming the many EdDSAs", 2020) every path agrees with the reference. The cases are built from their algebra and also
// committed as testdata/ed25519-edge.txt, for other implementations of the formats.
func TestEdgeCases(t *testing.T) {
	cases := edgeCases()
	for _, c := range cases {
		checkAgreement(t, c.name, c.public, c.message, c.signature, c.valid)
	}
	var file bytes.Buffer
	file.WriteString("# Ed25519 at the edges of the rule s < l, 8sB = 8R + 8kA. Made by TestEdgeCases; -rewrite writes it anew.\n" +
		"# The rule alone is meant: the keys that are not canonical, small or mixed are refused before, at enrolment.\n")
	for _, c := range cases {
		c.write(&file)
	}
	const path = "testdata/ed25519-edge.txt"
	if *rewrite {
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if committed, err := os.ReadFile(path); err != nil || !bytes.Equal(committed, file.Bytes()) {
		t.Errorf("%s differs from what the test builds (%v); run with -rewrite and look at the difference", path, err)
	}
}

// TestOneRule shows what the rule protects from: on these cases the standard library decides otherwise, so a replica that
// used it for some signatures would leave the others.
func TestOneRule(t *testing.T) {
	t.Parallel()
	differ := 0
	for _, c := range edgeCases() {
		if ed25519.Verify(c.public, c.message, c.signature) != c.valid {
			differ++
		}
	}
	if differ == 0 {
		t.Error("crypto/ed25519 agrees with every edge case: the cofactored ones are missing")
	}
}

// TestSmallOrderPairs: every encoding of a small-order point, canonical or not, as key and as R, with s = 0, is valid for
// any message (the 196 cases of ZIP-215).
func TestSmallOrderPairs(t *testing.T) {
	t.Parallel()
	encodings := smallOrderEncodings()
	if len(encodings) != 14 {
		t.Fatalf("%d encodings of small-order points, want 14", len(encodings))
	}
	for _, a := range encodings {
		for _, r := range encodings {
			checkAgreement(t, fmt.Sprintf("A %x, R %x", a, r), a, []byte("lamp"), append(bytes.Clone(r), make([]byte, 32)...), true)
		}
	}
}

// TestEnrolment: keys that are weak or written in a second way are refused, honest ones are not.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	honest := encode(scalarOf(7), torsion(0))
	if _, err := sig.ParsePublicKey(sig.EdDSA, honest); err != nil {
		t.Errorf("honest key: %v", err)
	}
	check := func(raw []byte, why string) {
		if k, err := sig.ParsePublicKey(sig.EdDSA, raw); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%x: enrolled as %v, error %v, want one that says %q", raw, k, err, why)
		}
	}
	for _, raw := range smallOrderEncodings() {
		if point, _ := new(edwards25519.Point).SetBytes(raw); bytes.Equal(point.Bytes(), raw) {
			check(raw, "small order")
		} else {
			check(raw, "not canonical")
		}
	}
	for _, raw := range largeNonCanonical() {
		check(raw, "not canonical")
	}
	for i := 1; i < 8; i++ {
		check(encode(scalarOf(7), torsion(i)), "torsion")
	}
	check(offCurve(), "not a point")
	for _, raw := range [][]byte{nil, honest[:31], append(bytes.Clone(honest), 0)} {
		check(raw, "bytes, want 32")
	}
}

// edgeCases builds signatures with R = rB + T1 and A = aB + T2 for small-order T1, T2, whose s = r + ka is right by the
// cofactored rule whatever the T are, and the ways to spoil them.
func edgeCases() []vector {
	var cases []vector
	add := func(name string, public, msg, signature []byte, valid bool) {
		cases = append(cases, vector{name: name, suite: sig.EdDSA, public: public, message: msg, signature: signature, valid: valid})
	}
	for _, shape := range []struct {
		name   string
		a, r   uint64
		ta, tr int
	}{
		{"plain", 5, 9, 0, 0},
		{"A small, R small", 0, 0, 1, 3},
		{"A small, R mixed", 0, 9, 1, 3},
		{"A small, R plain", 0, 9, 1, 0},
		{"A mixed, R small", 5, 0, 1, 3},
		{"A mixed, R mixed", 5, 9, 1, 2},
		{"A mixed, R plain", 5, 9, 1, 0},
		{"A plain, R small", 5, 0, 0, 1},
		{"A plain, R mixed", 5, 9, 0, 5},
		{"A mixed by 2, R mixed by 4", 5, 9, 4, 2},
		{"A is the identity", 0, 9, 0, 0},
		{"R is the identity", 5, 0, 0, 0},
	} {
		f := forge{a: scalarOf(shape.a), r: scalarOf(shape.r)}
		f.public = encode(f.a, torsion(shape.ta))
		f.commitment = encode(f.r, torsion(shape.tr))
		for _, cofactorless := range []bool{true, false} {
			if msg, found := f.search(cofactorless, torsion(shape.ta), torsion(shape.tr)); found {
				add(fmt.Sprintf("%s, without cofactor %t", shape.name, cofactorless), f.public, msg, f.sign(msg), true)
			}
		}
	}
	return append(append(cases, nonCanonicalCases()...), spoiledCases()...)
}

// nonCanonicalCases writes small-order points as y + p or with the sign of x = 0: only their discrete logarithms are
// known, so only such signatures can be made with non-canonical points.
func nonCanonicalCases() []vector {
	var cases []vector
	msg := []byte("non-canonical")
	for i, enc := range smallOrderEncodings() {
		point, _ := new(edwards25519.Point).SetBytes(enc)
		if bytes.Equal(point.Bytes(), enc) {
			continue
		}
		plain := encode(scalarOf(5), torsion(0))
		asR := forge{a: scalarOf(5), r: scalarOf(0), public: plain, commitment: enc}
		asA := forge{a: scalarOf(0), r: scalarOf(9), public: enc, commitment: encode(scalarOf(9), torsion(0))}
		reduced := forge{a: scalarOf(5), r: scalarOf(0), public: plain, commitment: point.Bytes()}
		wrongHash := append(bytes.Clone(enc), reduced.sign(msg)[32:]...)
		for _, c := range []vector{
			{name: "non-canonical R %d", public: plain, signature: asR.sign(msg), valid: true},
			{name: "non-canonical A %d", public: enc, signature: asA.sign(msg), valid: true},
			{name: "non-canonical R %d, hashed after reduction", public: plain, signature: wrongHash, valid: false},
		} {
			c.name, c.suite, c.message = fmt.Sprintf(c.name, i), sig.EdDSA, msg
			cases = append(cases, c)
		}
	}
	return cases
}

// spoiledCases breaks a good signature in each way that must be noticed.
func spoiledCases() []vector {
	f := forge{a: scalarOf(5), r: scalarOf(9), public: encode(scalarOf(5), torsion(0)), commitment: encode(scalarOf(9), torsion(0))}
	msg := []byte("spoiled")
	good := f.sign(msg)
	withS := func(s *big.Int) []byte { return append(bytes.Clone(good[:32]), littleEndian(s)...) }
	withR := func(r []byte) []byte { return append(bytes.Clone(r), good[32:]...) }
	s, l := fromLittleEndian(good[32:]), groupOrder()
	cases := []vector{
		{name: "s + l", signature: withS(new(big.Int).Add(s, l))},
		{name: "s + 8l", signature: withS(new(big.Int).Add(s, new(big.Int).Lsh(l, 3)))},
		{name: "s = l", signature: withS(l)},
		{name: "s + 1", signature: withS(new(big.Int).Add(s, big.NewInt(1)))},
		{name: "s with its top bit set", signature: withS(new(big.Int).SetBit(s, 255, 1))},
		{name: "s of ones", signature: append(bytes.Clone(good[:32]), bytes.Repeat([]byte{255}, 32)...)},
		{name: "R off the curve", signature: withR(offCurve())},
		{name: "R negated", signature: withR(flip(good[:32], 255))},
		{name: "R of large order, non-canonical", signature: withR(largeNonCanonical()[0])},
		{name: "63 bytes", signature: good[:63]},
		{name: "65 bytes", signature: append(bytes.Clone(good), 0)},
		{name: "empty", signature: nil},
		{name: "other message", message: []byte("spoilt"), signature: good},
		{name: "other key", public: encode(scalarOf(6), torsion(0)), signature: good},
	}
	for i := range cases {
		c := &cases[i]
		c.suite = sig.EdDSA
		if c.public == nil {
			c.public = f.public
		}
		if c.message == nil {
			c.message = msg
		}
	}
	return cases
}

// A forge knows the discrete logarithms of a key and a commitment but for their torsion.
type forge struct {
	a, r               *edwards25519.Scalar
	public, commitment []byte
}

func (f *forge) sign(msg []byte) []byte {
	k := challenge(f.commitment, f.public, msg)
	s := new(edwards25519.Scalar).MultiplyAdd(k, f.a, f.r)
	return append(bytes.Clone(f.commitment), s.Bytes()...)
}

// search returns a message whose signature is right (or wrong) without the cofactor: k·T2 + T1 is zero (or not).
func (f *forge) search(cofactorless bool, ta, tr *edwards25519.Point) (msg []byte, found bool) {
	for n := range uint64(256) {
		msg = binary.BigEndian.AppendUint64(nil, n)
		rest := new(edwards25519.Point).ScalarMult(challenge(f.commitment, f.public, msg), ta)
		rest.Add(rest, tr)
		if (rest.Equal(edwards25519.NewIdentityPoint()) == 1) == cofactorless {
			return msg, true
		}
	}
	return nil, false
}

// encode returns xB + t, encoded.
func encode(x *edwards25519.Scalar, t *edwards25519.Point) []byte {
	p := new(edwards25519.Point).ScalarBaseMult(x)
	return p.Add(p, t).Bytes()
}

// torsion returns i times a point of order 8. It is found as l times a point outside the prime-order group.
func torsion(i int) *edwards25519.Point {
	generator := edwards25519.NewIdentityPoint()
	for y := byte(2); ; y++ {
		p, err := new(edwards25519.Point).SetBytes(append([]byte{y}, make([]byte, 31)...))
		if err != nil {
			continue
		}
		minusOne := new(edwards25519.Scalar).Negate(scalarOf(1))
		generator.Add(new(edwards25519.Point).ScalarMult(minusOne, p), p) // (l-1)p + p
		double := new(edwards25519.Point).Add(generator, generator)
		if double.Add(double, double).Equal(edwards25519.NewIdentityPoint()) != 1 {
			break // four times it is not zero
		}
	}
	sum := edwards25519.NewIdentityPoint()
	for range i {
		sum.Add(sum, generator)
	}
	return sum
}

// smallOrderEncodings returns every string that decodes to a point of small order: y or y + p where that fits in 255
// bits, with either sign where x is zero.
func smallOrderEncodings() [][]byte {
	var all [][]byte
	for i := range 8 {
		enc := torsion(i).Bytes()
		for _, candidate := range [][]byte{enc, plusP(enc), flip(enc, 255), plusP(flip(enc, 255))} {
			p, err := new(edwards25519.Point).SetBytes(candidate)
			known := slices.ContainsFunc(all, func(e []byte) bool { return bytes.Equal(e, candidate) })
			if err == nil && !known && new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
				all = append(all, candidate)
			}
		}
	}
	slices.SortFunc(all, bytes.Compare)
	return all
}

// largeNonCanonical returns y + p of points that have a large order.
func largeNonCanonical() [][]byte {
	var all [][]byte
	for y := byte(2); y < 19; y++ {
		enc := plusP(append([]byte{y}, make([]byte, 31)...))
		if _, err := new(edwards25519.Point).SetBytes(enc); err == nil {
			all = append(all, enc)
		}
	}
	return all
}

// plusP adds 2^255 - 19 to an encoding's y, or returns it unchanged if y + p does not fit.
func plusP(enc []byte) []byte {
	y := fromLittleEndian(enc)
	sign := y.Bit(255)
	y.SetBit(y, 255, 0)
	y.Add(y, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19)))
	if y.BitLen() > 255 {
		return enc
	}
	return littleEndian(y.SetBit(y, 255, sign))
}

func offCurve() []byte {
	for y := byte(2); ; y++ {
		enc := append([]byte{y}, make([]byte, 31)...)
		if _, err := new(edwards25519.Point).SetBytes(enc); err != nil {
			return enc
		}
	}
}

func scalarOf(n uint64) *edwards25519.Scalar {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(littleEndian(new(big.Int).SetUint64(n)))
	if err != nil {
		panic(err)
	}
	return s
}

// groupOrder is l = 2^252 + 27742317777372353535851937790883648493 (RFC 8032 §5.1).
func groupOrder() *big.Int {
	tail, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	return tail.Add(tail, new(big.Int).Lsh(big.NewInt(1), 252))
}

func littleEndian(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func fromLittleEndian(b []byte) *big.Int {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}
