// Package export writes what is in the archive as Parquet files for the tools of analysts: one row for each reading, with
// where it stands in the ledger; the devices; and of what is not kept raw any more the values that are left, each with its error, and hourly summaries of these.
//
// It promises that each reading that was accepted in a block up to the checkpoint, is still kept and was asked for is in the
// file once, in the order of the ledger, with its value to the last digit; that a file comes to its end only if all of it was
// written; that memory does not grow with the number of readings; and that it holds no state of the store open while it
// writes. The same state gives the same bytes. It proves nothing: a row says where the proof can be had.
//
// Start reading at [Write], then columns.go. docs/export.md is the contract with those who read the files. Limits are in
// limits.go.
package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
)

// Options say which readings are wanted.
type Options struct {
	From, To lamppost.TimeMS     // of their times, To not included; 0: no bound
	Devices  []lamppost.DeviceID // empty: all
	Names    []string            // of readings; empty: all
	After    lamppost.Height     // only from blocks above; then there are no summaries, which cannot be told apart
	All      bool                // also of reports that were refused, came twice or were corrected
	People   bool                // names of parties, names and sites of devices
}

// A Source is where readings come from.
type Source struct {
	// See calls a function with one state of the store, the same or a later one each time. The function takes no longer than
	// reading a pack takes.
	See     func(func(archive.View) error) error
	Note    string // the latest published checkpoint: what it covers is exported
	Version string // of the program
}

// Files are where the files go. One that is nil is not wanted.
type Files struct {
	Readings, Devices, Summaries, Values io.Writer
}

// A Result says what was exported.
type Result struct {
	Network   string            `json:"network"`
	Member    lamppost.MemberID `json:"member"`
	Size      int64             `json:"size"` // leaves under the checkpoint
	Root      lamppost.Hash     `json:"root"`
	First     lamppost.Height   `json:"first_block"` // that was read; 0: none
	Last      lamppost.Height   `json:"last_block"`
	Reports   int64             `json:"reports"` // with a reading in the file
	Readings  int64             `json:"readings"`
	Gone      int64             `json:"gone_reports"` // of the blocks that were read: pruned or erased, whosever they were
	Summaries int64             `json:"summaries"`
	Values    int64             `json:"values"` // in summaries
	Devices   int64             `json:"devices"`
}

// Progress is told how many leaves of the log are done, of how many, with how many readings so far.
type Progress func(done, all, readings int64)

// Write writes the files. It returns the first error of a writer, the context's, or what is wrong with the archive; what was
// written then is not a file.
func Write(ctx context.Context, src Source, o Options, files Files, progress Progress) (*Result, error) {
	e, err := newExporter(src, o)
	if err != nil {
		return nil, err
	}
	e.readings, e.summaries, e.values = newTable[Reading](files.Readings, src.Version), newTable[Summary](files.Summaries, src.Version), newTable[Value](files.Values, src.Version)
	if err := e.writeDevices(files.Devices); err != nil {
		return nil, fmt.Errorf("exporting devices: %w", err)
	}
	if e.readings == nil && e.summaries == nil && e.values == nil {
		return &e.res, nil
	}
	if err := e.findCorrected(ctx); err != nil {
		return nil, fmt.Errorf("looking for corrections: %w", err)
	}
	err = e.walk(ctx, func(b *archive.PartBlock) error {
		progress(b.First, e.res.Size, e.res.Readings)
		return e.block(b)
	}, e.series)
	if err != nil {
		return nil, err
	}
	progress(e.res.Size, e.res.Size, e.res.Readings)
	about := e.about()
	if err := e.readings.end(about); err != nil {
		return nil, fmt.Errorf("writing readings: %w", err)
	}
	if err := e.summaries.end(about); err != nil {
		return nil, fmt.Errorf("writing summaries: %w", err)
	}
	if err := e.values.end(about); err != nil {
		return nil, fmt.Errorf("writing values: %w", err)
	}
	return &e.res, nil
}

// walk calls block for each block that is asked for and covered by the checkpoint, in order, and series for each part's
// summaries. Between two parts no state of the store is open.
func (e *exporter) walk(ctx context.Context, block func(*archive.PartBlock) error, series func(*archive.Part) error) error {
	for after := e.o.After; ; {
		var part *archive.Part
		err := e.src.See(func(v archive.View) (err error) {
			part, err = v.Part(after)
			return err
		})
		if err != nil || part == nil {
			return err
		}
		for i := range part.Blocks {
			b := &part.Blocks[i]
			if b.First+int64(b.Count) >= e.res.Size { // its own leaf is the last
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := block(b); err != nil {
				return fmt.Errorf("exporting block %d: %w", b.Height, err)
			}
			after = b.Height
		}
		if err := series(part); err != nil {
			return fmt.Errorf("exporting summaries up to block %d: %w", after, err)
		}
	}
}

// about is what a file says of itself.
func (e *exporter) about() map[string]string {
	r, o := &e.res, &e.o
	about := map[string]string{
		"format": "1", "version": e.src.Version, "network": r.Network, "member": string(r.Member), "checkpoint": e.src.Note,
		"size": strconv.FormatInt(r.Size, 10), "root": r.Root.String(),
		"first_block": fmt.Sprint(r.First), "last_block": fmt.Sprint(r.Last), "after_block": fmt.Sprint(o.After),
		"gone_reports": strconv.FormatInt(r.Gone, 10), "all": strconv.FormatBool(o.All),
		"order": "height, tx, report, record",
	}
	if o.From != 0 {
		about["from"] = instant(o.From)
	}
	if o.To != 0 {
		about["to"] = instant(o.To)
	}
	list := func(key string, what any, n int) {
		if text, err := json.Marshal(what); err == nil && n > 0 {
			about[key] = string(text)
		}
	}
	list("devices", o.Devices, len(o.Devices))
	list("names", o.Names, len(o.Names))
	return about
}

func instant(at lamppost.TimeMS) string {
	return time.UnixMilli(int64(at)).UTC().Format(time.RFC3339Nano)
}

// readCheckpoint reads a signed checkpoint, and not whose signature it is: the files prove nothing.
func readCheckpoint(note string) (network string, member lamppost.MemberID, c lamppost.Checkpoint, err error) {
	text, _, _ := strings.Cut(note, "\n\n")
	if c, err = lamppost.ParseCheckpoint(text + "\n"); err != nil {
		return "", "", c, err
	}
	network, m, _ := strings.Cut(c.Origin, "/")
	return network, lamppost.MemberID(m), c, nil
}
