package witness

import (
	"maps"

	"github.com/lamppost/lamppost"
)

// Status is how a witness is: what GET /api/status answers and the page shows. Everybody may know all of it.
type Status struct {
	Name   string          `json:"name"`
	Key    string          `json:"key"` // verifier key, for pins and for the logs that ask
	Now    lamppost.TimeMS `json:"now_ms"`
	Failed string          `json:"failed"` // why nothing is cosigned any more; empty: it is
	Logs   []LogStatus     `json:"logs"`   // those followed, by origin, and those removed that left a fork behind
}

// A LogStatus is what a witness knows of a log.
type LogStatus struct {
	Log
	Followed   bool              `json:"followed"`
	Size       int64             `json:"size"` // of the checkpoint cosigned last
	Root       string            `json:"root"` // hex
	At         lamppost.TimeMS   `json:"cosigned_ms"`
	Checkpoint string            `json:"checkpoint"` // signed note; empty before the first
	Refused    map[Reason]uint64 `json:"refused"`    // since the start
	LastText   string            `json:"last_refusal"`
	LastAt     lamppost.TimeMS   `json:"last_refusal_ms"`
	Forks      []ForkStatus      `json:"forks"`      // proven
	Unresolved []ForkStatus      `json:"unresolved"` // not proven
	Dropped    uint32            `json:"dropped"`    // pairs that there was no room for
}

// A ForkStatus is a fork for people, with all that proves it.
type ForkStatus struct {
	Found   lamppost.TimeMS `json:"found_ms"`
	Words   string          `json:"words"`
	Smaller string          `json:"smaller"` // signed notes
	Larger  string          `json:"larger"`
	Begin   string          `json:"begin"` // hex; see [Fork]
	Proof   []string        `json:"proof"` // hex
}

// Status may be called at any time.
func (w *Witness) Status() Status {
	s := Status{Name: w.Key().Name(), Key: w.Key().String(), Now: w.now(), Logs: []LogStatus{}}
	if err := w.failed.Load(); err != nil {
		s.Failed = (*err).Error()
	}
	for _, f := range w.all() {
		if l := f.status(); l.Followed || len(l.Forks)+len(l.Unresolved) > 0 {
			s.Logs = append(s.Logs, l)
		}
	}
	return s
}

func (f *followed) status() LogStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := LogStatus{Log: f.record.Log, Followed: !f.record.Removed, Size: f.state.size, Root: lamppost.Hash(f.state.root).String(), At: f.state.At,
		Checkpoint: f.state.Note, Refused: maps.Clone(f.refused), LastAt: f.lastAt, Dropped: f.record.Dropped,
		Forks: []ForkStatus{}, Unresolved: []ForkStatus{}}
	if f.last != nil {
		l.LastText = f.last.Text
	}
	for _, k := range f.forks {
		to := &l.Unresolved
		if k.proven {
			to = &l.Forks
		}
		*to = append(*to, k.status())
	}
	return l
}

func (f *Fork) status() ForkStatus {
	s := ForkStatus{Found: f.Found, Words: f.Words(), Smaller: f.Smaller, Larger: f.Larger, Proof: []string{}}
	if !f.Begin.IsZero() {
		s.Begin = f.Begin.String()
	}
	for _, h := range f.Proof {
		s.Proof = append(s.Proof, h.String())
	}
	return s
}
