package lamppost_test

import (
	"bytes"
	"runtime/metrics"
	"testing"

	"github.com/lamppost/lamppost"
)

// Goal of all of these: hostile bytes never panic, never make the reader reserve much more memory than they are long,
// and whatever is accepted is the one encoding of what was read, which a general CBOR library confirms.

// allocated returns the bytes that f allocates, with a little of what the runtime does meanwhile.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// bounded runs f and requires its memory to be within factor times the input. The runtime counts for the whole process,
// and the fuzzer allocates beside us: what is over the limit must be so three times.
func bounded(t *testing.T, raw []byte, factor uint64, f func()) {
	t.Helper()
	limit := factor*uint64(len(raw)) + 256<<10
	used := allocated(f)
	for range 2 {
		if used <= limit {
			return
		}
		used = allocated(f)
	}
	if used > limit {
		t.Errorf("%d bytes allocated for %d of input", used, len(raw))
	}
}

// seedVectors makes the vectors of the given kinds the first inputs.
func seedVectors(f *testing.F, kinds ...string) {
	for _, vs := range allVectors(f) {
		for i := range vs {
			for _, kind := range kinds {
				if vs[i].kind == kind {
					f.Add(vs[i].raw)
				}
			}
		}
	}
}

func FuzzReport(f *testing.F) {
	seedVectors(f, "report")
	key := keyOf(f, suites[0], "lamp-17").Public()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r lamppost.Report
		var err error
		bounded(t, raw, 40, func() { err = r.Decode(raw) })
		if err != nil {
			return
		}
		if again := r.Reencode(); !bytes.Equal(again, raw) {
			t.Errorf("accepted, but not what would be written:\n got %x\nread %x", again, raw)
		}
		if err := canonical(t, raw); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		r.ID(network)
		r.Verify(network, key)
	})
}

func FuzzPack(f *testing.F) {
	seedVectors(f, "pack")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var rs []lamppost.Reading
		var meter []lamppost.MeterRecord
		var err error
		bounded(t, raw, 40, func() { rs, meter, err = lamppost.DecodePack(raw) })
		if err != nil {
			return
		}
		if again := lamppost.AppendPack(nil, rs, meter...); !bytes.Equal(again, raw) {
			t.Errorf("accepted, but not what would be written:\n got %x\nread %x", again, raw)
		}
		if err := canonical(t, raw); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		if theirs := deterministic(t, packValue(rs, meter)); !bytes.Equal(theirs, raw) {
			t.Errorf("accepted, but read as what a library writes as\n got %x\nread %x", theirs, raw)
		}
	})
}

func FuzzTransaction(f *testing.F) {
	seedVectors(f, "transaction", "segment-header")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var err error
		bounded(t, raw, 8, func() { _, err = lamppost.ParseTransaction(raw) })
		if err != nil {
			return
		}
		checkTransaction(t, raw)
		if err := canonical(t, raw); err != nil {
			t.Errorf("accepted, but %v", err)
		}
	})
}

func FuzzSegmentHeader(f *testing.F) {
	seedVectors(f, "segment-header")
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := lamppost.ParseSigned(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Reencode(), raw) {
			t.Errorf("accepted, but not what would be written: %x", raw)
		}
		h, err := lamppost.ParseSegmentHeader(s)
		tx := lamppost.Transaction{Type: lamppost.TxSegment, Header: h}
		if err == nil && !bytes.Equal(tx.ReencodePayload(), s.Payload) {
			t.Errorf("accepted, but not what would be written: %x", raw)
		}
	})
}

func FuzzThinSegment(f *testing.F) {
	seedVectors(f, "thin-segment")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var thin *lamppost.ThinSegment
		var err error
		bounded(t, raw, 16, func() { thin, err = lamppost.ParseThinSegment(raw) })
		if err != nil {
			return
		}
		if !bytes.Equal(thin.Append(nil), raw) {
			t.Errorf("accepted, but not what would be written: %x", raw)
		}
		for i := range thin.Header.Count {
			if k, ok := thin.Find(i); ok {
				if err := lamppost.CheckMerklePath(k.LeafHash(), int(i), int(thin.Header.Count), thin.Path(i), thin.Header.Root); err != nil {
					t.Errorf("report %d: %v", i, err)
				}
			}
		}
	})
}

