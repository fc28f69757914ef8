package lamppost_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/vectors anew")

// A vector is an example for other implementations: bytes, and what every implementation must say of them. Its form is
// described in testdata/vectors/README.md.
type vector struct {
	name   string
	kind   string
	given  []string // "suite: …", "seed: …", "network: …" of what is signed
	raw    []byte
	expect string   // "ok", a refusal code, or "refused: " and a part of the message
	fields []string // what is read, "key: value", where it is ok
}

func (v *vector) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\ntype: %s\n", v.name, v.kind)
	for _, line := range v.given {
		fmt.Fprintln(&b, line)
	}
	b.WriteString("hex:")
	for digits := hex.EncodeToString(v.raw); ; {
		n := min(len(digits), 96)
		fmt.Fprintf(&b, " %s\n", digits[:n])
		if digits = digits[n:]; digits == "" {
			break
		}
		b.WriteString("    ")
	}
	fmt.Fprintf(&b, "expect: %s\n", v.expect)
	for _, line := range v.fields {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// parseVectors reads a vector file. Lines that begin with // are for people.
func parseVectors(t testing.TB, path string) (vs []vector) {
	t.Helper()
	text := want(os.ReadFile(path))(t)
	var v *vector
	var digits string
	flush := func() {
		if v != nil {
			v.raw = want(hex.DecodeString(digits))(t)
		}
	}
	inHex := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" || strings.HasPrefix(line, "//"):
		case strings.HasPrefix(line, "# "):
			flush()
			vs = append(vs, vector{name: line[2:]})
			v, digits = &vs[len(vs)-1], ""
		case key == "type":
			v.kind = value
		case key == "hex" || line == "hex:":
			digits, inHex = strings.TrimPrefix(value, "hex:"), true
			continue
		case inHex && strings.HasPrefix(line, " "):
			digits += strings.TrimSpace(line)
			continue
		case key == "expect":
			v.expect = value
		case v.expect == "":
			v.given = append(v.given, line)
		default:
			v.fields = append(v.fields, line)
		}
		inHex = false
	}
	flush()
	return vs
}

func allVectors(t testing.TB) map[string][]vector {
	t.Helper()
	files := map[string][]vector{}
	for _, path := range want(filepath.Glob("testdata/vectors/*.txt"))(t) {
		files[filepath.Base(path)] = parseVectors(t, path)
	}
	if len(files) == 0 {
		t.Fatal("no vectors in testdata/vectors")
	}
	return files
}

// Goal: the committed examples are what this implementation says, every one of them. Other implementations rely on it.
func TestVectors(t *testing.T) {
	t.Parallel()
	for file, vs := range allVectors(t) {
		names := map[string]bool{}
		for i := range vs {
			v := &vs[i]
			if names[v.name] || v.name == "" || v.expect == "" {
				t.Errorf("%s: %q: a vector has a name of its own and an expectation", file, v.name)
			}
			names[v.name] = true
			fields, err := readVector(v)
			if problem := judge(v, fields, err); problem != "" {
				t.Errorf("%s: %s: %s", file, v.name, problem)
			}
		}
	}
}

func judge(v *vector, fields []string, err error) string {
	part, mustRefuse := strings.CutPrefix(v.expect, "refused: ")
	var refusal *lamppost.Refusal
	switch {
	case v.expect == "ok" && err != nil:
		return fmt.Sprintf("refused: %v", err)
	case v.expect == "ok":
		if got, want := strings.Join(fields, "\n"), strings.Join(v.fields, "\n"); got != want {
			return fmt.Sprintf("read as\n%s\nwant\n%s", got, want)
		}
	case err == nil:
		return fmt.Sprintf("accepted, want %s", v.expect)
	case mustRefuse && (part == "" || !strings.Contains(err.Error(), part)):
		return fmt.Sprintf("refused with %q, want %q in it", err, part)
	case !mustRefuse && (!errors.As(err, &refusal) || refusal.Code.String() != v.expect):
		return fmt.Sprintf("refused with %v, want the code %s", err, v.expect)
	}
	return ""
}

