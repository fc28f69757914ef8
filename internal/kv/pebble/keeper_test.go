package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
)

// A shelf is a disk of objects: what was put is durable, what was removed is gone. Before and after each of these the power is cut.
type shelf struct {
	*archive.MemObjects
	cut func()
}

func (s shelf) Put(name string, data []byte) error {
	s.cut()
	defer s.cut()
	return s.MemObjects.Put(name, data)
}

func (s shelf) Remove(name string) error {
	s.cut()
	defer s.cut()
	return s.MemObjects.Remove(name)
}

const cutBlocks = 30

// Goal: a power cut at any moment of sealing, rewriting and removing packs loses no block: what the store then says is in an object
// is in one. The keeper must not name an object before it is there, nor remove one that a store without its last, unsynced
// bytes would name. Method: take copies of what both disks would hold before and after every object put and removed, and read all.
func TestPowerCutKeeper(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	s := must(pebble.OpenFS(disk, "data", pebble.Options{}))(t)
	defer s.Close()
	cuts := 0
	var objects shelf
	objects = shelf{new(archive.MemObjects), func() {
		cuts++
		clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: cuts % 3 * 50, RNG: rand.New(rand.NewPCG(uint64(cuts), 1))})
		wholeAfter(t, clone, copied(t, objects.MemObjects))
	}}
	for h := lamppost.Height(1); h <= cutBlocks; h++ {
		var b kv.Batch
		for i := range uint32(2) {
			archive.Put(&b, h, i, archive.Record{Raw: bytes.Repeat(fmt.Append(nil, h, i), 100), Outcomes: []lamppost.Outcome{{}}})
		}
		archive.PutBlock(&b, archive.Block{Height: h, Count: 2})
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	rules := archive.Rules{}
	k := archive.Keeper{Store: s, Packs: must(archive.NewPacks(s, objects))(t), MaxHot: 2000, Purge: s.Purge,
		Rules: func(kv.Reader) (*archive.Rules, error) { return &rules, nil }}
	for erased := lamppost.Height(0); erased < cutBlocks; erased += 10 {
		if erased > 0 {
			rules = archive.Rules{Gone: maps.Clone(rules.Gone), Erase: erased, Changed: erased}
			if rules.Gone == nil {
				rules.Gone = map[archive.Place]bool{}
			}
			rules.Gone[archive.Place{Height: erased, Index: 1}] = true
		}
		for more := true; more; {
			did, err := k.Step(0)
			if err != nil {
				t.Fatal(err)
			}
			more = did.Some()
		}
	}
	if cuts < 20 {
		t.Errorf("the power was cut only %d times", cuts)
	}
}

func copied(t *testing.T, m *archive.MemObjects) *archive.MemObjects {
	c := new(archive.MemObjects)
	for _, name := range must(m.List())(t) {
		if err := c.Put(name, must(m.Read(name, 0, 1<<30))(t)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// wholeAfter opens what a power cut left: every transaction is there, but for those erased.
func wholeAfter(t *testing.T, disk vfs.FS, objects *archive.MemObjects) {
	t.Helper()
	s := must(pebble.OpenFS(disk, "data", pebble.Options{}))(t)
	defer s.Close()
	v := archive.View{Reader: s, Packs: must(archive.NewPacks(s, objects))(t)}
	for h := lamppost.Height(1); h <= cutBlocks; h++ {
		for i := range uint32(2) {
			rec, err := v.Tx(h, i)
			if errors.Is(err, archive.ErrForgotten) && i == 1 && h%10 == 0 {
				continue
			}
			if want := bytes.Repeat(fmt.Append(nil, h, i), 100); err != nil || !bytes.Equal(rec.Raw, want) {
				t.Fatalf("after a power cut, transaction %d of block %d: %v, %.20q", i, h, err, rec.Raw)
			}
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
