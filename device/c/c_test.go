// Package c_test compiles the firmware reference with gcc and holds it to the Go implementation: the same bytes, the same
// refusals, the same promises about numbers. The C stands in src, where the go command does not look for a package.
package c_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device/c/ctest"
	"github.com/lamppost/lamppost/sig"
)

// What functions of lamppost.h return.
const (
	codeOK = iota
	codeBadInput
	codeTooSmall
	codeTooLarge
	codeStorage
	codeNoNumbers
	codeOther
	codeEpoch
	codeSigning
	codeClosed
)

const (
	reserve   = 64   // LAMPPOST_RESERVE
	romLimit  = 4096 // bytes of code and constants
	slotMagic = "lpn1"
)

var gccFlags = append(slices.Clip(ctest.Strict), "-Isrc")

var (
	harnessProgram = ctest.Program{Args: []string{"-Isrc", "testdata/harness.c", "src/lamppost.c"}}
	guardProgram   = ctest.Program{Args: []string{"-Isrc", "-include", "testdata/limits.h", "-O1", "testdata/guard.c", "src/lamppost_guard.c", "src/lamppost_command.c"}}
)

func TestMain(m *testing.M) {
	code := m.Run()
	harnessProgram.Remove()
	guardProgram.Remove()
	os.Exit(code)
}

// A harness is testdata/harness.c running: lamppost.c with two slots in memory, driven by lines.
type harness struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	sign func(msg []byte) []byte // nil: the signing callback fails
	msgs [][]byte                // what was to be signed since the last take
}

func start(t *testing.T) *harness {
	t.Helper()
	in, out := ctest.Start(t, harnessProgram.Path(t))
	h := &harness{t: t, in: in, out: out}
	h.sign = rawSigner(t, testScalar)
	h.device("net", "lamp-17", 1, 1)
	return h
}

// tell sends a line and returns the answer's words.
func (h *harness) tell(format string, args ...any) []string {
	h.t.Helper()
	if _, err := fmt.Fprintf(h.in, format+"\n", args...); err != nil {
		h.t.Fatalf("telling the harness: %v", err)
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		h.t.Fatalf("the harness does not answer to %q: %v", fmt.Sprintf(format, args...), err)
	}
	return strings.Fields(line)
}

// call sends a verb that answers with a code and the number of writes since the start or the last cut.
func (h *harness) call(verb string) (code, writes int) {
	h.t.Helper()
	words := h.tell("%s", verb)
	return h.number(words[0]), h.number(words[1])
}

