// Package ledgertest is a small network for tests and simulations: a member who signs orders and segments, and devices
// that sign reports, all from fixed seeds, so that the same calls give the same bytes. It decides nothing; whoever uses
// it gives its transactions to a ledger, a replica or a node.
//
// Start reading at [Network] and [Device].
package ledgertest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Hour and Day are spans of ledger time.
const (
	Hour lamppost.TimeMS = 3_600_000
	Day                  = 24 * Hour
)

// Start is the time at which tests begin: 2026-01-01T00:00Z.
const Start lamppost.TimeMS = 1_767_225_600_000

// A Network signs as its one member. One goroutine uses it.
type Network struct {
	ID     string
	Member lamppost.MemberID
	Key    *sig.PrivateKey

	drawn   uint64 // salts
	segment uint64 // number of the last segment
}

// New returns the network of an id, always the same.
func New(id string) *Network {
	return &Network{ID: id, Member: "m1", Key: Key(id+"/m1", sig.EdDSA)}
}

// Key returns the private key of a name, always the same.
func Key(name string, suite sig.Suite) *sig.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	k, err := sig.NewPrivateKey(suite, seed[:])
	if err != nil {
		panic(err) // a P-256 scalar out of range: one name in 2^32
	}
	return k
}

// Salts fills b with bytes that look random: what an ingest.Config wants.
func (n *Network) Salts(b []byte) {
	for len(b) > 0 {
		n.drawn++
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(n.ID), n.drawn))
		b = b[copy(b, sum[:]):]
	}
}

func (n *Network) salt() (s [lamppost.SaltBytes]byte) {
	n.Salts(s[:])
	return s
}

// Order signs an order of the member that expires at a time.
func (n *Network) Order(expiry lamppost.TimeMS, t lamppost.TxType, body any) *lamppost.Transaction {
	raw, ok := body.([]byte)
	if !ok {
		raw = lamppost.Marshal(body)
	}
	o := lamppost.Order{Type: t, ExpiryTime: expiry, Nonce: n.salt(), Body: raw}
	tx, err := lamppost.NewTx(n.ID, o, n.Member, n.Key, n.salt())
	if err != nil {
		panic(err)
	}
	return tx
}

// Genesis founds the network with its one member.
func (n *Network) Genesis() *lamppost.Transaction {
	return n.Order(0, lamppost.TxGenesis, n.GenesisBody())
}

// GenesisBody is the body of Genesis.
func (n *Network) GenesisBody() lamppost.GenesisBody {
	return lamppost.GenesisBody{Network: n.ID, Rules: 1, Members: []lamppost.Member{{ID: n.Member, Key: n.Key.Public().Bytes()}}}
}

// Segment packs reports that were received at a time. Those that cannot be read count no readings.
func (n *Network) Segment(received lamppost.TimeMS, reports ...[]byte) *lamppost.Transaction {
	return n.pack(received, nil, reports)
}

// Aggregate packs reports and half-aggregates the signatures of those for which half returns the key that made them. With a
// wrong key it makes an aggregate that does not hold.
func (n *Network) Aggregate(received lamppost.TimeMS, half func(i int) *sig.PublicKey, reports ...[]byte) *lamppost.Transaction {
	var signed []sig.Item
	halves := slices.Clone(reports)
	for i, raw := range reports {
		key := half(i)
		if key == nil {
			continue
		}
		var r lamppost.Report
		if err := r.Decode(raw); err != nil {
			panic(err)
		}
		signed = append(signed, sig.Item{Key: key, Msg: r.AppendToBeSigned(nil, n.ID), Sig: r.Signature()})
		halves[i] = r.Halve(nil)
	}
	if len(signed) == 0 {
		return n.pack(received, nil, reports)
	}
	var v sig.Verifier
	aggregate, err := v.AggregateValid(sig.Cold, signed)
	if err != nil {
		panic(err)
	}
	return n.pack(received, aggregate[len(aggregate)-lamppost.AggregateBytes:], halves)
}

