package cli

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/masterdata"
	"github.com/lamppost/lamppost/tariff"
)

const (
	importBatch      = 2000      // rows in a request; no more than api.MaxOrders
	importBatchBytes = 900 << 10 // and bytes: the node takes a megabyte
	importShown      = 50        // problems that are printed; --json has all
)

// An importing is what `lamppost import` was asked for, and what came of it.
type importing struct {
	nodeFlags
	paths  map[lamppost.TxType]*string
	tokens string
	zone   string
	dry    bool

	n      *remote
	loc    *time.Location
	bar    *progress
	began  time.Time
	read   int64 // bytes of files before the one at hand
	all    int64 // bytes of all files
	keep   *csv.Writer
	bring  map[string]bool // what the files register, in a dry run
	result importResult
}

// An importResult says what became of each file.
type importResult struct {
	DryRun   bool            `json:"dry_run"`
	Files    []*importedFile `json:"files"`
	Problems []problem       `json:"problems"`
	Seconds  float64         `json:"seconds"`
}

type importedFile struct {
	File      string `json:"file"`
	Kind      string `json:"kind"`
	Rows      int    `json:"rows"`
	Done      int    `json:"done"` // of a dry run: that would be
	Unchanged int    `json:"unchanged"`
	Refused   int    `json:"refused"`
}

// A problem is a row of which nothing came.
type problem struct {
	File string `json:"file"`
	Line int    `json:"line"`
	ID   string `json:"id"`
	Code string `json:"code"`
	Text string `json:"text"`
}

func importCmd() *cobra.Command {
	x := &importing{paths: map[lamppost.TxType]*string{}}
	cmd := &cobra.Command{
		Use:   "import --parties FILE --devices FILE --points FILE --tariffs FILE --agreements FILE --readings FILE",
		Short: "Bring customers, meters and opening readings from CSV",
		Long: `Bring customers, meters, agreements and opening readings from CSV files of another system, all of them or some. The first line
names the columns; their order does not matter. A row that the node has already changes nothing, so the same files can be
imported again, after an interrupt too; a row that cannot be taken is named with its line and reason, and the rest goes on.
Exit code 1 says that there were such rows.

Ids are kept: what is no name for Lamppost becomes one that can be read back (4711/3 is 4711_2f3), in all files alike.
A device with a key in its row is enrolled with it; one with an assurance is taken without a key; any other is announced and
gets a token, in the file --tokens, and its metering point is taken once it has enrolled: import again then.

` + importColumns() + `
Tariffs of more than one price are JSON: --tariffs FILE.json, as "lamppost tariff example" prints them, one or a list.`,
		Example: `  lamppost import --parties customers.csv --devices meters.csv --points points.csv --tariffs tariffs.csv \
    --agreements contracts.csv --readings opening.csv --zone Europe/Berlin --dry-run --data ./node`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return x.run(cmd) },
	}
	for _, t := range masterdata.Kinds() {
		x.paths[t] = cmd.Flags().String(importFlag(t), "", "CSV file of "+importFlag(t))
	}
	cmd.Flags().StringVar(&x.tokens, "tokens", "", "file that gets the tokens of announced devices, as CSV; it is appended to")
	cmd.Flags().StringVar(&x.zone, "zone", "UTC", "clock of dates without a time, such as Europe/Berlin")
	cmd.Flags().BoolVar(&x.dry, "dry-run", false, "say what would be done, and do nothing")
	return x.add(cmd)
}

func importFlag(t lamppost.TxType) string {
	if t == lamppost.TxParty {
		return "parties"
	}
	return t.String() + "s"
}

// importColumns lists the columns of every file.
func importColumns() string {
	var b strings.Builder
	b.WriteString("Columns (in brackets: may be left out):\n")
	for _, t := range masterdata.Kinds() {
		names, required := masterdata.Columns(t)
		fmt.Fprintf(&b, "  %-11s %s [%s]\n", importFlag(t), strings.Join(names[:required], ","), strings.Join(names[required:], ","))
	}
	return b.String()
}