func (h *harness) number(s string) int {
	h.t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func (h *harness) device(network, device string, keyEpoch, seqEpoch uint32) {
	h.t.Helper()
	h.tell("device %s %s %d %d", hexOr(network), hexOr(device), keyEpoch, seqEpoch)
}

func (h *harness) want(verb string, code int) {
	h.t.Helper()
	if got, _ := h.call(verb); got != code {
		h.t.Fatalf("%s: code %d, want %d", verb, got, code)
	}
}

// report asks for a signed report in a buffer of size bytes; 0 is what LAMPPOST_BUFFER recommends.
func (h *harness) report(r *lamppost.Report, size int) (code, n int, raw []byte) {
	h.t.Helper()
	line := fmt.Sprintf("sign %d %d %d %d %d", size, r.MonoMS, r.TimeQuality, r.Flags, len(r.Readings))
	for _, x := range r.Readings {
		seconds, ms := floor(x.Time)
		kind := map[lamppost.Kind]int{lamppost.Register: 0, lamppost.Gauge: 1, lamppost.Interval: 2, 99: 3}[x.Kind]
		line += fmt.Sprintf(" %s %s %d %d %d %d %d %d", hexOr(x.Name), hexOr(x.Unit), seconds, ms, x.Value.Mantissa, x.Value.Exponent, kind, x.Quality)
	}
	words := h.tell("%s", line)
	for words[0] == "message" {
		msg := h.unhex(words[1])
		h.msgs = append(h.msgs, msg)
		answer := "-"
		if h.sign != nil {
			answer = hex.EncodeToString(h.sign(msg))
		}
		words = h.tell("%s", answer)
	}
	return h.number(words[0]), h.number(words[1]), h.unhex(words[2])
}

// must returns a report that has to succeed, decoded too.
func (h *harness) must(r *lamppost.Report) ([]byte, lamppost.Report) {
	h.t.Helper()
	code, _, raw := h.report(r, 0)
	if code != codeOK {
		h.t.Fatalf("signing %+v: code %d", r, code)
	}
	var back lamppost.Report
	if err := back.Decode(raw); err != nil {
		h.t.Fatalf("the network refuses %x: %v", raw, err)
	}
	return raw, back
}

func (h *harness) unhex(s string) []byte {
	h.t.Helper()
	if s == "-" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func hexOr(s string) string {
	if s == "" {
		return "-"
	}
	return hex.EncodeToString([]byte(s))
}

func floor(t lamppost.TimeMS) (seconds, ms int64) {
	seconds, ms = int64(t)/1000, int64(t)%1000
	if ms < 0 {
		seconds, ms = seconds-1, ms+1000
	}
	return seconds, ms
}

var testScalar = sha256.Sum256([]byte("a device's key"))

// rawSigner signs as hardware does: r ‖ s with whichever s comes out.
func rawSigner(t *testing.T, scalar [32]byte) func([]byte) []byte {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	return func(msg []byte) []byte {
		digest := sha256.Sum256(msg)
		der, err := ecdsa.SignASN1(nil, key, digest[:])
		if err != nil {
			t.Error(err)
			return make([]byte, 64)
		}
		var parts struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &parts); err != nil {
			t.Error(err)
			return make([]byte, 64)
		}
		return append(parts.R.FillBytes(make([]byte, 32)), parts.S.FillBytes(make([]byte, 32))...)
	}
}

func testKey(t *testing.T) *sig.PrivateKey {
	t.Helper()
	key, err := sig.NewPrivateKey(sig.ES256, testScalar[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func energy(wh int64) *lamppost.Report {
	return &lamppost.Report{TimeQuality: lamppost.TimeSynchronised, Readings: []lamppost.Reading{
		{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: 1_800_000_000_000, Value: lamppost.Dec(wh, 0)}}}
}

// slot is the 32 bytes that lamppost.c documents.
func slot(generation, epoch, boot uint32, reserved uint64, identity string) []byte {
	b := binary.BigEndian.AppendUint32([]byte(slotMagic), generation)
	b = binary.BigEndian.AppendUint32(b, epoch)
	b = binary.BigEndian.AppendUint32(b, boot)
	b = binary.BigEndian.AppendUint64(b, reserved)
	b = binary.BigEndian.AppendUint32(b, castagnoli([]byte(identity)))
	return binary.BigEndian.AppendUint32(b, castagnoli(b))
}

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (h *harness) setSlots(a, b []byte) {
	h.t.Helper()
	h.tell("slot 0 %x", a)
	h.tell("slot 1 %x", b)
}

// A generator makes reports, most of them valid, with a liking for the edges where an encoding changes its length.
type generator struct{ *rand.Rand }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) edge() uint64 {
	n := pick[uint64](g, 0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32-1, 1<<32, 1<<63-1)
	if g.IntN(3) == 0 {
		n = g.Uint64() >> (1 + g.IntN(63))
	}
	return n
}

func (g generator) mantissa() int64 {
	n := int64(g.edge())
	if g.IntN(4) == 0 {
		n = -n - int64(g.IntN(2)) // the last one is -2^63, which is refused
	}
	return n
}

// time is near now, or at an edge of what can be written: |s| < 2^43 if whole, |ms| < 2^53.
func (g generator) time() lamppost.TimeMS {
	t := lamppost.TimeMS(1_800_000_000_000 + g.Int64N(1e12)/1000*1000)
	switch g.IntN(12) {
	case 0:
		t = pick[lamppost.TimeMS](g, 0, 1, -1, 999, 1000, -1000, -1001, 23000, 24000, 4294967295000, 4294967296000)
	case 1:
		t = pick[lamppost.TimeMS](g, 1<<53-1, 1<<53, 1-1<<53, (1<<43-1)*1000, 1<<43*1000, (1-1<<43)*1000, -1<<43*1000, 1<<55, -1<<56)
	case 2, 3:
		t += lamppost.TimeMS(g.IntN(1000))
	}
	return t
}

func (g generator) text(most int) string {
	n := pick(g, 1, 2, 6, 23, 24, most, g.IntN(most+1))
	if g.IntN(60) == 0 {
		return pick(g, strings.Repeat("x", most+1), "", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "é\xc3", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf")
	}
	s := strings.Repeat("m", max(0, min(n, most)-4))
	return s + pick(g, "a", "bc", "é", "€", "😀", "\u07ff", "\uffff", "\U0010ffff")
}

func (g generator) reading() lamppost.Reading {
	r := lamppost.Reading{Name: g.text(lamppost.MaxReadingNameBytes), Unit: g.text(lamppost.MaxUnitBytes), Time: g.time(),
		Kind: pick(g, lamppost.Register, lamppost.Register, lamppost.Gauge, lamppost.Interval), Value: lamppost.Dec(g.mantissa(), -int8(g.IntN(10)))}
	switch g.IntN(100) {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		r.Quality = lamppost.Quality(g.IntN(4))
	case 8:
		r.Value.Exponent = pick[int8](g, -10, 1, -128, 127)
	case 9:
		r.Kind = 99
	case 10, 11, 12:
		r.Unit = ""
	}
	return r
}

func (g generator) report() *lamppost.Report {
	r := &lamppost.Report{TimeQuality: lamppost.TimeQuality(g.IntN(4)), MonoMS: g.edge(), Flags: uint32(g.IntN(2))}
	if g.IntN(100) == 0 {
		r.TimeQuality, r.MonoMS = pick[lamppost.TimeQuality](g, 4, 255, 3), pick[uint64](g, 1<<63, 1<<64-1)
	}
	first := g.reading()
	for range 1 + g.IntN(10) {
		next := g.reading()
		if g.IntN(4) > 0 {
			next.Time = first.Time + lamppost.TimeMS(pick[int64](g, 0, 0, 1, -1, 999, 1000, -5000, 900_000, g.Int64N(1e6)))
		}
		r.Readings = append(r.Readings, next)
	}
	r.Readings[0].Time = first.Time
	for i := range r.Readings { // often one name or unit for all, as reports of real machines have
		if first.Time%3 == 0 {
			r.Readings[i].Name = first.Name
		}
		if first.Time%2 == 0 {
			r.Readings[i].Unit = first.Unit
		}
	}
	return r
}

// TestSameBytes compares thousands of reports with those of the Go encoder: the same message is signed, the report is the
// same but for the signature, the network verifies it, and what one refuses the other refuses.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	h, key, g := start(t), testKey(t), generator{rand.New(rand.NewPCG(1, 2))}
	good, bad := 0, 0
	for i := range 4000 {
		network, device := pick(g, "n", "harbour", strings.Repeat("N", 40)), pick(g, "d", "lamp-17", strings.Repeat("d", 15), strings.Repeat("D", 40))
		keyEpoch, seqEpoch, boot, n := uint32(g.edge()), uint32(g.edge()), uint32(g.edge()), min(g.edge(), 1<<62)
		h.tell("restart")
		h.device(network, device, keyEpoch, seqEpoch)
		same := slot(7, seqEpoch, boot, n, network+"/"+device)
		h.setSlots(same, same)
		h.want("open", codeOK)

		r := g.report()
		h.msgs = nil
		code, _, raw := h.report(r, 0)
		r.Device, r.KeyEpoch, r.Seq, r.BootID = lamppost.DeviceID(device), keyEpoch, lamppost.Seq{Epoch: seqEpoch, N: n + 1}, boot+1
		want, err := lamppost.SignReport(r, network, key)
		if (err == nil) != (code == codeOK) {
			t.Fatalf("report %d: C says %d, Go says %v:\n%+v", i, code, err, r)
		}
		if err != nil {
			bad++
			if code != codeBadInput || len(h.msgs) > 0 {
				t.Fatalf("report %d: code %d with %d messages to sign, want %d and none: %v", i, code, len(h.msgs), codeBadInput, err)
			}
			continue
		}
		good++
		sameReport(t, i, raw, want, h.msgs, network, key)
	}
	if good < 1000 || bad < 200 {
		t.Fatalf("%d good and %d bad reports: the generator is broken", good, bad)
	}
}

func sameReport(t *testing.T, i int, got, want []byte, msgs [][]byte, network string, key *sig.PrivateKey) {
	t.Helper()
	cut := len(want) - 64
	if len(got) != len(want) || !bytes.Equal(got[:cut], want[:cut]) {
		t.Fatalf("report %d:\n C %x\nGo %x", i, got, want)
	}
	var back lamppost.Report
	if err := back.Decode(got); err != nil {
		t.Fatalf("report %d: %v", i, err)
	}
	if !back.Verify(network, key.Public()) {
		t.Fatalf("report %d: the signature of %x does not hold", i, got)
	}
	if len(msgs) != 1 || !bytes.Equal(msgs[0], back.AppendToBeSigned(nil, network)) {
		t.Fatalf("report %d: signed was %x", i, msgs)
	}
}

// TestExampleOfFormats compares with the report that docs/formats.md and the vectors give for ES256.
func TestExampleOfFormats(t *testing.T) {
	t.Parallel()
	vectors, err := os.ReadFile("../../testdata/vectors/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(vectors), "\n# one reading, es256\n")
	block, _, found2 := strings.Cut(block, "expect:")
	_, text, found3 := strings.Cut(block, "hex:")
	if !found || !found2 || !found3 {
		t.Fatal("testdata/vectors/report.txt has no example \"one reading, es256\"")
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	h := start(t)
	h.device("harbour", "lamp-17", 1, 0)
	h.setSlots(slot(1, 0, 1<<32-1, 0, "harbour/lamp-17"), slot(2, 0, 1<<32-1, 0, "harbour/lamp-17")) // the boot id becomes 0
	h.want("open", codeOK)
	h.sign = func([]byte) []byte { return want[len(want)-64:] }
	if raw, _ := h.must(energy(1234)); !bytes.Equal(raw, want) {
		t.Fatalf("got  %x\nwant %x", raw, want)
	}
}

// TestBuffer protects the caller's memory: a report is written only where all of it fits, in any size of buffer (the
// sanitizer watches), the size that is asked for suffices, and what LAMPPOST_BUFFER promises suffices for the longest.
func TestBuffer(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.want("begin", codeOK)
	_, need, _ := h.report(energy(1), 1)
	for size := 1; size < need; size++ {
		if code, n, _ := h.report(energy(1), size); code != codeTooSmall || n != need {
			t.Fatalf("a buffer of %d: code %d, %d needed; want code %d, %d needed", size, code, n, codeTooSmall, need)
		}
	}
	if code, _, _ := h.report(energy(1), need); code != codeOK {
		t.Fatalf("a buffer of %d, as asked for: code %d", need, code)
	}
	id := strings.Repeat("i", 40)
	for _, count := range []int{1, 2, 10, 137, 138, 512, 513} {
		h.tell("restart")
		h.device(id, id, 1<<32-1, 1<<32-1)
		full := slot(7, 1<<32-1, 1<<32-2, 1<<62, id+"/"+id)
		h.setSlots(full, full)
		h.want("open", codeOK)
		r := &lamppost.Report{MonoMS: 1<<63 - 1, TimeQuality: 3, Flags: 1}
		for i := range count {
			at := lamppost.TimeMS(1 << 52)
			if i > 0 {
				at = 1 - 1<<52
			}
			r.Readings = append(r.Readings, lamppost.Reading{Name: strings.Repeat("n", 60) + fmt.Sprint(1000+i), Unit: fmt.Sprintf("%016d", i),
				Kind: lamppost.Interval, Time: at, Quality: lamppost.Faulty, Value: lamppost.Dec(1<<63-1, -9)})
		}
		want := codeOK
		switch {
		case count > lamppost.MaxReadings:
			want = codeBadInput
		case count > 137:
			want = codeTooLarge
		}
		if code, n, _ := h.report(r, 0); code != want {
			t.Fatalf("%d readings of the longest kind: code %d, %d bytes, want code %d", count, code, n, want)
		}
	}
}

// TestSignatures protects the one form of a signature: either s becomes the lower one; what is no signature at all is an
// error that uses no number.
func TestSignatures(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.want("begin", codeOK)
	n := elliptic.P256().Params().N
	half := new(big.Int).Rsh(n, 1)
	sub := func(a *big.Int, b int64) *big.Int { return new(big.Int).Sub(a, big.NewInt(b)) }
	one, top := big.NewInt(1), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for _, c := range []struct {
		name    string
		r, s, w *big.Int // w: the s that has to come out; nil: an error
	}{
		{"the least", one, one, one},
		{"the greatest", sub(n, 1), sub(n, 1), one},
		{"half", one, half, half},
		{"just over half", one, sub(half, -1), half},
		{"a borrow through all bytes", one, sub(n, 2), big.NewInt(2)},
		{"r = 0", new(big.Int), one, nil},
		{"s = 0", one, new(big.Int), nil},
		{"r = n", n, one, nil},
		{"s = n", one, n, nil},
		{"s = n + 1", one, sub(n, -1), nil},
		{"all ones", top, top, nil},
	} {
		h.sign = func([]byte) []byte {
			return append(c.r.FillBytes(make([]byte, 32)), c.s.FillBytes(make([]byte, 32))...)
		}
		code, _, raw := h.report(energy(1), 0)
		switch {
		case c.w == nil && code != codeSigning:
			t.Errorf("%s: code %d, want %d", c.name, code, codeSigning)
		case c.w != nil && (code != codeOK || !bytes.Equal(raw[len(raw)-64:], append(c.r.FillBytes(make([]byte, 32)), c.w.FillBytes(make([]byte, 32))...))):
			t.Errorf("%s: code %d, %x", c.name, code, raw)
		}
	}
	h.sign = nil
	if code, _, _ := h.report(energy(1), 0); code != codeSigning {
		t.Errorf("a callback that fails: code %d, want %d", code, codeSigning)
	}
	h.sign = rawSigner(t, testScalar)
	if _, r := h.must(energy(1)); r.Seq.N != 6 {
		t.Errorf("after 5 signatures and failures: number %d, want 6", r.Seq.N)
	}
}

// TestSlots is what a start finds in the slots and what number comes next.
func TestSlots(t *testing.T) {
	t.Parallel()
	const me = "net/lamp-17"
	blank, zero := bytes.Repeat([]byte{0xff}, 32), make([]byte, 32)
	rot := func(b []byte, bit int) []byte {
		b = bytes.Clone(b)
		b[bit/8] ^= 1 << (bit % 8)
		return b
	}
	a, b := slot(8, 1, 3, 128, me), slot(9, 1, 3, 192, me)
	type row struct {
		name string
		a, b []byte
		verb string
		code int
		next uint64
		boot uint32
	}
	rows := []row{
		{"blank", blank, blank, "open", codeNoNumbers, 0, 0},
		{"blank", blank, blank, "begin", codeOK, 1, 1},
		{"zeros", zero, zero, "open", codeNoNumbers, 0, 0},
		{"the second is newer", a, b, "open", codeOK, 193, 4},
		{"the first is newer", slot(10, 1, 5, 256, me), b, "open", codeOK, 257, 6},
		{"begin continues what is there", a, b, "begin", codeOK, 193, 4},
		{"the newer is lost", a, blank, "open", codeOK, 128 + reserve + 1, 4},
		{"the older is lost", zero, b, "open", codeOK, 192 + reserve + 1, 4},
		{"begin after the newer is lost", a, zero, "begin", codeOK, 128 + reserve + 1, 4},
		{"another device", slot(8, 1, 3, 128, "net/lamp-18"), slot(9, 1, 3, 192, "net/lamp-18"), "open", codeOther, 0, 0},
		{"begin over another device", slot(8, 1, 3, 128, "net/lamp-18"), slot(9, 1, 3, 192, "net/lamp-18"), "begin", codeOK, 1, 1},
		{"another network", slot(8, 1, 3, 128, "nets/lamp-17"), blank, "open", codeOther, 0, 0},
		{"a higher epoch was used", a, slot(9, 2, 3, 5, me), "open", codeEpoch, 0, 0},
		{"a higher epoch was used, begin", a, slot(9, 2, 3, 5, me), "begin", codeEpoch, 0, 0},
		{"a new epoch", slot(8, 0, 3, 128, me), slot(9, 0, 3, 192, me), "open", codeOK, 1, 4},
		{"a new epoch, whose first numbers were perhaps lost", slot(8, 0, 3, 128, me), blank, "open", codeOK, reserve + 1, 4},
		{"numbers over 32 bits", a, slot(9, 1, 3, 1<<32+5, me), "open", codeOK, 1<<32 + 6, 4},
	}
	for bit := 0; bit < 256; bit += 5 { // one bit of rot anywhere loses the slot, not the numbers
		rows = append(rows, row{fmt.Sprintf("bit %d of the newer is rotten", bit), a, rot(b, bit), "open", codeOK, 128 + reserve + 1, 4})
	}
	h := start(t)
	for _, c := range rows {
		h.tell("restart")
		h.setSlots(c.a, c.b)
		code, writes := h.call(c.verb)
		if code != c.code || c.verb == "open" && writes != 0 {
			t.Errorf("%s: %s: code %d after %d writes, want code %d", c.name, c.verb, code, writes, c.code)
			continue
		}
		if code != codeOK {
			if code, _, _ := h.report(energy(1), 0); code != codeClosed {
				t.Errorf("%s: a report without numbers: code %d, want %d", c.name, code, codeClosed)
			}
			continue
		}
		if _, r := h.must(energy(1)); r.Seq.N != c.next || r.BootID != c.boot {
			t.Errorf("%s: number %d of boot %d, want %d of %d", c.name, r.Seq.N, r.BootID, c.next, c.boot)
		}
	}
}

// TestFarTimes protects against overflow where Go's type of time cannot go (the sanitizer watches).
func TestFarTimes(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.want("begin", codeOK)
	const now = "6e 5768 1800000000 0 1 0 0 0"
	for _, seconds := range []int64{1<<63 - 1, -1 << 63, 1 << 62, 1<<54 + 1, 1 << 45, -1 << 45, 1<<45 - 1, 1 - 1<<45} {
		for _, ms := range []int{0, 1, 999} {
			far := fmt.Sprintf("6e 5768 %d %d 1 0 0 0", seconds, ms)
			for _, line := range []string{"1 " + far, "2 " + now + " " + far, "2 " + far + " " + now} {
				if words := h.tell("sign 0 0 0 0 %s", line); words[0] != strconv.Itoa(codeBadInput) {
					t.Errorf("%s: %v, want code %d", line, words, codeBadInput)
				}
			}
		}
	}
	for _, ms := range []int{1000, 65535} {
		if words := h.tell("sign 0 0 0 0 1 6e 5768 1800000000 %d 1 0 0 0", ms); words[0] != strconv.Itoa(codeBadInput) {
			t.Errorf("%d ms: %v, want code %d", ms, words, codeBadInput)
		}
	}
}

// TestLastNumber protects the end of an epoch: numbers stay below 2^63, and then the epoch must be raised.
func TestLastNumber(t *testing.T) {
	t.Parallel()
	h := start(t)
	const most = 1<<63 - 1 - reserve // of the first number of a reservation
	full := slot(8, 1, 3, most-1, "net/lamp-17")
	h.setSlots(full, full)
	h.want("open", codeOK)
	if _, r := h.must(energy(1)); r.Seq.N != most {
		t.Fatalf("number %d, want %d", r.Seq.N, uint64(most))
	}
	if code, _, _ := h.report(energy(1), 0); code != codeEpoch {
		t.Fatalf("code %d, want %d", code, codeEpoch)
	}
	h.tell("restart")
	h.device("net", "lamp-17", 1, 2)
	h.want("open", codeOK)
	if _, r := h.must(energy(1)); r.Seq != (lamppost.Seq{Epoch: 2, N: 1}) {
		t.Fatalf("number %v, want the first of epoch 2", r.Seq)
	}
}

// TestIDs holds the check of ids to that of the Go implementation.
func TestIDs(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, id := range []string{"a", "0", "a.b_c-D9", strings.Repeat("a", 40), strings.Repeat("a", 41), "", ".a", "-a", "_a", "a/b", "a b", "é", "a\n", "a\x7f"} {
		want := codeOK
		if lamppost.CheckName("device", id) != nil {
			want = codeBadInput
		}
		for _, pair := range [][2]string{{id, "d"}, {"n", id}} {
			h.tell("restart")
			h.setSlots(make([]byte, 32), make([]byte, 32))
			h.device(pair[0], pair[1], 0, 1)
			h.want("begin", want)
		}
	}
}

// TestOrderlyStop protects those who look at gaps: a planned stop leaves none, and a report costs no write but one in 64.
func TestOrderlyStop(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.want("begin", codeOK)
	n := uint64(0)
	for boot := range 5 {
		for range 70 {
			n++
			if _, r := h.must(energy(1)); r.Seq.N != n || r.BootID != uint32(boot+1) || r.Seq.Epoch != 1 {
				t.Fatalf("start %d: number %v of boot %d, want %d of %d", boot, r.Seq, r.BootID, n, boot+1)
			}
		}
		limit := 3 // two reservations and the close
		if boot == 0 {
			limit += 2 // begin
		}
		if code, writes := h.call("close"); code != codeOK || writes != limit {
			t.Fatalf("closing: code %d after %d writes, want %d", code, writes, limit)
		}
		h.tell("restart")
		h.want("open", codeOK)
	}
}

// TestPowerLoss cuts the power at every write of a device's life, in every way, lets it start again, cuts early in that life
// too, and lets it finish. No number may stand for two reports, and a cut skips at most twice the reservation.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"nothing", "erased", "half", "torn", "garbage", "after"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			for first := 0; ; first++ {
				for second := range 5 {
					if !lives(h, how, first, second) && second == 0 && first > 5 {
						return
					}
				}
			}
		})
	}
}

