package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/internal/witness"
)

// TestWitnessCrash kills a witness with SIGKILL at random moments while two histories of one log are submitted at once.
// Afterwards: all it ever cosigned is of one of them, and the log goes on.
//
// A longer run: go test ./cmd/lamppost -run TestWitnessCrash -kills 120 -timeout 30m
func TestWitnessCrash(t *testing.T) {
	t.Parallel()
	c := &witnessCrash{t: t, dir: t.TempDir(), http: consensustest.FreeAddress(t), cosigned: map[string]bool{}}
	skey, vkey, err := note.GenerateKey(rand.Reader, "net/log")
	if err != nil {
		t.Fatal(err)
	}
	if c.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if c.verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	w, err := witness.OpenFolder(witness.ServerConfig{Data: c.dir})
	if err == nil {
		err = w.Add(witness.Log{Origin: "net/log", Keys: []string{vkey}})
		w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, what := range []string{"one", "two"} {
		wg.Go(func() { c.submit(ctx, what) })
	}
	for range *kills {
		time.Sleep(time.Duration(20+mathrand.IntN(200)) * time.Millisecond) // the moment is the test
		c.kill()
		c.start()
	}
	time.Sleep(100 * time.Millisecond)
	cancel()
	wg.Wait()
	c.kill()
	of := map[string]int{}
	for what := range c.cosigned {
		history, _, _ := strings.Cut(what, " ")
		of[history]++
	}
	t.Logf("cosigned are %v checkpoints of the histories, %d requests were not answered", of, c.unanswered)
	if len(of) != 1 || len(c.cosigned) < *kills {
		t.Errorf("cosigned are %v checkpoints of the histories", of)
	}
}

type witnessCrash struct {
	t        *testing.T
	dir      string
	http     string
	signer   note.Signer
	verifier note.Verifier
	cmd      *exec.Cmd

	mu         sync.Mutex
	cosigned   map[string]bool // history and size
	unanswered int
}

// start runs `lamppost witness` and waits until it serves.
func (c *witnessCrash) start() {
	c.cmd = exec.Command(os.Args[0], "witness", "--data", c.dir, "--http", c.http)
	c.cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var errs bytes.Buffer
	c.cmd.Stderr = &errs
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ctrl-C ends cleanly") {
			return
		}
	}
	c.cmd.Wait()
	c.t.Fatalf("the witness did not start:\n%s", errs.String())
}

func (c *witnessCrash) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// submit shows one history, entry by entry, from wherever the witness says that it is.
func (c *witnessCrash) submit(ctx context.Context, what string) {
	store := kv.NewMem()
	log, err := tilelog.Open(store)
	if err != nil {
		c.t.Error(err)
		return
	}
	p := &tilelog.Publisher{Origin: "net/log", Signer: c.signer, Verifier: c.verifier, Storage: new(tilelog.MemStorage)}
	grow := func(to int64) {
		var b kv.Batch
		for log.Size() < to {
			if err := log.Append(&b, fmt.Appendf(nil, "%s %d", what, log.Size())); err != nil {
				c.t.Error(err)
				return
			}
		}
		if err := store.Apply(&b); err != nil {
			c.t.Error(err)
		}
		log.Committed()
	}
	for old, size := int64(0), int64(1); ctx.Err() == nil; size++ {
		grow(size)
		r := witness.Request{Old: old}
		var err error
		if r.Checkpoint, err = p.Publish(store); err == nil && 0 < old && old < size {
			var now lamppost.Checkpoint
			if now, _, err = lamppost.OpenCheckpoint(r.Checkpoint, note.VerifierList(c.verifier)); err == nil {
				r.Proof, err = tilelog.NewTree(p.Storage, size, tlog.Hash(now.Root)).ProveConsistency(old)
			}
		}
		if err != nil {
			c.t.Error(err)
			return
		}
		status, answer, err := c.post(ctx, r.Append(nil))
		switch {
		case err != nil:
			c.mu.Lock()
			c.unanswered++
			c.mu.Unlock()
		case status == http.StatusOK:
			c.mu.Lock()
			c.cosigned[fmt.Sprint(what, " ", size)] = true
			c.mu.Unlock()
			old = size
		case status == http.StatusConflict:
			if old, err = strconv.ParseInt(strings.TrimSpace(answer), 10, 64); err != nil {
				c.t.Errorf("told %q", answer)
				return
			}
			size = max(size, old)
		case status != http.StatusUnprocessableEntity:
			c.t.Errorf("status %d: %s", status, answer)
			return
		}
	}
}

func (c *witnessCrash) post(ctx context.Context, body []byte) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.http+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, string(answer), errors.Join(err)
}
