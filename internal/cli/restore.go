package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/backup"
	"github.com/lamppost/lamppost/internal/fsck"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/restore"
)

// restoring is what `lamppost restore` was asked for.
type restoring struct {
	data, snapshot, from, pin, last, erasures string
	yes, json                                 bool
}

func restoreCmd() *cobra.Command {
	var o restoring
	cmd := &cobra.Command{
		Use:   "restore FILE --data DIR | restore --snapshot FILE|URL --pin FILE --data DIR",
		Short: "Make a data folder from a backup or from a snapshot",
		Long: `Make a node's data folder from a backup, or from a snapshot of the ledger's state. The folder must not be there yet, or be empty; it
is there as a whole or not at all.

From a backup: each part is checked, what the chain says is erased is erased, and in the end the folder is checked as by lamppost
fsck. A node signs one history of its log. So restore refuses where a later checkpoint of the log is known: give it what there is, with
--last-checkpoint, from the old folder's log/checkpoint, a witness, or a copy of the log. With --from the blocks since come from a node
that runs. What was erased since stands in FILE.erasures, if that file lies beside the backup, and is ordered again by the first start.

From a snapshot: no earlier history is needed. That the state is the network's is shown by what its members said on the ledger, up to
the pin. With --from the copy then fetches the blocks since, applies them with all checks, and must come to the root of that
node's checkpoint.

URLs are asked with the token in LAMPPOST_TOKEN.

Exit status: 0 done, and all fits; 1 not done, or fsck has found faults; 2 wrong usage.`,
		Example: `  lamppost restore /mnt/backup/house-7.lpb --data ./node --last-checkpoint old/log/checkpoint
  LAMPPOST_TOKEN=… lamppost restore --snapshot https://node.example:8443/api/snapshots/000000000123.lps \
      --from https://node.example:8443 --pin network.pin --data ./copy`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (o.snapshot != "") {
				return usage(errors.New("restore: name a backup, or a snapshot with --snapshot"))
			}
			if err := o.emptied(); err != nil {
				return err
			}
			if len(args) == 1 {
				return o.backup(cmd, args[0])
			}
			return o.begin(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "folder to make")
	f.StringVar(&o.snapshot, "snapshot", "", "snapshot to begin with: a file, or where a node hands it out")
	f.StringVar(&o.from, "from", "", "address of a node that runs, for the blocks since")
	f.StringVar(&o.pin, "pin", "", "the network's pin: whose signatures count")
	f.StringVar(&o.last, "last-checkpoint", "", "the latest checkpoint of the log that is known: a file or an address")
	f.StringVar(&o.erasures, "erasures", "", "what was erased since the backup (default: FILE.erasures, if it is there)")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.BoolVar(&o.json, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

// emptied refuses a folder with something in it. If that is a log, it says what this means.
func (o *restoring) emptied() error {
	err := restore.Empty(o.data)
	if err == nil {
		return nil
	}
	at := filepath.Join(o.data, "log", "checkpoint")
	if _, statErr := os.Stat(at); statErr == nil {
		err = fmt.Errorf("%w. It holds a log that was signed: move the folder aside, and give --last-checkpoint %s, so that nothing is signed twice",
			err, filepath.Join(filepath.Clean(o.data)+".old", "log", "checkpoint"))
	}
	return usage(fmt.Errorf("restore: %w", err))
}

// readPin reads --pin; nil: none was given.
func (o *restoring) readPin() (*audit.Pin, error) {
	if o.pin == "" {
		return nil, nil
	}
	text, err := readLimited(o.pin, audit.MaxPinBytes)
	if err != nil {
		return nil, usage(fmt.Errorf("restore: reading the pin: %w", err))
	}
	pin, err := audit.ParsePin(string(text))
	if err != nil {
		return nil, usage(fmt.Errorf("restore: reading the pin %q: %w", o.pin, err))
	}
	return pin, nil
}

// source is --from; nil: none was given.
func (o *restoring) source() (restore.Source, error) {
	if o.from == "" {
		return nil, nil
	}
	s, err := sourceAt(o.from)
	if err != nil {
		return nil, usage(err)
	}
	return s, nil
}

// begin makes a folder that begins with a snapshot.
func (o *restoring) begin(cmd *cobra.Command) error {
	if o.pin == "" {
		return usage(errors.New("restore: a copy that begins with a snapshot needs --pin, got from somebody you trust"))
	}
	pin, err := o.readPin()
	if err != nil {
		return err
	}
	from, err := o.source()
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	file, done, err := openOrFetch(cmd.Context(), o.snapshot, filepath.Clean(o.data)+".download", bar)
	if err != nil {
		return fmt.Errorf("restore: reading the snapshot: %w", err)
	}
	defer done()
	begun, err := restore.Snapshot(cmd.Context(), o.data, file, pin, from, func(step string, done, all int64) { bar.set(done, all, step) })
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	bar.end()
	o.tell(cmd.OutOrStdout(), begun)
	if begun.Behind {
		return o.show(cmd.OutOrStdout(), restoredAnswer{Begun: begun}) // fsck would say that it is behind
	}
	return o.check(cmd, bar, restoredAnswer{Begun: begun})
}

// restoredAnswer is what --json prints.
type restoredAnswer struct {
	Begun    *restore.Begun    `json:"begun,omitempty"`
	Restored *restore.Restored `json:"restored,omitempty"`
	Checkup  *replica.Checkup  `json:"checkup"`
}

// check checks the folder as fsck does, and ends like it.
func (o *restoring) check(cmd *cobra.Command, bar *progress, done restoredAnswer) error {
	f := fsck.Folder{Data: o.data, Progress: func(step string, done, all int64) { bar.set(done, all, step) }}
	var err error
	if done.Checkup, err = f.Check(cmd.Context()); err != nil {
		return err
	}
	bar.end()
	out := cmd.OutOrStdout()
	if err := o.show(out, done); err != nil {
		return err
	}
	if o.json {
		out = io.Discard
	}
	return reportCheckup(out, done.Checkup, false)
}

func (o *restoring) show(out io.Writer, done restoredAnswer) error {
	if !o.json {
		return nil
	}
	return json.NewEncoder(out).Encode(done)
}

// backup makes a folder from a backup.
func (o *restoring) backup(cmd *cobra.Command, file string) error {
	b := restore.Backup{Data: o.data}
	var err error
	if b.Pin, err = o.readPin(); err != nil {
		return err
	}
	if b.Source, err = o.source(); err != nil {
		return err
	}
	if o.last != "" {
		last, err := readAt(cmd.Context(), o.last, lamppost.MaxCheckpointBytes)
		if err != nil {
			return usage(fmt.Errorf("restore: reading the last checkpoint: %w", err))
		}
		b.Last = append(b.Last, last)
	}
	if b.Erasures, err = o.readErasures(file); err != nil {
		return err
	}
	if b.Erasures != nil && b.Source == nil {
		last := b.Erasures.Erasures[len(b.Erasures.Erasures)-1]
		if err := confirm(cmd, o.yes, fmt.Sprintf("What was erased since the backup stands beside it: so the log went on, to block %d at least, and was signed further than the backup. "+
			"A node on this folder signs a second history of the same log, which everybody can prove who has a later checkpoint. Without that, prefer a later backup, or --from.", last.Height)); err != nil {
			return err
		}
	}
	from, err := os.Open(file)
	if err != nil {
		return usage(err)
	}
	defer from.Close()
	b.From = from
	bar := newProgress(cmd.ErrOrStderr())
	b.Progress = func(step string, done, all int64) { bar.set(done, all, step) }
	r, err := b.Restore(cmd.Context())
	bar.end()
	var later *restore.LaterError
	if errors.As(err, &later) {
		return &ExitError{ExitFailed, fmt.Errorf("restore: %w.\n%s", err, choices)}
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	o.tellRestored(cmd.OutOrStdout(), r, b.Erasures != nil)
	return o.check(cmd, bar, restoredAnswer{Restored: r})
}

// choices are what is left where a backup is behind what was signed.
const choices = `Whoever has the later checkpoint could prove that, and would trust neither. What you can do:
 - restore a later backup;
 - if a node that has the rest still runs, fetch the blocks since from it: --from https://…;
 - if the old folder can still be read, copy it to a sound disk and run lamppost fsck --repair there;
 - otherwise the log ends here: found a network under another name in a new folder (lamppost serve --network NAME-2), tell everybody where
   the old one ended, and keep this backup for proofs of what is in it.`

// readErasures reads what was erased since the backup; nil: nothing is known.
func (o *restoring) readErasures(file string) (*backup.Erasures, error) {
	at := o.erasures
	if at == "" {
		at = backup.ErasuresPath(file)
		if _, err := os.Stat(at); err != nil {
			return nil, nil
		}
	}
	raw, err := readLimited(at, maxErasuresBytes)
	if err != nil {
		return nil, usage(fmt.Errorf("restore: %w", err))
	}
	list, err := backup.ReadErasures(raw)
	if err != nil {
		return nil, usage(fmt.Errorf("restore: %q: %w", at, err))
	}
	if len(list.Erasures) == 0 {
		return nil, nil
	}
	return list, nil
}

const maxErasuresBytes = 64 << 20

func (o *restoring) tellRestored(out io.Writer, r *restore.Restored, known bool) {
	if o.json {
		return
	}
	fmt.Fprintf(out, "%s is network %s as of %s, up to block %d.\n", o.data, r.Network, minute(r.Made), r.Reached)
	if !r.Checked && r.Reached == r.Height {
		fmt.Fprintf(out, "No later checkpoint of its log is known. If anything was signed after block %d, a node on this folder signs a second history,\n"+
			"which whoever has a later checkpoint can prove: if you can find one, make the folder again with --last-checkpoint.\n", r.Height)
	}
	for _, e := range r.Again {
		fmt.Fprintln(out, printable(fmt.Sprintf("Erased on %s, after the backup: %s%s. It is in this folder until the first start, which orders it again.", minute(e.Time), e.Device, e.Party)))
	}
	if !known && r.Reached == r.Height {
		fmt.Fprintf(out, "What was erased after %s is not known here: no list lies beside the backup. Order it again if there was anything.\n", minute(r.Made))
	}
	if !r.Keys {
		fmt.Fprintln(out, "The member's key is not in the backup: put member.key into the folder before it is served.")
	}
	if r.Tiles > 0 {
		fmt.Fprintf(out, "%d bundles of the log are elsewhere: start the node with log_archive.\n", r.Tiles)
	}
}

func (o *restoring) tell(out io.Writer, b *restore.Begun) {
	if o.json {
		return
	}
	var by []string
	for _, m := range b.Members {
		by = append(by, string(m))
	}
	fmt.Fprintf(out, "%s is a copy of network %s that begins with the state after block %d, as %s said on its ledger.\n", o.data, b.Network, b.Snapshot, strings.Join(by, ", "))
	if b.Behind {
		fmt.Fprintf(out, "It stands there. The log was signed up to %d leaves, it has %d: a node on it would sign nothing. Make it again with --from to catch up.\n", b.Checkpoint.Size, b.Size)
		return
	}
	fmt.Fprintf(out, "It has caught up to block %d: %d leaves with root %s, as %s signed.\n", b.Height, b.Size, b.Root, b.Checkpoint.Origin)
	fmt.Fprintf(out, "Reports and orders before block %d are not in it: proofs that need them come from a node that has them.\n"+
		"To serve it, put the member's member.key into it, and stop the node it was copied from first: one key signs one log.\n", b.Snapshot+1)
}

// openOrFetch opens a file, or fetches what is at a URL into a temporary one. done closes it and removes what is temporary.
func openOrFetch(ctx context.Context, at, tmp string, bar *progress) (f *os.File, done func(), err error) {
	if !isURL(at) {
		f, err = os.Open(at)
		return f, func() { f.Close() }, err
	}
	res, err := fetch(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if f, err = os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, nil, err
	}
	done = func() { f.Close(); os.Remove(tmp) }
	if _, err = io.Copy(f, &counted{res.Body, 0, res.ContentLength, bar}); err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}

func isURL(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }

// counted shows how much of an answer has come.
type counted struct {
	io.Reader
	n, all int64
	bar    *progress
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	c.bar.set(c.n, max(c.all, c.n), "bytes")
	return n, err
}

// fetch asks a node for something that may be long, with the token of the environment.
func fetch(ctx context.Context, at string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	if token := os.Getenv("LAMPPOST_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var e api.Error
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	if res.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("%s needs the administrator's token: set LAMPPOST_TOKEN to what stands in admin.token in the node's data folder", at)
	}
	if json.Unmarshal(raw, &e) == nil && e.Code != "" {
		return nil, fmt.Errorf("%s: %s (%s)", at, printable(e.Text), printable(e.Code))
	}
	return nil, fmt.Errorf("%s answers with status %d", at, res.StatusCode)
}

// A source is a node that runs, as a copy catches up from it.
type source struct{ at string }

func sourceAt(at string) (*source, error) {
	u, err := url.Parse(at)
	if err != nil || !isURL(at) || u.Host == "" {
		return nil, fmt.Errorf("--from %q is not the address of a node such as %s", at, defaultURL)
	}
	return &source{strings.TrimRight(at, "/")}, nil
}

// Checkpoint implements restore.Source.
func (s *source) Checkpoint(ctx context.Context) ([]byte, error) {
	return readAt(ctx, s.at+"/log/checkpoint", lamppost.MaxCheckpointBytes)
}

// readAt reads a file, or what is at a URL, of at most limit bytes.
func readAt(ctx context.Context, at string, limit int64) ([]byte, error) {
	if !isURL(at) {
		return readLimited(at, limit)
	}
	res, err := fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s: longer than %d bytes", at, limit)
	}
	return raw, err
}

// Blocks implements restore.Source.
func (s *source) Blocks(ctx context.Context, after lamppost.Height, fn func(raw []byte) error) error {
	res, err := fetch(ctx, fmt.Sprintf("%s/api/blocks?from=%d", s.at, after+1))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for {
		var length [4]byte
		if _, err := io.ReadFull(res.Body, length[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading blocks of %s: %w", s.at, err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > archive.MaxEncodedBytes {
			return fmt.Errorf("reading blocks of %s: one of %d bytes is over the limit of %d", s.at, n, archive.MaxEncodedBytes)
		}
		raw := make([]byte, n)
		if _, err := io.ReadFull(res.Body, raw); err != nil {
			return fmt.Errorf("reading blocks of %s: %w", s.at, err)
		}
		if err := fn(raw); err != nil {
			return err
		}
	}
}
