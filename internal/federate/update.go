package federate

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/forecast"
)

// RoundMS is how long a round is open: a week. Round 0 began in 1970. What is ordered in a round's week or before, for that round, is merged
// when the ledger's clock is past it.
const RoundMS lamppost.TimeMS = 7 * 86_400_000

// RoundAt is the round that is open at a time.
func RoundAt(at lamppost.TimeMS) int64 { return int64(at / RoundMS) }

// updateMagic opens the statistics of an update on the ledger: "LPFU" and the version.
const updateMagic = "LPFU0001"

const updateHead = len(updateMagic) + 16

// AppendBinary appends what stands on the ledger as statistics: docs/formats.md.
func (u *Update) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, updateMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(u.Round))
	b = binary.LittleEndian.AppendUint64(b, uint64(u.Devices))
	b, err := u.Stats.AppendBinary(b)
	if err == nil && len(b) > lamppost.MaxStatistics {
		err = fmt.Errorf("%d bytes of statistics, at most %d", len(b), lamppost.MaxStatistics)
	}
	return b, err
}

// UnmarshalBinary reads it. Who learnt stands beside it.
func (u *Update) UnmarshalBinary(b []byte) error {
	if len(b) < updateHead || len(b) > lamppost.MaxStatistics || string(b[:len(updateMagic)]) != updateMagic {
		return errors.New("an update is of another version or length")
	}
	round, devices := binary.LittleEndian.Uint64(b[len(updateMagic):]), binary.LittleEndian.Uint64(b[len(updateMagic)+8:])
	if round > math.MaxInt32 || devices > math.MaxInt32 {
		return errors.New("an update is of no round, or of too many devices")
	}
	s := new(forecast.Stats)
	if err := s.UnmarshalBinary(b[updateHead:]); err != nil {
		return err
	}
	u.Round, u.Devices, u.Stats = int64(round), int(devices), s
	return nil
}

// Rows commit to what was learnt from: device by device, value by value. With the salt, who has the rows can show that it was these; without
// it, nobody can try which they were.
type Rows struct{ h hash.Hash }

// NewRows begins with a salt of 32 random bytes.
func NewRows(salt [32]byte) *Rows {
	r := &Rows{sha256.New()}
	r.h.Write([]byte("lamppost learn rows 1"))
	r.h.Write(salt[:])
	return r
}

// Device begins the rows of a device.
func (r *Rows) Device(id lamppost.DeviceID) {
	r.number(uint64(len(id)))
	r.h.Write([]byte(id))
}

// Add takes a value.
func (r *Rows) Add(at lamppost.TimeMS, value float64) {
	r.number(uint64(at))
	r.number(math.Float64bits(value))
}

func (r *Rows) number(n uint64) { r.h.Write(binary.BigEndian.AppendUint64(nil, n)) }

// Commitment is of all that was added.
func (r *Rows) Commitment() (h lamppost.Hash) {
	r.h.Sum(h[:0])
	return h
}
