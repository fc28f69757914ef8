package explore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// PlainYAML says in one line what the YAML library found wrong: where, what stands there and what should, without words of the program's insides and
// without the file, whose lines may be long.
func PlainYAML(err error) error {
	var wrong yaml.Error
	if !errors.As(err, &wrong) || wrong.GetToken() == nil || wrong.GetToken().Position == nil {
		first, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return errors.New(first)
	}
	at, said := wrong.GetToken(), wrong.GetMessage()
	stands := clipped(at.Value)
	var kind *yaml.TypeError
	var large *yaml.OverflowError
	switch {
	case errors.As(err, &large):
		said = fmt.Sprintf("%s is beyond any number that can stand there", stands)
	case errors.As(err, &kind):
		said = fmt.Sprintf("%q is not %s, which should stand there", stands, kindOf(kind.DstType.String()))
	case strings.Contains(said, "was used where mapping is expected"):
		said = fmt.Sprintf("%q stands where fields should, such as name: value", stands)
	}
	return fmt.Errorf("line %d: %s", at.Position.Line, clippedTo(said, 200))
}

func kindOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "a text"
	}
	return "a group of fields"
}

func clipped(s string) string { return clippedTo(s, 40) }

func clippedTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
