package raft

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A fileApp keeps in one file, replaced as a whole by each Commit, its position and how often each number was ordered.
type fileApp struct {
	*benchApp
	path string
	Now  consensus.Last
	Seen map[uint64]int
}

func openFileApp(t *testing.T, dir string) *fileApp {
	a := &fileApp{benchApp: newBenchApp(t, dir), path: filepath.Join(dir, "state"), Seen: map[uint64]int{}}
	raw, err := os.ReadFile(a.path)
	if err == nil {
		err = json.Unmarshal(raw, a)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	last := a.Now
	a.durable.Store(&last)
	return a
}

func (a *fileApp) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	if want := a.Now.Height + 1; b.Height != want || b.Time <= a.Now.Time {
		return nil, fmt.Errorf("block %d at %d came after block %d at %d", b.Height, b.Time, a.Now.Height, a.Now.Time)
	}
	res, err := a.benchApp.Apply(b)
	for _, tx := range b.Txs {
		a.Seen[binary.BigEndian.Uint64(tx)]++
	}
	a.Now = a.next
	return res, err
}

func (a *fileApp) Commit() (lamppost.Cursor, error) {
	raw, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(a.path+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(a.path+".new", a.path)
	}
	last := a.Now
	a.durable.Store(&last)
	return 0, err
}

const crashDir = "RAFT_CRASH_DIR" // set in a process that is to be killed

// A process that is killed at any moment loses nothing that was answered, applies nothing twice, and goes on at once.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		untilKilled(t, dir)
	}
	t.Parallel()
	dir, answered := t.TempDir(), map[uint64]bool{}
	for round := range 5 {
		ctx, kill := context.WithTimeout(t.Context(), 60*time.Second)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			number, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("the process says %q", lines.Text())
			}
			answered[number] = true
			if n == 20+7*round {
				kill() // SIGKILL; what it said before is still read
			}
		}
		kill()
		cmd.Wait()
		app := openFileApp(t, dir)
		app.file.Close()
		for number := range answered {
			if app.Seen[number] != 1 {
				t.Errorf("after %d kills number %d was ordered %d times", round+1, number, app.Seen[number])
			}
		}
		if len(answered) < 20*(round+1) {
			t.Fatalf("only %d answers after %d kills", len(answered), round+1)
		}
	}
}

// untilKilled proposes numbers, from several callers, and says which were answered.
func untilKilled(t *testing.T, dir string) {
	app := openFileApp(t, dir)
	e := open(t, alone(filepath.Join(dir, "raft")), app, app)
	go func() {
		if err := e.Run(context.Background()); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		}
		os.Exit(1)
	}()
	for caller := range uint64(4) {
		go func() {
			for n := uint64(os.Getpid())<<32 | caller<<24; ; n++ {
				tx := binary.BigEndian.AppendUint64(nil, n)
				tx = append(tx, make([]byte, 32)...)
				if _, err := e.Propose(context.Background(), lamppost.TxID(tx[:32]), tx); err != nil {
					fmt.Println(err)
				}
				fmt.Println(n)
			}
		}()
	}
	select {}
}
