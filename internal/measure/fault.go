package measure

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// apart is how members are started: in a process group of their own.
var apart = &syscall.SysProcAttr{Setpgid: true}

// choose makes a member the victim of what is to come: the leader, where there is one, and the last otherwise.
func (t *target) choose(ctx context.Context) error {
	var s struct{ Engine struct{ Leader string } }
	if err := t.members[0].ask(ctx, "GET", "/api/status", nil, &s); err != nil {
		return err
	}
	i := len(t.members) - 1
	if t.engine == "raft" {
		if i = slices.IndexFunc(t.members, func(m *member) bool { return m.id == s.Engine.Leader }); i < 0 {
			return fmt.Errorf("there is no leader, to whom a fault could come")
		}
	}
	t.victim = t.members[i]
	t.members = slices.Delete(slices.Clone(t.members), i, i+1)
	return nil
}

// befall lets the fault come in the middle of the time. The function that it returns ends a pause and says what went wrong.
func (t *target) befall(ctx context.Context, o *IngestOptions) (over func() error) {
	if o.Fault == "" {
		return func() error { return nil }
	}
	ended := make(chan error, 1)
	timer := time.AfterFunc(o.For/2, func() { ended <- t.hit(ctx, o.Fault) })
	return func() error {
		if timer.Stop() {
			return fmt.Errorf("the sending ended before the fault could come")
		}
		err := <-ended
		if o.Fault == "pause" && err == nil {
			err = t.victim.cmd.Process.Signal(syscall.SIGCONT)
		}
		return err
	}
}

func (t *target) hit(ctx context.Context, fault string) error {
	v := t.victim
	if fault == "pause" {
		return v.cmd.Process.Signal(syscall.SIGSTOP)
	}
	taken, err := v.used(ctx)
	if err != nil {
		return err
	}
	if err := v.cmd.Process.Signal(os.Kill); err != nil {
		return err
	}
	_ = v.cmd.Wait() // it says that it was killed
	v.dead = &taken
	return nil
}
