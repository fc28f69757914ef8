package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Device to device: one offers sessions, another accepts, and neither needs a person. What follows is a session like any other.

func offerKey(id string) []byte { return key('o', id) }

// offer makes known what a device can be used for. The same again is a duplicate.
func (s *State) offer(b lamppost.OfferBody) (out lamppost.Outcome, err error) {
	if err := lamppost.CheckName("offer", b.ID); err != nil {
		return out, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	switch old, err := s.view().Offer(b.ID); {
	case err == nil && sameBody(old.OfferBody, b):
		return duplicateOf(old.Place), nil
	case err == nil:
		return out, lamppost.Refuse(lamppost.CodeExists, "offer %q exists", b.ID)
	case !errors.Is(err, kv.ErrNotFound):
		return out, err
	}
	d := s.devices[b.Device]
	if d == nil || b.To != "" && s.devices[b.To] == nil {
		return out, lamppost.Refuse(lamppost.CodeUnknown, "no device %q to offer, or %q to accept", b.Device, b.To)
	}
	if len(b.Word) > 0 || b.KeyEpoch != 0 {
		key, err := s.wordKey(b.Device, b.KeyEpoch)
		if err != nil {
			return out, err
		}
		if !b.Verify(s.net.Network, key) {
			return out, lamppost.Refuse(lamppost.CodeBadSignature, "device %q did not sign offer %q", b.Device, b.ID)
		}
	}
	if err := s.checkOffer(&b, d.Body.Owner); err != nil {
		return out, err
	}
	s.putBody(offerKey(b.ID), b)
	return out, nil
}

func (s *State) checkOffer(b *lamppost.OfferBody, owner lamppost.PartyID) error {
	mounts, versions := s.points[b.Point], s.tariffs[b.Tariff]
	if len(mounts) == 0 || b.Version == 0 || int(b.Version) > len(versions) {
		return lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q, or no version %d of tariff %q", b.Point, b.Version, b.Tariff)
	}
	p, t := &mounts[len(mounts)-1], &versions[b.Version-1]
	switch {
	case p.Device != b.Device || !p.Sessions || p.Unit != t.RegisterUnit:
		return lamppost.Refuse(lamppost.CodeBadTx, "metering point %q is not of %q, not for sessions, or counts in another unit than tariff %q", b.Point, b.Device, b.Tariff)
	case t.Seller != owner:
		return lamppost.Refuse(lamppost.CodeForbidden, "tariff %q is sold by %q, device %q belongs to %q", b.Tariff, t.Seller, b.Device, owner)
	case b.Most <= 0 || b.Most < t.Minimum || b.Most > tariff.MaxPrice || !tariff.Whole(b.Most, t.Currency):
		return lamppost.Refuse(lamppost.CodeBadTx, "what a session may come to at most is at least the tariff's minimum, %s, and whole minor units", t.Minimum)
	case b.Longest <= 0 || b.Longest > tariff.MaxSessionMS:
		return lamppost.Refuse(lamppost.CodeBadTx, "a session lasts a month at most")
	case b.Until <= s.time || b.Until > s.time+lamppost.MaxOfferMS:
		return lamppost.Refuse(lamppost.CodeExpired, "offer %q is over, or good for more than a week", b.ID)
	}
	return nil
}

// wordKey returns the key with which a device gives its word: one that nobody else has.
func (s *State) wordKey(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, error) {
	d := s.devices[id]
	if d == nil {
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "no device %q", id)
	}
	if d.quarantined != "" {
		return nil, lamppost.Refuse(lamppost.CodeQuarantined, "device %q gives no word: %s", id, d.quarantined)
	}
	h := d.under(epoch, s.time)
	if h == nil || h.public == nil || h.Body.Assurance != lamppost.DeviceSigned {
		return nil, lamppost.Refuse(lamppost.CodeBadSignature, "key epoch %d of device %q does not count, or is no key that it alone has", epoch, id)
	}
	return h.public, nil
}

// accept begins a session that a device takes on itself, within its spending limit. The same again is a duplicate.
func (s *State) accept(b lamppost.AcceptBody) (out lamppost.Outcome, err error) {
	key, err := s.wordKey(b.Device, b.KeyEpoch)
	if err != nil {
		return out, err
	}
	if !b.Verify(s.net.Network, key) {
		return out, lamppost.Refuse(lamppost.CodeBadSignature, "device %q did not sign this acceptance of offer %q", b.Device, b.Offer)
	}
	digest := sha256.Sum256(lamppost.Marshal(b))
	if u, err := read[use](s.view(), useKey(b.Session.ID)); err == nil && string(u.Accepted) == string(digest[:]) {
		return duplicateOf(u.Opened), nil
	}
	o, err := s.view().Offer(b.Offer)
	if errors.Is(err, kv.ErrNotFound) {
		err = lamppost.Refuse(lamppost.CodeUnknown, "no offer %q", b.Offer)
	}
	if err == nil {
		err = s.checkAcceptance(&b, &o.OfferBody)
	}
	if err != nil {
		return out, err
	}
	u := use{Body: b.Session, For: b.Device, Accepted: digest[:]}
	if u.Period, err = s.maySpend(b.Device, s.tariffs[o.Tariff][0].Currency, b.Session.Limit); err != nil {
		return out, err
	}
	if err := s.begin(u); err != nil {
		return out, err
	}
	return out, s.changeSpending(b.Device, u.Period, 0, b.Session.Limit)
}

// checkAcceptance holds an acceptance against its offer. What both agreed on binds: tariff and version, the most it comes to, how long.
func (s *State) checkAcceptance(b *lamppost.AcceptBody, o *lamppost.OfferBody) error {
	x := &b.Session
	switch owner := s.devices[b.Device].Body.Owner; {
	case s.time >= o.Until:
		return lamppost.Refuse(lamppost.CodeExpired, "offer %q was good until %d ms", o.ID, o.Until)
	case o.To != "" && o.To != b.Device || b.Device == o.Device:
		return lamppost.Refuse(lamppost.CodeForbidden, "offer %q is not for %q", o.ID, b.Device)
	case s.devices[o.Device].quarantined != "":
		return lamppost.Refuse(lamppost.CodeQuarantined, "device %q can be used by nobody: %s", o.Device, s.devices[o.Device].quarantined)
	case x.Buyer != owner:
		return lamppost.Refuse(lamppost.CodeForbidden, "device %q belongs to %q, and %q would answer for what it buys", b.Device, owner, x.Buyer)
	case x.Point != o.Point || x.Tariff != o.Tariff || x.Version != o.Version:
		return lamppost.Refuse(lamppost.CodeBadTx, "offer %q is for %q under version %d of tariff %q", o.ID, o.Point, o.Version, o.Tariff)
	case x.Limit > o.Most || x.Until-x.From > o.Longest:
		return lamppost.Refuse(lamppost.CodeBadTx, "offer %q is for %s and %d ms at most", o.ID, o.Most, o.Longest)
	case x.From < s.time-lamppost.MaxAcceptMS || x.From > s.time+lamppost.MaxAcceptMS:
		return lamppost.Refuse(lamppost.CodeExpired, "session %q begins more than %d minutes from now: accept again", x.ID, lamppost.MaxAcceptMS/60_000)
	}
	return nil
}

func sameBody(a, b any) bool { return string(lamppost.Marshal(a)) == string(lamppost.Marshal(b)) }

func duplicateOf(at Place) lamppost.Outcome {
	return lamppost.Outcome{Code: lamppost.CodeDuplicate, Data: binary.BigEndian.AppendUint64(nil, uint64(at.Height))}
}
