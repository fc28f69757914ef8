package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Members of peers are this program again, under another command. Each says "ready" on its output, ends when its input does,
// and may be told one line and answer one.

// A child is a member of a peer.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startChild runs a member with what it must know, as JSON.
func startChild(ctx context.Context, command string, config any) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, program, command, string(text))}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// hear reads the next line that a member says.
func (c *child) hear(answer any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("a member ended: %w", err)
	}
	return json.Unmarshal(line, answer)
}

func (c *child) tell(line string) error {
	_, err := fmt.Fprintln(c.in, line)
	return err
}

func (c *child) end() {
	c.in.Close()
	c.cmd.Wait()
}

// say prints a line of JSON for the parent.
func say(v any) {
	text, _ := json.Marshal(v) // numbers and strings
	fmt.Println(string(text))
}
