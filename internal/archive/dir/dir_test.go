package dir_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/archive/dir"
)

const name = "ab12"

var whole = []byte("all of it")

// Goal: an object that has its name is whole and was durable before it got it, and Put and Remove return nil only when the folder
// that holds the name is durable too: this is what the keeper builds on when it names an object in the store. Method: the steps
// on the disk in order, then a run for each that fails, done all the same or not, and again on a disk that works.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	for _, op := range []struct {
		name  string
		do    func(*dir.Objects) error
		after []string
	}{
		{"put", func(o *dir.Objects) error { return o.Put(name, whole) },
			[]string{"mkdir ab", "syncdir .", "write ab12.tmp", "sync ab12.tmp", "rename ab12", "syncdir ab"}},
		{"put again", func(o *dir.Objects) error { return errors.Join(o.Put(name, whole), o.Put(name, whole)) },
			[]string{"mkdir ab", "syncdir .", "write ab12.tmp", "sync ab12.tmp", "rename ab12", "syncdir ab",
				"mkdir ab", "syncdir .", "write ab12.tmp", "sync ab12.tmp", "rename ab12", "syncdir ab"}},
		{"remove", func(o *dir.Objects) error { return errors.Join(o.Put(name, whole), o.Remove(name)) },
			[]string{"mkdir ab", "syncdir .", "write ab12.tmp", "sync ab12.tmp", "rename ab12", "syncdir ab", "remove ab12", "syncdir ab"}},
	} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			if steps, _, err := run(t, op.do, -1, false); err != nil || !slices.Equal(steps, op.after) {
				t.Errorf("%v: steps\n%s", err, strings.Join(steps, "\n"))
			}
			for at := range op.after {
				for _, done := range []bool{false, true} {
					if _, o, err := run(t, op.do, at, done); !errors.Is(err, errDisk) {
						t.Errorf("step %d (%s), done %v: %v", at, op.after[at], done, err)
					} else if data, err := o.Read(name, 0, 100); err == nil && !bytes.Equal(data, whole) {
						t.Errorf("step %d (%s), done %v: the object is %q", at, op.after[at], done, data)
					} else if err := op.do(o); err != nil {
						t.Errorf("again after step %d (%s), done %v: %v", at, op.after[at], done, err)
					}
				}
			}
		})
	}
}

var errDisk = errors.New("disk error")

// run does something while the step at fails, and returns the steps, and the objects on a disk that works again.
func run(t *testing.T, do func(*dir.Objects) error, at int, done bool) (steps []string, o *dir.Objects, err error) {
	t.Helper()
	o, err = dir.Open(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	o.Around(func(op, name string, step func() error) error {
		steps = append(steps, op+" "+name)
		if len(steps)-1 != at {
			return step()
		}
		if done {
			_ = step() // of what exists already, perhaps
		}
		return errDisk
	})
	err = do(o)
	o.Around(func(_, _ string, step func() error) error { return step() })
	return steps, o, err
}

// Goal: what a crash left half written is listed, so that it is swept up, and pieces are read from both ends.
func TestObjects(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "archive")
	o, err := dir.Open(root)
	if err == nil {
		err = errors.Join(o.Put(name, whole), o.Put("cd34", nil), os.WriteFile(filepath.Join(root, "ab", "ab99.tmp"), whole[:3], 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	names, err := o.List()
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"ab12", "ab99.tmp", "cd34"}) {
		t.Errorf("List = %v, %v", names, err)
	}
	for _, piece := range []struct {
		off  int64
		n    int
		want string
	}{{0, 3, "all"}, {4, 100, "of it"}, {-2, 2, "it"}, {-100, 3, "all"}, {100, 3, ""}} {
		if data, err := o.Read(name, piece.off, piece.n); err != nil || string(data) != piece.want {
			t.Errorf("Read(%d, %d) = %q, %v", piece.off, piece.n, data, err)
		}
	}
	if err := errors.Join(o.Remove("ab99.tmp"), o.Remove("ab99.tmp"), o.Remove("ee00")); err != nil {
		t.Error(err)
	}
	if _, err := o.Read("ab99.tmp", 0, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was removed: %v", err)
	}
}