// Goal: the encoders still write what they wrote when the examples were made, byte for byte. With -rewrite the files
// are written instead; a change there is a change of the format.
func TestVectorsCurrent(t *testing.T) {
	built := buildVectors(t)
	for file, f := range built {
		var b strings.Builder
		b.WriteString(f.about)
		for i := range f.vectors {
			v := &f.vectors[i]
			if v.expect == "ok" {
				fields, err := readVector(v)
				if err != nil {
					t.Errorf("%s: %s: %v", file, v.name, err)
				}
				v.fields = fields
			}
			b.WriteString("\n" + v.String())
		}
		path := filepath.Join("testdata", "vectors", file)
		if *rewrite {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := string(want(os.ReadFile(path))(t))
		if wanted := b.String(); got != wanted {
			t.Errorf("%s differs from what is encoded now, first at\n%s\n(run with -rewrite if the format was meant to change)", path, firstDifference(got, wanted))
		}
	}
	for file := range allVectors(t) {
		if _, ok := built[file]; !ok {
			t.Errorf("testdata/vectors/%s is not built by this test", file)
		}
	}
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	name := ""
	for i := range min(len(a), len(b)) {
		if strings.HasPrefix(b[i], "# ") {
			name = b[i]
		}
		if a[i] != b[i] {
			return fmt.Sprintf("%s\nfile  %s\nbuilt %s", name, a[i], b[i])
		}
	}
	return "the end of the shorter one"
}

// readVector reads a vector's bytes by its type, requires them to be what would be written, and says what was read.
func readVector(v *vector) ([]string, error) {
	switch v.kind {
	case "report":
		return readReport(v)
	case "pack":
		return readPack(v.raw)
	case "segment-header":
		return readSegmentHeader(v)
	case "transaction":
		return readTransaction(v)
	case "thin-segment":
		return readThin(v.raw)
	case "key-change":
		return readKeyChange(v)
	case "charter":
		return readCharter(v)
	case "voucher":
		return readVoucher(v)
	case "leaf":
		l, err := lamppost.ParseLeaf(v.raw)
		return []string{field("tx", l.Type), field("height", l.Height), field("index", l.Index), field("body", l.Body),
			field("result", l.Result)}, same(err, v.raw, l.Append(nil))
	case "block-leaf":
		l, err := lamppost.ParseBlockLeaf(v.raw)
		return []string{field("height", l.Height), field("index", l.Index), field("time_ms", l.Time), field("block", l.Block),
			field("members", l.Members)}, same(err, v.raw, l.Append(nil))
	case "outcome":
		o, err := lamppost.DecodeOutcome(v.raw)
		return []string{field("code", o.Code), fmt.Sprintf("data: %x", o.Data)}, same(err, v.raw, o.Append(nil))
	case "proof":
		return readProof(v.raw)
	case "decimal":
		var d lamppost.Decimal
		err := lamppost.Unmarshal(v.raw, &d)
		return []string{field("mantissa", d.Mantissa), field("exponent", d.Exponent), field("text", d)}, err
	case "checkpoint":
		c, err := lamppost.ParseCheckpoint(string(v.raw))
		return []string{field("origin", c.Origin), field("size", c.Size), field("root", c.Root)}, same(err, v.raw, []byte(c.Text()))
	case "cosigned-checkpoint":
		return readCosigned(v)
	}
	return nil, fmt.Errorf("unknown type %q", v.kind)
}

func field(key string, value any) string { return fmt.Sprintf("%s: %v", key, value) }

var errNotIdentical = errors.New("what was read would be written with other bytes")

func same(err error, raw, again []byte) error {
	if err == nil && !bytes.Equal(raw, again) {
		return errNotIdentical
	}
	return err
}

// lookup returns a given value of the vector.
func (v *vector) lookup(key string) string {
	for _, line := range v.given {
		if k, value, _ := strings.Cut(line, ": "); k == key {
			return value
		}
	}
	return ""
}

func (v *vector) publicKey() (*sig.PublicKey, error) {
	suite, err := sig.ParseSuite(v.lookup("suite"))
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(v.lookup("seed"))
	if err != nil {
		return nil, err
	}
	key, err := sig.NewPrivateKey(suite, seed)
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

func readReport(v *vector) ([]string, error) {
	var r lamppost.Report
	if err := r.Decode(v.raw); err != nil {
		return nil, err
	}
	key, err := v.publicKey()
	if err != nil {
		return nil, err
	}
	if !r.Verify(v.lookup("network"), key) {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "not signed with this key for this network")
	}
	signed := r.AppendToBeSigned(nil, v.lookup("network"))
	fields := []string{field("device", r.Device), field("key_epoch", r.KeyEpoch), field("epoch", r.Seq.Epoch), field("n", r.Seq.N),
		field("flags", r.Flags), field("time_quality", uint8(r.TimeQuality)), field("boot_id", r.BootID), field("mono_ms", r.MonoMS),
		fmt.Sprintf("signed: %x", signed), field("id", lamppost.Hash(sha256.Sum256(signed)))}
	return slices.Concat(fields, readingFields(r.Readings), meterFields(r.Meter)), same(nil, v.raw, r.Reencode())
}

func readingFields(rs []lamppost.Reading) (fields []string) {
	kinds := [...]string{"gauge", "interval", "register"}
	for i := range rs {
		r := &rs[i]
		value := r.Value.String()
		if r.IsFloat {
			value = fmt.Sprintf("float %v", r.Float)
		}
		fields = append(fields, fmt.Sprintf("reading: %q %q %s %s %d ms %s", r.Name, r.Unit, kinds[r.Kind], value, r.Time, r.Quality))
	}
	return fields
}

func meterFields(meter []lamppost.MeterRecord) (fields []string) {
	for _, m := range meter {
		fields = append(fields, fmt.Sprintf("meter's record: %q %q", m.Name, m.Text))
	}
	return fields
}

func readPack(raw []byte) ([]string, error) {
	rs, meter, err := lamppost.DecodePack(raw)
	if err != nil {
		return nil, err
	}
	return append(readingFields(rs), meterFields(meter)...), same(nil, raw, lamppost.AppendPack(nil, rs, meter...))
}

func readSegmentHeader(v *vector) ([]string, error) {
	s, err := lamppost.ParseSigned(v.raw)
	if err != nil {
		return nil, err
	}
	h, err := lamppost.ParseSegmentHeader(s)
	if err != nil {
		return nil, err
	}
	key, err := v.publicKey()
	if err != nil {
		return nil, err
	}
	if !s.Verify(v.lookup("network"), lamppost.PurposeSegment, key) {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "not signed with this key for this network")
	}
	return headerFields(h), same(nil, v.raw, s.Reencode())
}