func FuzzKeyChange(f *testing.F) {
	seedVectors(f, "key-change")
	key := keyOf(f, suites[0], "lamp-17").Public()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c lamppost.KeyChange
		var err error
		bounded(t, raw, 8, func() { err = c.Decode(raw) })
		if err != nil {
			return
		}
		if again := c.Reencode(); !bytes.Equal(again, raw) {
			t.Errorf("accepted, but not what would be written:\n got %x\nread %x", again, raw)
		}
		if err := canonical(t, raw); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		c.Verify(network, lamppost.PurposeDeviceKey, key)
	})
}

func FuzzCharter(f *testing.F) {
	seedVectors(f, "charter")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c *lamppost.SignedCharter
		var err error
		bounded(t, raw, 40, func() { c, err = lamppost.ParseCharter(raw) })
		if err != nil {
			return
		}
		if again := c.Reencode(); !bytes.Equal(again, raw) {
			t.Errorf("accepted, but not what would be written:\n got %x\nread %x", again, raw)
		}
		if err := canonical(t, raw); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		c.Verify(network, lamppost.PurposeCharter, &c.Owner)
		if why := c.Falls(&c.Charter); why != "" {
			t.Errorf("it protects less than itself: %s", why)
		}
	})
}

func FuzzProof(f *testing.F) {
	seedVectors(f, "proof")
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p *lamppost.Proof
		var err error
		bounded(t, raw, 40, func() { p, err = lamppost.ParseProof(raw) })
		if err != nil {
			return
		}
		if !bytes.Equal(p.Append(nil), raw) {
			t.Errorf("accepted, but not what would be written: %x", raw)
		}
		for i := range p.Txs {
			if s := p.Txs[i].Segment; s != nil && s.Check() == nil {
				s.OutcomesRoot()
			}
		}
	})
}

func FuzzOutcome(f *testing.F) {
	seedVectors(f, "outcome")
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := lamppost.DecodeOutcome(raw)
		if err == nil && !bytes.Equal(o.Append(nil), raw) {
			t.Errorf("accepted, but not what would be written: %x", raw)
		}
	})
}

func FuzzLeaf(f *testing.F) {
	seedVectors(f, "leaf", "block-leaf")
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, errL := lamppost.ParseLeaf(raw)
		if errL == nil && !bytes.Equal(l.Append(nil), raw) {
			t.Errorf("leaf accepted, but not what would be written: %x", raw)
		}
		b, errB := lamppost.ParseBlockLeaf(raw)
		if errB == nil && !bytes.Equal(b.Append(nil), raw) {
			t.Errorf("block leaf accepted, but not what would be written: %x", raw)
		}
		if errL == nil && errB == nil {
			t.Errorf("%x is a leaf of both kinds", raw)
		}
	})
}

// bodies returns a new value of every type of order body, and of what stands inside of outcomes and hashes.
func bodies() []any {
	return []any{new(lamppost.GenesisBody), new(lamppost.PartyBody), new(lamppost.DeviceBody), new(lamppost.PointBody), new(lamppost.AgreementBody),
		new(lamppost.InvoiceBody), new(lamppost.TransferBody), new(lamppost.GatewayBody), new(lamppost.RevokeBody), new(lamppost.FraudBody), new(lamppost.Correction),
		new(lamppost.CentreBody), new(lamppost.PayoutBody), new(lamppost.OfferBody), new(lamppost.AcceptBody),
		new([]lamppost.Member), new([]lamppost.Evidence), new(lamppost.Decimal)}
}

