package replica_test

import (
	"bytes"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

// What ingest asks the replica for – keys of gateways and members, and how devices are vouched for – is that of the last
// commit, not of what is merely applied, and the same after the store is opened again.
func TestVouch(t *testing.T) {
	t.Parallel()
	net, store := ledgertest.New("net"), kv.NewMem()
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction {
		return net.Order(ledgertest.Start+ledgertest.Hour, typ, body)
	}
	gw := ledgertest.Key("gw", sig.EdDSA).Public()
	lamp := net.NewDevice("lamp", sig.ES256)
	fan := lamppost.DeviceBody{ID: "fan", Owner: "p", Suite: sig.HMAC256, Key: make([]byte, 32), KeyEpoch: 1, Salt: make([]byte, 16),
		Assurance: lamppost.GatewayVouched, Gateway: "gw"}
	r := open(t, store)
	apply(t, r, block(1, ledgertest.Start, net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Bytes()}),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "refused", Member: "m2", Key: gw.Bytes()}),
		order(lamppost.TxDevice, lamp.Body("p")), order(lamppost.TxDevice, fan)))
	if r.Gateway("m1") != nil || r.Gateway("gw") != nil {
		t.Error("keys are known before they are committed")
	}
	if _, ok := r.Vouch("fan"); ok {
		t.Error("a device is known before it is committed")
	}
	commit(t, r)
	for when, r := range map[string]interface {
		Gateway(lamppost.MemberID) *replica.Vouch
		Vouch(lamppost.DeviceID) (*replica.Vouch, bool)
	}{"after the commit": r, "opened again": open(t, store)} {
		if m, g := r.Gateway("m1"), r.Gateway("gw"); m == nil || !m.Key.Equal(net.Key.Public()) || g == nil || !g.Key.Equal(gw) || r.Gateway("refused") != nil {
			t.Errorf("%s: keys of member and gateway: %v, %v", when, m, g)
		}
		if v, ok := r.Vouch("lamp"); !ok || v.Epoch != 1 || !v.Key.Equal(lamp.Key.Public()) || v.Former != nil {
			t.Errorf("%s: the lamp's key: %+v, %t", when, v, ok)
		}
		if v, ok := r.Vouch("fan"); !ok || v.Key != nil {
			t.Errorf("%s: the ledger has a key of a device that shares it with its gateway: %+v", when, v)
		}
	}
	v, ok := open(t, store).Vouch("fan")
	if !ok || v.Assurance != lamppost.GatewayVouched || v.Gateway != "gw" || v.Epoch != 1 || !bytes.Equal(v.Commitment, fan.Key) {
		t.Errorf("the fan: %+v, %t", v, ok)
	}
}

// A key that was replaced counts until its grace is over or it is revoked, and what ingest is told changes with the
// commit that says so.
func TestVouchFormer(t *testing.T) {
	t.Parallel()
	net, store := ledgertest.New("net"), kv.NewMem()
	at, height := ledgertest.Start, lamppost.Height(0)
	r := open(t, store)
	do := func(txs ...*lamppost.Transaction) {
		t.Helper()
		at, height = at+1, height+1
		apply(t, r, block(height, at, txs...))
		commit(t, r)
	}
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction {
		return net.Order(at+ledgertest.Hour, typ, body)
	}
	counts := func(epoch uint32, when lamppost.TimeMS) bool {
		t.Helper()
		v, _ := r.Vouch("lamp")
		again, _ := open(t, store).Vouch("lamp")
		if (v.Under(epoch, when) != nil) != (again.Under(epoch, when) != nil) {
			t.Errorf("key %d at %d: opened again the replica says something else", epoch, when)
		}
		return v.Under(epoch, when) != nil
	}
	lamp := net.NewDevice("lamp", sig.EdDSA)
	do(net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), order(lamppost.TxDevice, lamp.Body("p")))
	lamp.Rotate()
	do(order(lamppost.TxDevice, lamp.Body("p")))
	over := at + lamppost.KeyGraceMS
	if !counts(1, over-1) || counts(1, over) || !counts(2, over) {
		t.Errorf("after the rotation: key 1 counts in its grace %t, after it %t; key 2 %t", counts(1, over-1), counts(1, over), counts(2, over))
	}
	do(order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "lamp", KeyEpoch: 1}))
	if counts(1, at) || !counts(2, at) {
		t.Errorf("key 1 revoked: it counts %t, key 2 %t", counts(1, at), counts(2, at))
	}
	lamp.Rotate()
	do(order(lamppost.TxDevice, lamp.Body("p")))
	do(order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "lamp", KeyEpoch: 3}))
	if counts(2, at) || counts(3, at) {
		t.Errorf("all revoked: key 2 counts %t, key 3 %t", counts(2, at), counts(3, at))
	}
}
