package ledger

import (
	"bytes"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/ocmf"
	"github.com/lamppost/lamppost/sig"
)

// Who vouches for a report: the device by its key, or the gateway that its enrolment names. The class of a device is in
// its enrolment, which is kept by key epoch, so that it is known of every old report too.

// meterGives says which readings of a report its meter's records give too, by the meter's key of the enrolment that the report
// is signed under. Without such a key the records are kept and prove nothing.
func (d *device) meterGives(r *lamppost.Report, now lamppost.TimeMS) ([]bool, error) {
	key := d.under(r.KeyEpoch, now).Body.MeterKey
	if len(key) == 0 {
		return nil, nil
	}
	return ocmf.Match(key, r.Readings, r.Meter)
}

// checkMeterKey refuses a meter's key that is not in its one encoding.
func checkMeterKey(b lamppost.DeviceBody) error {
	if len(b.MeterKey) == 0 {
		return nil
	}
	key, err := ocmf.ParsePublicKey(b.MeterKey)
	switch {
	case err != nil:
		return lamppost.Refuse(lamppost.CodeBadTx, "the key of the meter of %q: %v", b.ID, err)
	case !bytes.Equal(key.DER(), b.MeterKey):
		return lamppost.Refuse(lamppost.CodeBadTx, "the key of the meter of %q is not in deterministic DER", b.ID)
	}
	return nil
}

// deviceKey checks that suite, key and gateway fit the assurance, and returns the key, nil where the ledger has none.
func (s *State) deviceKey(b lamppost.DeviceBody) (*sig.PublicKey, error) {
	if b.Assurance == lamppost.DeviceSigned {
		return ownKey(b)
	}
	vouched, wrapped := b.Assurance == lamppost.GatewayVouched, b.Assurance.Wrapped()
	switch {
	case !vouched && !wrapped:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "assurance %q is not known to rules version %d", b.Assurance, Rules)
	case !s.isGateway(b.Gateway):
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "no gateway %q to vouch for %q", b.Gateway, b.ID)
	case vouched && (b.Suite != sig.HMAC256 || len(b.Key) != len(lamppost.Hash{})):
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a gateway-vouched device has an HMAC key, and the ledger only the digest of it")
	case wrapped && (b.Suite != 0 || len(b.Key) != 0):
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a device of assurance %q has no key", b.Assurance)
	case b.Assurance == lamppost.Unsigned && !s.net.AdmitUnsigned:
		return nil, lamppost.Refuse(lamppost.CodeForbidden, "network %q admits no unsigned devices", s.net.Network)
	}
	return nil, nil
}

func ownKey(b lamppost.DeviceBody) (*sig.PublicKey, error) {
	if b.Gateway != "" {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%q signs itself: no gateway vouches for it", b.ID)
	}
	if b.Suite == sig.HMAC256 {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "an HMAC key is shared with a gateway and never enrolled on the ledger")
	}
	parsed, err := sig.ParsePublicKey(b.Suite, b.Key)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "key of %q: %v", b.ID, err)
	}
	return parsed, nil
}

// proof says how a report in a segment of a gateway is shown to be the device's.
type proof uint8

const (
	byNobody  proof = iota // it is not: another key, another gateway, or revoked
	byOwnKey               // its signature is checked with the key returned
	byGateway              // a MAC that the segment's gateway checked
)

// prove says what shows that a report is the device's under this enrolment, and with which key. segment is the key of the
// segment's gateway. No enrolment proves nothing.
func prove(e *held[lamppost.DeviceBody], r *lamppost.Report, gateway lamppost.MemberID, segment *sig.PublicKey) (proof, *sig.PublicKey) {
	switch {
	case e == nil || e.Body.Assurance.Wrapped() != r.Wrapped():
		return byNobody, nil
	case e.Body.Assurance == lamppost.DeviceSigned && e.public.Suite() == r.Suite():
		return byOwnKey, e.public
	case e.Body.Gateway != gateway:
		return byNobody, nil
	case e.Body.Assurance == lamppost.GatewayVouched && r.Suite() == sig.HMAC256:
		return byGateway, nil
	case e.Body.Assurance.Wrapped() && r.Suite() == segment.Suite():
		return byOwnKey, segment
	}
	return byNobody, nil
}

// unproven says for people why a report is not taken as the device's.
func (d *device) unproven(r *lamppost.Report, now lamppost.TimeMS) string {
	switch e := d.under(r.KeyEpoch, now); {
	case d.isRevoked(r.KeyEpoch):
		return "revoked: the key with this epoch counts no longer"
	case e == nil && r.KeyEpoch < d.epoch:
		return "another key is in use, and the one with this epoch counts no longer"
	case e != nil && e.Body.Assurance != lamppost.DeviceSigned:
		return "the report does not come by the gateway that vouches for the device, as its enrolment says"
	}
	return "the signature is not that of the device's key with this epoch"
}
