package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/sig"
)

// A device with a key passes on to the next by its own word, as often as it asks and without a new token; what it may not
// pass on it is told, with what helps.
func TestConsent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	h.ok(201, "POST", "/api/devices", `{"id":"lamp","owner":"owner","name":"Lamp 1","site":"street"}`, nil)
	keyOf := func(n int) *sig.PrivateKey { return deviceKey(t, lamppost.DeviceID(fmt.Sprint("lamp, key ", n))) }
	// by signs as key number epoch that key number next takes over.
	enrol := func(n int, by *sig.PrivateKey, epoch uint32) (uint32, error) {
		k := api.NewKey{Suite: sig.EdDSA, Key: keyOf(n).Public().Bytes()}
		if by != nil {
			c := lamppost.KeyChange{ID: "lamp", Epoch: epoch, Next: epoch + 1, Suite: k.Suite, Key: k.Key}
			var err error
			k.Consent, err = c.Sign(network, lamppost.PurposeDeviceKey, by)
			must(t, err)
		}
		return h.devices.Enrol(context.Background(), "lamp", k)
	}
	enrols := func(n int, by *sig.PrivateKey, epoch, want uint32) {
		t.Helper()
		h.clock.Add(1000)
		for range 2 { // an answer may get lost
			if got, err := enrol(n, by, epoch); got != want || err != nil {
				t.Fatalf("key %d: epoch %d, %v; want %d", n, got, err, want)
			}
		}
	}
	fails := func(n int, by *sig.PrivateKey, epoch uint32, code lamppost.Code, words string) {
		t.Helper()
		_, err := enrol(n, by, epoch)
		var refusal *lamppost.Refusal
		if !errors.As(err, &refusal) || refusal.Code != code || !strings.Contains(err.Error(), words) {
			t.Errorf("key %d: %v, want %v and %q", n, err, code, words)
		}
	}
	enrols(1, nil, 0, 1)
	fails(2, nil, 0, lamppost.CodeExists, "lamppost device token lamp")
	fails(2, keyOf(2), 1, lamppost.CodeBadSignature, "does not match the signature of key 1")
	enrols(2, keyOf(1), 1, 2)
	fails(3, keyOf(1), 1, lamppost.CodeBadSignature, "as key 1")
	enrols(3, keyOf(2), 2, 3)
	h.ok(201, "POST", "/api/devices/lamp/token", nil, nil)
	enrols(4, keyOf(3), 3, 4) // with a new token too, its own word counts
	var history api.KeyHistory
	h.ok(200, "GET", "/api/devices/lamp/keys", nil, &history)
	if got := shown(history); got != "4 rotated current; 3 rotated former; 2 rotated replaced; 1 enrolled replaced" {
		t.Errorf("history: %s", got)
	}
	h.ok(201, "POST", "/api/devices/lamp/revoke", `{"reason":"lost"}`, nil)
	fails(5, keyOf(4), 4, lamppost.CodeForbidden, "was revoked")
	fails(5, nil, 0, lamppost.CodeExists, "lamppost device token lamp")
	h.ok(201, "POST", "/api/devices/lamp/token", nil, nil)
	enrols(5, keyOf(4), 4, 5) // the token does it; a revoked key's word adds nothing
	h.ok(200, "GET", "/api/devices/lamp/keys", nil, &history)
	if got := shown(history); !strings.HasPrefix(got, "5 set current; 4 rotated revoked (lost)") {
		t.Errorf("history: %s", got)
	}
	var d api.DeviceDetail
	h.ok(200, "GET", "/api/devices/lamp", nil, &d)
	if d.KeyEpoch != 5 || d.Name != "Lamp 1" || d.Site != "street" || d.Owner != "owner" {
		t.Errorf("after all this the device is %+v", d)
	}
}

