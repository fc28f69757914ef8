package replica_test

import (
	"bytes"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
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
	fan := lamppost.DeviceBody{ID: "fan", Owner: "p", Suite: sig.HMAC256, Key: make([]byte, 32), KeyEpoch: 4, Salt: make([]byte, 16),
		Assurance: lamppost.GatewayVouched, Gateway: "gw"}
	r := open(t, store)
	apply(t, r, block(1, ledgertest.Start, net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Bytes()}),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "refused", Member: "m2", Key: gw.Bytes()}),
		order(lamppost.TxDevice, lamp.Body("p")), order(lamppost.TxDevice, fan)))
	if r.GatewayKey("m1") != nil || r.GatewayKey("gw") != nil {
		t.Error("keys are known before they are committed")
	}
	if _, ok := r.Vouch("fan"); ok {
		t.Error("a device is known before it is committed")
	}
	commit(t, r)
	for when, r := range map[string]interface {
		GatewayKey(lamppost.MemberID) *sig.PublicKey
		Key(lamppost.DeviceID) (*sig.PublicKey, uint32, bool)
	}{"after the commit": r, "opened again": open(t, store)} {
		if m, g := r.GatewayKey("m1"), r.GatewayKey("gw"); m == nil || !m.Equal(net.Key.Public()) || g == nil || !g.Equal(gw) || r.GatewayKey("refused") != nil {
			t.Errorf("%s: keys of member and gateway: %v, %v", when, m, g)
		}
		if k, epoch, ok := r.Key("lamp"); !ok || epoch != 1 || !k.Equal(lamp.Key.Public()) {
			t.Errorf("%s: the lamp's key: %v, %d, %t", when, k, epoch, ok)
		}
		if _, _, ok := r.Key("fan"); ok {
			t.Errorf("%s: the ledger has a key of a device that shares it with its gateway", when)
		}
	}
	v, ok := open(t, store).Vouch("fan")
	if !ok || v.Assurance != lamppost.GatewayVouched || v.Gateway != "gw" || v.Epoch != 4 || !bytes.Equal(v.Commitment, fan.Key) {
		t.Errorf("the fan: %+v, %t", v, ok)
	}
}
