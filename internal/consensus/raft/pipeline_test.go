package raft

import (
	"encoding/binary"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
)

// A member ends, and reaches the others, whatever they answered: after an answer that is no success, which is the last that the library
// takes, nobody waits to send.
func TestPipelineEnds(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]raft.AppendEntriesResponse{
		"Refused": {Term: 1}, "NewerTerm": {Term: 2, Success: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trans := pair(t, answer)
			p, err := trans.AppendEntriesPipeline("b", "b")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			send := func() error {
				_, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse))
				return err
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			<-p.Consumer() // and no more, as the library
			ended := make(chan error, 1)
			go func() {
				for range 4 * maxInFlight {
					if err := send(); err != nil {
						ended <- err
						return
					}
				}
				ended <- nil
			}()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("all was sent, and nobody takes the answers")
				}
			case <-time.After(20 * time.Second):
				t.Fatal("who sends waits for somebody to take answers")
			}
		})
	}
}

// pair returns member a's transport to member b, who gives everything the same answer.
func pair(t *testing.T, answer raft.AppendEntriesResponse) transport {
	t.Helper()
	addresses := map[lamppost.MemberID]string{"b": consensustest.FreeAddress(t)}
	open := func(id lamppost.MemberID, at string) transport {
		cfg := Config{Network: "net", Member: id, Listen: at, Log: slog.New(slog.DiscardHandler),
			Address: func(to lamppost.MemberID) string { return addresses[to] }}
		links, err := listen(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		go links.serve(func(net.Conn, lamppost.MemberID) {})
		trans := (&Engine{cfg: cfg, net: links}).transport(&store{logger: hclog.NewNullLogger()})
		t.Cleanup(func() { trans.Close() })
		return trans
	}
	b := open("b", addresses["b"])
	go func() {
		for {
			select {
			case rpc := <-b.Consumer():
				rpc.Respond(&answer, nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
	return open("a", "127.0.0.1:0")
}

// While no member answers, as over a long way, full blocks go on and reach all members, up to the limit. Nothing is acknowledged before
// the answers come; then everything is.
func TestBlocksInFlight(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	engines, _ := benchNetwork(t, 3, func(cfg *Config) {
		cfg.Timeout = time.Second // a machine that is busy shall elect nobody else meanwhile
		address := cfg.Address
		cfg.Address = func(to lamppost.MemberID) string { return holding(t, address(to), release) }
	})
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("in vain waited for ", what)
			}
		}
	}
	leader := engines[slices.IndexFunc(engines, func(e *Engine) bool { return e.cfg.Member == engines[0].leader() })]
	until("leading", func() bool { return leader.Status().Role == "leader" && leader.desk.flying() == 0 })
	before, height := leader.raft.LastIndex(), leader.Status().Height
	const all = maxInFlight + 4
	answered := make(chan error, all)
	for n := range all {
		go func() {
			tx := make([]byte, maxEntryBytes)
			binary.BigEndian.PutUint64(tx, uint64(n+1))
			_, err := leader.Propose(t.Context(), lamppost.TxID(tx[:32]), tx)
			answered <- err
		}()
	}
	for _, e := range engines {
		until("all entries at "+string(e.cfg.Member), func() bool { return e.raft.LastIndex() >= before+maxInFlight })
	}
	if n := leader.desk.flying(); n != maxInFlight {
		t.Errorf("%d blocks are on their way, want %d", n, maxInFlight)
	}
	select {
	case err := <-answered:
		t.Fatal("one is answered that no other member has confirmed: ", err)
	default:
	}
	close(release)
	for range all {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if got := leader.Status().Height - height; got != all {
		t.Errorf("%d blocks, want one for each of %d", got, all)
	}
}

// holding returns an address that leads to another. Where half a block is sent without an answer, answers are held until the release;
// heartbeats, and theirs, pass.
func holding(t *testing.T, to string, release chan struct{}) string {
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return ""
	}
	t.Cleanup(func() { door.Close() })
	go func() {
		for {
			from, err := door.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			var unanswered atomic.Int64
			go pass(from, out, func(n int) { unanswered.Add(int64(n)) })
			go pass(out, from, func(int) {
				if unanswered.Load() >= maxEntryBytes/2 {
					<-release
				}
				unanswered.Store(0)
			})
		}
	}()
	return door.Addr().String()
}

// pass carries one direction of a connection, and says of every piece how long it is before it goes on.
func pass(from, to net.Conn, about func(n int)) {
	defer to.Close()
	defer from.Close()
	for buf := make([]byte, 64<<10); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		about(n)
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
