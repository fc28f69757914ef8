package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// registerMetrics adds what the node knows as a whole; its parts count for themselves.
func (n *Node) registerMetrics() {
	gauge := func(name, help string, value func() float64) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("lamppost_height", "Height of the last committed block.", func() float64 { return float64(n.engine.Status().Height) })
	gauge("lamppost_queued_transactions", "Transactions waiting for a block.", func() float64 { return float64(n.engine.Status().Queued) })
	gauge("lamppost_waiting_seconds", "Age of the oldest waiting transaction.", func() float64 { return float64(n.engine.Status().WaitedMS) / 1000 })
	gauge("lamppost_disk_faults", "Objects, tiles and snapshots that were not what was written when they were read last.", func() float64 { return float64(len(n.scrubState().Faults)) })
	gauge("lamppost_erasures_overdue", "Erasures that should be out of every file and backup of this member, and are not.", func() float64 { return float64(n.overdue.Load()) })
	gauge("lamppost_certificate_ends_seconds", "When the certificate of the doors ends, in seconds since 1970; 0: there is none.", func() float64 { return float64(n.certificateEnds()) / 1000 })
	gauge("lamppost_snapshot_height", "Block of the latest snapshot of the state.", func() float64 { return float64(n.SnapshotState().Height) })
	n.syncMetrics()
	n.judgeMetrics(gauge)
	gauge("lamppost_published_leaves", "Leaves of the log under the latest checkpoint.", func() float64 {
		if p := n.published.Load(); p != nil {
			return float64(p.Size)
		}
		return 0
	})
	gauge("lamppost_cosigned_leaves", "Leaves of the log under the latest checkpoint that enough witnesses cosigned.", func() float64 {
		if c := n.cosigned.Load(); c != nil {
			return float64(c.Size)
		}
		return 0
	})
	gauge("lamppost_conflict", "1 if somebody holds a checkpoint of this log that it does not continue: nothing is signed or taken any more.", func() float64 {
		if n.conflict.Load() != nil {
			return 1
		}
		return 0
	})
}

// syncMetrics adds how often files were made durable, where that is counted: the library of comet does not say it of its log.
func (n *Node) syncMetrics() {
	counter := func(of string, value func() uint64) {
		n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lamppost_syncs_total", Help: "Times that files were made durable, by whose they are.",
			ConstLabels: prometheus.Labels{"of": of}}, func() float64 { return float64(value()) }))
	}
	counter("store", n.db.Syncs)
	if e, ok := n.halt.Engine.(interface{ Syncs() uint64 }); ok {
		counter("engine", e.Syncs)
	}
}

// judgeMetrics adds how triage does.
func (n *Node) judgeMetrics(gauge func(name, help string, value func() float64)) {
	if n.judging == nil {
		return
	}
	counter := func(name, help string, labels prometheus.Labels, value func(*api.TriageState) uint64) {
		n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return float64(value(n.judging.state())) }))
	}
	counter("lamppost_triage_readings_total", "Readings that detectors judged.", nil, func(s *api.TriageState) uint64 { return s.Readings })
	counter("lamppost_triage_late_total", "Readings that came after younger ones of their series and were judged by what needs no order.", nil, func(s *api.TriageState) uint64 { return s.Late })
	counter("lamppost_triage_passed_total", "Readings that nothing could judge: faulty, ahead, of another unit, or late with nothing to hold them against.", nil, func(s *api.TriageState) uint64 { return s.Passed })
	counter("lamppost_triage_not_judged_total", "Readings that were not judged for want of memory or names.", nil, func(s *api.TriageState) uint64 { return s.NotJudged })
	for k := lamppost.Anomaly; k <= lamppost.Behaviour; k++ {
		counter("lamppost_triage_verdicts_total", "Verdicts, by kind.", prometheus.Labels{"kind": k.String()}, func(s *api.TriageState) uint64 { return s.Verdicts[k.String()] })
	}
	gauge("lamppost_triage_lag_blocks", "Committed blocks that are not judged yet.", func() float64 { return float64(n.judging.state().Lag) })
	gauge("lamppost_triage_series", "Series that have a detector.", func() float64 { return float64(n.judging.state().Series) })
}

// notices counts what becomes of payment providers' notices.
func (n *Node) notices() func(provider, outcome string) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lamppost_payment_notices_total", Help: "Notices of payment providers, by what became of them."},
		[]string{"provider", "outcome"})
	n.registry.MustRegister(c)
	return func(provider, outcome string) { c.WithLabelValues(provider, outcome).Inc() }
}
