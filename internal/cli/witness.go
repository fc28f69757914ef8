package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/witness"
)

func witnessCmd() *cobra.Command {
	var cfg witness.ServerConfig
	cmd := &cobra.Command{
		Use:   "witness --data DIR",
		Short: "Cosign other logs' checkpoints, so that nobody can be shown two histories",
		Long: `Run a witness: it follows logs that others keep and signs each of their checkpoints if it continues the one before
(C2SP tlog-witness). Whoever puts the witness's key into a pin accepts only what it has cosigned.

The first start makes its key, in the folder, and prints it. Never restore the folder from a backup: a witness that
forgets could cosign another history; start a new one instead. What to do where a log signed two histories stands in
docs/witness.md.`,
		Example: `  lamppost witness --data ./witness
  lamppost witness add network.pin --data ./witness
  lamppost witness status --data ./witness`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			return runWitness(cmd, cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Data, "data", "", "folder for the witness's key and what it cosigned; made if it is not there")
	f.StringVar(&cfg.Name, "name", "", "name of the key, at the first start, such as witness.example (default: one is made up)")
	f.StringVar(&cfg.HTTP, "http", "", "address to listen on (default "+witness.DefaultHTTP+")")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "certificate, PEM")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "its key, PEM")
	cmd.AddCommand(witnessAddCmd(), witnessRemoveCmd(), witnessStatusCmd())
	return cmd
}

func runWitness(cmd *cobra.Command, cfg witness.ServerConfig) error {
	if cfg.Data == "" {
		return usage(errors.New("a witness needs a folder for its key and what it cosigned: say --data DIR"))
	}
	s, err := witness.Open(cfg)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Witness %s is served from %s.\n", s.Key().Name(), cfg.Data)
	fmt.Fprintf(out, "Page and submissions: %s\n", s.URL())
	fmt.Fprintf(out, "Its key, for pins and nodes (kept in %s): %s\n", filepath.Join(cfg.Data, witness.KeyFile), s.Key())
	fmt.Fprintf(out, "Logs ask it with: lamppost serve --witness '%s %s'\n", s.Key(), s.URL())
	if n := len(s.Status().Logs); n == 0 {
		fmt.Fprintf(out, "Next: lamppost witness add network.pin --data %s. Ctrl-C ends cleanly.\n", cfg.Data)
	} else {
		fmt.Fprintf(out, "It follows %d logs: lamppost witness status --data %s. Ctrl-C ends cleanly.\n", n, cfg.Data)
	}
	return s.Run(cmd.Context())
}

// witnessFlags are how the verbs find a witness: one that runs by what it left in its folder, or by LAMPPOST_URL and
// LAMPPOST_TOKEN; one that does not run by its folder alone.
type witnessFlags struct {
	data string
	json bool
}

func (f *witnessFlags) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&f.data, "data", "", "the witness's data folder (default: LAMPPOST_URL and LAMPPOST_TOKEN of one that runs)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// A witnessDoor is a witness to talk to.
type witnessDoor interface {
	add([]witness.Log) (*witness.Status, error)
	remove(origin string) (*witness.Status, error)
	status() (*witness.Status, error)
	close()
}

func (f *witnessFlags) open(cmd *cobra.Command) (witnessDoor, error) {
	n := &remote{ctx: cmd.Context(), url: strings.TrimRight(os.Getenv("LAMPPOST_URL"), "/"), token: os.Getenv("LAMPPOST_TOKEN"),
		client: &http.Client{Timeout: askTimeout}}
	if f.data == "" {
		if n.url == "" {
			return nil, usage(errors.New("which witness? Give --data DIR with its folder, or set LAMPPOST_URL"))
		}
		return witnessRemote{n}, nil
	}
	if _, err := os.Stat(filepath.Join(f.data, "db")); err != nil {
		return nil, usage(fmt.Errorf("%q is not the data folder of a witness: lamppost witness --data %s makes one", f.data, f.data))
	}
	left, err := os.ReadFile(filepath.Join(f.data, witness.URLFile))
	if n.url = strings.TrimSpace(string(left)); err == nil && answers(n.url) {
		token, err := os.ReadFile(filepath.Join(f.data, witness.TokenFile))
		n.token = strings.TrimSpace(string(token))
		return witnessRemote{n}, err
	}
	s, err := witness.OpenFolder(witness.ServerConfig{Data: f.data})
	if err != nil {
		return nil, err
	}
	return witnessLocal{s}, nil
}

