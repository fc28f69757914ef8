package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// A View reads committed state for people and programs, from a snapshot or from the store itself. Many goroutines may
// use one.
type View struct{ kv.Reader }

// Party returns a party, or kv.ErrNotFound.
func (v View) Party(id lamppost.PartyID) (lamppost.PartyBody, error) {
	return read[lamppost.PartyBody](v, key('P', string(id)))
}

// Parties returns all parties by id.
func (v View) Parties() ([]lamppost.PartyBody, error) { return readAll[lamppost.PartyBody](v, 'P') }

// Device returns a device, or kv.ErrNotFound.
func (v View) Device(id lamppost.DeviceID) (lamppost.DeviceBody, error) {
	keys, err := v.Keys(id)
	if err == nil && len(keys) == 0 {
		err = kv.ErrNotFound
	}
	if err != nil {
		return lamppost.DeviceBody{}, err
	}
	return keys[len(keys)-1].Body, nil
}

// Devices returns all devices by id, each with the key it has.
func (v View) Devices() ([]lamppost.DeviceBody, error) {
	return latest(v, 'D', func(b *lamppost.DeviceBody) lamppost.DeviceID { return b.ID })
}

// Gateways returns all registered gateways by id, each with the key it has. Members, who are gateways too, are in the genesis.
func (v View) Gateways() ([]lamppost.GatewayBody, error) {
	return latest(v, 'W', func(b *lamppost.GatewayBody) lamppost.MemberID { return b.ID })
}

// Keys returns all keys that a device ever had, by key epoch.
func (v View) Keys(id lamppost.DeviceID) ([]Key[lamppost.DeviceBody], error) {
	return keysOf[lamppost.DeviceBody](v, 'D', string(id))
}

// GatewayKeys returns all keys that a gateway ever had, by key epoch.
func (v View) GatewayKeys(id lamppost.MemberID) ([]Key[lamppost.GatewayBody], error) {
	return keysOf[lamppost.GatewayBody](v, 'W', string(id))
}

func keysOf[B any](v View, kind byte, id string) (all []Key[B], err error) {
	err = eachKey(v, append(key(kind, id), 0), func(k Key[B]) error {
		all = append(all, k)
		return nil
	})
	return all, err
}

// latest returns the body of the last key of everybody who has keys of a kind.
func latest[B any, ID comparable](v View, kind byte, id func(*B) ID) ([]B, error) {
	var all []B
	err := eachKey(v, key(kind), func(k Key[B]) error {
		if n := len(all); n > 0 && id(&all[n-1]) == id(&k.Body) {
			all = all[:n-1]
		}
		all = append(all, k.Body)
		return nil
	})
	return all, err
}

// A Revocation is an order that ended a key and all before it.
type Revocation struct {
	lamppost.RevokeBody
	Place Place
}

// Revoked returns the revocations of a device's keys, by key epoch.
func (v View) Revoked(id lamppost.DeviceID) ([]Revocation, error) {
	return v.revocations('R', string(id))
}

// RevokedGateway returns the revocations of a gateway's keys, by key epoch.
func (v View) RevokedGateway(id lamppost.MemberID) ([]Revocation, error) {
	return v.revocations('K', string(id))
}

func (v View) revocations(kind byte, id string) (all []Revocation, err error) {
	from := append(key(kind, id), 0)
	err = v.Scan(from, end(from), func(_, val []byte) error {
		at, err := decodePlace(val)
		if err != nil {
			return err
		}
		b, err := decodeBody[lamppost.RevokeBody](slices.Clone(val))
		all = append(all, Revocation{b, at})
		return err
	})
	return all, err
}

// Points returns all metering points by id, with every meter that hung there, by mount.
func (v View) Points() ([]lamppost.PointBody, error) { return readAll[lamppost.PointBody](v, 'O') }

// Point returns the meters that hung at a metering point, by mount, or kv.ErrNotFound.
func (v View) Point(id string) ([]lamppost.PointBody, error) {
	mounts, err := readRange[lamppost.PointBody](v, append(key('O', id), 0))
	if err == nil && len(mounts) == 0 {
		err = kv.ErrNotFound
	}
	return mounts, err
}

// Tariffs returns all tariffs by id and version.
func (v View) Tariffs() ([]tariff.Tariff, error) { return readAll[tariff.Tariff](v, 'T') }

// Tariff returns a version of a tariff, or kv.ErrNotFound.
func (v View) Tariff(id string, version uint32) (tariff.Tariff, error) {
	return read[tariff.Tariff](v, tariffKey(id, version))
}

