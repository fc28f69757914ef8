package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// getEvents streams server-sent events: a status whenever it has changed, and the blocks as they are committed, both no
// more often than a reader needs. It ends with the request or the server.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	sub, ok := s.cfg.Live.subscribe()
	if !ok {
		return &statusError{http.StatusServiceUnavailable, "busy", "too many event streams are open"}
	}
	defer s.cfg.Live.unsubscribe(sub)
	w.Header().Set("Content-Type", "text/event-stream")
	e := stream{w: w, c: http.NewResponseController(w)}
	e.status(s.status())
	statusTick, blockTick := time.NewTicker(statusEvery), time.NewTicker(blockEvery)
	defer statusTick.Stop()
	defer blockTick.Stop()
	for e.err == nil {
		select {
		case <-r.Context().Done():
			return nil
		case <-s.closed:
			return nil
		case <-statusTick.C:
			e.status(s.status())
		case <-blockTick.C:
			select {
			case <-sub.wake:
				if b := sub.take(); b.Height != 0 {
					e.send("block", b)
				}
			default:
			}
		}
	}
	return nil // the reader is gone, or too slow
}

// A stream writes events. Its first error stays.
type stream struct {
	w    http.ResponseWriter
	c    *http.ResponseController
	last []byte // the status sent last, without its time
	at   time.Time
	err  error
}

// status sends a status that differs from the last one in more than the time, or that is due to show that we live.
func (e *stream) status(now Status) {
	still := now
	still.Now = 0
	text, err := json.Marshal(still)
	if err != nil {
		e.err = err
		return
	}
	if bytes.Equal(text, e.last) && time.Since(e.at) < keepAlive {
		return
	}
	e.last = text
	e.send("status", now)
}

func (e *stream) send(event string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		e.err = err
		return
	}
	e.at = time.Now()
	// Writers that know no deadlines are those of tests; a real connection ends when its reader does not read.
	_ = e.c.SetWriteDeadline(e.at.Add(streamTimeout))
	for _, part := range [][]byte{[]byte("event: " + event + "\ndata: "), text, []byte("\n\n")} {
		if _, err := e.w.Write(part); err != nil {
			e.err = err
			return
		}
	}
	e.err = e.c.Flush()
}
