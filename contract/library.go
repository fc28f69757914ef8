package contract

import (
	"embed"
	"strings"
)

// The library: programs to start from. docs/contracts.md says what each is for.
//
//go:embed library/*.star
var library embed.FS

// Library returns the source of a program of the library, and whether there is one of that name.
func Library(name string) (source string, ok bool) {
	raw, err := library.ReadFile("library/" + name + ".star")
	return string(raw), err == nil
}

// LibraryNames lists the programs of the library.
func LibraryNames() (names []string) {
	files, err := library.ReadDir("library")
	if err != nil {
		panic("contract: the library is not in the program: " + err.Error())
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".star"))
	}
	return names
}
