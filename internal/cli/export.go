package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/export"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// An exporting is what `lamppost export` was asked for.
type exporting struct {
	nodeFlags
	path     string
	journal  string
	force    bool
	from, to string
	devices  []string
	o        export.Options
}

func exportCmd() *cobra.Command {
	x := new(exporting)
	cmd := &cobra.Command{
		Use:   "export --parquet DIR|FILE.parquet | --journal FILE",
		Short: "Write readings as Parquet for analysts, or all postings as a journal for accountants",
		Long: `Write all readings that were accepted, or some, as Parquet for DuckDB, pandas, Polars, Spark and their like: a row for each, with
its value to the last digit and where it stands in the ledger, so that its receipt can be fetched.

Into a file named *.parquet go the readings; into a folder also devices.parquet, and of what was pruned values.parquet, each
with its error, and summaries.parquet by the hour. A node that runs is asked for them; the data folder of a stopped one is read. Published blocks are exported, those
of the last second may not be yet.

With --journal every posting of every account goes into a journal for hledger and its like, from the first block on; with --names
accounts carry the parties' names.

docs/export.md has the columns of Parquet, and how to read them; docs/money.md the journal.`,
		Example: `  lamppost export --parquet ./november --from 2026-11-01 --to 2026-12-01 --data ./node
  lamppost export --parquet meter-3.parquet --device meter-3 --name energy --data ./node
  lamppost export --parquet ./since --after 48213 --json --data ./node      what came after an export up to block 48213
  lamppost export --journal street.journal --data ./node && hledger -f street.journal balance`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return x.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&x.path, "parquet", "", "file to write, *.parquet, or folder")
	f.StringVar(&x.from, "from", "", "first time of a reading, by its device: a date (UTC) or an instant like 2026-11-01T06:00:00+01:00")
	f.StringVar(&x.to, "to", "", "time after the last, likewise")
	f.StringArrayVar(&x.devices, "device", nil, "only of this device; once for each (default: all)")
	f.StringArrayVar(&x.o.Names, "name", nil, "only readings of this name, such as energy; once for each (default: all)")
	f.Uint64Var((*uint64)(&x.o.After), "after", 0, "only from blocks after this one; without summaries")
	f.BoolVar(&x.o.All, "all", false, "also readings of reports that were refused, came twice or were corrected")
	f.BoolVar(&x.o.People, "names", false, "with names of parties and devices, which may be about people")
	f.BoolVar(&x.force, "force", false, "replace files that are there")
	f.StringVar(&x.journal, "journal", "", "file to write all postings to, for plain text accounting")
	cmd.MarkFlagsOneRequired("parquet", "journal")
	cmd.MarkFlagsMutuallyExclusive("parquet", "journal")
	x.add(cmd)
	cmd.PersistentFlags().Lookup("data").Usage = "the node's data folder (default: LAMPPOST_URL and LAMPPOST_TOKEN)"
	cmd.PersistentFlags().Lookup("json").Usage = "print what was written as JSON"
	return cmd
}

// moment reads a date, in UTC, or an instant; nothing is 0.
func moment(flag, text string) (lamppost.TimeMS, error) {
	if text == "" {
		return 0, nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil && t.UnixMilli() > 0 {
			return lamppost.TimeMS(t.UnixMilli()), nil
		}
	}
	return 0, usage(fmt.Errorf("%s %q is neither a date like 2026-11-01 nor an instant like 2026-11-01T06:30:00+01:00, after 1970", flag, text))
}

func (x *exporting) run(cmd *cobra.Command) (err error) {
	if x.journal != "" {
		return x.runJournal(cmd)
	}
	if x.o.From, err = moment("--from", x.from); err != nil {
		return err
	}
	if x.o.To, err = moment("--to", x.to); err != nil {
		return err
	}
	if x.o.To != 0 && x.o.To <= x.o.From {
		return usage(fmt.Errorf("--to %s is not after --from %s", x.to, x.from))
	}
	for _, d := range x.devices {
		x.o.Devices = append(x.o.Devices, lamppost.DeviceID(d))
	}
	out, err := newOutput(x.path, x.o.After == 0, x.force)
	if err != nil {
		return err
	}
	defer out.abort()
	began := time.Now()
	bar := newProgress(cmd.ErrOrStderr())
	res, err := x.write(cmd, out, func(done, all, readings int64) {
		rate := float64(readings) / max(time.Since(began).Seconds(), 0.001)
		bar.set(done, all, fmt.Sprintf("log entries, %d readings, %.0f/s", readings, rate))
	})
	bar.end()
	if cmd.Context().Err() != nil {
		return errors.New("interrupted: nothing was written")
	}
	if err == nil {
		err = out.commit()
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	return x.report(cmd.OutOrStdout(), out, res, time.Since(began))
}

// write fills the files, from the folder if nobody has it, and otherwise from the node.
func (x *exporting) write(cmd *cobra.Command, out *output, progress export.Progress) (*export.Result, error) {
	if x.data != "" && os.Getenv("LAMPPOST_URL") == "" {
		src, done, err := openFolder(x.data)
		if err == nil {
			defer done()
			return export.Write(cmd.Context(), *src, x.o, out.files(), progress)
		}
		if !errors.Is(err, pebble.ErrInUse) {
			return nil, err
		}
	}
	n, err := x.open(cmd)
	if err != nil {
		return nil, err
	}
	return n.fetchExport(x.o, out, progress)
}

// openFolder opens the data folder of a stopped node.
func openFolder(data string) (src *export.Source, done func() error, err error) {
	db := filepath.Join(data, "db")
	if _, err := os.Stat(db); err != nil {
		return nil, nil, usage(fmt.Errorf("%q is not a node's data folder: %w", data, err))
	}
	store, err := pebble.Open(db, pebble.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = store.Close()
		}
	}()
	note, err := os.ReadFile(filepath.Join(data, "log", tilelog.CheckpointPath))
	if err != nil {
		return nil, nil, fmt.Errorf("reading what %q has published: %w", data, err)
	}
	objects, err := dir.Open(filepath.Join(data, "archive"))
	if err != nil {
		return nil, nil, err
	}
	packs, err := archive.NewPacks(store, objects)
	if err != nil {
		return nil, nil, err
	}
	see := func(see func(archive.View) error) error { return see(archive.View{Reader: store, Packs: packs}) }
	return &export.Source{See: see, Note: string(note), Version: node.Version()}, store.Close, nil
}

