package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A Fault is one thing that does not hold about a file.
type Fault struct {
	// Path is where it stands in the file, a JSON pointer (RFC 6901) such as "/invoices/0/lines/3/amount". It is empty where
	// it has no place of its own.
	Path string `json:"path"`
	Text string `json:"text"` // what does not hold, without the place
}

// Faults takes an error of [Verify] apart, for whoever shows the file with its faults. If proven is true, the proof itself
// holds: the faults are all places where the file says something else, and the rest is as it says. If not, the one fault is
// the first that was found in the proof, and nothing else was checked.
func Faults(data []byte, err error) (faults []Fault, proven bool) {
	var all differs
	var line *LineError
	switch {
	case err == nil:
		return nil, true
	case errors.As(err, &all):
		for _, d := range all {
			faults = append(faults, Fault{pointer(d.path), d.text()})
		}
		return faults, len(all) < maxFaults
	case errors.As(err, &line):
		if at := placeOf(data, line); at != "" {
			return []Fault{{at, line.Err.Error()}}, false
		}
	}
	return []Fault{{Text: err.Error()}}, false
}

// differs is the error of a file that says something else than its proof.
type differs []placed

// A placed is what one difference means.
type placed struct {
	difference
	err error
}

// Error tells the first difference, and that there are more.
func (d differs) Error() string {
	switch n := len(d) - 1; n {
	case 0:
		return d[0].err.Error()
	case 1:
		return d[0].err.Error() + "; one more place differs"
	default:
		return fmt.Sprintf("%v; %d more places differ", d[0].err, n)
	}
}

// Unwrap returns the first, so that a [*LineError] can be found below.
func (d differs) Unwrap() error { return d[0].err }

// text is the difference without its place, which whoever shows it shows already.
func (p placed) text() string {
	var line *LineError
	if errors.As(p.err, &line) {
		return line.Err.Error()
	}
	return p.difference.String()
}

// pointer writes a path as RFC 6901 §3 does.
func pointer(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}

// placeOf finds the invoice and line of a fault in the file; empty where the file does not have them.
func placeOf(data []byte, line *LineError) string {
	var file struct {
		Invoices []struct {
			Number string `json:"number"`
			Lines  []struct {
				N uint32 `json:"n"`
			} `json:"lines"`
		} `json:"invoices"`
	}
	if json.Unmarshal(data, &file) != nil {
		return ""
	}
	for i, inv := range file.Invoices {
		if inv.Number != line.Invoice {
			continue
		}
		for j, l := range inv.Lines {
			if l.N == line.Line {
				return fmt.Sprintf("/invoices/%d/lines/%d", i, j)
			}
		}
		return fmt.Sprintf("/invoices/%d", i)
	}
	return ""
}