func (n *Network) pack(received lamppost.TimeMS, s []byte, reports [][]byte) *lamppost.Transaction {
	items := make([]lamppost.SegmentItem, len(reports))
	readings := 0
	for i, raw := range reports {
		items[i] = lamppost.SegmentItem{Salt: n.salt(), Received: received, Report: raw}
		var r lamppost.Report
		if r.Decode(raw) == nil {
			readings += len(r.Readings)
		}
	}
	n.segment++
	seq := lamppost.Seq{N: n.segment}
	tx, err := lamppost.NewAggregate(n.ID, seq, readings, items, s, n.Member, n.Key, n.salt())
	if err != nil {
		panic(err)
	}
	return tx
}

// A Device signs reports for one network.
type Device struct {
	ID      lamppost.DeviceID
	Network string
	Key     *sig.PrivateKey
	Epoch   uint32 // of the key
}

// NewDevice returns the device of an id with its first key.
func (n *Network) NewDevice(id lamppost.DeviceID, suite sig.Suite) *Device {
	return &Device{ID: id, Network: n.ID, Key: Key(n.ID+"/"+string(id), suite), Epoch: 1}
}

// Body enrols the device, with the key and key epoch it has now.
func (d *Device) Body(owner lamppost.PartyID) lamppost.DeviceBody {
	salt := sha256.Sum256(fmt.Append(nil, d.ID, "/", d.Epoch))
	return lamppost.DeviceBody{ID: d.ID, Owner: owner, Suite: d.Key.Suite(), Key: d.Key.Public().Bytes(), KeyEpoch: d.Epoch,
		Safety: lamppost.Ordinary, Salt: salt[:lamppost.SaltBytes]}
}

// Rotate gives the device its next key and returns what the one before signs about that.
func (d *Device) Rotate() (consent []byte) {
	former := d.Key
	d.Epoch++
	d.Key = Key(fmt.Sprint(d.Network, "/", d.ID, "/", d.Epoch), former.Suite())
	c := lamppost.KeyChange{ID: string(d.ID), Epoch: d.Epoch - 1, Next: d.Epoch, Suite: d.Key.Suite(), Key: d.Key.Public().Bytes()}
	consent, err := c.Sign(d.Network, lamppost.PurposeDeviceKey, former)
	if err != nil {
		panic(err)
	}
	return consent
}

// Report signs readings under a number of epoch 0.
func (d *Device) Report(n uint64, readings ...lamppost.Reading) []byte {
	return d.Sign(lamppost.Report{Seq: lamppost.Seq{N: n}, Readings: readings})
}

// Billing signs a billing report.
func (d *Device) Billing(n uint64, readings ...lamppost.Reading) []byte {
	return d.Sign(lamppost.Report{Seq: lamppost.Seq{N: n}, Flags: lamppost.FlagBilling, Readings: readings})
}

// Sign signs a report as this device.
func (d *Device) Sign(r lamppost.Report) []byte {
	r.Device, r.KeyEpoch = d.ID, d.Epoch
	raw, err := lamppost.SignReport(&r, d.Network, d.Key)
	if err != nil {
		panic(err)
	}
	return raw
}

// Energy is a register reading in Wh.
func Energy(at lamppost.TimeMS, wh int64) lamppost.Reading {
	return lamppost.Reading{Name: "energy", Unit: "Wh", Time: at, Kind: lamppost.Register, Value: lamppost.Dec(wh, 0)}
}

// Power is a gauge reading in W.
func Power(at lamppost.TimeMS, w int64) lamppost.Reading {
	return lamppost.Reading{Name: "power", Unit: "W", Time: at, Value: lamppost.Dec(w, 0)}
}

// Tariff is a flat price for a kWh, in UTC, from a time on, with 19 % tax.
func Tariff(id string, version uint32, seller lamppost.PartyID, from lamppost.TimeMS, price lamppost.Micro) tariff.Tariff {
	return tariff.Tariff{ID: id, Version: version, Seller: seller, Currency: "EUR", From: from, PerUnit: "kWh", RegisterUnit: "Wh",
		Scale: 3, Zone: tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{AtMS: 0}}},
		Bands:    []tariff.Band{{Name: "flat", FromMin: 0, ToMin: 1440, Price: price}},
		Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}
}
