package network_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/sig"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// three are three members of two organisations.
func three() *network.File {
	f := &network.File{Network: "house-7", Engine: "raft", Verify: "full", Trust: [][]string{{"utility", "coop"}}}
	for i, id := range []string{"north", "south", "west"} {
		key := ledgertest.Key(id, sig.EdDSA).Public().Bytes()
		f.Members = append(f.Members, network.Member{ID: lamppost.MemberID(id), Org: []string{"utility", "coop", "coop"}[i], Address: id + ".example:7650",
			URL: "https://" + id + ".example:8443", Key: base64.StdEncoding.EncodeToString(key)})
	}
	return f
}

// What is written is read again, and gives everybody the same first block.
func TestFounding(t *testing.T) {
	t.Parallel()
	f := three()
	if err := f.Found(ledgertest.Key("south", sig.EdDSA), now); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "network.yaml")
	if err := os.WriteFile(path, f.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := network.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.First()
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.First()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Txs[0], b.Txs[0]) || a.Time != b.Time || a.Proposer != "south" || b.Proposer != "south" || a.Height != 1 {
		t.Errorf("read again, the first block is %+v, was %+v", b, a)
	}
	if !bytes.Equal(f.Bytes(), again.Bytes()) {
		t.Errorf("written again, the file is\n%s\nwas\n%s", again.Bytes(), f.Bytes())
	}
	card := f.Members[1]
	if err := os.WriteFile(path, card.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := network.ReadMember(path); err != nil || *got != card {
		t.Errorf("the card is read as %+v, %v", got, err)
	}
}

// What contradicts itself, or the founding, is refused in words that say what to do.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*network.File)
		want   string
	}{
		"changed after it was signed": {func(f *network.File) { f.Members[0].Address = "elsewhere.example:7650" }, "not what was signed"},
		"not founded":                 {func(f *network.File) { f.Founding = "" }, "lamppost init network"},
		"trust taken away":            {func(f *network.File) { f.Trust = nil }, "not said to trust each other"},
		"no address":                  {func(f *network.File) { f.Members[2].Address = "" }, `"west" has no address`},
		"no port":                     {func(f *network.File) { f.Members[2].Address = "west.example" }, "host:port"},
		"key":                         {func(f *network.File) { f.Members[2].Key = "AAAA" }, `key of member "west"`},
		"twice":                       {func(f *network.File) { f.Members[2] = f.Members[1] }, "stands twice"},
		"engine":                      {func(f *network.File) { f.Engine = "paxos" }, "not an engine"},
		"solo":                        {func(f *network.File) { f.Engine = "solo" }, "by raft or comet"},
		"url":                         {func(f *network.File) { f.Members[1].URL = "south.example" }, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := three()
			if err := f.Found(ledgertest.Key("north", sig.EdDSA), now); err != nil {
				t.Fatal(err)
			}
			c.change(f)
			if _, err := f.First(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("First = %v, want %q", err, c.want)
			}
		})
	}
	if err := three().Found(ledgertest.Key("stranger", sig.EdDSA), now); err == nil {
		t.Error("a stranger founded the network")
	}
}

// turned is the file of a network of one that turned to raft.
func turned(t *testing.T) *network.File {
	t.Helper()
	key := ledgertest.Key("north", sig.EdDSA)
	pub := key.Public().Bytes()
	f := &network.File{Network: "house-7", Engine: "solo", Verify: "full", Members: []network.Member{{ID: "north", Key: base64.StdEncoding.EncodeToString(pub)}}}
	if err := f.Found(key, now); err != nil {
		t.Fatal(err)
	}
	f.Engine, f.Trust = "raft", [][]string{{"utility", "coop"}}
	f.Members[0].Org, f.Members[0].Address = "utility", "north.example:7650"
	f.Turned = turnedBy(t, key, lamppost.NetworkBody{After: 1, Rules: 1, Engine: lamppost.Raft, Trust: f.Trust,
		Members: []lamppost.Member{{ID: "north", Key: pub, Org: "utility", Address: "north.example:7650"}}})
	return f
}

func turnedBy(t *testing.T, key *sig.PrivateKey, b lamppost.NetworkBody) string {
	t.Helper()
	o := lamppost.Order{Type: lamppost.TxNetwork, ExpiryTime: 1, Body: lamppost.Marshal(b)}
	tx, err := lamppost.NewTx("house-7", o, "north", key, lamppost.Seed{})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(tx.Append(nil))
}

// The file of a network that turned says what it is now, and is refused where that is not what the member signed.
func TestTurned(t *testing.T) {
	t.Parallel()
	if b, err := turned(t).First(); err != nil || b.Proposer != "north" {
		t.Errorf("First = %+v, %v", b, err)
	}
	for name, c := range map[string]struct {
		change func(*network.File)
		want   string
	}{
		"another address": {func(f *network.File) { f.Members[0].Address = "elsewhere.example:7650" }, "not what was signed"},
		"more trust":      {func(f *network.File) { f.Trust = append(f.Trust, []string{"coop", "other"}) }, "not what was signed"},
		"another engine":  {func(f *network.File) { f.Engine = "solo" }, "not what was signed"},
		"no order":        {func(f *network.File) { f.Turned = "" }, "not what was signed"},
		"no base64":       {func(f *network.File) { f.Turned = "-" }, "not what was signed"},
		"no transaction":  {func(f *network.File) { f.Turned = "AAAA" }, "the order to turn"},
		"the founding":    {func(f *network.File) { f.Turned = f.Founding }, "not what was signed"},
		"a stranger's": {func(f *network.File) {
			f.Turned = turnedBy(t, ledgertest.Key("stranger", sig.EdDSA), lamppost.NetworkBody{After: 1, Rules: 1, Engine: lamppost.Raft})
		}, "not what was signed"},
		"an order that the ledger refuses": {func(f *network.File) {
			f.Turned = turnedBy(t, ledgertest.Key("north", sig.EdDSA), lamppost.NetworkBody{After: 1, Rules: 1, Engine: lamppost.Comet})
		}, "from solo to raft"},
	} {
		f := turned(t)
		c.change(f)
		if _, err := f.First(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: First = %v, want %q", name, err, c.want)
		}
	}
}