// lives reports whether the first cut came to pass.
func lives(h *harness, how string, first, second int) bool {
	h.t.Helper()
	h.tell("restart")
	h.setSlots(bytes.Repeat([]byte{0xff}, 32), bytes.Repeat([]byte{0xff}, 32))
	seen, cuts := map[uint64]bool{}, 0
	h.tell("cut %d %s", first, how)
	began := life(h, "begin", 200, seen, &cuts)
	happened := cuts > 0
	for _, at := range []int{second, -1} {
		h.tell("restart")
		h.tell("cut %d %s", at, how)
		verb := "open"
		if !began { // the production line tries again
			verb = "begin"
		}
		began = life(h, verb, 150, seen, &cuts) || began
	}
	if cuts > 2 || len(seen) < 150 {
		h.t.Fatalf("cuts at %d and %d: %d cuts, %d reports", first, second, cuts, len(seen))
	}
	highest := uint64(0)
	for n := range seen {
		highest = max(highest, n)
	}
	if limit := uint64(len(seen) + 2*reserve*cuts); highest > limit {
		h.t.Fatalf("cuts at %d and %d: number %d was reached with %d reports, want at most %d", first, second, highest, len(seen), limit)
	}
	return happened
}

// life makes reports until the power is gone, and then tries once more, which must fail. It reports whether the device had
// been opened.
func life(h *harness, verb string, reports int, seen map[uint64]bool, cuts *int) bool {
	h.t.Helper()
	switch code, _ := h.call(verb); code {
	case codeOK:
	case codeStorage:
		*cuts++
		return false
	default:
		h.t.Fatalf("%s: code %d", verb, code)
	}
	for range reports {
		code, _, raw := h.report(energy(1), 0)
		if code == codeStorage {
			*cuts++
			if again, _, _ := h.report(energy(1), 0); again != codeStorage {
				h.t.Fatalf("without power: code %d, want %d", again, codeStorage)
			}
			return true
		}
		var r lamppost.Report
		if err := r.Decode(raw); code != codeOK || err != nil {
			h.t.Fatalf("code %d, report %x: %v", code, raw, err)
		}
		if seen[r.Seq.N] {
			h.t.Fatalf("number %d stands for two reports", r.Seq.N)
		}
		seen[r.Seq.N] = true
	}
	if code, _ := h.call("close"); code == codeStorage {
		*cuts++
	} else if code != codeOK {
		h.t.Fatalf("closing: code %d", code)
	}
	return true
}

