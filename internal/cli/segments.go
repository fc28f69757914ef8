package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/recheck"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A resegment is one run of verify --segments.
type resegment struct {
	*verifier
	at       string // folder or address
	archived string // where tiles are that were moved away
	from, to uint64
	errs     io.Writer
}

// rechecked is what --json prints of it.
type rechecked struct {
	*recheck.Found
	At      string   `json:"at"`
	Network string   `json:"network"`
	Signers []string `json:"signers"` // of the checkpoint
	Size    int64    `json:"size"`    // its leaves
	Root    string   `json:"root"`
	Pinned  bool     `json:"pinned"`
	Seconds float64  `json:"seconds"`
}

// A copied is a copy of the archive with its published log.
type copied struct {
	blocks replica.Blocks
	files  tilelog.Source
	pin    func() ([]byte, error) // what stands beside it
	close  func() error
}

func (r *resegment) run(ctx context.Context) (err error) {
	c, err := r.open()
	if err != nil {
		return usage(fmt.Errorf("verify: %w", err))
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := r.readPin(); err != nil {
		return usage(err)
	}
	pin := r.pin
	if pin == nil {
		text, err := c.pin()
		if err == nil {
			pin, err = audit.ParsePin(string(text))
		}
		if err != nil {
			return usage(fmt.Errorf("verify: there is no pin beside %s: give one with --pin FILE: %w", r.at, err))
		}
	}
	follower := cmp.Or(r.follower, &audit.Follower{Pin: pin})
	if _, err := follower.Look(logFiles{c.files}); err != nil {
		return &ExitError{ExitFailed, fmt.Errorf("verify: the log of %s: %w", r.at, err)}
	}
	head := follower.Head
	out := rechecked{At: r.at, Network: pin.Network, Signers: head.Signers, Size: head.Size, Root: head.Root.String(), Pinned: r.pin != nil}
	bar, start := newProgress(r.errs), time.Now()
	check := recheck.Check{Network: pin.Network, Blocks: c.blocks, Log: tilelog.NewTree(c.files, head.Size, tlog.Hash(head.Root)),
		From: lamppost.Height(r.from), To: lamppost.Height(r.to), Progress: func(leaves, signatures int64) {
			bar.rate = fmt.Sprintf("%s signatures, %s a second", grouped(signatures), grouped(int64(float64(signatures)/time.Since(start).Seconds())))
			bar.set(leaves, head.Size, "entries")
		}}
	out.Found, err = check.Run(ctx)
	bar.end()
	out.Seconds = time.Since(start).Seconds()
	if err != nil {
		return &ExitError{ExitFailed, fmt.Errorf("verify: %s: %w", r.at, err)}
	}
	return r.report(&out)
}

func (r *resegment) open() (*copied, error) {
	if !isURL(r.at) {
		return r.openFolder()
	}
	s, err := sourceAt(r.at)
	if err != nil {
		return nil, err
	}
	return &copied{blocks: s.Blocks, files: tilelog.Web{URL: s.at + "/log"}, close: func() error { return nil },
		pin: func() ([]byte, error) { return readAt(context.Background(), s.at+"/"+pinFile, audit.MaxPinBytes) }}, nil
}

// openFolder opens the data folder of a node that is stopped, or a backup, without changing it.
func (r *resegment) openFolder() (*copied, error) {
	if _, err := os.Stat(filepath.Join(r.at, folder.DB)); err != nil {
		return nil, fmt.Errorf("%q is neither a node's data folder nor an address: %w", r.at, err)
	}
	far, err := logArchive(r.archived)
	if err != nil {
		return nil, err
	}
	files := tilelog.Source(tilelog.FS{FS: os.DirFS(filepath.Join(r.at, folder.Log))})
	if far != nil {
		files = tilelog.Layers{files, far}
	}
	store, err := pebble.Open(filepath.Join(r.at, folder.DB), pebble.Options{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("%w; a node that runs is checked at its address", err)
	}
	v := archive.View{Reader: store}
	objects, err := dir.Open(filepath.Join(r.at, folder.Archive))
	if err == nil {
		v.Packs, err = archive.NewPacks(store, objects)
	}
	last, _, err2 := replica.Position(store)
	if err = errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &copied{files: files, close: store.Close, pin: func() ([]byte, error) { return readLimited(filepath.Join(r.at, folder.Pin), audit.MaxPinBytes) },
		blocks: func(_ context.Context, after lamppost.Height, fn func([]byte) error) error {
			for h := after + 1; h <= last; h++ {
				raw, err := v.Encoded(h)
				if errors.Is(err, archive.ErrAbsent) {
					continue
				}
				if err == nil {
					err = fn(raw)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}}, nil
}

func (r *resegment) report(x *rechecked) error {
	if r.json {
		if err := json.NewEncoder(r.out).Encode(x); err != nil {
			return err
		}
	} else {
		io.WriteString(r.out, printable(x.words()))
	}
	switch {
	case x.Bad > 0:
		return &ExitError{ExitFailed, fmt.Errorf("verify: %d signatures or transactions do not hold", x.Bad)}
	case !x.Pinned:
		return &ExitError{ExitUnpinned, fmt.Errorf("verify: everything holds under the pin that stands beside it; check again with --pin FILE, from somebody you trust")}
	}
	return nil
}

// words is what people read.
func (x *rechecked) words() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	n := grouped
	say("%s: network %s, under a checkpoint of %s entries signed by %s", x.At, x.Network, n(x.Size), strings.Join(x.Signers, ", "))
	say("  %s segments in blocks up to %d have %s reports.", n(x.Segments), x.To, n(x.Reports))
	say("  Checked again: %s signatures in %s, %s a second.", n(x.Checked), time.Duration(x.Seconds*float64(time.Second)).Round(time.Millisecond),
		n(int64(float64(x.Checked)/x.Seconds)))
	for _, s := range slices.Sorted(maps.Keys(x.Suites)) {
		say("    %s: %s", s, n(x.Suites[s]))
	}
	for _, c := range []struct {
		n    int64
		what string
	}{
		{x.Halved, "of these have half a signature, and hold together with the others of their segment."},
		{x.Corrected, "of these are false, and a fraud order has undone what came of them."},
		{x.Vouched, "are vouched for by a key that only their gateway has: nobody else can check them."},
		{x.Refused, "were refused or sent twice: the ledger took nothing from them."},
		{x.Gone, "are pruned or erased."},
		{x.Alone, "have half a signature, and the others of their segment are gone: nobody can check them any more."},
	} {
		if c.n > 0 {
			say("  %s %s", n(c.n), c.what)
		}
	}
	for i := range x.BadFirst {
		say("  DOES NOT HOLD %s", x.BadFirst[i].String())
	}
	if x.Bad > int64(len(x.BadFirst)) {
		say("  … and %s more.", n(x.Bad-int64(len(x.BadFirst))))
	}
	if x.Bad == 0 {
		say("  All hold.")
	}
	return b.String()
}
