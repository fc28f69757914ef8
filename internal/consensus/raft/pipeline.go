package raft

import (
	"sync"

	"github.com/hashicorp/raft"
)

// A transport is how the library talks to other members. Entries are pipelined: more follow while a member's answers are on their way,
// so that a long way costs time, and no throughput.
type transport struct{ *raft.NetworkTransport }

// AppendEntriesPipeline implements raft.Transport.
func (t transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, to)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture), over: make(chan struct{}), passed: make(chan struct{})}
	go p.pass()
	return p, nil
}

// A pipeline is the library's, and ends with the first answer that is no success. The library stops listening after such an answer
// (v1.8.0, replication.go, pipelineDecode). Its own pipeline then takes in as many more as may be on their way and waits for ever for
// somebody to take the answers, and with it the leader, who reaches that member no more, and Shutdown.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	end     sync.Once
	over    chan struct{} // nobody takes answers any more
	passed  chan struct{} // pass has returned
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// pass hands on answers, up to the one after which nobody listens.
func (p *pipeline) pass() {
	defer close(p.passed)
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			select {
			case p.answers <- f:
			case <-p.over:
				return
			}
			if a := f.Response(); !a.Success || a.Term > f.Request().Term {
				p.AppendPipeline.Close() // who waits to send hears of it
				return
			}
		case <-p.over:
			return
		}
	}
}

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.end.Do(func() { close(p.over) })
	<-p.passed
	return p.AppendPipeline.Close()
}
