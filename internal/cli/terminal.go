package cli

import "os"

// isTerminal reports whether something is a screen that somebody looks at, or a keyboard.
func isTerminal(device any) bool {
	f, ok := device.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too
	return err == nil && !os.SameFile(info, null)
}
