package ledgertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/ocmf"
)

// A Meter signs records in the Open Charge Metering Format, with P-256 and the same signature each time.
type Meter struct {
	Serial string
	Sync   ocmf.Sync // of its clock
	Status byte      // of itself
	key    *ecdsa.PrivateKey
}

// NewMeter returns the meter of a serial number: synchronised and well.
func NewMeter(serial string) *Meter {
	seed := sha256.Sum256([]byte("meter " + serial))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(err)
	}
	return &Meter{serial, ocmf.TimeSynchronised, 'G', key}
}

// Key returns the meter's public key as it is enrolled.
func (m *Meter) Key() []byte {
	point, err := m.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	key, err := ocmf.ParsePoint("secp256r1", point)
	if err != nil {
		panic(err)
	}
	return key.DER()
}

// Record signs readings in one fiscal record, in kWh.
func (m *Meter) Record(page uint64, readings ...lamppost.Reading) string {
	type reading struct {
		TM string
		RV json.Number
		RI string
		RU string
		ST string
	}
	payload := struct {
		PG, MS string
		RD     []reading
	}{PG: fmt.Sprint("F", page), MS: m.Serial}
	for _, r := range readings {
		at := time.UnixMilli(int64(r.Time)).UTC().Format("2006-01-02T15:04:05.000")
		payload.RD = append(payload.RD, reading{fmt.Sprintf("%s,%s+0000 %c", at[:19], at[20:], m.Sync),
			json.Number(lamppost.Dec(r.Value.Mantissa, r.Value.Exponent-3).String()), "1-b:1.8.0", "kWh", string(m.Status)})
	}
	text, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	digest := sha256.Sum256(text)
	der, err := m.key.Sign(nil, digest[:], crypto.SHA256) // without randomness: RFC 6979
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`OCMF|%s|{"SD":"%x"}`, text, der)
}