// Agreement returns an agreement as it stands, or kv.ErrNotFound.
func (v View) Agreement(id string) (lamppost.AgreementBody, error) {
	all, err := readRange[lamppost.AgreementBody](v, append(key('G', id), 0))
	if err == nil && len(all) == 0 {
		err = kv.ErrNotFound
	}
	if err != nil {
		return lamppost.AgreementBody{}, err
	}
	return all[len(all)-1], nil
}

// Edge returns what is known of a register at a UTC quarter hour, or at a moment where there are sessions, or kv.ErrNotFound.
func (v View) Edge(id lamppost.DeviceID, register string, t lamppost.TimeMS) (e tariff.Edge, err error) {
	k := edgeKey(id, register, t)
	if t%lamppost.EdgeMS != 0 {
		k = momentKey(id, register, t)
	}
	raw, err := v.Get(k)
	if err != nil {
		return e, err
	}
	return e, lamppost.Unmarshal(raw, &e)
}

// Agreements returns all agreements by id.
func (v View) Agreements() ([]lamppost.AgreementBody, error) {
	all, err := readAll[lamppost.AgreementBody](v, 'G')
	return lastOrders(all), err
}

// AgreementsOf returns a buyer's agreements by id. There is no index of them: all are passed by, and what names the buyer is decoded.
func (v View) AgreementsOf(buyer lamppost.PartyID) (all []lamppost.AgreementBody, err error) {
	err = v.scanNaming('G', buyer, func(val []byte) error {
		b, err := decodeBody[lamppost.AgreementBody](val)
		if b.Buyer == buyer {
			all = append(all, b)
		}
		return err
	})
	return lastOrders(all), err
}

// lastOrders keeps of orders by agreement the last of each.
func lastOrders(all []lamppost.AgreementBody) (last []lamppost.AgreementBody) {
	for _, b := range all {
		if n := len(last); n > 0 && last[n-1].ID == b.ID {
			last = last[:n-1]
		}
		last = append(last, b)
	}
	return last
}

// scanNaming calls fn for each body of a kind that has a party's id somewhere in it.
func (v View) scanNaming(kind byte, party lamppost.PartyID, fn func(val []byte) error) error {
	from := key(kind)
	return v.Scan(from, end(from), func(_, val []byte) error {
		if !bytes.Contains(val, []byte(party)) {
			return nil
		}
		return fn(slices.Clone(val))
	})
}

// An Account is a party's or device's claims in one currency.
type Account struct {
	Party    lamppost.PartyID `json:"party"`
	Currency string           `json:"currency"`
	Balance  lamppost.Micro   `json:"balance"`
	Held     lamppost.Micro   `json:"held,omitempty"` // for sessions and channels, out of the balance and the credit
}

// Accounts returns all accounts that were ever used, by party and currency.
func (v View) Accounts() ([]Account, error) {
	var all []Account
	from := key('A')
	err := v.Scan(from, end(from), func(k, val []byte) error {
		i := slices.Index(k, 0)
		if i < 0 || len(val) != 8 {
			return fmt.Errorf("account %q is damaged", k)
		}
		a := Account{Party: lamppost.PartyID(k[2:i]), Currency: string(k[i+1:]), Balance: lamppost.Micro(binary.BigEndian.Uint64(val))}
		held, err := v.Get(heldKey(a.Party, a.Currency))
		if err == nil && len(held) == 8 {
			a.Held = lamppost.Micro(binary.BigEndian.Uint64(held))
		} else if !errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("what is held of account %q is damaged: %w", k, err)
		}
		all = append(all, a)
		return nil
	})
	return all, err
}

// Balance returns a party's or device's claims in a currency.
func (v View) Balance(p lamppost.PartyID, currency string) (lamppost.Micro, error) {
	raw, err := v.Get(key('A', string(p), currency))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(raw) != 8 {
		err = fmt.Errorf("account of %q is damaged", p)
	}
	if err != nil {
		return 0, err
	}
	return lamppost.Micro(binary.BigEndian.Uint64(raw)), nil
}

// Place says where a transaction stands.
type Place struct {
	Height lamppost.Height
	Index  uint32
}

// Compare orders places as transactions were decided.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Height, q.Height), cmp.Compare(p.Index, q.Index))
}

const placeBytes = 8 + 4

func (p Place) append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, uint64(p.Height)), p.Index)
}

