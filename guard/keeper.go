package guard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// saveEvery is how much time a power loss may take from notice and grace, to nobody's harm: they then last so much longer.
const saveEvery = 10 * time.Minute

// Config is what a Keeper needs. Owner may be nil.
type Config struct {
	Network string
	Device  lamppost.DeviceID
	Class   lamppost.SafetyClass // as enrolled
	// Owner is the key that the first charter must be signed with. Nil: the first charter's own word is taken for its owner.
	Owner *lamppost.CharterKey
	Kept  []byte                  // what Save was given last; empty: nothing yet
	Save  func(kept []byte) error // durable when it returns
	Now   func() time.Time        // with a monotonic clock, as time.Now gives it
}

// A Keeper is a State with clocks and a disk. All methods may be called concurrently. After an error of the disk nothing is restricted
// any more, until it is opened anew.
type Keeper struct {
	cfg Config

	mu     sync.Mutex
	state  *State
	at     time.Time // of the last Tick
	saved  time.Time
	failed error
}

// A kept is what is on the disk: keptMagic, this as deterministic CBOR, and the CRC-32C over both, big-endian.
type kept struct {
	Version uint8             `cbor:"1,keyasint"`
	Network string            `cbor:"2,keyasint"`
	Device  lamppost.DeviceID `cbor:"3,keyasint"`
	Wall    lamppost.TimeMS   `cbor:"4,keyasint"`
	State   State             `cbor:"5,keyasint"`
}

