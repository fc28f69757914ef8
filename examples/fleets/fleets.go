//go:build !small

// Package fleets brings along the fleets of this folder, for programs that offer them to begin with. What stands in one is said in docs/advise.md.
package fleets

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

// Names are the fleets' files, in the order of their names.
func Names() (names []string) {
	all, _ := fs.Glob(files, "*.yaml")
	for _, name := range all {
		if name != expected {
			names = append(names, name)
		}
	}
	return names
}

const expected = "expected.yaml" // what tests hold the answers to

// File is the text of one of them.
func File(name string) ([]byte, error) { return files.ReadFile(name) }
