package guard_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
)

func config(kept []byte, save func([]byte)) guard.Config {
	return guard.Config{Network: "net", Device: "d", Class: lamppost.Life, Kept: kept, Now: func() time.Time { return time.UnixMilli(1_780_000_000_000) },
		Save: func(b []byte) error { save(slices.Clone(b)); return nil }}
}

// What is kept is what comes back. No bit of it can rot, nor can it be another device's, without Open saying so: a guard that begins
// anew would forget its charter.
func TestKept(t *testing.T) {
	t.Parallel()
	var disk []byte
	save := func(b []byte) { disk = b }
	k, err := guard.Open(config(nil, save))
	if err != nil {
		t.Fatal(err)
	}
	c := signed([]string{"1", "in=ordinary", "out=life", "second"})
	if err := k.Hear(guard.Asked{Network: "net", Charters: []guard.Signed{c}, Requests: []guard.Request{{ID: "r", Function: "in", Left: 1000}}}); err != nil {
		t.Fatal(err)
	}
	again, err := guard.Open(config(disk, save))
	if err != nil || again.Word().Charter != 1 || again.Level("in").Level != 0 || again.Level("out").Level != 100 {
		t.Errorf("it comes back with %+v, %v", again.Word(), err)
	}
	for i := range disk {
		rotten := slices.Clone(disk)
		rotten[i] ^= 1
		if _, err := guard.Open(config(rotten, save)); err == nil {
			t.Fatalf("a bit of byte %d is wrong, and it is read", i)
		}
		if _, err := guard.Open(config(disk[:i+1], save)); err == nil && i+1 < len(disk) {
			t.Fatalf("%d of %d bytes are read", i+1, len(disk))
		}
	}
	other := config(disk, save)
	other.Device = "another"
	if _, err := guard.Open(other); err == nil {
		t.Error("another device's state is read")
	}
}

func FuzzKept(f *testing.F) {
	k, err := guard.Open(config(nil, func(b []byte) { f.Add(b) }))
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []string{"1", "2"} {
		if err := k.Take(signed([]string{n, "heat=essential:20", "light=public:30", "out=life", "second", "agreed"})); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		k, err := guard.Open(config(raw, func(b []byte) {
			if len(b) == 0 || bytes.Equal(b, []byte{0}) {
				t.Error("nothing is kept")
			}
		}))
		if err != nil || len(raw) == 0 {
			return
		}
		for _, d := range k.Word().Decisions {
			if d.Level > 100 || d.String() == "" {
				t.Errorf("decided %+v", d)
			}
		}
	})
}
