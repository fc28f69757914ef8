package raft

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// carryToLeaders forwards what is proposed here while another member leads. Whenever the connection or the leader is lost,
// all that still waits goes to the next one: an id is ordered once, or its second time changes nothing.
func (e *Engine) carryToLeaders(ctx context.Context) {
	for ctx.Err() == nil {
		leader := e.leader()
		if leader == "" || leader == e.cfg.Member {
			select {
			case <-e.leaderMoved:
			case <-ctx.Done():
			}
			continue
		}
		if err := e.carryTo(ctx, leader); err != nil {
			e.cfg.Log.Debug("forwarding proposals", "leader", leader, "error", err)
			pause(ctx, retryPause)
		}
	}
}

// carryTo forwards to one leader until the connection ends or another leads.
func (e *Engine) carryTo(ctx context.Context, leader lamppost.MemberID) error {
	conn, err := e.net.dial(kindForward, leader, helloTimeout)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() { cancel(e.hearRefusals(conn)) })
	defer wg.Wait()
	defer conn.Close()
	w := bufio.NewWriterSize(conn, 64<<10)
	sent, first := uint64(0), uint64(0)
	stuck := time.NewTicker(resendAfter)
	defer stuck.Stop()
	for {
		if f, number, ok := e.desk.next(sent); ok {
			conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(f.append(nil)); err != nil {
				return err
			}
			sent = number
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
		select {
		case <-e.desk.carry:
		case <-e.leaderMoved:
			if e.leader() != leader {
				return nil
			}
		case <-stuck.C: // a connection that something in between has dropped looks like one on which nothing is said
			now := e.desk.first()
			if now != 0 && now == first {
				return errStuck
			}
			first = now
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

var errStuck = errors.New("what was forwarded does not come; connecting anew")

// hearRefusals reads what the leader refuses until the connection ends.
func (e *Engine) hearRefusals(conn net.Conn) error {
	for {
		a, err := readRefused(conn)
		if err != nil {
			return err
		}
		e.desk.refuse(a.id, lamppost.Refuse(a.code, "%s", a.text))
	}
}

// A session is another member's connection to this one, which leads.
type session struct {
	conn net.Conn
	mu   sync.Mutex // of writing
}

// refuse tells the other member. If that fails, it hears so when it asks again.
func (s *session) refuse(id lamppost.TxID, err error) {
	a := refused{id: id, code: lamppost.CodeBadTx, text: err.Error()}
	var r *lamppost.Refusal
	if errors.As(err, &r) {
		a.code, a.text = r.Code, r.Text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.conn.Write(a.append(nil)); err != nil {
		s.conn.Close()
	}
}

// attend takes what a member forwards for as long as this one leads.
func (e *Engine) attend(conn net.Conn, from lamppost.MemberID) {
	if !slices.Contains(e.seats(), from) {
		e.cfg.Log.Warn("who is no member forwarded proposals", "from", from)
		return
	}
	s := &session{conn: conn}
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := readForwarded(r)
		if err != nil || !e.desk.take(s, f, e.cfg.Now()) {
			return
		}
	}
}
