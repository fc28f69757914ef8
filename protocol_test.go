package lamppost_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// Names end up in topics, paths, file names and note keys: nothing may need escaping there.
func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "Z", "0", "lamp-17", "a.b_c-d", "0.0", strings.Repeat("x", lamppost.MaxNameBytes)} {
		if err := lamppost.CheckName("device", good); err != nil {
			t.Errorf("CheckName(%q): %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a+b", "a#", "a\x00", "ä", "a\n", "$SYS", "a%20",
		strings.Repeat("x", lamppost.MaxNameBytes+1)} {
		if err := lamppost.CheckName("device", bad); err == nil || !strings.HasPrefix(err.Error(), "device ") {
			t.Errorf("CheckName(%q) = %v, want an error that begins with \"device\"", bad, err)
		}
	}
	if err := lamppost.CheckName("device", strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 300 {
		t.Errorf("a megabyte of name: %.400v", err)
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	h := lamppost.Hash(sha256.Sum256([]byte("x")))
	if got, err := lamppost.ParseHash(h.String()); err != nil || got != h || got.IsZero() {
		t.Errorf("ParseHash(%q) = %v, %v", h.String(), got, err)
	}
	for _, bad := range []string{"", h.String()[2:], h.String() + "00", "g" + h.String()[1:]} {
		if got, err := lamppost.ParseHash(bad); err == nil {
			t.Errorf("ParseHash(%q) = %v", bad, got)
		}
	}
}

// Goal: every leaf of every tree can be shown under the root, and nothing else can, at no other place.
func TestMerklePath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 70).Draw(t, "leaves")
		leaves := make([]lamppost.Hash, n)
		for i := range leaves {
			leaves[i] = sha256.Sum256([]byte{byte(i)})
		}
		root := lamppost.MerkleRoot(leaves)
		if ref := referenceRoot(leaves); root != ref {
			t.Fatalf("root of %d: %v, want %v", n, root, ref)
		}
		i := rapid.IntRange(0, n-1).Draw(t, "place")
		path := lamppost.MerklePath(leaves, i)
		if err := lamppost.CheckMerklePath(leaves[i], i, n, path, root); err != nil {
			t.Fatalf("leaf %d of %d: %v", i, n, err)
		}
		other := rapid.IntRange(-1, n).Draw(t, "other place")
		if other != i && lamppost.CheckMerklePath(leaves[i], other, n, path, root) == nil {
			t.Fatalf("leaf %d of %d also stands at %d", i, n, other)
		}
		if lamppost.CheckMerklePath(sha256.Sum256([]byte("no leaf")), i, n, path, root) == nil {
			t.Fatal("a leaf that is not in the tree was accepted")
		}
		if lamppost.CheckMerklePath(leaves[i], i, n, append(path, root), root) == nil {
			t.Fatal("a path with one hash too many was accepted")
		}
		if len(path) > 0 && lamppost.CheckMerklePath(leaves[i], i, n, path[1:], root) == nil {
			t.Fatal("a path with one hash too few was accepted")
		}
	})
}

// referenceRoot is RFC 6962 §2.1 read from the leaves up: pair neighbours, carry an odd one upwards.
func referenceRoot(row []lamppost.Hash) lamppost.Hash {
	for len(row) > 1 {
		var up []lamppost.Hash
		for i := 0; i+1 < len(row); i += 2 {
			up = append(up, sha256.Sum256(append(append([]byte{1}, row[i][:]...), row[i+1][:]...)))
		}
		if len(row)%2 == 1 {
			up = append(up, row[len(row)-1])
		}
		row = up
	}
	return row[0]
}

func TestMerkleRootOfNothing(t *testing.T) {
	t.Parallel()
	if got := lamppost.MerkleRoot(nil); got != sha256.Sum256(nil) {
		t.Errorf("MerkleRoot() = %v", got)
	}
}