// answers reports whether somebody listens there.
func answers(at string) bool {
	u, err := url.Parse(at)
	if err != nil {
		return false
	}
	c, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// witnessRemote is a witness that runs.
type witnessRemote struct{ n *remote }

func (r witnessRemote) ask(method, path string, body any) (*witness.Status, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	raw, err := r.n.ask(method, path, text)
	if err != nil {
		return nil, err
	}
	s := new(witness.Status)
	return s, r.n.read(raw, s)
}

func (r witnessRemote) add(logs []witness.Log) (*witness.Status, error) {
	return r.ask(http.MethodPost, "/api/logs", witness.Addition{Logs: logs})
}

func (r witnessRemote) remove(origin string) (*witness.Status, error) {
	return r.ask(http.MethodPost, "/api/logs/remove", witness.Removal{Origin: origin})
}

func (r witnessRemote) status() (*witness.Status, error) {
	return r.ask(http.MethodGet, "/api/status", nil)
}

func (witnessRemote) close() {}

// witnessLocal is a witness that does not run.
type witnessLocal struct{ s *witness.Server }

func (l witnessLocal) add(logs []witness.Log) (*witness.Status, error) {
	for _, log := range logs {
		if err := l.s.Add(log); err != nil {
			return nil, err
		}
	}
	return l.status()
}

func (l witnessLocal) remove(origin string) (*witness.Status, error) {
	if err := l.s.Remove(origin); err != nil {
		return nil, err
	}
	return l.status()
}

func (l witnessLocal) status() (*witness.Status, error) {
	s := l.s.Status()
	return &s, nil
}

func (l witnessLocal) close() { l.s.Close() }

func witnessAddCmd() *cobra.Command {
	f := &witnessFlags{}
	var origin, at string
	cmd := &cobra.Command{
		Use:   "add FILE|VKEY",
		Short: "Follow a log, or the logs of all members of a network",
		Long: `Follow a log: name the network's pin, whose members' logs are then all followed, or the log's verifier key, or a file
with a line "log VKEY [URL]" for each (C2SP tlog-policy). Adding a log again adds a key to it, so that it can change its
key, and goes on from what was cosigned.

With --url the witness looks at the log's own files where somebody showed it a checkpoint with a proof that does not
fit, and finds out whether the log signed two histories. A node serves its files at /log.`,
		Example: `  lamppost witness add network.pin --url https://node.example:8443/log --data ./witness
  lamppost witness add 'example.com/log+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx' --data ./witness`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			logs, err := logsOf(args[0], origin, at)
			if err != nil {
				return usage(err)
			}
			return f.run(cmd, func(w witnessDoor) (*witness.Status, error) { return w.add(logs) }, func(out io.Writer, _ *witness.Status) {
				for _, l := range logs {
					fmt.Fprintf(out, "Log %s is followed.\n", printable(l.Origin))
				}
			})
		},
	}
	cmd.Flags().StringVar(&origin, "origin", "", "the log's origin, if it is not the name of its key")
	cmd.Flags().StringVar(&at, "url", "", "where the log's files are (C2SP tlog-tiles)")
	return f.add(cmd)
}

// logsOf reads what to follow.
func logsOf(arg, origin, at string) ([]witness.Log, error) {
	logs, err := readLogs(arg)
	if err != nil {
		return nil, err
	}
	if len(logs) > 1 && (origin != "" || at != "") {
		return nil, fmt.Errorf("%q names %d logs: --origin and --url are one log's, so add each by its key", arg, len(logs))
	}
	if origin != "" {
		logs[0].Origin = origin
	}
	if at != "" {
		logs[0].URL = at
	}
	return logs, nil
}

func readLogs(arg string) ([]witness.Log, error) {
	text, err := readLimited(arg, audit.MaxPinBytes)
	if err != nil {
		l, err := witness.ParseKey(arg)
		if err != nil {
			return nil, fmt.Errorf("%q is neither a network's pin, which is a file, nor a log's verifier key", arg)
		}
		return []witness.Log{l}, nil
	}
	if logs, err := policyLogs(string(text)); err == nil && len(logs) > 0 {
		return logs, nil
	}
	pin, err := audit.ParsePin(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", arg, err)
	}
	var logs []witness.Log
	for _, m := range pin.Members {
		l, err := witness.ParseKey(audit.VerifierKey(pin.Network, m))
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
	}
	return logs, nil
}