// TestTakeOver cuts the power while numbers are begun over those of another device: nothing of them comes back.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, how := range []string{"nothing", "erased", "half", "torn", "garbage", "after"} {
		for at := range 3 {
			h.tell("restart")
			h.setSlots(slot(8, 1, 3, 128, "net/lamp-18"), slot(9, 1, 3, 192, "net/lamp-18"))
			h.tell("cut %d %s", at, how)
			if code, _ := h.call("begin"); (code == codeOK) != (at == 2) {
				t.Fatalf("%s at write %d: code %d", how, at, code)
			}
			h.tell("restart")
			h.want("begin", codeOK)
			if _, r := h.must(energy(1)); r.Seq.N != 1 && r.Seq.N != reserve+1 {
				t.Fatalf("%s at write %d: number %d, want 1, or %d if a slot was lost", how, at, r.Seq.N, reserve+1)
			}
		}
	}
}

// TestWornFlash protects against flash that says it wrote and did not: no number is used that is not in a slot, and the
// next try may succeed.
func TestWornFlash(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.want("begin", codeOK)
	h.tell("cut 0 worn")
	if code, _, _ := h.report(energy(1), 0); code != codeStorage || len(h.msgs) > 0 {
		t.Fatalf("code %d with %d messages to sign, want %d and none", code, len(h.msgs), codeStorage)
	}
	if _, r := h.must(energy(1)); r.Seq.N != 1 {
		t.Fatalf("number %d, want 1", r.Seq.N)
	}
}