func sampleBodies() []any {
	return []any{
		lamppost.GenesisBody{Network: network, Rules: 1, Members: []lamppost.Member{{ID: "north", Key: make([]byte, 32)}}},
		lamppost.GenesisBody{Network: network, Rules: 1, Members: []lamppost.Member{}, AdmitUnsigned: true},
		lamppost.GenesisBody{Network: network, Rules: 1, Members: []lamppost.Member{}, Verify: lamppost.VerifyGateway},
		lamppost.FraudBody{Height: 7, Tx: 1, Report: 2, Header: []byte("header"), Salt: make([]byte, 16), Received: 5, Raw: []byte("report"), Path: make([]lamppost.Hash, 2)},
		lamppost.Correction{Gateway: "gw-1", Device: "lamp-17", Epoch: 1, N: 4, Taken: true, Edges: 2, Invoices: []string{"acme-000001"}, Suspended: true},
		lamppost.PartyBody{ID: "acme", Name: "Acme GmbH", CreditLimit: 1},
		lamppost.DeviceBody{ID: "lamp-17", Owner: "acme", Suite: -8, Key: make([]byte, 32), KeyEpoch: 1, Name: "n", Site: "s", Safety: lamppost.Public, Salt: make([]byte, 16)},
		lamppost.DeviceBody{ID: "fan", Owner: "acme", Suite: 5, Key: make([]byte, 32), Salt: make([]byte, 16), Assurance: lamppost.GatewayVouched, Gateway: "gw-1"},
		lamppost.DeviceBody{ID: "plug", Owner: "acme", Salt: make([]byte, 16), Assurance: lamppost.Unsigned, Gateway: "gw-1"},
		lamppost.GatewayBody{ID: "gw-1", Member: "north", Key: make([]byte, 32)},
		lamppost.GatewayBody{ID: "gw-1", Member: "north", Key: make([]byte, 32), KeyEpoch: 1, Consent: []byte("consent")},
		lamppost.RevokeBody{Device: "lamp-17", KeyEpoch: 1, Reason: "stolen"},
		lamppost.RevokeBody{Gateway: "gw-1", Reason: "stolen"},
		lamppost.PointBody{ID: "p1", Device: "lamp-17", Register: "energy", Unit: "Wh", Place: "Quay 3"},
		lamppost.AgreementBody{ID: "a1", Seller: "acme", Buyer: "city", Point: "p1", Tariff: "t1", From: 1, To: 2},
		lamppost.InvoiceBody{Seller: "acme", Buyer: "city", Currency: "EUR", From: 1, To: 2},
		lamppost.TransferBody{From: "city", To: "acme", Currency: "EUR", Amount: 5, Memo: "m"},
		lamppost.CentreBody{Device: "lamp-17", Version: 1, From: 1, Currency: "EUR", Shares: []lamppost.Share{{Party: "acme", Parts: 1}}, Costs: []lamppost.Cost{{Kind: 1, Amount: 1, To: 1}}},
		lamppost.PayoutBody{Device: "lamp-17", From: 1, To: 2},
		lamppost.OfferBody{ID: "noon", Device: "lamp-17", Point: "bay", Tariff: "fast", Version: 1, Most: 1, Longest: 1, Until: 1, KeyEpoch: 1, Word: []byte("word")},
		lamppost.AcceptBody{Offer: "noon", Device: "robot-1", Session: lamppost.SessionBody{ID: "s", Buyer: "farm"}, KeyEpoch: 1, Word: []byte("word")},
		[]lamppost.Evidence{{Member: "north", Height: 1, Kind: 1}},
		lamppost.Dec(50, -1),
	}
}

func FuzzBody(f *testing.F) {
	for _, v := range sampleBodies() {
		f.Add(lamppost.Marshal(v))
	}
	seedVectors(f, "decimal")
	f.Fuzz(func(t *testing.T, raw []byte) {
		for i := range bodies() {
			var v any
			var err error
			bounded(t, raw, 200, func() { v = bodies()[i]; err = lamppost.Unmarshal(raw, v) })
			if err != nil {
				continue
			}
			if again := lamppost.Marshal(v); !bytes.Equal(again, raw) {
				t.Errorf("%T accepted, but not what would be written:\n got %x\nread %x", v, again, raw)
			}
			if err := canonical(t, raw); err != nil {
				t.Errorf("%T accepted, but %v", v, err)
			}
		}
	})
}

func FuzzVoucher(f *testing.F) {
	seedVectors(f, "voucher")
	key := keyOf(f, suites[0], "tenant-3").Public()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v lamppost.Voucher
		var err error
		bounded(t, raw, 8, func() { err = v.Decode(raw) })
		if err != nil {
			return
		}
		if again := v.Reencode(); !bytes.Equal(again, raw) || len(raw) > 200 {
			t.Errorf("accepted, but not what would be written:\n got %x\nread %x", again, raw)
		}
		if err := canonical(t, raw); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		v.Verify(network, key)
	})
}
