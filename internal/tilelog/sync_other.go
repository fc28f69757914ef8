//go:build !linux

package tilelog

import (
	"errors"
	"os"
)

func syncFS(*os.File) error { return errors.ErrUnsupported }
