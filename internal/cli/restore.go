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
	"github.com/lamppost/lamppost/internal/restore"
)

// restoring is what `lamppost restore` was asked for.
type restoring struct {
	data, snapshot, from, pin string
	json                      bool
}

func restoreCmd() *cobra.Command {
	var o restoring
	cmd := &cobra.Command{
		Use:   "restore --data DIR --snapshot FILE|URL --pin FILE",
		Short: "Make a data folder from a snapshot",
		Long: `Make a node's data folder from a snapshot of the ledger's state. No earlier history is needed: that the state is the network's is
shown by what its members said on the ledger, up to the pin. With --from the copy then fetches the blocks since from a node that
runs, applies them with all checks, and must come to the root of that node's checkpoint.

URLs are asked with the token in LAMPPOST_TOKEN. The folder must not be there yet, or be empty; it is there as a whole or not at all.`,
		Example: `  LAMPPOST_TOKEN=… lamppost restore --snapshot https://node.example:8443/api/snapshots/000000000123.lps \
      --from https://node.example:8443 --pin network.pin --data ./copy`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "folder to make")
	f.StringVar(&o.snapshot, "snapshot", "", "snapshot to begin with: a file, or where a node hands it out")
	f.StringVar(&o.from, "from", "", "address of a node that runs, for the blocks since")
	f.StringVar(&o.pin, "pin", "", "the network's pin: whose signatures count")
	f.BoolVar(&o.json, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

func (o *restoring) run(cmd *cobra.Command) error {
	if o.snapshot == "" || o.pin == "" {
		return usage(errors.New("restore: a copy that begins with a snapshot needs --snapshot and --pin, got from somebody you trust"))
	}
	text, err := readLimited(o.pin, audit.MaxPinBytes)
	if err != nil {
		return usage(fmt.Errorf("restore: reading the pin: %w", err))
	}
	pin, err := audit.ParsePin(string(text))
	if err != nil {
		return usage(fmt.Errorf("restore: reading the pin %q: %w", o.pin, err))
	}
	if err := restore.Empty(o.data); err != nil {
		return usage(fmt.Errorf("restore: %w", err))
	}
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	file, done, err := openOrFetch(cmd.Context(), o.snapshot, filepath.Clean(o.data)+".download", bar)
	if err != nil {
		return fmt.Errorf("restore: reading the snapshot: %w", err)
	}
	defer done()
	var from restore.Source
	if o.from != "" {
		if from, err = sourceAt(o.from); err != nil {
			return usage(err)
		}
	}
	begun, err := restore.Snapshot(cmd.Context(), o.data, file, pin, from, func(step string, done, all int64) { bar.set(done, all, step) })
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	bar.end()
	return o.tell(cmd.OutOrStdout(), begun)
}

func (o *restoring) tell(out io.Writer, b *restore.Begun) error {
	if o.json {
		return json.NewEncoder(out).Encode(b)
	}
	var by []string
	for _, m := range b.Members {
		by = append(by, string(m))
	}
	fmt.Fprintf(out, "%s is a copy of network %s that begins with the state after block %d, as %s said on its ledger.\n", o.data, b.Network, b.Snapshot, strings.Join(by, ", "))
	if b.Behind {
		fmt.Fprintf(out, "It stands there. The log was signed up to %d leaves, it has %d: a node on it would sign nothing. Make it again with --from to catch up.\n", b.Checkpoint.Size, b.Size)
		return nil
	}
	fmt.Fprintf(out, "It has caught up to block %d: %d leaves with root %s, as %s signed.\n", b.Height, b.Size, b.Root, b.Checkpoint.Origin)
	fmt.Fprintf(out, "Reports and orders before block %d are not in it: proofs that need them come from a node that has them.\n"+
		"To serve it, put the member's member.key into it, and stop the node it was copied from first: one key signs one log.\n", b.Snapshot+1)
	return nil
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
