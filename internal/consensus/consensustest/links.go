package consensustest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// A link is how one seat of a network reaches another: a door on loopback behind which whatever comes is passed on,
// until it is cut.
type link struct {
	door   net.Listener
	target string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newLink(t testing.TB, target string) *link {
	t.Helper()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{door: door, target: target, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		door.Close()
		l.set(true)
	})
	go l.serve()
	return l
}

// set cuts the link, with all that runs over it, or heals it.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for c := range l.conns {
		if cut {
			c.Close()
		}
	}
}

func (l *link) serve() {
	for {
		from, err := l.door.Accept()
		if err != nil {
			return
		}
		go l.pass(from)
	}
}

// keep reports whether a connection may run, and remembers it.
func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[c] = true
	}
	return !l.cut
}

func (l *link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func (l *link) pass(from net.Conn) {
	defer l.drop(from)
	if !l.keep(from) {
		return
	}
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer l.drop(to)
	if !l.keep(to) {
		return
	}
	done := make(chan struct{})
	go func() {
		io.Copy(to, from)
		to.Close()
		close(done)
	}()
	io.Copy(from, to)
	from.Close()
	<-done
}

// FreeAddress returns an address on loopback where nobody listens. It is below the ports from which connections are
// made, any of which may be taken by the time that an engine listens, or listens again.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10000+rand.IntN(20000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
