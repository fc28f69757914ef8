package raft

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

var (
	anEntry = entry{clock: 1000, height: 7, root: lamppost.Hash{0xaa, 31: 0xbb}, proposer: "m1", txs: [][]byte{{1, 2, 3}, {4}}}
	aLast   = consensus.Last{Height: 7, Time: 1000, Cursor: 9, Root: lamppost.Hash{0xaa, 31: 0xbb}}
	aHello  = hello{kind: kindForward, network: "net", from: "m1", to: "m2"}
	aTx     = forwarded{again: true, id: lamppost.TxID{0xcc}, tx: []byte{1, 2, 3}}
	aNo     = refused{id: lamppost.TxID{0xcc}, code: lamppost.CodeBadTx, text: "no"}
)

const (
	zeros30 = "000000000000000000000000000000000000000000000000000000000000"
	zeros31 = zeros30 + "00"
)

// What members write does not change between versions of the program: these bytes stand in docs/formats.md too.
func TestVectors(t *testing.T) {
	t.Parallel()
	var head bytes.Buffer
	if err := writeHeader(&head, aLast); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"entry": {anEntry.append(nil), "01" + "00000000000003e8" + "0000000000000007" + "aa" + zeros30 + "bb" + "026d31" + "00000002" +
			"00000003010203" + "0000000104"},
		"snapshot":  {head.Bytes(), "4c50525301" + "0000000000000007" + "00000000000003e8" + "0000000000000009" + "aa" + zeros30 + "bb"},
		"hello":     {aHello.append(nil), "4c50520166" + "036e6574" + "026d31" + "026d32"},
		"forwarded": {aTx.append(nil), "01" + "cc" + zeros31 + "00000003010203"},
		"refused":   {aNo.append(nil), "cc" + zeros31 + hex.EncodeToString([]byte{byte(lamppost.CodeBadTx)}) + "00026e6f"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is written as\n%s, want\n%s", name, got, c.want)
		}
	}
}

// Decoding never panics, and what is decoded is encoded as it was.
func FuzzWire(f *testing.F) {
	var head bytes.Buffer
	if err := writeHeader(&head, aLast); err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{anEntry.append(nil), head.Bytes(), aHello.append(nil), aTx.append(nil), aNo.append(nil)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := parseEntry(raw); err == nil && !bytes.Equal(e.append(nil), raw) {
			t.Errorf("%x is encoded again as %x", raw, e.append(nil))
		}
		if last, err := readHeader(bytes.NewReader(raw)); err == nil {
			var again bytes.Buffer
			if err := writeHeader(&again, last); err != nil || !bytes.HasPrefix(raw, again.Bytes()) {
				t.Errorf("%x is encoded again as %x, %v", raw, again.Bytes(), err)
			}
		}
		if h, err := readHello(bytes.NewReader(raw)); err == nil && !bytes.HasPrefix(raw, h.append(nil)) {
			t.Errorf("%x is encoded again as %x", raw, h.append(nil))
		}
		if p, err := readForwarded(bytes.NewReader(raw)); err == nil && !bytes.HasPrefix(raw, p.append(nil)) {
			t.Errorf("%x is encoded again as %x", raw, p.append(nil))
		}
		if a, err := readRefused(bytes.NewReader(raw)); err == nil && !bytes.HasPrefix(raw, a.append(nil)) {
			t.Errorf("%x is encoded again as %x", raw, a.append(nil))
		}
	})
}

// An entry that no leader writes is refused: cut off, longer than it says, of another version, with too many, empty
// or no transactions.
func TestMalformedEntries(t *testing.T) {
	t.Parallel()
	good := anEntry.append(nil)
	if e, err := parseEntry(good); err != nil || !reflect.DeepEqual(e, anEntry) {
		t.Fatalf("parseEntry = %+v, %v", e, err)
	}
	for i := range good {
		if _, err := parseEntry(good[:i]); err == nil {
			t.Errorf("an entry cut off after %d bytes is taken", i)
		}
	}
	version := bytes.Clone(good)
	version[0] = 2
	many := bytes.Clone(good)
	copy(many[52:], []byte{0, 0, 0x10, 0x01})
	for name, raw := range map[string][]byte{"another version": version, "bytes behind": append(bytes.Clone(good), 0),
		"none": (&entry{proposer: "m"}).append(nil), "too many": many, "an empty transaction": (&entry{proposer: "m", txs: [][]byte{{}}}).append(nil)} {
		if _, err := parseEntry(raw); err == nil {
			t.Errorf("an entry with %s is taken", name)
		}
	}
}