func (x *importing) run(cmd *cobra.Command) (err error) {
	if x.n, err = x.open(cmd); err != nil {
		return err
	}
	if x.loc, err = time.LoadLocation(x.zone); err != nil {
		return usage(fmt.Errorf("--zone: %w", err))
	}
	if err := x.measure(); err != nil {
		return err
	}
	close, err := x.openTokens()
	if err != nil {
		return err
	}
	defer close()
	x.bar, x.began, x.bring = newProgress(cmd.ErrOrStderr()), time.Now(), map[string]bool{}
	x.result.DryRun, x.result.Problems = x.dry, []problem{}
	for _, t := range masterdata.Kinds() {
		if *x.paths[t] == "" {
			continue
		}
		if err = x.file(t, *x.paths[t]); err != nil {
			break
		}
	}
	x.bar.end()
	x.result.Seconds = time.Since(x.began).Seconds()
	if cmd.Context().Err() != nil {
		err = errors.New("interrupted: what was done stays; import the same files again to go on")
	}
	return errors.Join(x.report(), err, x.verdict(err))
}

// measure finds out how much there is to read, and that there is something.
func (x *importing) measure() error {
	for _, path := range x.paths {
		if *path == "" {
			continue
		}
		info, err := os.Stat(*path)
		if err != nil {
			return usage(err)
		}
		x.all += info.Size()
	}
	if x.all == 0 {
		return usage(errors.New("there is nothing to import: name at least one file, such as --parties customers.csv"))
	}
	return nil
}

// openTokens begins the file for tokens, which nobody else may read.
func (x *importing) openTokens() (close func(), err error) {
	if x.tokens == "" || x.dry {
		return func() {}, nil
	}
	f, err := os.OpenFile(x.tokens, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, usage(err)
	}
	x.keep = csv.NewWriter(f)
	return func() { _ = f.Close() }, nil
}

// verdict is the exit code of rows that were refused.
func (x *importing) verdict(err error) error {
	if n := len(x.result.Problems); n > 0 && err == nil {
		return &ExitError{ExitFailed, fmt.Errorf("%d rows were not taken", n)}
	}
	return nil
}

// A batch is rows that go to the node together.
type batch struct {
	rows  []masterdata.Row
	bytes int
}

// file imports one file, batch by batch.
func (x *importing) file(t lamppost.TxType, path string) error {
	f := &importedFile{File: path, Kind: t.String()}
	x.result.Files = append(x.result.Files, f)
	if t == lamppost.TxTariff && strings.HasSuffix(path, ".json") {
		return x.tariffs(f)
	}
	in, err := os.Open(path)
	if err != nil {
		return usage(err)
	}
	defer in.Close()
	rows, err := masterdata.Open(t, in, x.loc)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", path, err))
	}
	var b batch
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := x.row(f, &b, row); err != nil {
			return err
		}
		x.show(f, x.read+rows.Offset())
	}
	x.read += rows.Offset()
	return x.send(f, &b)
}

// show tells how far the import is.
func (x *importing) show(f *importedFile, bytes int64) {
	rows := 0
	for _, g := range x.result.Files {
		rows += g.Rows
	}
	x.bar.rate = fmt.Sprintf("%s: %s rows in all, %.0f/s", f.Kind, grouped(int64(rows)), float64(rows)/max(time.Since(x.began).Seconds(), 0.001))
	x.bar.set(bytes>>10, x.all>>10, "KiB")
}

// row puts a row into the batch, and sends that when it is full.
func (x *importing) row(f *importedFile, b *batch, row masterdata.Row) error {
	f.Rows++
	if row.Err == nil && f.Kind == lamppost.TxDevice.String() && x.tokens == "" {
		row.Err = needsToken(row.Order.Body)
	}
	if row.Err != nil {
		x.refuse(f, row, "bad_row", row.Err.Error())
		return nil
	}
	if len(b.rows) == importBatch || b.bytes+len(row.Order.Body) > importBatchBytes {
		if err := x.send(f, b); err != nil {
			return err
		}
	}
	b.rows, b.bytes = append(b.rows, row), b.bytes+len(row.Order.Body)+64
	return nil
}

// needsToken refuses a device whose token would be lost.
func needsToken(body []byte) error {
	var k api.KnownDevice
	if err := json.Unmarshal(body, &k); err != nil {
		return err
	}
	if k.Key == "" && k.Assurance != lamppost.Unsigned.String() {
		return errors.New("the device logs in with a token: say --tokens FILE, where it is kept; or give its key, or assurance unsigned")
	}
	return nil
}

