package cli

import (
	"io"
	"os"
)

// isTerminal reports whether out is a screen somebody looks at.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
