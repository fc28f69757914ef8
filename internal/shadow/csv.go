package shadow

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
)

// Columns are those that a file of invoices may have. A row is found by number, or by party, with point and period where a party has
// several invoices.
var Columns = []string{"number", "party", "point", "from", "to", "quantity", "net", "tax", "total"}

// maxRows is how many rows are compared: more do not fit memory.
const maxRows = 2_000_000

// Read reads a file of invoices: a header, commas or semicolons, decimal points. Ids become names by name, as an import makes
// them; dates are midnights in zone. An error names the line.
func Read(r io.Reader, name func(string) string, zone *time.Location) ([]Row, error) {
	c := csv.NewReader(r)
	c.TrimLeadingSpace = true
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("line 1: no header of columns: %w", err)
	}
	if len(head) == 1 && strings.Contains(head[0], ";") {
		c.Comma, c.FieldsPerRecord = ';', 0
		head = strings.Split(head[0], ";")
		c.FieldsPerRecord = len(head)
	}
	for i, name := range head {
		head[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if !slices.Contains(Columns, head[i]) {
			return nil, fmt.Errorf("line 1: column %q is not one of %s", head[i], strings.Join(Columns, ", "))
		}
	}
	if !slices.Contains(head, "number") && !slices.Contains(head, "party") {
		return nil, errors.New("line 1: neither column number nor party: by which of them is an invoice found?")
	}
	var rows []Row
	for {
		cells, err := c.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err == nil && len(rows) == maxRows {
			err = fmt.Errorf("more than %d rows", maxRows)
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		row, err := readRow(head, cells, name, zone)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		row.Line = line
		rows = append(rows, row)
	}
}

func readRow(head, cells []string, nameOf func(string) string, zone *time.Location) (row Row, err error) {
	for i, name := range head {
		text := strings.TrimSpace(cells[i])
		if text == "" {
			continue
		}
		var bad error
		switch name {
		case "number":
			row.Number = text
		case "party":
			row.Party = lamppost.PartyID(nameOf(text))
		case "point":
			row.Point = nameOf(text)
		case "from":
			row.From, bad = instant(text, zone)
		case "to":
			row.To, bad = instant(text, zone)
		case "quantity":
			row.Quantity, bad = parse(text, lamppost.ParseDecimal)
		case "net":
			row.Net, bad = parse(text, lamppost.ParseMicro)
		case "tax":
			row.Tax, bad = parse(text, lamppost.ParseMicro)
		case "total":
			row.Total, bad = parse(text, lamppost.ParseMicro)
		}
		if bad != nil {
			return row, fmt.Errorf("column %s: %w", name, bad)
		}
	}
	if row.Number == "" && row.Party == "" {
		return row, errors.New("neither a number nor a party")
	}
	return row, nil
}

func parse[T any](text string, read func(string) (T, error)) (*T, error) {
	v, err := read(text)
	return &v, err
}

func instant(text string, zone *time.Location) (lamppost.TimeMS, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.ParseInLocation(time.DateOnly, text, zone)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is neither a date like 2026-11-01 nor an instant like 2026-11-01T06:30:00+01:00", text)
	}
	return lamppost.TimeMS(at.UnixMilli()), nil
}

func period(from, to lamppost.TimeMS) string {
	form := func(at lamppost.TimeMS) string { return time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04Z") }
	return form(from) + " to " + form(to)
}
