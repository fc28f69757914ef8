// Command bench measures, on this machine, what others use for the same work as Lamppost. It is a module of its own, so
// that Lamppost depends on none of them. method.md says how and what is compared with what; results has recorded runs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"k8s.io/klog/v2"

	"github.com/lamppost/lamppost/bench/cluster"
	"github.com/lamppost/lamppost/bench/log"
)

const usage = `usage: go -C bench run . mlav [--json] [--for 2s]
       go -C bench run . log  [--json] [--dir DIR] [--leaves 3000000] [--rounds 3]
       go -C bench run . cft  [--json] [--dir DIR] [--for 10s] [--rounds 3]
       go -C bench run . bft  [--json] [--dir DIR] [--for 10s] [--rounds 3]

  mlav   identity-based batch signatures on BLS12-381, one core; compare with "lamppost bench verify"
  log    durable, integrated, provable leaves a second: Lamppost's log and Tessera's on a POSIX file system
  cft    signed readings a second: 3 members under raft, and etcd
  bft    signed readings a second: 4 members under comet, all of which verify all, and CometBFT's kvstore

See bench/method.md.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{"mlav": runMLAV, "log": runLog,
		"cft": func(ctx context.Context, args []string, out io.Writer) error {
			return runCluster(ctx, "cft", cluster.Etcd(), cluster.Load{Engine: "raft", Members: 3}, args, out)
		},
		"bft": func(ctx context.Context, args []string, out io.Writer) error {
			return runCluster(ctx, "bft", cluster.Comet(), cluster.Load{Engine: "comet", Members: 4}, args, out)
		},
	}
	if len(args) == 2 { // a member of a peer, started by this very program
		switch args[0] {
		case cluster.EtcdCommand:
			return cluster.EtcdMember(args[1])
		case cluster.CometCommand:
			return cluster.CometMember(args[1])
		}
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return flag.ErrHelp
	}
	return commands[args[0]](ctx, args[1:], out)
}

// newFlags returns the flags that every command has.
func newFlags(name string) (*flag.FlagSet, *bool) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	return flags, flags.Bool("json", false, "print JSON")
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp // it was said already
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q", flags.Arg(0))
	}
	return nil
}

func runMLAV(_ context.Context, args []string, out io.Writer) error {
	flags, asJSON := newFlags("mlav")
	atLeast := flags.Duration("for", 2*time.Second, "how long to repeat each row")
	if err := parse(flags, args); err != nil {
		return err
	}
	res, err := measureMLAV(*atLeast, []int{1, 10, 100, 1000})
	if err != nil {
		return err
	}
	return res.print(out, *asJSON)
}

func runLog(ctx context.Context, args []string, out io.Writer) error {
	flags, asJSON := newFlags("log")
	parent := flags.String("dir", "", "an existing folder on the disk to measure; default the system's for temporary files")
	load := log.Load{LeafBytes: 100, Window: 1 << 16}
	flags.IntVar(&load.Leaves, "leaves", 3_000_000, "leaves in a run")
	rounds := flags.Int("rounds", 3, "runs of each")
	if err := parse(flags, args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*parent, "bench-log")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	klog.LogToStderr(false) // Tessera's
	klog.SetOutput(io.Discard)
	c, err := log.Compare(ctx, dir, load, *rounds)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(out, c)
	}
	_, err = fmt.Fprintf(out, "Lamppost %.0f leaves/s %.0f\nTessera  %.0f leaves/s %.0f (%s)\nratio    %.2f\n",
		c.Lamppost, c.LamppostRuns, c.Peer, c.PeerRuns, c.PeerSetting, c.Ratio)
	return err
}

func runCluster(ctx context.Context, name string, peer cluster.Peer, load cluster.Load, args []string, out io.Writer) error {
	flags, asJSON := newFlags(name)
	parent := flags.String("dir", "", "an existing folder on the disk to measure; default the system's for temporary files")
	flags.DurationVar(&load.For, "for", 10*time.Second, "how long a run sends")
	flags.IntVar(&load.Rounds, "rounds", 3, "runs of each")
	if err := parse(flags, args); err != nil {
		return err
	}
	load.Readings, load.ValueBytes = 10, 200
	dir, err := os.MkdirTemp(*parent, "bench-"+name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := cluster.Compare(ctx, dir, peer, load, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format, args...) })
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(out, c)
	}
	_, err = fmt.Fprintf(out, "Lamppost %.0f readings/s %.0f\n%s %.0f/s %.0f (%s)\nratio %.1f (%.1f to %.1f)\n%s with whole segments as values: %.0f readings/s, ratio %.2f\n",
		c.Lamppost, c.LamppostRuns, c.PeerName, c.Peer, c.PeerRuns, c.PeerSetting, c.Ratio, c.Ratios.Lowest, c.Ratios.Highest, c.PeerName, c.PeerBatched, c.RatioBatched)
	return err
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
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
		return printJSON(out, r)
	}
	fmt.Fprintf(out, "%-20s %-7s %6s %6s %12s %10s\n", "suite", "mode", "n", "keys", "µs/signature", "bytes/sig")
	for _, x := range r.Rows {
		if _, err := fmt.Fprintf(out, "%-20s %-7s %6d %6d %12.1f %10.0f\n", x.Suite, x.Mode, x.N, x.Keys, x.USPerSig, x.BytesPerSig); err != nil {
			return err
		}
	}
	return nil
}
