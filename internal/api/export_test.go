package api

import "github.com/lamppost/lamppost"

// Routes lists the table of routes for the tests that walk it.
func (s *Server) Routes() (patterns []string, who map[string]string) {
	who = map[string]string{}
	for _, r := range s.routes() {
		patterns = append(patterns, r.pattern)
		who[r.pattern] = string(r.who)
	}
	return patterns, who
}

// Exported for tests of parts.
const (
	MaxPoints  = maxPoints
	MinPoints  = minPoints
	MaxSeries  = maxSeries
	MaxStreams = maxStreams
	MaxBody    = maxBodyBytes
)

var StatusOf = statusOf

// A Ring is a series' history.
type Ring struct{ ring }

func (g *Ring) Add(at int64, v float32, limit int) { g.add(lamppost.TimeMS(at), v, limit) }
func (g *Ring) Len() int                           { return len(g.times) }
func (g *Ring) Point(i int) (int64, float32)       { return int64(g.times[i]), g.values[i] }

// Totals reads the twins as the handlers do.
func (l *Live) Totals(now int64) Totals { return l.summary(lamppost.TimeMS(now)) }

// AnswerStatus is the HTTP status an error is answered with.
func AnswerStatus(err error) int { return answerOf(err).status }