// TestSize protects the devices with little flash: code and constants stay below a limit, and the library asks for nothing but what every compiler
// may assume. The figures are those of gcc 12; other versions may take a tenth more.
func TestSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file  string
		flags []string
		limit int
	}{
		{"lamppost.c", nil, romLimit},
		{"lamppost_guard.c", nil, 5120},
		{"lamppost_guard.c", []string{"-DLAMPPOST_CHARTERS=4"}, 7168},
		{"lamppost_command.c", nil, 6400},
	} {
		object := filepath.Join(t.TempDir(), "lamppost.o")
		ctest.Compile(t, slices.Concat([]string{"-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-ffreestanding", "-Os", "-fno-pic",
			"-fno-asynchronous-unwind-tables", "-c", "src/" + c.file, "-o", object}, c.flags)...)
		sizes(t, c.file, object, c.limit)
	}
}

func sizes(t *testing.T, file, object string, limit int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "size", object).CombinedOutput()
	if err != nil {
		t.Fatalf("size: %v\n%s", err, out)
	}
	_, line, _ := strings.Cut(string(out), "\n")
	var text, data, bss int
	if _, err := fmt.Sscan(line, &text, &data, &bss); err != nil {
		t.Fatalf("size says %q: %v", out, err)
	}
	if version, err := exec.CommandContext(t.Context(), "gcc", "-dumpversion").Output(); err != nil || !strings.HasPrefix(string(version), "12") {
		limit += limit / 10
	}
	if text > limit || text < 1000 || data+bss != 0 {
		t.Errorf("%s: %d bytes of code and constants, %d of data, want at most %d and none", file, text, data+bss, limit)
	}
	out, err = exec.CommandContext(t.Context(), "nm", "-u", object).CombinedOutput()
	if err != nil {
		t.Fatalf("nm: %v\n%s", err, out)
	}
	for _, symbol := range strings.Fields(strings.ReplaceAll(string(out), " U ", " ")) {
		if symbol != "memcpy" && symbol != "memset" && !strings.HasPrefix(symbol, "lamppost_guard_") {
			t.Errorf("%s needs %q", file, symbol)
		}
	}
}

