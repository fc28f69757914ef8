// Command bench measures, on this machine, what others use for the same work as Lamppost. It is a module of its own, so
// that Lamppost depends on none of them. method.md says how and what is compared with what; results has recorded runs.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

const usage = `usage: go -C bench run . mlav [--json] [--for 2s]

  mlav   identity-based batch signatures on BLS12-381, one core

Compare with "lamppost bench verify"; see bench/method.md.
`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(2)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 0 || args[0] != "mlav" {
		fmt.Fprint(os.Stderr, usage)
		return flag.ErrHelp
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	asJSON := flags.Bool("json", false, "print JSON")
	atLeast := flags.Duration("for", 2*time.Second, "how long to repeat each row")
	if err := flags.Parse(args[1:]); err != nil {
		return flag.ErrHelp // it was said already
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q", flags.Arg(0))
	}
	res, err := measureMLAV(*atLeast, []int{1, 10, 100, 1000})
	if err != nil {
		return err
	}
	return res.print(out, *asJSON)
}

// A result has the shape of "lamppost bench verify".
type result struct {
	Rows         []row `json:"rows"`
	MessageBytes int   `json:"message_bytes"`
	Cores        int   `json:"cores"`
}

// A row is the cost of checking signatures in one way.
type row struct {
	Suite string `json:"suite"`
	Mode  string `json:"mode"` // "single": one by one; "batch"
	N     int    `json:"n"`    // signatures checked
	Keys  int    `json:"keys"` // different signers

	USPerSig    float64 `json:"us_per_sig"`    // microseconds of CPU time, of the best repetition
	BytesPerSig float64 `json:"bytes_per_sig"` // what is stored of a signature
}

func (r *result) print(out io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	fmt.Fprintf(out, "%-20s %-7s %6s %6s %12s %10s\n", "suite", "mode", "n", "keys", "µs/signature", "bytes/sig")
	for _, x := range r.Rows {
		if _, err := fmt.Fprintf(out, "%-20s %-7s %6d %6d %12.1f %10.0f\n", x.Suite, x.Mode, x.N, x.Keys, x.USPerSig, x.BytesPerSig); err != nil {
			return err
		}
	}
	return nil
}
