package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
)

// A KnownDevice is a device of which the operator knows more than its name: its public key, or that it has none. Without
// both it is announced, gets a token, and enrols its key itself.
type KnownDevice struct {
	NewDevice
	Suite     string `json:"suite,omitempty"`     // ed25519 or es256
	Key       string `json:"key,omitempty"`       // in hex, as the suite writes it; that it is the device's is the operator's word
	Assurance string `json:"assurance,omitempty"` // of a device without a key: channel-authenticated or unsigned
}

// deviceOrder enrols a device by its key, adopts one without, or announces it.
func (s *Server) deviceOrder(o *NewOrder) (*registration, error) {
	var k KnownDevice
	if err := decodeStrictly(o.Body, &k); err != nil {
		return nil, err
	}
	body, err := k.body()
	if err != nil {
		return nil, err
	}
	devices := s.cfg.Devices
	return &registration{
		needs: needsOf(need{"party", string(k.Owner)}),
		same:  func(v ledger.View) (bool, error) { return devices.has(v, &k, body) },
		order: func(ctx context.Context) (lamppost.Height, string, error) { return devices.bring(ctx, &k, body) },
	}, nil
}

// body checks what is said of a device, and returns its enrolment.
func (k *KnownDevice) body() (lamppost.DeviceBody, error) {
	b := lamppost.DeviceBody{ID: k.ID, Owner: k.Owner, KeyEpoch: 1, Name: k.Name, Site: k.Site, Salt: newSalt()}
	bad := func(format string, args ...any) (lamppost.DeviceBody, error) {
		return b, lamppost.Refuse(lamppost.CodeBadTx, format, args...)
	}
	if err := lamppost.CheckName("device", string(k.ID)); err != nil {
		return bad("%v", err)
	}
	var err error
	if b.Safety, err = parseSafety(k.Safety); err != nil {
		return b, err
	}
	if b.MeterKey, err = meterKey(k.MeterKey); err != nil {
		return b, err
	}
	if k.Assurance != "" {
		if b.Assurance, err = lamppost.ParseAssurance(k.Assurance); err != nil || !b.Assurance.Wrapped() || k.Key != "" {
			return bad("assurance %q: of a device without a key, %s or %s", clip(k.Assurance), lamppost.ChannelAuthenticated, lamppost.Unsigned)
		}
	}
	if k.Key == "" {
		return b, nil
	}
	raw, err := hex.DecodeString(k.Key)
	if err != nil {
		return bad("a device's key is written in hex")
	}
	if b.Suite, err = sig.ParseSuite(k.Suite); err != nil || b.Suite == sig.HMAC256 {
		return bad("suite %q of a key: use %s or %s", clip(k.Suite), sig.EdDSA, sig.ES256)
	}
	parsed, err := sig.ParsePublicKey(b.Suite, raw)
	if err != nil {
		return bad("the device's key: %v", err)
	}
	b.Key = parsed.Bytes()
	return b, nil
}

// has reports whether a device is known as is said. Names and sites count; a key that it chose itself since does not.
func (d *Devices) has(v ledger.View, k *KnownDevice, b lamppost.DeviceBody) (bool, error) {
	have, err := v.Device(k.ID)
	if errors.Is(err, kv.ErrNotFound) {
		t := d.known(k.ID)
		if t == nil || k.Key != "" || k.Assurance != "" {
			return false, nil
		}
		have = t.body(k.ID)
	} else if err != nil {
		return false, err
	}
	if len(b.Key) == 0 || have.KeyEpoch > 1 {
		b.Suite, b.Key = have.Suite, have.Key
	}
	if k.Assurance == "" && k.Key == "" {
		b.Assurance = have.Assurance
	}
	b.Gateway, b.KeyEpoch, b.Salt, b.Consent = have.Gateway, have.KeyEpoch, have.Salt, have.Consent
	if !bytes.Equal(lamppost.Marshal(have), lamppost.Marshal(b)) {
		return false, lamppost.Refuse(lamppost.CodeExists, "this device is registered otherwise: %s", differences(have, b))
	}
	return true, nil
}

// bring enrols, adopts or announces a device.
func (d *Devices) bring(ctx context.Context, k *KnownDevice, b lamppost.DeviceBody) (lamppost.Height, string, error) {
	if k.Key != "" {
		dec, err := d.order.do(ctx, lamppost.TxDevice, b)
		return dec.Height, "", err
	}
	var token string
	var err error
	if k.Assurance != lamppost.Unsigned.String() && d.known(k.ID) == nil {
		if token, err = d.Announce(k.NewDevice); err != nil {
			return 0, "", err
		}
	}
	if k.Assurance != "" {
		err = d.Adopt(ctx, k.ID, Adoption{Owner: k.Owner, Name: k.Name, Site: k.Site, Safety: k.Safety, Assurance: k.Assurance})
	}
	return 0, token, err
}