// The log keeps leaves for ever: their sizes and places of fields are fixed.
func TestLeaves(t *testing.T) {
	t.Parallel()
	if lamppost.LeafBytes != 78 || lamppost.BlockLeafBytes != 86 {
		t.Errorf("leaves have %d and %d bytes, want 78 and 86", lamppost.LeafBytes, lamppost.BlockLeafBytes)
	}
	rapid.Check(t, func(t *rapid.T) {
		l := lamppost.Leaf{Type: lamppost.TxType(rapid.IntRange(1, 255).Draw(t, "type")), Height: lamppost.Height(rapid.Uint64().Draw(t, "height")),
			Index: rapid.Uint32().Draw(t, "index"), Body: drawHash(t, "body"), Result: drawHash(t, "result")}
		raw := l.Append(nil)
		if got, err := lamppost.ParseLeaf(raw); err != nil || got != l || len(raw) != lamppost.LeafBytes {
			t.Fatalf("ParseLeaf(%x) = %+v, %v; want %+v", raw, got, err, l)
		}
		b := lamppost.BlockLeaf{Height: l.Height, Index: l.Index, Time: lamppost.TimeMS(rapid.Int64().Draw(t, "time")), Block: l.Body, Members: l.Result}
		rawB := b.Append(nil)
		if got, err := lamppost.ParseBlockLeaf(rawB); err != nil || got != b || len(rawB) != lamppost.BlockLeafBytes {
			t.Fatalf("ParseBlockLeaf(%x) = %+v, %v; want %+v", rawB, got, err, b)
		}
		if _, err := lamppost.ParseLeaf(rawB[:lamppost.LeafBytes]); err == nil {
			t.Fatal("a block's leaf was read as a transaction's")
		}
		if _, err := lamppost.ParseBlockLeaf(append(bytes.Clone(raw), make([]byte, 8)...)); err == nil {
			t.Fatal("a transaction's leaf was read as a block's")
		}
	})
}

// Goal: transactions survive the wire, whatever they carry, and their ids and digests depend on what they should.
func TestTransactionRoundTrip(t *testing.T) {
	t.Parallel()
	keys := memberKeys(t)
	rapid.Check(t, func(t *rapid.T) {
		tx := drawTx(t, keys)
		raw := tx.Append(nil)
		got := want(lamppost.ParseTransaction(raw))(t)
		if again := got.Append(nil); !bytes.Equal(again, raw) {
			t.Fatalf("read and written again:\n got %x\nwant %x", again, raw)
		}
		if !bytes.Equal(got.Signed.Reencode(), tx.SignedRaw) || !bytes.Equal(got.ReencodePayload(), tx.Signed.Payload) {
			t.Fatal("the signed part is not the encoding of what was read")
		}
		if got.ID(network) != tx.ID(network) || got.BodyDigest() != tx.BodyDigest() || got.Signed.Key != tx.Signed.Key {
			t.Fatalf("read as another transaction: %+v, want %+v", got, tx)
		}
		if tx.Type == lamppost.TxSegment && lamppost.MerkleRoot(got.Leaves()) != tx.Header.Root {
			t.Fatal("the reports are not those under the signed root")
		}
		var valid int
		for _, key := range keys {
			if got.Signed.Verify(network, got.Purpose(), key.Public()) {
				valid++
			}
			if got.Signed.Verify("harbor", got.Purpose(), key.Public()) || got.Signed.Verify(network, lamppost.PurposeReport, key.Public()) {
				t.Fatal("the signature holds for another network or purpose")
			}
		}
		if valid != 1 {
			t.Fatalf("%d of the members' keys verify the signature, want 1", valid)
		}
		got.Seed[0]++
		if got.ID(network) != tx.ID(network) {
			t.Fatal("another seed makes another id: a retry would count twice")
		}
		if got.BodyDigest() == tx.BodyDigest() {
			t.Fatal("another seed leaves the digest: it can be guessed")
		}
	})
}

// Goal: there is one spelling of a transaction, as of a report.
func TestTransactionStrict(t *testing.T) {
	t.Parallel()
	keys := memberKeys(t)
	rapid.Check(t, func(t *rapid.T) {
		raw := drawTx(t, keys).Append(nil)
		if _, err := lamppost.ParseTransaction(raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a transaction that is cut short was read")
		}
		if _, err := lamppost.ParseTransaction(append(bytes.Clone(raw), 0)); err == nil {
			t.Fatal("a transaction with a byte after its end was read")
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "place")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		checkTransaction(t, raw)
	})
}

