package render_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var screens = flag.String("screens", "", "write the documents of the house into this directory, to be looked at")

// TestScreens writes all formats in two languages, for make screenshots.
func TestScreens(t *testing.T) {
	if *screens == "" {
		t.Skip("no -screens: nobody looks")
	}
	p, orders := newHouse(t).page(), newHouse(t).orders()
	one := must(p.Only("ST-000042"))(t)
	for _, lang := range []string{"de", "fr-CH", "en"} {
		for _, format := range []string{"html", "pdf", "csv", "xml"} {
			d := must(p.Render(format, lang))(t)
			must(0, os.WriteFile(filepath.Join(*screens, lang+"-"+d.Name), d.Data, 0o644))(t)
			d = must(orders.Render(format, lang))(t)
			must(0, os.WriteFile(filepath.Join(*screens, lang+"-orders-"+d.Name), d.Data, 0o644))(t)
			d = must(one.Render(format, lang))(t)
			must(0, os.WriteFile(filepath.Join(*screens, lang+"-"+d.Name), d.Data, 0o644))(t)
		}
	}
}
