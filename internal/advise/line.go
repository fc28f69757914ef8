package advise

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// atLine puts before an error that begins with a field's path where that stands in a fleet's file: the field's line, or that of what
// it is left out of.
func atLine(text []byte, f *Fleet, err error) error {
	field, _, _ := strings.Cut(err.Error(), ":")
	for i := range f.Classes {
		field = replacePrefix(field, "classes."+f.Classes[i].Name+".", fmt.Sprintf("classes[%d].", i))
	}
	for i := range f.Organisations {
		field = replacePrefix(field, "organisations."+f.Organisations[i].Name+".", fmt.Sprintf("organisations[%d].", i))
	}
	for field != "" {
		if line := lineOf(text, "$."+field); line > 0 {
			return fmt.Errorf("line %d: %w", line, err)
		}
		field = field[:max(0, strings.LastIndexByte(field, '.'))]
	}
	return err
}

func replacePrefix(s, prefix, with string) string {
	if rest, ok := strings.CutPrefix(s, prefix); ok {
		return with + rest
	}
	return s
}

// lineOf is the line where a path of a YAML file stands, from 1; 0: nowhere, or the library panics there.
func lineOf(text []byte, path string) (line int) {
	defer func() {
		if recover() != nil {
			line = 0
		}
	}()
	p, err := yaml.PathString(path)
	if err != nil {
		return 0
	}
	node, err := p.ReadNode(bytes.NewReader(text))
	if err != nil || node == nil || node.GetToken() == nil {
		return 0
	}
	return node.GetToken().Position.Line
}
