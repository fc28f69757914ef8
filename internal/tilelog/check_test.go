package tilelog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/tlog"
)

// altered is a Source with some files replaced; nil: they are missing.
type altered struct {
	tilelog.Source
	files map[string][]byte
}

func (a altered) Get(path string) ([]byte, error) {
	if data, ok := a.files[path]; ok {
		if data == nil {
			return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		return data, nil
	}
	return a.Source.Get(path)
}

// A finding is what a Check said of a file.
type finding struct {
	what  string
	again []byte
}

// check checks a log; leaves known elsewhere are those of known. It returns the findings, and how many leaves came.
func check(t testing.TB, c tilelog.Check, known [][]byte) (map[string]finding, int) {
	t.Helper()
	found, n := map[string]finding{}, 0
	c.Fault = func(path, what string, again []byte) { found[path] = finding{what, again} }
	c.Leaf = func(i int64, leaf []byte) ([]byte, error) {
		if leaf != nil && !bytes.Equal(leaf, leafText(int(i))) {
			t.Fatalf("leaf %d is %q", i, leaf)
		}
		if leaf != nil {
			n++
		}
		if int(i) < len(known) {
			return known[i], nil
		}
		return nil, nil
	}
	no(t, c.Run(context.Background()))
	return found, n
}

// Goal: whatever is damaged or missing in the files of a log is named, nothing else is, and what can be made again from the rest
// is made as it was. Method: logs of several sizes; each file in turn with a bit flipped, cut short, or missing.
func TestCheckNamesDamage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3, 256, 300, 768, 700} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			store, _ := newLog(t, size)
			files := new(tilelog.MemStorage)
			p := newPublisher(t, files)
			signed, err := p.Publish(store)
			no(t, err)
			head := opened(t, p, signed)
			good := tilelog.Check{Files: files, Size: head.Size, Root: head.Root}
			if found, n := check(t, good, nil); len(found) > 0 || n != size {
				t.Fatalf("a sound log of %d leaves: %d came, found %v", size, n, found)
			}
			rnd := rand.New(rand.NewPCG(uint64(size), 1))
			for _, path := range filesOf(head.Size) {
				was, err := files.Get(path)
				no(t, err)
				for _, bad := range [][]byte{flipped(was, rnd.IntN(8*len(was))), flipped(was, rnd.IntN(8*len(was))), was[:len(was)/2], append(slices.Clone(was), 0), nil} {
					c := good
					c.Files = altered{files, map[string][]byte{path: bad}}
					found, n := check(t, c, nil)
					f, ok := found[path]
					if !ok || len(found) != 1 {
						t.Errorf("%s with %d bytes of %d: found %v", path, len(bad), len(was), found)
						continue
					}
					bundle := strings.Contains(path, "entries")
					if !bundle && (!bytes.Equal(f.again, was) || n != size) {
						t.Errorf("%s: it can be made again from the leaves, %d came, and would be %d bytes of %d", path, n, len(f.again), len(was))
					}
					if bundle && f.again != nil && len(bad) <= len(was) {
						t.Errorf("%s: nobody can know its leaves", path)
					}
					_, leaves := newLog(t, size)
					if found, _ := check(t, c, leaves); bundle && !bytes.Equal(found[path].again, was) {
						t.Errorf("%s: with the leaves known it would be %d bytes of %d", path, len(found[path].again), len(was))
					}
				}
			}
			c := good
			c.Root[0]++
			if found, _ := check(t, c, nil); !strings.Contains(found["checkpoint"].what, "the leaves lead to root") {
				t.Errorf("another root: %v", found)
			}
		})
	}
}

// filesOf lists the files that a log of a size needs.
func filesOf(size int64) (paths []string) {
	for l := 0; size>>(8*l) > 0; l++ {
		for n := int64(0); n<<(8*(l+1)) < size; n++ {
			w := min(256, size>>(8*l)-n<<8)
			if w == 0 {
				continue
			}
			paths = append(paths, tilelog.TilePath(tlog.Tile{H: 8, L: l, N: n, W: int(w)}))
			if l == 0 {
				paths = append(paths, tilelog.TilePath(tlog.Tile{H: 8, L: -1, N: n, W: int(w)}))
			}
		}
	}
	return paths
}

func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at/8] ^= 1 << (at % 8)
	return b
}

// A copy that began with a right edge is checked from there, without anything before.
func TestCheckFromRightEdge(t *testing.T) {
	t.Parallel()
	store, _ := newLog(t, 300)
	edge, err := tilelog.ReadRightEdge(store, new(tilelog.MemStorage), tilelog.RightEdge{})
	no(t, err)
	copied, files := kv.NewMem(), new(tilelog.MemStorage)
	var begin kv.Batch
	edge.Begin(&begin)
	no(t, copied.Apply(&begin))
	grow(t, store, 500)
	grow(t, copied, 500)
	signed, err := newPublisher(t, new(tilelog.MemStorage)).Publish(store)
	no(t, err)
	head := opened(t, newPublisher(t, files), signed)
	no(t, edge.Adopt(files, copied, signed, head))
	c := tilelog.Check{Files: files, Size: head.Size, Root: head.Root, Begin: edge}
	if found, n := check(t, c, nil); len(found) > 0 || n != 500 {
		t.Errorf("%d leaves came, found %v", n, found)
	}
	bundle := tilelog.TilePath(tlog.Tile{H: 8, L: -1, N: 1, W: 256})
	data, err := files.Get(bundle)
	no(t, err)
	for _, at := range []int{30, 8 * (len(data) - 3)} {
		c.Files = altered{files, map[string][]byte{bundle: flipped(data, at)}}
		if found, _ := check(t, c, nil); len(found) != 1 || found[bundle].what == "" {
			t.Errorf("bit %d: found %v", at, found)
		}
	}
}

// A check ends with its context, and with an error of whoever is told the leaves.
func TestCheckEnds(t *testing.T) {
	t.Parallel()
	store, _ := newLog(t, 3)
	files := new(tilelog.MemStorage)
	signed, err := newPublisher(t, files).Publish(store)
	no(t, err)
	head := opened(t, newPublisher(t, files), signed)
	enough := errors.New("enough")
	c := tilelog.Check{Files: files, Size: head.Size, Root: head.Root, Fault: func(string, string, []byte) {},
		Leaf: func(int64, []byte) ([]byte, error) { return nil, enough }}
	if err := c.Run(context.Background()); !errors.Is(err, enough) {
		t.Errorf("Run = %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
