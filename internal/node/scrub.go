package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/scrub"
)

// openScrub prepares reading everything again.
func (n *Node) openScrub() error {
	if n.cfg.Scrub.Off() {
		return nil
	}
	read := prometheus.NewCounter(prometheus.CounterOpts{Name: "lamppost_scrubbed_bytes_total", Help: "Bytes of objects, tiles and snapshots read again and checked."})
	n.registry.MustRegister(read)
	n.scrub = scrub.New(scrub.Config{Every: time.Duration(n.cfg.Scrub), Store: n.store, Packs: n.packs, Files: n.publisher.Storage, Snapshots: n.snaps.dir, Now: n.now,
		Published: func() (lamppost.Checkpoint, bool) {
			if p := n.published.Load(); p != nil {
				return p.Checkpoint, true
			}
			return lamppost.Checkpoint{}, false
		},
		Read: func(bytes int64) { read.Add(float64(bytes)) },
		Found: func(f scrub.Fault) {
			n.cfg.Log.Error("something on the disk is not what was written; lamppost fsck says what follows", "where", f.Where, "what", f.What)
		}})
	return nil
}

// scrubState says how far the reading is and what it has found.
func (n *Node) scrubState() api.ScrubState {
	out := api.ScrubState{Faults: []api.Fault{}}
	if n.scrub == nil {
		return out
	}
	s := n.scrub.State()
	out.Began, out.Percent = s.Began, s.Percent
	for _, f := range s.Faults {
		out.Faults = append(out.Faults, api.Fault(f))
	}
	return out
}
