package lamppost

// What tests outside the package need to see of it: decoding that is otherwise only a step of something larger, and
// encoding again from nothing but the fields that were decoded.

// DecodePack reads a SenML pack.
func DecodePack(b []byte) ([]Reading, []MeterRecord, error) { return decodePack(nil, nil, b) }

// Reencode writes a decoded report from its fields.
func (r *Report) Reencode() []byte {
	protected := r.appendProtected(nil, r.env.suite)
	return appendEnvelope(nil, r.env.suite, protected, AppendPack(nil, r.Readings, r.Meter...), r.env.signature)
}

// Reencode writes a signed body from its fields.
func (s *Signed) Reencode() []byte {
	protected := appendInt([]byte{majMap | 2, headerAlg}, int64(s.raw.suite))
	protected = appendBytes(append(protected, headerKid), []byte(s.Key))
	return appendEnvelope(nil, s.raw.suite, protected, s.Payload, s.raw.signature)
}

// ReencodePayload writes the signed payload of a transaction from the header or order that was decoded of it.
func (t *Transaction) ReencodePayload() []byte {
	if t.Type == TxSegment {
		return t.Header.appendPayload(nil)
	}
	return t.Order.appendPayload(nil)
}

// Reencode writes a decoded change of keys from its fields.
func (c *KeyChange) Reencode() []byte {
	return appendEnvelope(nil, c.env.suite, c.appendProtected(c.env.suite), c.appendPayload(), c.env.signature)
}

// Reencode writes a decoded charter from its fields.
func (s *SignedCharter) Reencode() []byte {
	protected := appendInt([]byte{majMap | 2, headerAlg}, int64(s.env.suite))
	protected = appendBytes(append(protected, headerKid), appendKid(nil, string(s.Device), s.Number))
	return appendEnvelope(nil, s.env.suite, protected, Marshal(s.Charter), s.env.signature)
}

// Reencode writes a decoded voucher from its fields.
func (v *Voucher) Reencode() []byte {
	b := appendText([]byte{majArray | 5, voucherVersion}, string(v.Payee))
	for _, n := range [...]uint64{v.N, uint64(v.Amount), uint64(v.Until)} {
		b = appendHead(b, majUint, n)
	}
	s := v.signed
	s.Key, s.Payload = MemberID(v.Channel), b
	return s.Reencode()
}
