package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"golang.org/x/mod/sumdb/note"
)

// A Pin is what a reader has decided to trust: a network, its members' keys, and how many of them must agree. It comes
// to the reader by another way than the files it checks: on paper, from a web page, from the operator's contract.
//
// Its file, network.pin, is text with one fact to a line. Empty lines and lines that begin with # are comments:
//
//	network riverside
//	quorum 1
//	member riverside/north+b6ff4a2f+AbC…
//	witness witness.example/w1+5f2e00d1+BCd…
//	witness_quorum 1
//
// A member line holds a verifier key as C2SP signed-note writes it; its name is the origin of the member's checkpoints.
// Witness lines hold those of witnesses (C2SP tlog-cosignature); a checkpoint counts if so many of them cosigned it.
type Pin struct {
	Network       string
	Quorum        int               // members whose checkpoints must agree, from 1 to all
	Members       []lamppost.Member // Ed25519 keys
	Witnesses     []string          // verifier keys
	WitnessQuorum int               // witnesses that must have cosigned each of these checkpoints; from 1 to all where there are any
}

// ParsePin reads a pin's text and refuses what is unknown, missing, said twice or contradictory. Errors name the line.
func ParsePin(text string) (*Pin, error) {
	if len(text) > MaxPinBytes {
		return nil, fmt.Errorf("pin: %d bytes are over the limit of %d", len(text), MaxPinBytes)
	}
	p := &Pin{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.read(line); err != nil {
			return nil, fmt.Errorf("pin: line %d: %w", i+1, err)
		}
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	return p, nil
}

func (p *Pin) read(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return fmt.Errorf("%q is not a word and its value", line)
	}
	switch word, value := fields[0], fields[1]; word {
	case "network":
		if p.Network != "" {
			return errors.New("a second network: a pin names one")
		}
		p.Network = value
		return lamppost.CheckName("network", value)
	case "quorum":
		if p.Quorum != 0 {
			return errors.New("a second quorum: a pin has one")
		}
		return readQuorum(value, &p.Quorum)
	case "member":
		return p.readMember(value)
	case "witness":
		p.Witnesses = append(p.Witnesses, value)
		_, err := lamppost.ParseWitnessKey(value)
		return err
	case "witness_quorum":
		if p.WitnessQuorum != 0 {
			return errors.New("a second witness_quorum: a pin has one")
		}
		return readQuorum(value, &p.WitnessQuorum)
	default:
		return fmt.Errorf("unknown word %q: a pin has network, quorum, member, witness and witness_quorum lines", word)
	}
}

func readQuorum(value string, to *int) error {
	q, err := strconv.Atoi(value)
	if err != nil || q < 1 || strconv.Itoa(q) != value {
		return fmt.Errorf("quorum %q is not a number from 1", value)
	}
	*to = q
	return nil
}

func (p *Pin) readMember(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("member %q is not a note verifier key: %v", vkey, err)
	}
	network, id, _ := strings.Cut(v.Name(), "/")
	if p.Network == "" || network != p.Network {
		return fmt.Errorf("member %q is not of the network %q named before it", v.Name(), p.Network)
	}
	m, err := memberOf(id, vkey)
	if err != nil {
		return err
	}
	p.Members = append(p.Members, m)
	return nil
}

// memberOf takes the Ed25519 key out of a verifier key: <name>+<hash>+base64(1 ‖ key).
func memberOf(id, vkey string) (lamppost.Member, error) {
	if err := lamppost.CheckName("member", id); err != nil {
		return lamppost.Member{}, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(vkey[strings.Index(vkey, "+")+10:])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return lamppost.Member{}, fmt.Errorf("member %q: the key is not Ed25519 in base64", id)
	}
	m := lamppost.Member{ID: lamppost.MemberID(id), Key: raw[1:]}
	if written := VerifierKey(strings.Split(vkey, "/")[0], m); written != vkey {
		return lamppost.Member{}, fmt.Errorf("member %q: the key is usually written %q", id, written)
	}
	return m, nil
}

