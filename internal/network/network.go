// Package network knows the file with which several members found a network and find each other: who they are, whose, where, who
// trusts whom, by which engine they order. It ends with the founding itself, signed by one of them, so that all begin with the same
// first block.
//
// It promises that a file it has read is what was signed: whoever changes a line after the founding is told. Start reading at [File].
package network

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"reflect"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A File is a network as its members write it down.
type File struct {
	Network string `yaml:"network"` // id
	Engine  string `yaml:"engine"`  // solo, raft or comet

	// Verify says who checks the devices' signatures: "full", every member all of them, or "gateway", gateways on site do and members
	// check some by lot.
	Verify string `yaml:"verify"`
	// AdmitUnsigned lets devices be enrolled that nobody vouches for.
	AdmitUnsigned bool `yaml:"admit_unsigned,omitempty"`

	Members []Member `yaml:"members"`

	// Trust lists groups of organisations that trust each other. Raft is refused among members whose organisations are in no common
	// group, since with it every member believes what the leader sends; unless Reason says why. Both stand in the ledger for all to see.
	Trust  [][]string `yaml:"trust,omitempty"`
	Reason string     `yaml:"reason,omitempty"`

	// Founded and Founding are written by `lamppost init network`: when it was founded, and the signed order in base64.
	Founded  time.Time `yaml:"founded"`
	Founding string    `yaml:"founding"`

	// Turned is written by `lamppost init raft`, where a network of one turned to this engine: the signed order, in base64. The founding
	// has another engine then, and says less of the member.
	Turned string `yaml:"turned,omitempty"`
}

// A Member is a seat in the network.
type Member struct {
	ID      lamppost.MemberID `yaml:"id"`
	Org     string            `yaml:"org,omitempty"`     // the organisation whose it is
	Address string            `yaml:"address,omitempty"` // host:port where the other members' engines find it
	URL     string            `yaml:"url,omitempty"`     // its HTTP door, as the other members see it
	Key     string            `yaml:"key"`               // its public key, in base64
}

// Check refuses what cannot be a seat.
func (m *Member) Check() error {
	if err := lamppost.CheckName("member", string(m.ID)); err != nil {
		return err
	}
	if m.Address != "" {
		if _, port, err := net.SplitHostPort(m.Address); err != nil || port == "" || port == "0" {
			return fmt.Errorf("address %q of member %q is not host:port, such as north.example:7650", m.Address, m.ID)
		}
	}
	if m.URL != "" {
		if err := CheckURL(m.URL); err != nil {
			return fmt.Errorf("url of member %q: %w", m.ID, err)
		}
	}
	if _, err := m.Ledger(); err != nil {
		return err
	}
	return nil
}

// CheckURL refuses an address at which a member's HTTP door would be asked in the clear, unless that stays on this machine.
func CheckURL(at string) error {
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not like https://north.example:8443", at)
	case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return fmt.Errorf("%q is in the clear: members ask each other by https beyond one machine", at)
	}
	return nil
}

// Ledger is the member as the ledger has it.
func (m *Member) Ledger() (lamppost.Member, error) {
	key, err := base64.StdEncoding.DecodeString(m.Key)
	if err == nil {
		_, err = sig.ParsePublicKey(sig.EdDSA, key)
	}
	if err != nil {
		return lamppost.Member{}, fmt.Errorf("key of member %q: %w", m.ID, err)
	}
	return lamppost.Member{ID: m.ID, Key: key, Org: m.Org, Address: m.Address, URL: m.URL}, nil
}

// Genesis is the founding that the file describes.
func (f *File) Genesis() (*lamppost.GenesisBody, error) {
	g := &lamppost.GenesisBody{Network: f.Network, Rules: 1, AdmitUnsigned: f.AdmitUnsigned, Trust: f.Trust, Reason: f.Reason}
	err := lamppost.CheckName("network", f.Network)
	if err == nil {
		g.Engine, err = lamppost.ParseEngine(f.Engine)
	}
	if err == nil {
		g.Verify, err = lamppost.ParsePolicy(f.Verify)
	}
	if err != nil {
		return nil, err
	}
	for i := range f.Members {
		if err := f.Members[i].Check(); err != nil {
			return nil, err
		}
		if g.Engine != lamppost.Solo && f.Members[i].Address == "" {
			return nil, fmt.Errorf("member %q has no address, where the others' engines would find it", f.Members[i].ID)
		}
		m, err := f.Members[i].Ledger()
		if err != nil {
			return nil, err
		}
		g.Members = append(g.Members, m)
	}
	return g, errors.Join(lamppost.CheckMembers(g.Engine, g.Members), g.CheckTrust())
}

