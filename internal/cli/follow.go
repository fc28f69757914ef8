package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// followEvery is how often a log is looked at where nothing else is said.
const followEvery = time.Minute

func followCmd() *cobra.Command {
	var f follow
	cmd := &cobra.Command{
		Use:   "follow URL|DIR --pin FILE [--state FILE] [--once|--every DURATION] [--json]",
		Short: "Remember a log's latest checkpoint, and refuse any other history",
		Long: `Follow a network's log, from anywhere, with a few hundred bytes: remember its latest checkpoint, and accept the next
one only if it is signed and cosigned as the pin asks and the log's own files prove that it continues the one before
(C2SP tlog-tiles).

Where the pin asks for several members, the checkpoint that so many have signed is read, which each of them publishes.

URL is a node's address or that of a log's files anywhere; DIR a node's data folder or a folder with a log's files. What
is remembered stands in the state file; lamppost verify --state FILE holds files against it. A log that was rolled back
is refused. One that has two histories is refused, and both checkpoints with the proof are kept beside the state:
everybody with the pin can check that file with lamppost verify.

Exit status: 0 the log continues; 1 it does not, or its checkpoint does not hold under the pin; 2 wrong usage, or the
log cannot be read (without --once it is tried again).`,
		Example: `  lamppost follow https://node.example --pin network.pin
  lamppost follow /mirror/log --pin network.pin --once --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || f.pinPath == "" {
				return usage(errors.New("follow: name a log and a pin, as in: lamppost follow https://node.example --pin network.pin"))
			}
			if f.once && cmd.Flags().Changed("every") {
				return usage(errors.New("follow: --once and --every contradict each other"))
			}
			if f.every < time.Second {
				return usage(fmt.Errorf("follow: --every %s is too often: a second is the least", f.every))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.at, f.out, f.errs = args[0], cmd.OutOrStdout(), cmd.ErrOrStderr()
			return f.run(cmd.Context())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(fmt.Errorf("follow: %w", err)) })
	cmd.Flags().StringVar(&f.pinPath, "pin", "", "the network's pin: whose signatures count")
	cmd.Flags().StringVar(&f.state.path, "state", "", "what is remembered (default: beside the pin, network.head)")
	cmd.Flags().BoolVar(&f.once, "once", false, "look once")
	cmd.Flags().DurationVar(&f.every, "every", followEvery, "how often to look")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object for each look")
	return cmd
}

// A follow is one run of the verb.
type follow struct {
	at, pinPath string
	state       headState
	once, json  bool
	every       time.Duration
	out, errs   io.Writer
}

// A look is what came of one, as --json prints it.
type look struct {
	Log      string              `json:"log"`
	Outcome  string              `json:"outcome"` // first, same, grown, rolled_back, forked, refused, unreadable
	Size     int64               `json:"size"`    // of what is remembered now, as are root and signers
	Root     string              `json:"root,omitempty"`
	Signers  []string            `json:"signers,omitempty"`
	Cosigned []audit.Cosignature `json:"cosigned,omitempty"`
	Before   int64               `json:"before"` // size of what was remembered
	Error    string              `json:"error,omitempty"`
	Evidence string              `json:"evidence,omitempty"` // file with both checkpoints of a fork

	code int
}

func (f *follow) run(ctx context.Context) error {
	pin, err := readPin(f.pinPath)
	if err != nil {
		return usage(err)
	}
	if f.state.path == "" {
		f.state.path = strings.TrimSuffix(f.pinPath, ".pin") + ".head"
	}
	follower, err := f.state.open(pin)
	if err != nil {
		return usage(fmt.Errorf("follow: %w", err))
	}
	log := logFiles{logAt(ctx, f.at)}
	for {
		l := f.look(follower, log)
		if ctx.Err() != nil && l.code == ExitUsage {
			return nil // interrupted
		}
		if err := f.print(l); err != nil {
			return err
		}
		switch {
		case f.once && l.code != 0, l.code == ExitFailed:
			return &ExitError{l.code, fmt.Errorf("follow: %s: %s", f.at, l.Error)}
		case f.once:
			return nil
		}
		select {
		case <-time.After(f.every):
		case <-ctx.Done():
			return nil
		}
	}
}

// look looks once and writes down what is remembered, or what proves a fork.
func (f *follow) look(follower *audit.Follower, log audit.Log) *look {
	l := &look{Log: f.at, Outcome: "same"}
	first := follower.Head == nil
	if !first {
		l.Before = follower.Head.Size
	}
	grown, err := follower.Look(log)
	switch {
	case err != nil:
		f.failed(l, err)
	case first:
		l.Outcome = "first"
	case grown:
		l.Outcome = "grown"
	}
	if h := follower.Head; h != nil {
		l.Size, l.Root, l.Signers, l.Cosigned = h.Size, h.Root.String(), h.Signers, h.Cosigned
		if err == nil {
			if err := f.state.write(h, f.at); err != nil {
				l.Outcome, l.code, l.Error = "unreadable", ExitUsage, "what is remembered could not be written: "+err.Error()
			}
		}
	}
	return l
}

func (f *follow) failed(l *look, err error) {
	l.Error, l.code = err.Error(), ExitFailed
	var fork *audit.Fork
	var back *audit.RollbackError
	switch {
	case errors.As(err, &fork):
		l.Outcome = "forked"
		var werr error
		if l.Evidence, werr = f.state.keep(fork); werr != nil {
			l.Error += "; and the proof could not be kept: " + werr.Error()
		}
	case errors.As(err, &back):
		l.Outcome = "rolled_back"
	case errors.Is(err, audit.ErrNotBelieved):
		l.Outcome = "refused"
	default:
		l.Outcome, l.code = "unreadable", ExitUsage
	}
}

func (f *follow) print(l *look) error {
	if f.json {
		return json.NewEncoder(f.out).Encode(l)
	}
	switch {
	case l.Evidence != "":
		_, err := io.WriteString(f.out, printable(fmt.Sprintf("Both checkpoints are kept in %s, and prove it to everybody: lamppost verify --pin %s %s\n",
			l.Evidence, f.pinPath, l.Evidence)))
		return err
	case l.code == ExitUsage && !f.once:
		_, err := fmt.Fprintf(f.errs, "lamppost: %s; it is tried again in %s\n", printable(l.Error), f.every)
		return err
	case l.Error != "":
		return nil // said at the end
	}
	text := fmt.Sprintf("%s: %s entries, root %s, signed by %s", f.at, grouped(l.Size), l.Root, strings.Join(l.Signers, ", "))
	switch l.Outcome {
	case "first":
		text += "; remembered from now on"
	case "grown":
		text += fmt.Sprintf("; it continues the %s entries remembered", grouped(l.Before))
	default:
		text += "; nothing new"
	}
	for _, c := range l.Cosigned {
		text += fmt.Sprintf("; cosigned by %s at %s", c.Witness, c.Time)
	}
	_, err := io.WriteString(f.out, printable(text)+"\n")
	return err
}

// A headState is what is remembered of a log, in a file.
type headState struct {
	path string
	log  string // where it was read
	last []byte
}

// open returns a follower with what the file says, or one that remembers nothing where there is none.
func (s *headState) open(pin *audit.Pin) (*audit.Follower, error) {
	f := &audit.Follower{Pin: pin}
	data, err := readLimited(s.path, audit.MaxHeadBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.Head, s.log, err = pin.ParseHead(data)
	}
	if err != nil {
		return nil, fmt.Errorf("what is remembered in %q: %w; if you change the pin, begin with another --state", s.path, err)
	}
	s.last = data
	return f, nil
}

func (s *headState) write(h *audit.Head, log string) error {
	data := h.Encode(log)
	if string(data) == string(s.last) {
		return nil
	}
	err := folder.WriteDurably(s.path, string(data), 0o644)
	if err == nil {
		s.last = data
	}
	return err
}

// keep writes what proves a fork beside the state, under a name that is its own.
func (s *headState) keep(fork *audit.Fork) (path string, err error) {
	data := fork.Encode()
	sum := sha256.Sum256(data)
	path = fmt.Sprintf("%s.fork-%x.json", s.path, sum[:8])
	return path, folder.WriteDurably(path, string(data), 0o644)
}

// logFiles is an audit.Log of a log's files.
type logFiles struct{ tilelog.Source }

// Checkpoints implements audit.Log.
func (l logFiles) Checkpoints(members int, cosigned bool) ([]string, error) {
	path := tilelog.CheckpointPath
	switch {
	case members > 1:
		path = tilelog.AgreedPath
	case cosigned:
		path = tilelog.CosignedPath
	}
	data, err := l.Get(path)
	if err != nil || members == 1 {
		return []string{string(data)}, err
	}
	return lamppost.SplitNotes(string(data))
}

// Beginning implements audit.Log.
func (l logFiles) Beginning(c lamppost.Checkpoint, n int64) (lamppost.Hash, tlog.TreeProof, error) {
	t := tilelog.NewTree(l, c.Size, tlog.Hash(c.Root))
	root, err := t.RootAt(n)
	if err != nil {
		return lamppost.Hash{}, nil, err
	}
	proof, err := t.ProveConsistency(n)
	return lamppost.Hash(root), proof, err
}

// logAt finds a log's files at a node's address or in its folder, or at or in one of their own.
func logAt(ctx context.Context, at string) tilelog.Source {
	if isURL(at) {
		return &webLog{ctx: ctx, at: strings.TrimRight(at, "/")}
	}
	if _, err := os.Stat(filepath.Join(at, folder.Log, tilelog.CheckpointPath)); err == nil {
		at = filepath.Join(at, folder.Log)
	}
	return tilelog.FS{FS: os.DirFS(at)}
}

// A webLog is a log at the address of a node or of its files, whichever has a checkpoint.
type webLog struct {
	ctx   context.Context
	at    string
	found tilelog.Source // nil before the first answer
}

// Get implements tilelog.Source.
func (w *webLog) Get(path string) ([]byte, error) {
	if w.found != nil {
		return w.found.Get(path)
	}
	for _, at := range []string{w.at + "/" + folder.Log, w.at} {
		files := tilelog.Web{URL: at, Ctx: w.ctx}
		if _, err := files.Get(tilelog.CheckpointPath); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		w.found = files
		return files.Get(path)
	}
	return nil, fmt.Errorf("%s is neither a node nor a log: it has no checkpoint: %w", w.at, fs.ErrNotExist)
}