func shown(h api.KeyHistory) string {
	var parts []string
	for _, k := range h.Keys {
		s := fmt.Sprintf("%d %s %s", k.Epoch, k.How, k.State)
		if k.Reason != "" {
			s += " (" + k.Reason + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// A revoked key counts no longer, and the history says since when and why.
func TestRevoke(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.refused(400, "bad_request", "POST", "/api/devices/meter/revoke", `{}`)
	h.refused(400, "bad_request", "POST", "/api/devices/meter/revoke", `{"reason":"x","epoch":1}`)
	h.refused(404, "not_found", "POST", "/api/devices/nobody/revoke", `{"reason":"x"}`)
	h.refused(404, "not_found", "GET", "/api/devices/nobody/keys", nil)
	h.refused(422, "unknown", "POST", "/api/devices/meter/revoke", `{"reason":"x","key_epoch":2}`)
	if out := h.submit(h.report("meter", 0, energy(h.now(), 1))); out[0].Code != lamppost.CodeOK {
		t.Fatalf("before: %+v", out)
	}
	h.clock.Add(5000)
	h.ok(201, "POST", "/api/devices/meter/revoke", `{"reason":"stolen","key_epoch":1}`, nil)
	if out := h.submit(h.report("meter", 0, energy(h.now(), 2))); out[0].Code != lamppost.CodeBadSignature {
		t.Errorf("after: %+v", out)
	}
	h.refused(409, "exists", "POST", "/api/devices/meter/revoke", `{"reason":"stolen"}`)
	var history api.KeyHistory
	h.ok(200, "GET", "/api/devices/meter/keys", nil, &history)
	k := history.Keys[0]
	if len(history.Keys) != 1 || k.State != "revoked" || k.Reason != "stolen" || k.Revoked == 0 || k.Until != k.Revoked || k.From >= k.Revoked ||
		k.By != "north" || k.Suite != "ed25519" || len(k.Key) != 32 {
		t.Errorf("%+v", history)
	}
}

// A gateway registers one key per token, its next one with the consent of the one before, and after a revocation only
// with a new token.
func TestGatewayKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := func(n int) *sig.PrivateKey { return deviceKey(t, lamppost.DeviceID(fmt.Sprint("gateway, key ", n))) }
	register := func(n int, by *sig.PrivateKey, epoch uint32) error {
		var consent []byte
		if by != nil {
			c := lamppost.KeyChange{ID: "cellar", Epoch: epoch, Next: epoch + 1, Suite: sig.EdDSA, Key: key(n).Public().Bytes()}
			var err error
			consent, err = c.Sign(network, lamppost.PurposeGatewayKey, by)
			must(t, err)
		}
		_, _, err := h.gates.Register(context.Background(), "cellar", key(n).Public().Bytes(), consent)
		return err
	}
	fails := func(err error, words string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	h.ok(201, "POST", "/api/gateways", `{"id":"cellar","site":"house"}`, nil)
	var list api.GatewayList
	h.ok(200, "GET", "/api/gateways", nil, &list)
	if len(list.Gateways) != 1 || list.Gateways[0].Registered {
		t.Errorf("announced: %+v", list)
	}
	h.refused(404, "not_found", "GET", "/api/gateways/cellar/keys", nil)
	h.refused(404, "not_found", "POST", "/api/gateways/cellar/revoke", `{"reason":"x"}`)
	must(t, register(1, nil, 0))
	must(t, register(1, nil, 0))
	fails(register(2, nil, 0), "lamppost gateway add cellar")
	fails(register(2, key(2), 0), "does not match the signature of key 0")
	must(t, register(2, key(1), 0))
	must(t, register(2, key(1), 0))
	h.ok(201, "POST", "/api/gateways/cellar/revoke", `{"reason":"stolen"}`, nil)
	fails(register(3, key(2), 1), "was revoked")
	h.ok(201, "POST", "/api/gateways", `{"id":"cellar","site":"house"}`, nil)
	must(t, register(3, key(2), 1))
	fails(register(4, nil, 0), "lamppost gateway add cellar")
	var history api.KeyHistory
	h.ok(200, "GET", "/api/gateways/cellar/keys", nil, &history)
	if got := shown(history); got != "2 set current; 1 rotated revoked (stolen); 0 enrolled revoked (stolen)" {
		t.Errorf("history: %s", got)
	}
	h.ok(200, "GET", "/api/gateways", nil, &list)
	if g := list.Gateways[0]; !g.Registered || g.KeyEpoch != 2 || g.Revoked != "" || g.Site != "house" || g.Member != "north" {
		t.Errorf("%+v", g)
	}
}