// checkTransaction requires what is accepted to be what would be written.
func checkTransaction(t fataler, raw []byte) {
	t.Helper()
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		return
	}
	if !bytes.Equal(tx.Append(nil), raw) || !bytes.Equal(tx.Signed.Reencode(), tx.SignedRaw) || !bytes.Equal(tx.ReencodePayload(), tx.Signed.Payload) {
		t.Fatalf("accepted, but not what would be written: %x", raw)
	}
}

// What would be refused everywhere must not get a signature.
func TestNewTxRefuses(t *testing.T) {
	t.Parallel()
	key, secret := keyOf(t, sig.EdDSA, "north"), keyOf(t, sig.HMAC256, "north")
	for name, o := range map[string]lamppost.Order{
		"block":             {Type: lamppost.TxBlock},
		"segment":           {Type: lamppost.TxSegment},
		"expiry below zero": {Type: lamppost.TxParty, ExpiryTime: -1},
		"expiry too high":   {Type: lamppost.TxParty, ExpiryHeight: 1 << 63},
		"body too long":     {Type: lamppost.TxParty, Body: make([]byte, lamppost.MaxBodyBytes)},
	} {
		if _, err := lamppost.NewTx(network, o, "north", key, lamppost.Seed{}); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := lamppost.NewTx(network, lamppost.Order{Type: lamppost.TxParty}, "no/rth", key, lamppost.Seed{}); err == nil {
		t.Error("a member id with a slash: signed")
	}
	if _, err := lamppost.NewTx(network, lamppost.Order{Type: lamppost.TxParty}, "north", secret, lamppost.Seed{}); err == nil {
		t.Error("a MAC in place of a signature: made")
	}
	items := []lamppost.SegmentItem{{Received: 1}}
	for name, try := range map[string]func() error{
		"no reports": func() error { return segmentOf(network, 1, nil, key) },
		"too many": func() error {
			return segmentOf(network, 1, make([]lamppost.SegmentItem, lamppost.MaxSegmentReports+1), key)
		},
		"number 0": func() error { return segmentOf(network, 0, items, key) },
		"before 1970": func() error {
			return segmentOf(network, 1, []lamppost.SegmentItem{{Received: -1}}, key)
		},
	} {
		if err := try(); err == nil {
			t.Errorf("segment, %s: signed", name)
		}
	}
}

func segmentOf(network string, n uint64, items []lamppost.SegmentItem, key *sig.PrivateKey) error {
	_, err := lamppost.NewSegment(network, lamppost.Seq{N: n}, 0, items, "north", key, lamppost.Seed{})
	return err
}

func hash(parts ...[]byte) lamppost.Hash { return sha256.Sum256(bytes.Join(parts, nil)) }

func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Every commitment is the hash that docs/formats.md says, built here from its words.
func TestCommitments(t *testing.T) {
	t.Parallel()
	tx := want(lamppost.NewSegment(network, lamppost.Seq{N: 1}, 1, []lamppost.SegmentItem{{Salt: [16]byte{7}, Received: 9, Report: []byte("report")}},
		"north", keyOf(t, sig.EdDSA, "north"), lamppost.Seed{1, 2, 3}))(t)
	tx.Verdicts = []byte("verdicts")
	salt := func(what byte) []byte { h := hash([]byte{0x16, what}, tx.Seed[:]); return h[:16] }
	verdicts := hash([]byte{0x18}, salt('v'), tx.Verdicts)
	it := tx.Items[0]
	outcome := lamppost.Outcome{Code: lamppost.CodeTooOld}.Append(nil)
	a, b := hash([]byte("a")), hash([]byte("b"))
	ids := []lamppost.TxID{a, b}
	members := []lamppost.Member{{ID: "north", Key: []byte{1}}, {ID: "south", Key: []byte{2}}}
	evidence := []lamppost.Evidence{{Member: "south", Height: 5, Kind: 1}}
	short := hash([]byte{0x17}, []byte("device salt"), a[:])
	for name, c := range map[string]struct{ got, want lamppost.Hash }{
		"report leaf": {it.LeafHash(), hash([]byte{0}, it.Salt[:], be64(9), it.Report)},
		"verdicts":    {tx.VerdictsDigest(), verdicts},
		"body":        {tx.BodyDigest(), hash([]byte{0x11}, salt('b'), verdicts[:], tx.SignedRaw)},
		"outcome":     {lamppost.OutcomeHash(tx.OutcomeSalt(0), outcome), hash([]byte{0x10}, it.Salt[:], outcome)},
		"writes":      {lamppost.WritesDigest(tx.Seed.Salt(lamppost.SaltWrites), []byte("kv")), hash([]byte{0x12}, salt('w'), []byte("kv"))},
		"result":      {lamppost.ResultDigest(a, b), hash([]byte{0x13}, a[:], b[:])},
		"block": {lamppost.HashBlock(3, 4, ids, evidence),
			hash([]byte{0x14}, be64(3), be64(4), []byte{0, 0, 0, 2}, a[:], b[:], deterministic(t, []any{map[int]any{1: "south", 2: 5, 3: 1}}))},
		"block without evidence": {lamppost.HashBlock(3, 4, ids, nil),
			hash([]byte{0x14}, be64(3), be64(4), []byte{0, 0, 0, 2}, a[:], b[:], []byte{0x80})},
		"members": {lamppost.HashMembers(members), hash([]byte{0x15}, deterministic(t,
			[]any{map[int]any{1: "north", 2: []byte{1}}, map[int]any{1: "south", 2: []byte{2}}}))},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
	if got := lamppost.RecentID([]byte("device salt"), a); !bytes.Equal(got[:], short[:16]) {
		t.Errorf("recent id: got %x, want %x", got, short[:16])
	}
	order := want(lamppost.NewTx(network, lamppost.Order{Type: lamppost.TxParty}, "north", keyOf(t, sig.EdDSA, "north"), tx.Seed))(t)
	if got := order.OutcomeSalt(0); !bytes.Equal(got[:], salt('o')) {
		t.Errorf("outcome salt of an order: got %x, want %x", got, salt('o'))
	}
}

func TestProofRoundTrip(t *testing.T) {
	t.Parallel()
	keys := []*sig.PrivateKey{keyOf(t, sig.EdDSA, "north"), keyOf(t, sig.ES256, "north")}
	rapid.Check(t, func(t *rapid.T) {
		raw := drawProof(t, keys).Append(nil)
		p := want(lamppost.ParseProof(raw))(t)
		if again := p.Append(nil); !bytes.Equal(again, raw) {
			t.Fatalf("read and written again:\n got %x\nwant %x", again, raw)
		}
		if err := canonical(t, raw); err != nil {
			t.Fatal(err)
		}
		if _, err := lamppost.ParseProof(raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a proof that is cut short was read")
		}
		raw = bytes.Clone(raw)
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "place")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if p, err := lamppost.ParseProof(raw); err == nil && !bytes.Equal(p.Append(nil), raw) {
			t.Fatalf("accepted, but not what would be written: %x", raw)
		}
	})
}

// Goal: a short proof cannot make its reader reserve memory for a long one. Method: the longest lists that fit, of one byte an
// item.
func TestProofMemory(t *testing.T) {
	const n = 1 << 20
	list := append([]byte{0x9a, 0, n >> 16, 0, 0}, make([]byte, n)...)
	for field, before := range []string{``, `80`, `80 80`, `80 80 80`} {
		raw := append(cborHex(`87 02 60`+before), list...)
		var err error
		if used := allocated(func() { _, err = lamppost.ParseProof(raw) }); err == nil || used > 4*uint64(len(raw)) {
			t.Errorf("list %d: error %v, %d bytes allocated for %d of input", field, err, used, len(raw))
		}
	}
}

// Goal: the hashes of the largest subtrees without a known leaf make the root with the known ones, in a tree of any size, and no
// other root comes of them. Method: trees small enough to be worked out leaf by leaf.
func TestRootOver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 70).Draw(t, "n")
		all := make([]lamppost.Hash, n)
		for i := range all {
			all[i] = sha256.Sum256([]byte{byte(i)})
		}
		var at []int64
		var leaves, nodes []lamppost.Hash
		for i := range n {
			if rapid.Bool().Draw(t, "known") {
				at, leaves = append(at, int64(i)), append(leaves, all[i])
			}
		}
		covered := int64(len(at))
		for _, s := range lamppost.Spans(int64(n), at) {
			nodes = append(nodes, lamppost.MerkleRoot(all[s.From:s.From+s.N]))
			covered += s.N
		}
		if covered != int64(n) {
			t.Fatalf("the spans cover %d of %d leaves", covered, n)
		}
		root := want(lamppost.RootOver(int64(n), at, leaves, nodes))(t)
		if root != lamppost.MerkleRoot(all) {
			t.Fatalf("root of %d leaves over %v is another one", n, at)
		}
		if len(nodes) > 0 {
			if _, err := lamppost.RootOver(int64(n), at, leaves, nodes[1:]); err == nil {
				t.Fatal("a node is spare")
			}
		}
		if _, err := lamppost.RootOver(int64(n), at, leaves, append(nodes, root)); err == nil {
			t.Fatal("a node too many is not noticed")
		}
		if len(at) > 1 {
			at[0], at[1] = at[1], at[0]
			if _, err := lamppost.RootOver(int64(n), at, leaves, nodes); err == nil {
				t.Fatal("places out of order are not noticed")
			}
		}
	})
	for _, n := range []int64{0, -1, 3} {
		if _, err := lamppost.RootOver(n, []int64{3}, make([]lamppost.Hash, 1), nil); err == nil {
			t.Errorf("leaf 3 of %d is taken", n)
		}
	}
}