func headerFields(h lamppost.SegmentHeader) []string {
	fields := []string{field("gateway", h.Gateway), field("epoch", h.Seq.Epoch), field("n", h.Seq.N), field("first_ms", h.First),
		field("last_ms", h.Last), field("count", h.Count), field("readings", h.Readings), field("root", h.Root)}
	if h.Aggregate != nil {
		fields = append(fields, fmt.Sprintf("aggregate: %x", h.Aggregate))
	}
	return fields
}

func readTransaction(v *vector) ([]string, error) {
	tx, err := lamppost.ParseTransaction(v.raw)
	if err != nil {
		return nil, err
	}
	key, err := v.publicKey()
	if err != nil {
		return nil, err
	}
	if !tx.Signed.Verify(v.lookup("network"), tx.Purpose(), key) {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "not signed with this key for this network")
	}
	fields := []string{field("tx", tx.Type), field("signer", tx.Signed.Key), field("id", tx.ID(v.lookup("network"))),
		field("verdicts_digest", tx.VerdictsDigest()), field("body_digest", tx.BodyDigest())}
	if tx.Type == lamppost.TxSegment {
		fields = append(fields, headerFields(tx.Header)...)
		for _, leaf := range tx.Leaves() {
			fields = append(fields, field("leaf", leaf))
		}
		return fields, same(nil, v.raw, tx.Append(nil))
	}
	o := &tx.Order
	return append(fields, field("expiry_height", o.ExpiryHeight), field("expiry_ms", o.ExpiryTime), fmt.Sprintf("nonce: %x", o.Nonce),
		fmt.Sprintf("body: %x", o.Body)), same(nil, v.raw, tx.Append(nil))
}

func readThin(raw []byte) ([]string, error) {
	t, err := lamppost.ParseThinSegment(raw)
	if err != nil {
		return nil, err
	}
	fields := append(headerFields(t.Header), field("body_digest", t.BodyDigest()))
	if digest, ok := t.ResultDigest(); ok {
		fields = append(fields, field("result_digest", digest))
	}
	for i := range t.Kept {
		k := &t.Kept[i]
		fields = append(fields, fmt.Sprintf("kept: %d received %d ms, leaf %s, outcome %x", k.Index, k.Received, k.LeafHash(), k.Outcome))
	}
	return fields, same(nil, raw, t.Append(nil))
}

