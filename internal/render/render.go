// Package render is what a customer sees of a bill: a checked statement as HTML, PDF, CSV, and EN 16931 in UBL 2.1, in the
// reader's language and formats.
//
// It promises that all formats show the same numbers, because each is written from one [Page]; that a statement with the
// same options gives the same bytes; that HTML and PDF ask no server for anything; and that identifiers which no customer
// knows stand only in the part that says how to check the bill. It proves nothing: what it writes are copies for people,
// and only the statement's file holds against a pin. Nothing that is hashed depends on it.
//
// Start reading at [Page] (what is shown), then [NewPage] (from a statement to it), sheet.go (from numbers to words) and
// html.go, pdf.go, csv.go, ubl.go. The languages are files in lang; docs/statements.md describes the formats.
package render

import (
	"archive/zip"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost/audit"
)

// Formats are the names of the formats.
var Formats = []string{"html", "pdf", "csv", "xml"}

// An InputError is the caller's mistake: a language, format or invoice that there is not, or a bill that a format cannot hold.
type InputError struct{ text string }

// Error says what there is instead.
func (e *InputError) Error() string { return e.text }

// A Document is a rendered statement.
type Document struct {
	Name string // a file name without directories
	Type string // of its content, for HTTP
	Data []byte
}

// Check refuses a format or language that there is not, before anybody makes a statement for it.
func Check(format, lang string) error {
	if !slices.Contains(Formats, format) {
		return &InputError{fmt.Sprintf("format %q: there are %s", format, strings.Join(Formats, ", "))}
	}
	_, err := newLocale(lang)
	return err
}

// Render writes a statement in a format. XML has one document per invoice: of several it makes an archive. Errors of the
// caller are [*InputError]s.
func Render(st *audit.Statement, format string, o Options) (*Document, error) {
	p, err := NewPage(st, o)
	if err != nil {
		return nil, err
	}
	return p.Render(format, o.Lang)
}

// Render writes a page in a format and a language; an empty one is the party's, or English.
func (p *Page) Render(format, lang string) (*Document, error) {
	lang = orElse(lang, p.Party.Lang)
	if err := Check(format, lang); err != nil {
		return nil, err
	}
	l, err := newLocale(lang)
	if err != nil {
		return nil, err
	}
	d := &Document{Name: p.name() + "." + format}
	switch format {
	case "html":
		d.Type = "text/html; charset=utf-8"
		d.Data, err = writeHTML(newSheet(p, l))
	case "pdf":
		d.Type = "application/pdf"
		d.Data, err = writePDF(newSheet(p, l))
	case "csv":
		d.Type = "text/csv; charset=utf-8; header=present"
		d.Data, err = writeCSV(p)
	default:
		d.Type = "application/xml"
		err = d.xml(p, l)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// name is what a file is called without its ending: after the invoice where there is one, after the party elsewhere.
func (p *Page) name() string {
	if len(p.Invoices) == 1 {
		return "invoice-" + fileName(p.Invoices[0].Number)
	}
	return "statement-" + fileName(p.Party.ID)
}

// fileName keeps of a text what any file system takes.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, s)
}

// xml writes the one document, or an archive of all.
func (d *Document) xml(p *Page, l *locale) error {
	if len(p.Invoices) == 0 {
		return &InputError{fmt.Sprintf("the statement of %q has no invoice, and payments of contracts are on none: choose another format", p.Party.ID)}
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range p.Invoices {
		v := &p.Invoices[i]
		text, err := writeUBL(p, v, l)
		if err != nil {
			return err
		}
		if len(p.Invoices) == 1 {
			d.Data = text
			return nil
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: "invoice-" + fileName(v.Number) + ".xml", Method: zip.Deflate, Modified: time.UnixMilli(int64(v.Issued)).UTC()})
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			return fmt.Errorf("packing invoice %s: %w", v.Number, err)
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	d.Name, d.Type, d.Data = strings.TrimSuffix(d.Name, ".xml")+".zip", "application/zip", b.Bytes()
	return nil
}