const (
	keptVersion = 1
	keptMagic   = "lpguard1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (k *kept) encode() []byte {
	b := append([]byte(keptMagic), lamppost.Marshal(k)...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeKept(raw []byte) (k kept, err error) {
	body, magic := bytes.CutPrefix(raw, []byte(keptMagic))
	n := len(raw) - 4
	if !magic || n < len(keptMagic) || crc32.Checksum(raw[:n], castagnoli) != binary.BigEndian.Uint32(raw[n:]) {
		return k, errors.New("it is damaged")
	}
	return k, lamppost.Unmarshal(body[:len(body)-4], &k)
}

// Open continues what was kept, or begins. What cannot be read is an error: whoever begins anew in its place forgets a charter.
func Open(cfg Config) (*Keeper, error) {
	k := &Keeper{cfg: cfg, state: New(cfg.Class), at: cfg.Now()}
	if len(cfg.Kept) == 0 {
		return k, nil
	}
	was, err := decodeKept(cfg.Kept)
	if err != nil {
		return nil, fmt.Errorf("reading the guard's state: %w", err)
	}
	if was.Version != keptVersion || was.Network != cfg.Network || was.Device != cfg.Device {
		return nil, fmt.Errorf("reading the guard's state: it is version %d of device %q in network %q", was.Version, was.Device, was.Network)
	}
	k.state = &was.State
	k.Enrolled(cfg.Class)
	k.state.Restart()
	if k.state.Tick(0, lamppost.TimeMS(k.at.UnixMilli())-was.Wall) {
		return k, k.save()
	}
	return k, nil
}

// Enrolled says that the device is enrolled with a class. It never lowers the one that is known.
func (k *Keeper) Enrolled(class lamppost.SafetyClass) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if class.Rank() > k.state.Class.Rank() {
		k.state.Class = class
	}
}

// tick lets the time since the last call pass. The caller holds mu.
func (k *Keeper) tick() {
	now := k.cfg.Now()
	mono, wall := now.Sub(k.at), now.Round(0).Sub(k.at.Round(0))
	k.at = now
	changed := k.state.Tick(lamppost.TimeMS(mono.Milliseconds()), lamppost.TimeMS(wall.Milliseconds()))
	waits := len(k.state.Requests) > 0 || len(k.state.Charters) > 1
	if changed || waits && now.Sub(k.saved).Abs() >= saveEvery {
		_ = k.save() // kept in failed, and told by the next Hear
	}
}

// save makes the state durable. The caller holds mu.
func (k *Keeper) save() error {
	if k.failed != nil {
		return k.failed
	}
	now := kept{keptVersion, k.cfg.Network, k.cfg.Device, lamppost.TimeMS(k.at.UnixMilli()), *k.state}
	err := k.cfg.Save(now.encode())
	if err != nil {
		k.failed = fmt.Errorf("keeping the guard's state: %w", err)
		k.state.Requests = nil
	}
	k.saved = k.at
	return k.failed
}

// Level decides at which level a function runs now.
func (k *Keeper) Level(name string) Decision {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tick()
	return k.state.Level(name)
}

// Least returns the lowest level that anybody on site may set a function to now.
func (k *Keeper) Least(name string) Decision {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tick()
	return k.state.Least(name)
}

// May decides on an action at the device.
func (k *Keeper) May(a Action, name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tick()
	return k.state.May(a, name)
}

// Functions lists by name what is in a charter that counts, or asked for.
func (k *Keeper) Functions() (names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.names()
}

func (s *State) names() (names []string) {
	for i := range s.Charters {
		for _, f := range s.Charters[i].Charter.Functions {
			names = append(names, f.Name)
		}
	}
	for i := range s.Requests {
		names = append(names, s.Requests[i].Function)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A Word is what a guard tells its node: the body of POST /v1/guard.
type Word struct {
	Charter   uint32     `json:"charter"` // number of the latest; 0: none
	Online    bool       `json:"online"`  // it heard of the network lately, before this
	Decisions []Decision `json:"decisions"`
	Refused   string     `json:"refused,omitempty"` // why it does not take a charter that it was offered
	Own       bool       `json:"own,omitempty"`     // a gateway passes on the word of the device's own guard
	// Ack is what a gateway's guard granted of the latest command, and told the device.
	Ack *lamppost.Ack `json:"ack,omitempty"`
}

// An Asked is what the node answers: the charters that come after that one, and everything that is asked of the device.
type Asked struct {
	Network  string    `json:"network"`
	Charters []Signed  `json:"charters"`
	Requests []Request `json:"requests"`
	// Desired is what the device should be like, for the gateway that tells it. A device with a guard of its own asks elsewhere.
	Desired *lamppost.Desired `json:"desired,omitempty"`
}

// A Signed is a charter as it was registered.
type Signed struct {
	Charter []byte `json:"charter"`          // signed by the owner
	Second  []byte `json:"second,omitempty"` // by the second party
}

// Word returns what the guard decides now of each of its functions.
func (k *Keeper) Word() Word {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tick()
	w := Word{Online: k.state.Online(), Decisions: []Decision{}}
	if c := k.state.Latest(); c != nil {
		w.Charter = c.Number
	}
	for _, name := range k.state.names() {
		w.Decisions = append(w.Decisions, k.state.Level(name))
	}
	return w
}

// Hear takes in what the network says just now. An error tells which charter is not taken, which changes nothing else, or that the
// disk does not work.
func (k *Keeper) Hear(a Asked) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.Network != k.cfg.Network {
		return fmt.Errorf("this is network %q, not %q", a.Network, k.cfg.Network)
	}
	k.tick()
	if k.failed != nil {
		return k.failed
	}
	changed := k.state.Contact(a.Requests)
	var refused error
	for _, c := range a.Charters {
		if refused = k.take(c); refused != nil {
			break // those that follow follow this one
		}
		changed = true
	}
	if changed {
		if err := k.save(); err != nil {
			return err
		}
	}
	return refused
}

// Take takes one charter, as Hear does: at enrolment, say, from whoever installs the device.
func (k *Keeper) Take(c Signed) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tick()
	if err := k.take(c); err != nil {
		return err
	}
	return k.save()
}

func (k *Keeper) take(c Signed) error {
	before := k.state.Latest()
	o, err := lamppost.ReadOffer(k.cfg.Network, before, c.Charter, c.Second)
	if err != nil {
		return err
	}
	if o.Charter.Device != k.cfg.Device {
		return fmt.Errorf("the charter is of device %q, not of %q", o.Charter.Device, k.cfg.Device)
	}
	if own := k.cfg.Owner; before == nil && own != nil && (own.Suite != o.Charter.Owner.Suite || !slices.Equal(own.Key, o.Charter.Owner.Key)) {
		return errors.New("the first charter is not of the owner that this device knows")
	}
	return k.state.Take(o)
}
