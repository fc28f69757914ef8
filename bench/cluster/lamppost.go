package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// build makes the program from the tree around this module.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "lamppost")
	tree, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/lamppost/lamppost").Output()
	if err != nil {
		return "", fmt.Errorf("finding the tree: %w: start this in the folder bench, or with go -C bench", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/lamppost")
	cmd.Dir = strings.TrimSpace(string(tree))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building lamppost: %w: %s", err, out)
	}
	return program, nil
}

// own is what `lamppost bench ingest --json` says, as far as it matters here.
type own struct {
	ReadingsPerS float64 `json:"readings_per_s"`
	ReportBytes  int     `json:"report_bytes"`
	Errors       int64   `json:"errors"`
	Fsync        bool    `json:"fsync"`
}

func runLamppost(ctx context.Context, program, dir string, l Load) (o own, err error) {
	cmd := exec.CommandContext(ctx, program, "bench", "ingest", "--engine", l.Engine, "--members", strconv.Itoa(l.Members),
		"--readings", strconv.Itoa(l.Readings), "--for", l.For.String(), "--most", "80000", "--dir", dir, "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(out, &o); err != nil {
		return o, err
	}
	if o.Errors > 0 || !o.Fsync {
		return o, fmt.Errorf("%d reports were not acknowledged, fsync %v", o.Errors, o.Fsync)
	}
	return o, nil
}

// freeAddress returns an address on loopback where nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
