package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/kv/pebble"
)

// runJournal writes the journal, from the folder if nobody has it, and otherwise from the node.
func (x *exporting) runJournal(cmd *cobra.Command) error {
	for _, name := range []string{"from", "to", "device", "name", "after", "all"} {
		if cmd.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s is of --parquet: a journal has every posting from the first block on", name))
		}
	}
	out, err := newFile(x.journal, x.force)
	if err != nil {
		return err
	}
	defer out.abort()
	if err = x.writeJournal(cmd, out.temps[0]); err == nil {
		err = out.commit()
	}
	if cmd.Context().Err() != nil {
		return errors.New("interrupted: nothing was written")
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	if x.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(out.done[0])
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes, and the balances are the ledger's. To look into it: hledger -f %s balance\n",
		out.done[0].Path, out.done[0].Bytes, out.done[0].Path)
	return err
}

func (x *exporting) writeJournal(cmd *cobra.Command, out io.Writer) error {
	if x.data != "" && os.Getenv("LAMPPOST_URL") == "" {
		src, done, err := openFolder(x.data)
		if err == nil {
			defer done()
			_, err = books.WriteJournal(cmd.Context(), out, src.See, x.o.People)
			return err
		}
		if !errors.Is(err, pebble.ErrInUse) {
			return err
		}
	}
	n, err := x.open(cmd)
	if err != nil {
		return err
	}
	return n.download("/api/journal?names="+strconv.FormatBool(x.o.People), out)
}

// download copies an answer of any length.
func (n *remote) download(path string, out io.Writer) error {
	req, err := http.NewRequestWithContext(n.ctx, http.MethodGet, n.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	n.client.Timeout = 0 // it takes as long as it takes
	res, err := n.client.Do(req)
	if err != nil {
		return n.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return n.refusal(res.StatusCode, raw)
	}
	_, err = io.Copy(out, res.Body)
	return n.broken(err)
}
