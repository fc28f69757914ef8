package brokerd

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
)

// Metrics are a Client's counters. They are safe for concurrent use.
type Metrics struct {
	Refused *prometheus.CounterVec // by lamppost.Code: for good, or for now
	Dropped prometheus.Counter     // refusals that no device was told of

	// What Status tells as well.
	connected                             atomic.Bool
	received, redelivered, acked, refused atomic.Uint64
}

// NewMetrics makes the counters and registers them, where reg is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "lamppost", Subsystem: "broker", Name: name, Help: help}
	}
	m := &Metrics{
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts(opts("refused_total", "Messages from the broker refused, by code.")), []string{"code"}),
		Dropped: prometheus.NewCounter(prometheus.CounterOpts(opts("refusals_dropped_total", "Refusals that could not be published at the broker."))),
	}
	if reg == nil {
		return m
	}
	counter := func(name, help string, value *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(opts(name, help)), func() float64 { return float64(value.Load()) })
	}
	reg.MustRegister(m.Refused, m.Dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("connected", "1 while this node is connected to the broker.")), func() float64 {
			if m.connected.Load() {
				return 1
			}
			return 0
		}),
		counter("received_total", "Messages from the broker, those that came again included.", &m.received),
		counter("redelivered_total", "Messages that the broker says it sent before.", &m.redelivered),
		counter("acked_total", "Messages acknowledged to the broker: committed, or refused for good.", &m.acked))
	return m
}

func (m *Metrics) refuse(code lamppost.Code) {
	m.Refused.WithLabelValues(code.String()).Inc()
	if code.Final() {
		m.refused.Add(1)
	}
}