// Goal: reports as differences come back byte for byte, whatever they hold. Method: thin segments of drawn reports, and of ones at
// the limits of what a pack can say, where differences do not fit.
func TestReportDifferences(t *testing.T) {
	t.Parallel()
	key := keyOf(t, sig.EdDSA, "lamp-17")
	sign := func(t interface {
		Helper()
		Fatalf(string, ...any)
	}, readings ...lamppost.Reading) []byte {
		t.Helper()
		raw, err := lamppost.SignReport(&lamppost.Report{Device: "lamp-17", Seq: lamppost.Seq{N: 1}, Readings: readings}, network, key)
		if err != nil {
			t.Fatalf("%v", err)
		}
		return raw
	}
	at := func(name string, ms lamppost.TimeMS, v lamppost.Decimal) lamppost.Reading {
		return lamppost.Reading{Name: name, Unit: "Wh", Kind: lamppost.Register, Time: ms, Value: v}
	}
	const most, far = math.MaxInt64, 1<<53 - 1
	reports := [][]byte{
		sign(t, at("a", 1000, lamppost.Dec(5, 0))),
		sign(t, at("a", 0, lamppost.Dec(most, 0)), at("a", 1000, lamppost.Dec(-most, 0))),
		sign(t, at("a", 0, lamppost.Dec(-most, -3)), at("a", 1000, lamppost.Dec(most, -3))),
		sign(t, at("a", 0, lamppost.Dec(1, 0)), at("a", 1000, lamppost.Dec(10, -1)), at("a", 2000, lamppost.Dec(11, -1))),
		sign(t, at("a", 1, lamppost.Dec(1, 0)), at("a", far, lamppost.Dec(2, 0)), at("a", -far+2, lamppost.Dec(3, 0)), at("a", far, lamppost.Dec(3, 0))),
		sign(t, at("a", 0, lamppost.Dec(1, 0)), at("b", 0, lamppost.Dec(7, 0)), at("a", 900_000, lamppost.Dec(4, 0)), at("b", 900_000, lamppost.Dec(9, 0))),
		[]byte("no report"), {}, {0x83}, {0xd2, 0x84},
	}
	rapid.Check(t, func(t *rapid.T) {
		all := append(slices.Clone(reports), sign(t, drawReadings(t)...))
		items := make([]lamppost.SegmentItem, len(all))
		for i := range all {
			items[i] = lamppost.SegmentItem{Salt: drawSalt(t, "salt"), Received: 1, Report: all[i]}
		}
		tx := want(lamppost.NewSegment(network, lamppost.Seq{N: 1}, 0, items, "north", key, lamppost.Seed{}))(t)
		raw := lamppost.Thin(tx, make([]lamppost.Outcome, len(all)), lamppost.Hash{1}, func(int) bool { return true }).Append(nil)
		back := want(lamppost.ParseThinSegment(raw))(t)
		for i := range all {
			if !bytes.Equal(back.Kept[i].Report, all[i]) {
				t.Fatalf("report %d came back as\n%x, was\n%x", i, back.Kept[i].Report, all[i])
			}
		}
		if !bytes.Equal(back.Append(nil), raw) {
			t.Fatal("written again it is another")
		}
	})
}