// Found signs the founding with the key of one of the members.
func (f *File) Found(key *sig.PrivateKey, now time.Time) error {
	g, err := f.Genesis()
	if err != nil {
		return err
	}
	for _, m := range g.Members {
		if string(m.Key) != string(key.Public().Bytes()) {
			continue
		}
		o := lamppost.Order{Type: lamppost.TxGenesis, ExpiryTime: lamppost.TimeMS(now.Add(time.Hour).UnixMilli()), Body: lamppost.Marshal(g)}
		var seed lamppost.Seed
		rand.Read(o.Nonce[:]) // never fails
		rand.Read(seed[:])
		tx, err := lamppost.NewTx(f.Network, o, m.ID, key, seed)
		if err != nil {
			return err
		}
		f.Founded, f.Founding = now.UTC().Truncate(time.Millisecond), base64.StdEncoding.EncodeToString(tx.Append(nil))
		return nil
	}
	return errors.New("the key that signs the founding is no member's in this network")
}

var errNotSigned = errors.New("what stands above the founding is not what was signed: take the file as it was made, or make it anew by lamppost init network")

// First is the first block, the same for all members.
func (f *File) First() (*lamppost.Block, error) {
	raw, err := base64.StdEncoding.DecodeString(f.Founding)
	if err != nil || len(raw) == 0 {
		return nil, errors.New("there is no signed founding: make the file by lamppost init network")
	}
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		return nil, fmt.Errorf("the founding: %w", err)
	}
	want, err := f.Genesis()
	if err != nil {
		return nil, err
	}
	var signed lamppost.GenesisBody
	if tx.Type != lamppost.TxGenesis || lamppost.Unmarshal(tx.Order.Body, &signed) != nil {
		return nil, errNotSigned
	}
	if f.Turned != "" {
		if err := f.turn(&signed); err != nil {
			return nil, err
		}
	}
	if !reflect.DeepEqual(&signed, want) {
		return nil, errNotSigned
	}
	return &lamppost.Block{Height: 1, Time: lamppost.TimeMS(f.Founded.UnixMilli()), Proposer: tx.Signed.Key, Txs: [][]byte{raw}}, nil
}

// turn makes of a founding what the order to turn makes of the network.
func (f *File) turn(g *lamppost.GenesisBody) error {
	raw, err := base64.StdEncoding.DecodeString(f.Turned)
	if err != nil {
		return errNotSigned
	}
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		return fmt.Errorf("the order to turn: %w", err)
	}
	var b lamppost.NetworkBody
	if tx.Type != lamppost.TxNetwork || lamppost.Unmarshal(tx.Order.Body, &b) != nil || !signedBy(tx, g) {
		return errNotSigned
	}
	before := lamppost.Network{GenesisBody: *g, Changed: b.After}
	before.Rules = b.Rules // of that time; those of the founding are in the file
	next, err := before.Next(&b, b.After+1)
	if err != nil {
		return fmt.Errorf("the order to turn: %w", err)
	}
	g.Engine, g.Members, g.Trust, g.Reason = next.Engine, next.Members, next.Trust, next.Reason
	return nil
}

func signedBy(tx *lamppost.Transaction, g *lamppost.GenesisBody) bool {
	for _, m := range g.Members {
		key, err := sig.ParsePublicKey(sig.EdDSA, m.Key)
		if m.ID == tx.Signed.Key && err == nil {
			return tx.Signed.Verify(g.Network, lamppost.PurposeTx, key)
		}
	}
	return false
}

// Read reads a file, or returns nil if it is not there.
func Read(path string) (*File, error) { return read[File](path) }

// ReadMember reads a member's card, or returns nil if it is not there.
func ReadMember(path string) (*Member, error) { return read[Member](path) }

func read[T any](path string) (*T, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := yaml.UnmarshalWithOptions(raw, v, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%q: %s", path, yaml.FormatError(err, false, true))
	}
	return v, nil
}

// Bytes writes the file.
func (f *File) Bytes() []byte {
	return write(fmt.Sprintf("# The founding of network %s. Every member has this file as it is in its data folder, as network.yaml.\n", f.Network), f)
}

// Bytes writes the card.
func (m *Member) Bytes() []byte {
	return write("# A member's card: give it to whoever founds the network, or to a member that lets it in.\n", m)
}

func write(comment string, v any) []byte {
	raw, err := yaml.MarshalWithOptions(v, yaml.IndentSequence(true))
	if err != nil {
		panic(err) // all fields are texts
	}
	return bytes.Join([][]byte{[]byte(comment), raw}, nil)
}
