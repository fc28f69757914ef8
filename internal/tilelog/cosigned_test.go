package tilelog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// The latest checkpoint carries its cosignatures while it is the latest; the latest cosigned one stays to be had when
// the log has grown on, and never goes back.
func TestPublishCosigned(t *testing.T) {
	t.Parallel()
	s := kv.NewMem()
	storage := mapStorage{}
	p := newPublisher(t, storage)
	publish := func(size int64) []byte {
		grow(t, s, int(size-open(t, s).Size()))
		signed, err := p.Publish(s)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	want := func(when, checkpoint, cosigned string) {
		t.Helper()
		if storage["checkpoint"] != checkpoint || storage["checkpoint.cosigned"] != cosigned {
			t.Errorf("%s: published are\n%q\n%q, want\n%q\n%q", when, storage["checkpoint"], storage["checkpoint.cosigned"], checkpoint, cosigned)
		}
	}
	if old, _, err := p.Cosigned(s); err != nil || old != nil {
		t.Errorf("before any: Cosigned = %q, %v", old, err)
	}
	ten := publish(10)
	first := cosign(t, ten, "w.example")
	if err := p.PublishCosigned(s, first); err != nil {
		t.Fatal(err)
	}
	want("quiet", string(first), string(first))
	if got := publish(10); string(got) != string(first) {
		t.Errorf("published again at the same size: %q, want the cosigned %q", got, first)
	}
	twenty := publish(20)
	want("grown", string(twenty), string(first))
	both := cosign(t, cosign(t, ten, "v.example"), "w.example")
	if err := p.PublishCosigned(s, both); err != nil {
		t.Fatal(err)
	}
	want("a late witness", string(twenty), string(both))
	second := cosign(t, twenty, "w.example")
	thirty := publish(30)
	if err := errors.Join(p.PublishCosigned(s, second), p.PublishCosigned(s, first)); err != nil {
		t.Fatal(err)
	}
	want("the older one last", string(thirty), string(second))
	if got, size, err := p.Cosigned(s); err != nil || size != 20 || string(got) != string(second) {
		t.Errorf("Cosigned = %q, %d, %v", got, size, err)
	}
}

// Only what was published before can be published with more signatures, and only of this log; a store that is behind
// what was cosigned is found out at once.
func TestPublishCosignedRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t, 200)
	storage := mapStorage{}
	p := newPublisher(t, storage)
	signed, err := p.Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	further, _ := newLog(t, 201)
	larger, err := newPublisher(t, mapStorage{}).Publish(further)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := kv.NewMem()
	l := open(t, elsewhere)
	for i := range 200 {
		appendBlock(t, elsewhere, l, fmt.Appendf(nil, "other %d", i))
	}
	forked, err := newPublisher(t, mapStorage{}).Publish(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		note []byte
		says string
	}{
		"not published yet": {larger, "which has size 200"},
		"another root":      {forked, "not of what is published"},
		"of nobody":         {[]byte("net/member\n"), "malformed"},
	} {
		if err := p.PublishCosigned(s, c.note); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: PublishCosigned = %v, want an error that says %q", name, err, c.says)
		}
	}
	if err := p.PublishCosigned(s, cosign(t, signed, "w.example")); err != nil {
		t.Fatal(err)
	}
	older, _ := newLog(t, 150)
	var conflict *tilelog.ConflictError
	if _, _, err := p.Cosigned(older); !errors.As(err, &conflict) || conflict.Size != 200 {
		t.Errorf("an older store: Cosigned = %v, want a conflict", err)
	}
	if _, _, err := p.Cosigned(elsewhere); !errors.As(err, &conflict) {
		t.Errorf("another history: Cosigned = %v, want a conflict", err)
	}
}
