package dir_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lamppost/lamppost/internal/snapshot/dir"
)

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// Names sort like heights, and nothing else is taken for a snapshot.
func TestList(t *testing.T) {
	t.Parallel()
	d := dir.At(filepath.Join(t.TempDir(), "snapshots"))
	if all, err := d.List(); err != nil || len(all) != 0 {
		t.Fatalf("a folder that is not there: %v, %v", all, err)
	}
	for _, h := range []int{1000, 7, 123_456_789_012} {
		no(t, d.Put(7, text("7")))
		if h != 7 {
			no(t, d.Put(dir.Height(fmt.Sprintf("%012d.lps", h)), text("more")))
		}
	}
	for _, other := range []string{"x.lps", "7.lps", "000000000009.lps.tmp", "00000000000x.lps"} {
		no(t, os.WriteFile(d.Path(other), nil, 0o600))
	}
	all, err := d.List()
	no(t, err)
	var got []string
	for _, e := range all {
		got = append(got, fmt.Sprintf("%s %d %d", e.Name, e.Height, e.Bytes))
	}
	if want := []string{"000000000007.lps 7 1", "000000001000.lps 1000 4", "123456789012.lps 123456789012 4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	no(t, d.Sweep())
	if _, err := os.Stat(d.Path("000000000009.lps.tmp")); err == nil {
		t.Error("what a crash left is still there")
	}
	for _, name := range []string{"../x", "x.lps", "000000000008.lps"} {
		if _, err := d.Open(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Open(%q) = %v", name, err)
		}
	}
	no(t, d.Remove("000000000007.lps"))
	no(t, d.Remove("000000000007.lps"))
}

// Goal: whichever step on the disk fails, and whether or not it was done all the same, a snapshot that has its name is whole, and
// its bytes were synced before it got it. Method: the steps in order, then a run for each of them and each fate.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	disk := errors.New("disk error")
	run := func(t *testing.T, failAt int, done bool) (d *dir.Dir, steps []string, err error) {
		d = dir.At(filepath.Join(t.TempDir(), "snapshots"))
		d.Around(func(op, name string, do func() error) error {
			steps = append(steps, op+" "+name)
			if len(steps)-1 != failAt {
				return do()
			}
			if done {
				no(t, do())
			}
			return disk
		})
		return d, steps, d.Put(5, text("whole"))
	}
	_, golden, err := run(t, -1, false)
	no(t, err)
	want := []string{"syncdir ..", "write 000000000005.lps.tmp", "sync 000000000005.lps.tmp", "rename 000000000005.lps", "syncdir ."}
	if !slices.Equal(golden, want) {
		t.Errorf("steps %v, want %v", golden, want)
	}
	for at := range want {
		for _, done := range []bool{false, true} {
			d, _, err := run(t, at, done)
			if !errors.Is(err, disk) {
				t.Errorf("step %d: Put = %v", at, err)
			}
			if data, err := os.ReadFile(d.Path("000000000005.lps")); err == nil && string(data) != "whole" {
				t.Errorf("step %d, done %v: the file has its name and holds %q", at, done, data)
			}
			d.Around(func(_, _ string, do func() error) error { return do() })
			no(t, d.Put(5, text("whole")))
		}
	}
}