func decodePlace(b []byte) (Place, error) {
	if len(b) < placeBytes {
		return Place{}, errors.New("a transaction's place is damaged")
	}
	return Place{lamppost.Height(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}, nil
}

// Decided returns where a transaction with this id was decided, or kv.ErrNotFound.
func (v View) Decided(id lamppost.TxID) (Place, error) {
	raw, err := v.Get(idKey(id))
	if err != nil {
		return Place{}, err
	}
	return decodePlace(raw)
}

// Where returns the place of the transaction that registered something: a party, point or agreement by id, a tariff or contract by id
// and version, a device or gateway by id and key epoch, a charter by device and number. It returns kv.ErrNotFound for what is not registered.
func (v View) Where(t lamppost.TxType, id string, version uint32) (Place, error) {
	var k []byte
	switch t {
	case lamppost.TxParty:
		k = key('P', id)
	case lamppost.TxPoint:
		k = pointKey(id, version)
	case lamppost.TxAgreement:
		k = agreementKey(id, version)
	case lamppost.TxCentre:
		k = centreKey(lamppost.DeviceID(id), version)
	case lamppost.TxOffer:
		k = offerKey(id)
	case lamppost.TxTariff:
		k = tariffKey(id, version)
	case lamppost.TxGateway:
		k = epochKey('W', id, version)
	case lamppost.TxDevice:
		k = epochKey('D', id, version)
	case lamppost.TxCharter:
		k = epochKey('u', id, version)
	case lamppost.TxContract:
		k = contractKey(id, version)
	default:
		return Place{}, fmt.Errorf("a %s is not registered under an id", t)
	}
	raw, err := v.Get(k)
	if err != nil {
		return Place{}, err
	}
	return decodePlace(raw)
}

// Invoices returns where a buyer's invoices stand, by seller and number.
func (v View) Invoices(buyer lamppost.PartyID) ([]Place, error) {
	return v.places(key('V', string(buyer), ""))
}

// InvoicePlace returns where an invoice stands, or kv.ErrNotFound.
func (v View) InvoicePlace(buyer, seller lamppost.PartyID, number string) (Place, error) {
	raw, err := v.Get(key('V', string(buyer), string(seller), number))
	if err != nil {
		return Place{}, err
	}
	return decodePlace(raw)
}

// AllInvoices returns where all invoices stand, by buyer, seller and number.
func (v View) AllInvoices() ([]Place, error) { return v.places(key('V')) }

// InvoiceAt returns where the invoice of a number stands, or kv.ErrNotFound. It looks at the keys of all invoices and reads
// none of them.
func (v View) InvoiceAt(number string) (Place, error) {
	var place []byte
	from := key('V')
	err := v.Scan(from, end(from), func(k, val []byte) error {
		if string(k[bytes.LastIndexByte(k, 0)+1:]) != number {
			return nil
		}
		place = slices.Clone(val)
		return kv.ErrStop
	})
	if err != nil {
		return Place{}, err
	}
	if place == nil {
		return Place{}, kv.ErrNotFound
	}
	return decodePlace(place)
}

func (v View) places(from []byte) ([]Place, error) {
	var all []Place
	err := v.Scan(from, end(from), func(_, val []byte) error {
		p, err := decodePlace(val)
		all = append(all, p)
		return err
	})
	return all, err
}

// Quarantine returns why a device is quarantined, or "".
func (v View) Quarantine(id lamppost.DeviceID) (string, error) {
	raw, err := v.Get(key('F', string(id)))
	if errors.Is(err, kv.ErrNotFound) {
		return "", nil
	}
	why, _ := decodeQuarantine(raw)
	return why, err
}

// Sequence says how far a device's numbers are known: the highest, and how many below it are missing or given up.
func (v View) Sequence(id lamppost.DeviceID) (high lamppost.Seq, missing, lost uint64, err error) {
	raw, err := v.Get(key('Q', string(id)))
	if errors.Is(err, kv.ErrNotFound) {
		return high, 0, 0, nil
	}
	if err != nil {
		return high, 0, 0, err
	}
	q, err := decodeSequence(raw)
	return lamppost.Seq{Epoch: q.epoch, N: q.high}, q.open(), q.lost, err
}

// Recent says where one of the last 32 reports accepted of a device was committed, or kv.ErrNotFound.
func (v View) Recent(id lamppost.DeviceID, seq lamppost.Seq) (Place, uint32, error) {
	r, err := findRecent(v, id, seq, 0)
	return Place{r.height, r.tx}, r.report, err
}

func read[B any](v View, key []byte) (b B, err error) {
	raw, err := v.Get(key)
	if err != nil {
		return b, err
	}
	return decodeBody[B](raw)
}

func readAll[B any](v View, kind byte) ([]B, error) { return readRange[B](v, key(kind)) }

func readRange[B any](v View, from []byte) ([]B, error) {
	var all []B
	err := v.Scan(from, end(from), func(_, val []byte) error {
		b, err := decodeBody[B](slices.Clone(val))
		all = append(all, b)
		return err
	})
	return all, err
}
