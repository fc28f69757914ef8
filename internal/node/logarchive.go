package node

import (
	"os"
	"strings"

	"github.com/lamppost/lamppost/internal/tilelog"
)

// LogArchive is where tiles of a log are that were moved away: a folder or an address. Nothing read there is believed before it
// leads to the root. It is nil for none.
func LogArchive(at string) tilelog.Source {
	switch {
	case at == "":
		return nil
	case strings.HasPrefix(at, "http://"), strings.HasPrefix(at, "https://"):
		return tilelog.Web{URL: at}
	}
	return tilelog.FS{FS: os.DirFS(at)}
}
