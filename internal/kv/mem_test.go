package kv_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/kvtest"
)

func TestMem(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, memOpener(func(m *kv.Mem) kv.Store { return m }))
}

// A Faulty that is told nothing is a store like every other.
func TestFaultyContract(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, memOpener(func(m *kv.Mem) kv.Store {
		return kv.NewFaulty(m, func(int) kv.Fault { return kv.Works })
	}))
}

func memOpener(wrap func(*kv.Mem) kv.Store) kvtest.Opener {
	var mu sync.Mutex
	disks := map[string]*kv.Mem{}
	return func(_ testing.TB, dir string) kv.Store {
		mu.Lock()
		defer mu.Unlock()
		if disks[dir] == nil {
			disks[dir] = kv.NewMem()
		}
		return wrap(disks[dir])
	}
}

// The two faults look alike to the caller and differ in the store, and after either nothing more is written until the
// store is opened again.
func TestFaulty(t *testing.T) {
	t.Parallel()
	for fault, written := range map[kv.Fault]bool{kv.Fails: false, kv.FailsWritten: true} {
		f := kv.NewFaulty(kv.NewMem(), func(apply int) kv.Fault {
			if apply == 1 {
				return fault
			}
			return kv.Works
		})
		set := func(key string) error {
			var b kv.Batch
			b.Set([]byte(key), nil)
			return f.Apply(&b)
		}
		has := func(key string) bool {
			_, err := f.Get([]byte(key))
			return err == nil
		}
		if err := set("zero"); err != nil {
			t.Fatalf("%v: write 0 = %v", fault, err)
		}
		if err := set("one"); !errors.Is(err, kv.ErrInjected) {
			t.Errorf("%v: write 1 = %v, want ErrInjected", fault, err)
		}
		if has("one") != written {
			t.Errorf("%v: write 1 is there: %v, want %v", fault, has("one"), written)
		}
		if err := set("two"); !errors.Is(err, kv.ErrInjected) || has("two") {
			t.Errorf("%v: a write after the fault = %v, is there: %v", fault, err, has("two"))
		}
		f.Reopen()
		if err := set("two"); err != nil || !has("two") || f.Applies() != 3 {
			t.Errorf("%v: after Reopen = %v, is there: %v, %d tried", fault, err, has("two"), f.Applies())
		}
	}
}

// Blocks come several a second for years: filling a batch again must not feed the garbage collector.
func TestBatchReuseAllocatesNothing(t *testing.T) {
	var b kv.Batch
	key, val := make([]byte, 9), make([]byte, 100)
	fill := func() {
		b.Reset()
		for i := range 200 {
			binary.BigEndian.PutUint64(key[1:], uint64(i))
			b.Set(key, val)
			b.Delete(key)
		}
	}
	fill()
	ops := 0
	allocs := testing.AllocsPerRun(20, func() {
		fill()
		for op := range b.All() {
			ops += len(op.Key)
		}
	})
	if allocs != 0 {
		t.Errorf("filling and reading a used batch allocates %v times, want 0", allocs)
	}
	if b.Len() != 400 || b.Bytes() < 200*(2*9+100) {
		t.Errorf("Len() = %d, Bytes() = %d; want 400 changes and all their bytes", b.Len(), b.Bytes())
	}
}

// What is over a limit is refused by name and number, and Reset forgives.
func TestBatchLimits(t *testing.T) {
	t.Parallel()
	var b kv.Batch
	b.Set([]byte("k"), make([]byte, kv.MaxValueBytes+1))
	if b.Err() == nil || b.Len() != 0 {
		t.Errorf("too large a value: Err() = %v, Len() = %d", b.Err(), b.Len())
	}
	b.Set([]byte("k"), nil)
	if b.Err() == nil || b.Len() != 0 {
		t.Errorf("a change after the error was recorded: Err() = %v, Len() = %d", b.Err(), b.Len())
	}
	b.Reset()
	big := make([]byte, kv.MaxValueBytes)
	for i := 0; b.Err() == nil && i < 20; i++ {
		b.Set(fmt.Append(nil, i), big)
	}
	if b.Err() == nil || b.Bytes() > kv.MaxBatchBytes || b.Bytes() < kv.MaxBatchBytes-2*kv.MaxValueBytes {
		t.Errorf("too large a batch: Err() = %v at %d bytes", b.Err(), b.Bytes())
	}
	b.Reset()
	if b.Set([]byte("k"), nil); b.Err() != nil || b.Len() != 1 {
		t.Errorf("after Reset: Err() = %v, Len() = %d", b.Err(), b.Len())
	}
}

// The tree in memory stays shallow for the keys we really use: counters behind a prefix. A degenerate tree would take
// seconds here.
func BenchmarkMemApply(b *testing.B) {
	m := kv.NewMem()
	var batch kv.Batch
	key := make([]byte, 9)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for range 100 {
			binary.BigEndian.PutUint64(key[1:], uint64(n))
			batch.Set(key, key)
			n++
		}
		if err := m.Apply(&batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/key")
}

// A fork has the content and goes its own way.
func TestFork(t *testing.T) {
	t.Parallel()
	m := kv.NewMem()
	set := func(m *kv.Mem, val string) {
		var b kv.Batch
		b.Set([]byte("k"), []byte(val))
		if err := m.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	set(m, "before")
	fork := m.Fork()
	set(m, "here")
	if got, err := fork.Get([]byte("k")); err != nil || string(got) != "before" {
		t.Errorf("the fork has %q, %v, want what was there when it was made", got, err)
	}
	set(fork, "there")
	if got, err := m.Get([]byte("k")); err != nil || string(got) != "here" {
		t.Errorf("the store has %q, %v after a write to its fork", got, err)
	}
}