// TestExample runs the program for Linux three times, as a device that is switched off in between: one key, numbers without
// a gap, and reports that the network takes.
func TestExample(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/include/mbedtls/ecdsa.h"); errors.Is(err, os.ErrNotExist) {
		t.Skip("the headers of Mbed TLS are not installed (Debian: libmbedtls-dev): the example is not compiled")
	}
	program, folder := filepath.Join(t.TempDir(), "example"), t.TempDir()
	ctest.Compile(t, append(gccFlags, "src/example_mbedtls.c", "src/example_lamp.c", "src/lamppost.c", "src/lamppost_guard.c", "src/lamppost_command.c", "-lmbedcrypto", "-o", program)...)
	keyLine, next := "", uint64(1)
	for boot := range 3 {
		out, err := exec.CommandContext(t.Context(), program, folder, "harbour", "meter-1", "70").CombinedOutput()
		if err != nil {
			t.Fatalf("start %d: %v\n%s", boot, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != 71 || keyLine != "" && lines[0] != keyLine {
			t.Fatalf("start %d: %d lines, the first is %q, before it was %q", boot, len(lines), lines[0], keyLine)
		}
		keyLine = lines[0]
		key := parseKey(t, keyLine)
		for _, line := range lines[1:] {
			raw, err := hex.DecodeString(strings.TrimPrefix(line, "report "))
			if err != nil {
				t.Fatal(err)
			}
			var r lamppost.Report
			if err := r.Decode(raw); err != nil {
				t.Fatal(err)
			}
			if !r.Verify("harbour", key) || r.Seq != (lamppost.Seq{Epoch: 1, N: next}) || r.Device != "meter-1" || r.BootID != uint32(boot+1) {
				t.Fatalf("start %d: report %+v, want number %d with a signature that holds", boot, r, next)
			}
			next++
		}
	}
}

func parseKey(t *testing.T, line string) *sig.PublicKey {
	t.Helper()
	raw, err := hex.DecodeString(strings.TrimPrefix(line, "key "))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sig.ParsePublicKey(sig.ES256, raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