func (p *Pin) check() error {
	switch {
	case p.Network == "":
		return errors.New("no network line")
	case p.Quorum == 0:
		return errors.New("no quorum line: it says how many members must agree")
	case len(p.Members) > lamppost.MaxMembers:
		return fmt.Errorf("%d members are over the limit of %d", len(p.Members), lamppost.MaxMembers)
	case p.Quorum > len(p.Members):
		return fmt.Errorf("a quorum of %d cannot come from %d members", p.Quorum, len(p.Members))
	}
	if _, err := newRoster(p.Network, p.Members); err != nil {
		return err
	}
	return p.checkWitnesses()
}

// checkWitnesses refuses two witnesses with one key, whatever they are called: they would count twice.
func (p *Pin) checkWitnesses() error {
	switch {
	case len(p.Witnesses) > lamppost.MaxWitnesses:
		return fmt.Errorf("%d witnesses are over the limit of %d", len(p.Witnesses), lamppost.MaxWitnesses)
	case len(p.Witnesses) > 0 && p.WitnessQuorum < 1:
		return errors.New("no witness_quorum line: it says how many of the witnesses must have cosigned")
	case p.WitnessQuorum > len(p.Witnesses):
		return fmt.Errorf("a witness_quorum of %d cannot come from %d witnesses", p.WitnessQuorum, len(p.Witnesses))
	}
	names := map[string]string{} // by key
	for _, vkey := range p.Witnesses {
		k, err := lamppost.ParseWitnessKey(vkey)
		if err != nil {
			return err
		}
		if other, twice := names[string(k.Public())]; twice {
			return fmt.Errorf("witnesses %q and %q share a key: each counts once", other, k.Name())
		}
		names[string(k.Public())] = k.Name()
	}
	return nil
}

// String writes the pin as [ParsePin] reads it.
func (p *Pin) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "network %s\nquorum %d\n", p.Network, p.Quorum)
	for _, m := range p.Members {
		fmt.Fprintf(&b, "member %s\n", VerifierKey(p.Network, m))
	}
	for _, vkey := range p.Witnesses {
		fmt.Fprintf(&b, "witness %s\n", vkey)
	}
	if p.WitnessQuorum > 0 {
		fmt.Fprintf(&b, "witness_quorum %d\n", p.WitnessQuorum)
	}
	return b.String()
}

// Fingerprint is a name for all that the pin says, short enough to be printed on a contract or read out on the telephone:
// the first 160 bits of the SHA-256 of [Pin.String] in base32 (RFC 4648 §6), in groups of four. Who compares all of it
// has compared the pin. Not even the network's operator can make two pins of one fingerprint with less than 2^80 work.
func (p *Pin) Fingerprint() string {
	sum := sha256.Sum256([]byte(p.String()))
	text := base32.StdEncoding.EncodeToString(sum[:20])
	var groups []string
	for ; len(text) > 0; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, " ")
}

// VerifierKey writes a member's key as signed notes name it (C2SP signed-note), for a pin. It is empty for a key that is
// not 32 bytes long.
func VerifierKey(network string, m lamppost.Member) string {
	if len(m.Key) != ed25519.PublicKeySize {
		return ""
	}
	vkey, err := note.NewEd25519VerifierKey(lamppost.Origin(network, m.ID), m.Key)
	if err != nil {
		return ""
	}
	return vkey
}

// A roster is a set of members whose signatures count.
type roster struct {
	members []lamppost.Member
	keys    map[lamppost.MemberID]*sig.PublicKey
	notes   note.Verifiers
}

func newRoster(network string, members []lamppost.Member) (*roster, error) {
	r := &roster{members: members, keys: make(map[lamppost.MemberID]*sig.PublicKey)}
	var verifiers []note.Verifier
	for i, m := range members {
		if err := lamppost.CheckName("member", string(m.ID)); err != nil {
			return nil, err
		}
		key, err := sig.ParsePublicKey(sig.EdDSA, m.Key)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.ID, err)
		}
		for _, other := range members[:i] {
			if other.ID == m.ID || bytes.Equal(other.Key, m.Key) {
				return nil, fmt.Errorf("members %q and %q share an id or a key: each counts once", other.ID, m.ID)
			}
		}
		v, err := note.NewVerifier(VerifierKey(network, m))
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.ID, err)
		}
		r.keys[m.ID] = key
		verifiers = append(verifiers, v)
	}
	r.notes = note.VerifierList(verifiers...)
	return r, nil
}