// The same of a segment's reports. Not parallel, as above: memory is counted for the whole process.
func TestSegmentMemory(t *testing.T) {
	order := want(lamppost.NewTx(network, lamppost.Order{Type: lamppost.TxParty}, "north", keyOf(t, sig.EdDSA, "north"), lamppost.Seed{}))(t)
	raw := order.Append(nil)
	raw = append(raw[:len(raw)-2], cborHex(`991000`)...) // 4096 reports, and then a byte for each
	raw = append(raw, make([]byte, lamppost.MaxSegmentReports)...)
	var err error
	if used := allocated(func() { _, err = lamppost.ParseTransaction(raw) }); err == nil || used > 16*uint64(len(raw)) {
		t.Errorf("error %v, %d bytes allocated for %d of input", err, used, len(raw))
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for code := range 256 {
		o := lamppost.Outcome{Code: lamppost.Code(code), Data: bytes.Repeat([]byte{1}, code)}
		got, err := lamppost.DecodeOutcome(o.Append(nil))
		if err != nil || got.Code != o.Code || !bytes.Equal(got.Data, o.Data) {
			t.Errorf("DecodeOutcome(%x) = %+v, %v; want %+v", o.Append(nil), got, err, o)
		}
		var refusal *lamppost.Refusal
		accepted := o.Code == lamppost.CodeOK || o.Code == lamppost.CodeDuplicate
		if err := o.Err(); (err == nil) != accepted || !accepted && (!errors.As(err, &refusal) || refusal.Code != o.Code) {
			t.Errorf("%v: Err() = %v", o.Code, err)
		}
	}
	for code, final := range map[lamppost.Code]bool{lamppost.CodeOK: true, lamppost.CodeReused: true, lamppost.CodeBusy: false, lamppost.CodeNotReady: false} {
		if code.Final() != final {
			t.Errorf("%v.Final() = %v", code, !final)
		}
	}
	if got := lamppost.Refuse(lamppost.CodeTooOld, "number %d", 7).Error(); got != "too_old: number 7" {
		t.Errorf("refusal reads %q", got)
	}
	if got := lamppost.Code(200).String(); got != "code_200" {
		t.Errorf("an unknown code reads %q", got)
	}
}

func thousand(b *testing.B) []lamppost.SegmentItem {
	items := make([]lamppost.SegmentItem, 1000)
	raw := manyReadings(b, 4)
	for i := range items {
		items[i] = lamppost.SegmentItem{Salt: [16]byte{byte(i), byte(i >> 8)}, Received: 1_800_000_000_000 + lamppost.TimeMS(i), Report: raw}
	}
	return items
}

func BenchmarkNewSegment(b *testing.B) {
	items, key := thousand(b), keyOf(b, sig.EdDSA, "north")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lamppost.NewSegment(network, lamppost.Seq{N: 1}, 4000, items, "north", key, lamppost.Seed{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTransaction(b *testing.B) {
	tx, err := lamppost.NewSegment(network, lamppost.Seq{N: 1}, 4000, thousand(b), "north", keyOf(b, sig.EdDSA, "north"), lamppost.Seed{})
	if err != nil {
		b.Fatal(err)
	}
	raw := tx.Append(nil)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lamppost.ParseTransaction(raw); err != nil {
			b.Fatal(err)
		}
	}
}
