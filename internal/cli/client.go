package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

const (
	defaultURL = "http://127.0.0.1:8080"
	// maxAnswerBytes bounds what is read of a node's answer: a statement is the largest.
	maxAnswerBytes = 256 << 20
	askTimeout     = 2 * time.Minute
	notReadyTries  = 10 // how often a proof that is not published yet is asked for again, a second apart
)

// nodeFlags are how the small verbs find their node and print what it says. Address and token are LAMPPOST_URL and
// LAMPPOST_TOKEN, or what the node left in its folder --data.
type nodeFlags struct {
	data string
	json bool
}

// add puts the flags on a verb and the verbs below it.
func (f *nodeFlags) add(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().StringVar(&f.data, "data", "", "the node's data folder, for its address and token (default: LAMPPOST_URL and LAMPPOST_TOKEN)")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print the node's answer as JSON")
	return cmd
}

// group makes a verb that only has verbs below it.
func (f *nodeFlags) group(name, short, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Example: example, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	// Without this, cobra would take a mistyped verb for an argument and only say that there must be none.
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(": did you mean %q?", cmd.CommandPath()+" "+near[0])
		}
		return usage(fmt.Errorf("there is no verb %q%s", cmd.CommandPath()+" "+args[0], hint))
	}
	cmd.AddCommand(verbs...)
	return f.add(cmd)
}

// run makes the function of a verb: it finds the node and hands it over.
func (f *nodeFlags) run(do func(n *remote, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		n, err := f.open(cmd)
		if err != nil {
			return err
		}
		return do(n, args)
	}
}

func (f *nodeFlags) open(cmd *cobra.Command) (*remote, error) {
	n := &remote{ctx: cmd.Context(), url: strings.TrimRight(os.Getenv("LAMPPOST_URL"), "/"), token: os.Getenv("LAMPPOST_TOKEN"),
		out: cmd.OutOrStdout(), json: f.json, client: &http.Client{Timeout: askTimeout}}
	if left, err := os.ReadFile(filepath.Join(f.data, "node.url")); n.url == "" && f.data != "" && err == nil {
		n.url = strings.TrimSpace(string(left))
	}
	if n.url == "" {
		n.url = defaultURL
	}
	if u, err := url.Parse(n.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage(fmt.Errorf("LAMPPOST_URL %q is not an address such as %s", n.url, defaultURL))
	}
	if f.data != "" {
		raw, err := os.ReadFile(filepath.Join(f.data, "admin.token"))
		if err != nil {
			return nil, usage(fmt.Errorf("reading the administrator's token: %w: is %q the data folder of a node?", err, f.data))
		}
		n.token = strings.TrimSpace(string(raw))
	}
	if n.token == "" {
		return nil, usage(errors.New("this needs the administrator's token: give --data DIR with the node's data folder, or set LAMPPOST_TOKEN"))
	}
	return n, nil
}

// A remote is the node that a verb talks to.
type remote struct {
	ctx    context.Context
	url    string
	token  string
	client *http.Client
	out    io.Writer
	json   bool
}

// get asks for something and reads the answer into out.
func (n *remote) get(path string, out any) ([]byte, error) {
	raw, err := n.ask(http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return raw, n.read(raw, out)
}

// post sends an order as JSON and reads the answer into out.
func (n *remote) post(path string, body, out any) ([]byte, error) {
	text, ok := body.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	raw, err := n.ask(http.MethodPost, path, text)
	if err != nil {
		return nil, err
	}
	return raw, n.read(raw, out)
}

func (n *remote) read(raw []byte, out any) error {
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s does not answer like a Lamppost node of this version: %v", n.url, err)
	}
	return nil
}

// ask sends a request. What is only not published yet is asked for again.
func (n *remote) ask(method, path string, body []byte) ([]byte, error) {
	raw, _, err := n.patiently(method, path, body)
	return raw, err
}

// askFile asks for a file, and returns the name that the node gives it too.
func (n *remote) askFile(path string) (raw []byte, name string, err error) {
	raw, head, err := n.patiently(http.MethodGet, path, nil)
	if err != nil {
		return nil, "", err
	}
	_, params, err := mime.ParseMediaType(head.Get("Content-Disposition"))
	if name = params["filename"]; err != nil || name == "" || name != filepath.Base(name) {
		return nil, "", fmt.Errorf("%s does not answer like a Lamppost node of this version: it names no file", n.url)
	}
	return raw, name, nil
}

