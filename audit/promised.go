package audit

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// promised derives what a channel came to from the voucher beside it, which the payer signed with the channel's key.
func (c *invoiceCheck) promised(i int, logged *tariff.InvoiceSupply, s *tariff.Supply) error {
	s.Channel = latest[lamppost.ChannelBody](c.e, bodyKey{kind: lamppost.TxChannel, id: logged.Channel}, c.tx.Leaf)
	if s.Channel == nil {
		return c.supplyError(i, "channel %q is not in the proof", logged.Channel)
	}
	terms := c.e.Tariff(s.Channel.Tariff, s.Channel.Version, c.tx.Leaf)
	if terms == nil {
		return c.supplyError(i, "tariff %q version %d is not in the proof", s.Channel.Tariff, s.Channel.Version)
	}
	key, err := sig.ParsePublicKey(sig.EdDSA, s.Channel.Key)
	if err != nil {
		return c.supplyError(i, "channel %q: %v", logged.Channel, err)
	}
	var v lamppost.Voucher
	if err := v.Decode(logged.Voucher); err != nil {
		return c.supplyError(i, "channel %q: %v", logged.Channel, err)
	}
	if !v.Verify(c.e.Network, key) {
		return c.supplyError(i, "voucher %d of channel %q does not match the signature of its payer", v.N, logged.Channel)
	}
	s.Tariff, s.Voucher = *terms, logged.Voucher
	if s.Channel.Payee != terms.Seller {
		s.Device = lamppost.DeviceID(s.Channel.Payee)
	}
	return nil
}
