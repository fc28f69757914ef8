package cli

// An ExitError ends the program with a code of its own. Its error may be nil where everything was said already.
type ExitError struct {
	Code int
	Err  error
}

// Exit codes that mean the same for every verb; verbs name their own above these.
const (
	ExitFailed = 1 // what was asked for did not work, or does not hold
	ExitUsage  = 2 // it was asked for wrongly, or a file cannot be read
)

// Error returns the words of the error, if there is one.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap returns the error inside.
func (e *ExitError) Unwrap() error { return e.Err }