func (x *importing) refuse(f *importedFile, row masterdata.Row, code, text string) {
	f.Refused++
	x.result.Problems = append(x.result.Problems, problem{f.File, row.Line, row.ID, code, text})
}

// send has a batch decided, and takes down what became of its rows.
func (x *importing) send(f *importedFile, b *batch) error {
	if len(b.rows) == 0 {
		return nil
	}
	in := api.Orders{DryRun: x.dry}
	for i := range b.rows {
		in.Orders = append(in.Orders, b.rows[i].Order)
	}
	var out api.OrderResults
	if _, err := x.n.post("/api/orders", in, &out); err != nil {
		return err
	}
	if len(out.Results) != len(b.rows) {
		return fmt.Errorf("%s does not answer like a Lamppost node of this version: %d results for %d orders", x.n.url, len(out.Results), len(b.rows))
	}
	for i := range b.rows {
		x.take(f, b.rows[i], &out.Results[i])
	}
	*b = batch{}
	if x.keep == nil {
		return nil
	}
	x.keep.Flush()
	return x.keep.Error()
}

func (x *importing) take(f *importedFile, row masterdata.Row, r *api.OrderResult) {
	if r.Token != "" && x.keep != nil {
		_ = x.keep.Write([]string{row.ID, r.Token}) // Flush tells
	}
	missing := slices.DeleteFunc(r.Missing, func(what string) bool { return x.bring[what] })
	switch {
	case len(missing) > 0:
		x.refuse(f, row, lamppost.CodeUnknown.String(), "neither the node nor the files have "+strings.Join(missing, ", "))
		return
	case r.Outcome == api.OutcomeUnchanged:
		f.Unchanged++
	case r.Outcome == api.OutcomeOK || r.Outcome == api.OutcomeNew:
		f.Done++
	default:
		x.refuse(f, row, r.Outcome, r.Text)
		return
	}
	if x.dry {
		ref, _, _ := strings.Cut(row.Ref, " version ") // a tariff is missed by its id
		x.bring[ref] = true
	}
}

// tariffs imports a file of tariffs in JSON.
func (x *importing) tariffs(f *importedFile) error {
	raw, err := os.ReadFile(f.File)
	if err != nil {
		return usage(err)
	}
	all := []json.RawMessage{raw}
	if text := strings.TrimSpace(string(raw)); strings.HasPrefix(text, "[") {
		if err := json.Unmarshal(raw, &all); err != nil {
			return usage(fmt.Errorf("%s: %w", f.File, err))
		}
	}
	var b batch
	for i, one := range all {
		var t tariff.Tariff
		row := masterdata.Row{Line: i + 1, Order: api.NewOrder{Type: lamppost.TxTariff.String(), Body: one}}
		if row.Err = json.Unmarshal(one, &t); row.Err == nil {
			row.Err = t.Validate()
		}
		row.ID, row.Ref = t.ID, "tariff "+t.ID
		if err := x.row(f, &b, row); err != nil {
			return err
		}
	}
	x.read += int64(len(raw))
	return x.send(f, &b)
}

// report says what became of the files.
func (x *importing) report() error {
	w, r := x.n.out, &x.result
	if x.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	done := ">DONE"
	if x.dry {
		done = ">WOULD BE DONE"
	}
	t := table{head: []string{"FILE", "KIND", ">ROWS", done, ">UNCHANGED", ">REFUSED"}}
	rows := 0
	for _, f := range r.Files {
		rows += f.Rows
		t.add(f.File, f.Kind, grouped(int64(f.Rows)), grouped(int64(f.Done)), grouped(int64(f.Unchanged)), grouped(int64(f.Refused)))
	}
	t.print(w, "Nothing was read.")
	for i, p := range r.Problems {
		if i == importShown {
			fmt.Fprintf(w, "… and %d more: --json has all\n", len(r.Problems)-i)
			break
		}
		fmt.Fprintln(w, printable(fmt.Sprintf("%s:%d: %s: %s (%s)", p.File, p.Line, p.ID, p.Text, p.Code)))
	}
	_, err := fmt.Fprintf(w, "%s rows in %.1f s, %.0f a second\n", grouped(int64(rows)), r.Seconds, float64(rows)/max(r.Seconds, 0.001))
	return err
}
