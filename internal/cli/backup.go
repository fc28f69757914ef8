package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/backup"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/restore"
)

// backupFlags is what `lamppost backup` was asked for.
type backupFlags struct {
	*nodeFlags
	to          string
	withoutKeys bool
}

func backupCmd() *cobra.Command {
	f := &backupFlags{nodeFlags: &nodeFlags{}}
	cmd := f.group("backup", "The whole data folder in one file: make, list and forget", `  lamppost backup --data ./node --to /mnt/backup/house-7.lpb
  lamppost backup list --data ./node
  lamppost backup forget 20261201-120000 --data ./node`, backupListCmd(f.nodeFlags), backupForgetCmd(f.nodeFlags))
	cmd.Use = "backup --data DIR --to FILE"
	cmd.Long = `Make a backup: the whole data folder in one file, of one moment, while the node works on, or of a node that is stopped. What came is
checked while it is written; a backup that was interrupted leaves nothing. The member's key and the administrator's token go with it,
unless --without-keys: keep it as safe as the folder itself.

The node remembers where its backups are. What is erased later is attested only when all those that hold it are gone: delete them, and
say so with lamppost backup forget where the node cannot see it.`
	cmd.Flags().StringVar(&f.to, "to", "", "file to make")
	cmd.Flags().BoolVar(&f.withoutKeys, "without-keys", false, "leave out the member's key and the administrator's token")
	help := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.to == "" && f.data == "" {
			return help(cmd, args)
		}
		if f.to == "" || f.data == "" {
			return usage(errors.New("backup: give --data DIR with the node's data folder, and --to FILE"))
		}
		return f.run(cmd)
	}
	return cmd
}

func (f *backupFlags) run(cmd *cobra.Command) error {
	path, err := filepath.Abs(f.to)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return usage(fmt.Errorf("%q is there already: name another file", path))
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("learning this machine's name: %w", err)
	}
	n, err := f.open(cmd)
	if err != nil {
		return err
	}
	b := api.NewBackup{Path: path, Host: host, Device: backup.Device(filepath.Dir(path)), WithoutKeys: f.withoutKeys}
	from := func(ctx context.Context) (io.ReadCloser, func(error) error, error) { return n.backup(ctx, b) }
	if !n.answers() {
		from = func(ctx context.Context) (io.ReadCloser, func(error) error, error) {
			return restore.BackUp(ctx, f.data, b, node.Version())
		}
	}
	bar := newProgress(cmd.ErrOrStderr())
	h, err := receive(cmd.Context(), path, from, func(done, all int64) { bar.set(done, all, "bytes") })
	bar.end()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return f.tell(cmd.OutOrStdout(), path, h)
}

func (f *backupFlags) tell(out io.Writer, path string, h *backup.Head) error {
	if f.json {
		return json.NewEncoder(out).Encode(h)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s holds network %s up to block %d, %d leaves of the log: %.1f MB.\n", path, h.Network, h.Height, h.Size, float64(info.Size())/1e6)
	if h.Tiles > 0 {
		fmt.Fprintf(out, "%d bundles of the log are elsewhere (log_archive) and not in it: back that up too.\n", h.Tiles)
	}
	if h.Keys {
		fmt.Fprintln(out, "The member's key is in it: keep it as safe as the node.")
	}
	return nil
}

// receive writes what from brings to a file, checks it on the way, and gives the file its name when it is whole and durable. done
// is told how it went.
func receive(ctx context.Context, path string, from func(context.Context) (io.ReadCloser, func(error) error, error), progress func(done, all int64)) (h *backup.Head, err error) {
	partial := backup.Partial(path)
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer os.Remove(partial) // nothing is there once it has its name
	in, done, err := from(ctx)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	h, err = backup.Read(ctx, io.TeeReader(in, out), nil, progress)
	if err == nil {
		_, err = io.Copy(out, in) // nothing, or Read would have refused it
	}
	err = errors.Join(err, in.Close(), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(partial)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	if told := done(err); err == nil {
		err = told
	}
	return h, err
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// answers says whether a node runs here.
func (n *remote) answers() bool {
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := n.client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// backup asks a running node for one. done tells it if it came to nothing.
func (n *remote) backup(ctx context.Context, b api.NewBackup) (io.ReadCloser, func(error) error, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url+"/api/backups", bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	req.Header.Set("Content-Type", "application/json")
	client := *n.client
	client.Timeout = 0 // it takes as long as the folder is large
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, n.unreachable(err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		var e api.Error
		if json.Unmarshal(raw, &e) != nil || e.Code == "" {
			return nil, nil, fmt.Errorf("%s answers with status %d: %.100q", n.url, res.StatusCode, raw)
		}
		return nil, nil, fmt.Errorf("%s (%s)", printable(e.Text), printable(e.Code))
	}
	id := res.Header.Get(api.BackupHeader)
	return res.Body, func(err error) error {
		if err == nil {
			return nil
		}
		n.ctx = context.WithoutCancel(n.ctx)
		_, told := n.post("/api/backups/"+id+"/gone", []byte("{}"), new(api.BackupList))
		return told
	}, nil
}

func backupListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the backups that the node has made",
		Example: "  lamppost backup list --data ./node",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var list api.BackupList
			raw, err := n.get("/api/backups", &list)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printBackups(w, list.Backups) })
		}),
	}
}

func printBackups(w io.Writer, all []api.Backup) {
	t := table{head: []string{"ID", "MADE", ">BLOCK", "STATE", "WHERE"}}
	for _, b := range all {
		state := b.State
		if !b.Whole {
			state += ", not whole"
		}
		t.add(b.ID, minute(b.Time), fmt.Sprint(b.Height), state, b.Path+" on "+b.Host)
	}
	t.print(w, "No backup is known. Make one: lamppost backup --data DIR --to FILE")
}

func backupForgetCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "forget ID",
		Short: "Say that a backup and all its copies are gone",
		Long: `Say that a backup and all its copies are gone. The node takes your word: what was erased since it was made is attested when no
other backup holds it.`,
		Example: "  lamppost backup forget 20261201-120000 --data ./node",
		Args:    oneArg("the backup's id, from lamppost backup list"),
		RunE: f.run(func(n *remote, args []string) error {
			var list api.BackupList
			raw, err := n.post("/api/backups/"+args[0]+"/gone", []byte("{}"), &list)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { fmt.Fprintf(w, "Backup %s is forgotten\n", args[0]) })
		}),
	}
}