// policyLogs reads the log lines of a C2SP tlog-policy file; the others are for readers of logs.
func policyLogs(text string) (logs []witness.Log, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || len(fields) > 3 || fields[0] != "log" {
			continue
		}
		l, err := witness.ParseKey(fields[1])
		if err != nil {
			return nil, err
		}
		if len(fields) == 3 {
			l.URL = fields[2]
		}
		logs = append(logs, l)
	}
	return logs, nil
}

func witnessRemoveCmd() *cobra.Command {
	f := &witnessFlags{}
	return f.add(&cobra.Command{
		Use:     "remove ORIGIN",
		Short:   "Stop following a log; what was cosigned is not forgotten",
		Example: `  lamppost witness remove lantern/node1 --data ./witness`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(w witnessDoor) (*witness.Status, error) { return w.remove(args[0]) }, func(out io.Writer, _ *witness.Status) {
				fmt.Fprintf(out, "Log %s is not followed any more.\n", printable(args[0]))
			})
		},
	})
}

func witnessStatusCmd() *cobra.Command {
	f := &witnessFlags{}
	return f.add(&cobra.Command{
		Use:   "status",
		Short: "Say what a witness has cosigned and refused, and whether a log signed two histories",
		Long: `Say what a witness has cosigned and refused, and whether a log signed two histories.

Exit status: 0 there is one history of each log as far as is known; 1 there is proof that a log signed two.`,
		Example: "  lamppost witness status --data ./witness",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			forked := 0
			err := f.run(cmd, func(w witnessDoor) (*witness.Status, error) {
				s, err := w.status()
				if err == nil {
					for _, l := range s.Logs {
						if len(l.Forks) > 0 {
							forked++
						}
					}
				}
				return s, err
			}, printWitness)
			if err == nil && forked > 0 {
				return &ExitError{ExitFailed, fmt.Errorf("%d of the logs signed two histories: docs/witness.md says what to do", forked)}
			}
			return err
		},
	})
}

// run does something at a witness and says what came of it.
func (f *witnessFlags) run(cmd *cobra.Command, do func(witnessDoor) (*witness.Status, error), inWords func(io.Writer, *witness.Status)) error {
	w, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer w.close()
	s, err := do(w)
	if err != nil {
		return err
	}
	if f.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	}
	inWords(cmd.OutOrStdout(), s)
	return nil
}

func printWitness(w io.Writer, s *witness.Status) {
	fmt.Fprintf(w, "Witness %s, key %s\n", printable(s.Name), s.Key)
	if s.Failed != "" {
		fmt.Fprintf(w, "STOPPED: %s\n", printable(s.Failed))
	}
	t := table{head: []string{"LOG", ">ENTRIES", "ROOT", "COSIGNED", ">REFUSED", "LAST REFUSAL"}}
	for _, l := range s.Logs {
		refused, last, root := uint64(0), "", ""
		for _, n := range l.Refused {
			refused += n
		}
		if l.LastText != "" {
			last = since(l.LastAt, s.Now) + ": " + l.LastText
		}
		if l.Checkpoint != "" {
			root = l.Root[:16] + "…"
		}
		t.add(l.Origin, fmt.Sprint(l.Size), root, since(l.At, s.Now), fmt.Sprint(refused), last)
	}
	t.print(w, "It follows no log yet: lamppost witness add network.pin")
	for i := range s.Logs {
		printForks(w, &s.Logs[i])
	}
}

// printForks prints both notes of each pair, which is all that others need to check it.
func printForks(w io.Writer, l *witness.LogStatus) {
	print := func(head string, f *witness.ForkStatus) {
		fmt.Fprintf(w, "\n%s%s. Found %s.\n", head, printable(f.Words), when(f.Found))
		for _, note := range []string{f.Smaller, f.Larger} {
			fmt.Fprintf(w, "\n%s", indented(note))
		}
		if f.Begin != "" {
			fmt.Fprintf(w, "\n    proof from root %s: %s\n", f.Begin, strings.Join(f.Proof, " "))
		}
	}
	for i := range l.Forks {
		print("TWO HISTORIES: ", &l.Forks[i])
	}
	for i := range l.Unresolved {
		print("", &l.Unresolved[i])
	}
	if l.Dropped > 0 {
		fmt.Fprintf(w, "\n%d more contradictions of %s were seen and not kept.\n", l.Dropped, printable(l.Origin))
	}
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + printable(line))
	}
	return b.String()
}
