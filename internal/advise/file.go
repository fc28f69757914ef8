package advise

import (
	"fmt"

	"github.com/goccy/go-yaml"

	begin "github.com/lamppost/lamppost/examples/fleets"
)

// A FleetFile is a fleet that was read, and as it is written.
type FleetFile struct {
	Name  string `json:"name"` // of the file, such as lamps.yaml: of an example as it is there, else made of the fleet's name
	Fleet *Fleet `json:"fleet"`
	File  string `json:"file"` // its text: of an example with its comments, else all that the fleet says
}

// ReadFile reads a fleet's file, in YAML or JSON, as `lamppost advise --fleet` does, and writes all that it says and leaves out.
func ReadFile(text []byte) (*FleetFile, error) {
	f, err := ParseFleet(text)
	if err != nil {
		return nil, err
	}
	return f.file()
}

// A FleetFileList are files to begin with.
type FleetFileList struct {
	Fleets []FleetFile `json:"fleets"` // by name
}

// Examples are the fleets of examples/fleets.
func Examples() (*FleetFileList, error) {
	list := new(FleetFileList)
	for _, name := range begin.Names() {
		text, err := begin.File(name)
		if err != nil {
			return nil, err
		}
		f, err := ReadFile(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		f.Name, f.File = name, string(text) // with the reasons in it
		list.Fleets = append(list.Fleets, *f)
	}
	return list, nil
}

func (f *Fleet) file() (*FleetFile, error) {
	w := *f
	w.Classes, w.Organisations = append([]Class{}, f.Classes...), append([]Organisation{}, f.Organisations...)
	for i := range w.Organisations { // a list that is left out is an empty one
		w.Organisations[i].Trusts = append([]string{}, w.Organisations[i].Trusts...)
	}
	w.Needs.StayIn = append([]string{}, w.Needs.StayIn...)
	b, err := yaml.Marshal(&w)
	if err != nil {
		return nil, err
	}
	return &FleetFile{Name: fileName(w.Name), Fleet: &w, File: "# For lamppost advise --fleet; docs/advise.md says what may stand here.\n" + string(b)}, nil
}

// fileName is a fleet's name in letters and digits that every system takes.
func fileName(name string) string {
	var b []byte
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b = append(b, byte(r))
		case r >= 'A' && r <= 'Z':
			b = append(b, byte(r-'A'+'a'))
		case r != '\'' && len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	for len(b) > 0 && b[len(b)-1] == '-' {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return "fleet.yaml"
	}
	return string(b) + ".yaml"
}