// fetchExport has a node export, and takes the pieces as they come.
func (n *remote) fetchExport(o export.Options, out *output, progress export.Progress) (*export.Result, error) {
	req, err := http.NewRequestWithContext(n.ctx, http.MethodGet, n.url+"/api/export?"+exportQuery(o, out).Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	n.client.Timeout = 0 // it takes as long as it takes
	res, err := n.client.Do(req)
	if err != nil {
		return nil, n.unreachable(err)
	}
	defer res.Body.Close()
	kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode != http.StatusOK || err != nil || kind != "multipart/mixed" {
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return nil, n.refusal(res.StatusCode, raw)
	}
	for pieces := multipart.NewReader(res.Body, params["boundary"]); ; {
		p, err := pieces.NextPart()
		var result *export.Result
		if err == nil {
			result, err = out.take(p, progress)
		}
		if err != nil || result != nil {
			return result, n.broken(err)
		}
	}
}

// broken says what to do where an answer ends before its end.
func (n *remote) broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the answer of %s ended early: its log may say why; try again", n.url)
	}
	return err
}

func exportQuery(o export.Options, out *output) url.Values {
	q := url.Values{"file": out.names, "name": o.Names}
	for _, d := range o.Devices {
		q.Add("device", string(d))
	}
	for name, v := range map[string]uint64{"from_ms": uint64(max(0, o.From)), "to_ms": uint64(max(0, o.To)), "after": uint64(o.After)} {
		if v != 0 {
			q.Set(name, strconv.FormatUint(v, 10))
		}
	}
	for name, on := range map[string]bool{"all": o.All, "names": o.People} {
		if on {
			q.Set(name, "true")
		}
	}
	return q
}

// take takes a piece. After the last it returns the result.
func (o *output) take(p *multipart.Part, progress export.Progress) (*export.Result, error) {
	name := p.FileName()
	if f := o.file(name); f != nil {
		_, err := io.Copy(f, p)
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(p, 1<<20))
	if err != nil {
		return nil, err
	}
	var step api.ExportStep
	var res export.Result
	var refused api.Error
	switch name {
	case api.ExportProgress:
		if err := json.Unmarshal(raw, &step); err != nil {
			return nil, err
		}
		progress(step.Done, step.All, step.Readings)
		return nil, nil
	case api.ExportResult:
		return &res, json.Unmarshal(raw, &res)
	case api.ExportError:
		if err := json.Unmarshal(raw, &refused); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s (%s)", printable(refused.Text), printable(refused.Code))
	}
	return nil, nil // of a later version
}

// report says what was written.
func (x *exporting) report(w io.Writer, out *output, r *export.Result, took time.Duration) error {
	if x.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			*export.Result
			Files   []outFile `json:"files"`
			Seconds float64   `json:"seconds"`
		}{r, out.done, took.Seconds()})
	}
	if r.Last == 0 {
		fmt.Fprintf(w, "No block of %d log entries was asked for; the files are empty.\n", r.Size)
	} else {
		fmt.Fprintf(w, "%d readings of %d reports in blocks %d to %d; the checkpoint of %s/%s has %d entries. Later ones: --after %d\n",
			r.Readings, r.Reports, r.First, r.Last, r.Network, r.Member, r.Size, r.Last)
	}
	for _, f := range out.done {
		fmt.Fprintf(w, "%s: %d bytes\n", f.Path, f.Bytes)
	}
	switch {
	case r.Gone == 0:
	case out.file("summaries.parquet") == nil && x.o.After == 0:
		fmt.Fprintf(w, "%d reports of these blocks are not kept any more. A folder in place of a file gets the values that are left of what was pruned.\n", r.Gone)
	default:
		fmt.Fprintf(w, "%d reports of these blocks are not kept any more: pruned, or erased.\n", r.Gone)
	}
	return nil
}