func (n *remote) patiently(method, path string, body []byte) ([]byte, http.Header, error) {
	for try := 1; ; try++ {
		status, head, raw, err := n.once(method, path, body)
		if err != nil {
			return nil, nil, err
		}
		if status < 300 {
			return raw, head, nil
		}
		var e api.Error
		if json.Unmarshal(raw, &e) == nil && method == http.MethodGet && e.Code == lamppost.CodeNotReady.String() && try < notReadyTries {
			if err := pause(n.ctx, time.Second); err != nil {
				return nil, nil, err
			}
			continue
		}
		return nil, nil, n.refusal(status, raw)
	}
}

// refusal is what an answer that is no success says.
func (n *remote) refusal(status int, raw []byte) error {
	var e api.Error
	if json.Unmarshal(raw, &e) != nil || e.Code == "" {
		return fmt.Errorf("%s does not answer like a Lamppost node: status %d: %.100q", n.url, status, raw)
	}
	if status == http.StatusUnauthorized {
		return fmt.Errorf("the node at %s does not take this token: give --data DIR with that node's data folder, or set LAMPPOST_TOKEN", n.url)
	}
	return fmt.Errorf("%s (%s)", printable(e.Text), printable(e.Code))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *remote) once(method, path string, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(n.ctx, method, n.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := n.client.Do(req)
	if err != nil {
		return 0, nil, nil, n.unreachable(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("reading the answer of %s: %w", n.url, err)
	}
	if len(raw) > maxAnswerBytes {
		return 0, nil, nil, fmt.Errorf("the answer of %s is longer than %d bytes", n.url, maxAnswerBytes)
	}
	return res.StatusCode, res.Header, raw, nil
}

// unreachable says what to do where nobody answers.
func (n *remote) unreachable(err error) error {
	if n.ctx.Err() != nil {
		return n.ctx.Err()
	}
	reason := err.Error()
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = "connection refused"
	case errors.As(err, &op):
		reason = op.Err.Error()
	}
	return fmt.Errorf("no node answers at %s (%s): start one with `lamppost serve --data DIR`, or set LAMPPOST_URL", n.url, reason)
}

// show prints an answer: as it came with --json, in words otherwise.
func (n *remote) show(raw []byte, inWords func(w io.Writer)) error {
	if n.json {
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		_, err := b.WriteTo(n.out)
		return err
	}
	var b bytes.Buffer
	inWords(&b)
	_, err := b.WriteTo(n.out)
	return err
}

// order sends an order and says in a line that it was committed.
func (n *remote) order(path string, body any, text string) error {
	var done api.Done
	raw, err := n.post(path, body, &done)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) { fmt.Fprintf(w, "%s (block %d)\n", text, done.Height) })
}

// A table is printed with aligned columns. A heading that begins with > is of a column of numbers.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table, or the words for an empty one. What came from the ledger cannot move the cursor.
func (t *table) print(w io.Writer, empty string) {
	if len(t.rows) == 0 {
		fmt.Fprintln(w, empty)
		return
	}
	widths := make([]int, len(t.head))
	right := make([]bool, len(t.head))
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i], right[i] = strings.CutPrefix(h, ">")
	}
	all := append([][]string{head}, t.rows...)
	for _, row := range all {
		for i := range row {
			row[i] = printable(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				line.WriteString(gap + cell + "  ")
			} else {
				line.WriteString(cell + gap + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// when writes a time on this machine's clock.
func when(at lamppost.TimeMS) string {
	if at == 0 {
		return ""
	}
	return time.UnixMilli(int64(at)).Format("2006-01-02 15:04")
}

// since writes how long ago something was, roughly.
func since(at, now lamppost.TimeMS) string {
	if at == 0 {
		return "never"
	}
	switch d := time.Duration(max(0, now-at)) * time.Millisecond; {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s ago"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h ago"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " days ago"
	}
}