func readCosigned(v *vector) ([]string, error) {
	member, err := note.NewVerifier(v.lookup("member"))
	if err != nil {
		return nil, err
	}
	witness, err := lamppost.ParseWitnessKey(v.lookup("witness"))
	if err != nil {
		return nil, err
	}
	c, sigs, err := lamppost.OpenCheckpoint(v.raw, note.VerifierList(member, witness))
	if err != nil {
		return nil, err
	}
	if len(sigs) != 2 {
		return nil, errors.New("no cosignature of this witness")
	}
	again, err := lamppost.SignedNote(c.Text(), sigs...)
	return []string{field("origin", c.Origin), field("size", c.Size), field("root", c.Root),
		field("time_s", lamppost.CosignatureTime(sigs[1]))}, same(err, v.raw, again)
}

func readKeyChange(v *vector) ([]string, error) {
	var c lamppost.KeyChange
	if err := c.Decode(v.raw); err != nil {
		return nil, err
	}
	key, err := v.publicKey()
	if err != nil {
		return nil, err
	}
	if !c.Verify(v.lookup("network"), lamppost.PurposeDeviceKey, key) {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "not signed with this key for this network")
	}
	return []string{field("device", c.ID), field("key_epoch", c.Epoch), field("next", c.Next), field("suite", c.Suite), fmt.Sprintf("key: %x", c.Key)},
		same(nil, v.raw, c.Reencode())
}

func readCharter(v *vector) ([]string, error) {
	c, err := lamppost.ParseCharter(v.raw)
	if err != nil {
		return nil, err
	}
	key, err := v.publicKey()
	if err != nil {
		return nil, err
	}
	if !c.Verify(v.lookup("network"), lamppost.PurposeCharter, &lamppost.CharterKey{Suite: key.Suite(), Key: key.Bytes()}) {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "not signed with this key for this network")
	}
	fields := []string{field("device", c.Device), field("number", c.Number), fmt.Sprintf("owner: %s %x", c.Owner.Suite, c.Owner.Key)}
	if c.Second != nil {
		fields = append(fields, fmt.Sprintf("second: %s %x", c.Second.Suite, c.Second.Key))
	}
	for _, f := range c.Functions {
		fields = append(fields, fmt.Sprintf("function: %s %s min %d notice %d grace %d", f.Name, f.Class, f.Min, f.Notice, f.Grace))
	}
	return fields, same(nil, v.raw, c.Reencode())
}

func readProof(raw []byte) ([]string, error) {
	p, err := lamppost.ParseProof(raw)
	if err != nil {
		return nil, err
	}
	fields := []string{field("network", p.Network), field("checkpoints", len(p.Checkpoints)), field("witnesses", len(p.Witnesses)),
		field("txs", len(p.Txs)), field("blocks", len(p.Blocks)), field("nodes", len(p.Nodes))}
	for i := range p.Txs {
		x := &p.Txs[i]
		fields = append(fields, fmt.Sprintf("tx: leaf %d, height %d, index %d", x.Leaf, x.Height, x.Index))
		switch {
		case x.Order != nil:
			fields = append(fields, fmt.Sprintf("body: %x", lamppost.BodyDigest(x.Order.Salt, lamppost.Hash{}, x.Order.Signed)),
				fmt.Sprintf("outcome: %x", lamppost.OutcomeHash(x.Order.OutcomeSalt, x.Order.Outcome)))
		case x.Result != nil:
			fields = append(fields, fmt.Sprintf("body: %x", x.Result.Body[:]), fmt.Sprintf("outcome: %x", x.Result.Outcome[:]))
		default:
			fields = append(fields, fmt.Sprintf("body: %x", x.Segment.BodyDigest()), fmt.Sprintf("outcomes: %x", x.Segment.OutcomesRoot()))
			for _, k := range x.Segment.Kept {
				fields = append(fields, fmt.Sprintf("report: %x", k.Report))
			}
		}
		for j := range x.Runs {
			leaf := x.Runs[j].Leaf()
			fields = append(fields, fmt.Sprintf("run: %x", leaf[:]))
		}
	}
	return fields, same(nil, raw, p.Append(nil))
}

func readVoucher(v *vector) ([]string, error) {
	var x lamppost.Voucher
	if err := x.Decode(v.raw); err != nil {
		return nil, err
	}
	key, err := v.publicKey()
	if err != nil {
		return nil, err
	}
	if !x.Verify(v.lookup("network"), key) {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "not signed with this key for this network")
	}
	return []string{field("channel", x.Channel), field("payee", x.Payee), field("n", x.N), field("amount", x.Amount), field("until_ms", x.Until)},
		same(nil, v.raw, x.Reencode())
}
