package mqttd

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
)

// Metrics are the front door's counters. They are safe for concurrent use.
type Metrics struct {
	Connections prometheus.Gauge       // open sockets
	Received    prometheus.Counter     // PUBLISH packets read
	Acked       prometheus.Counter     // acknowledgements of accepted reports written
	Refused     *prometheus.CounterVec // by lamppost.Code: told to the device as final, or as busy
	BusySeconds prometheus.Counter     // connections × time they were left unread, because the queue or their window was full
	Dropped     prometheus.Counter     // messages to devices that were replaced by newer ones before they could be sent

	// Closed counts connections the front door ended, by cause: too_many (over MaxConnections), log_in, malformed and
	// protocol (what was sent is not MQTT, or not allowed in it), too_large (a packet that is no report), silent (keepalive,
	// or no CONNECT), slow (takes no bytes), busy (sent away by a full node), flood (too many bad reports), taken_over, socket
	// (an error of the network).
	Closed *prometheus.CounterVec

	refused []prometheus.Counter // Refused by code, so that a refusal costs no look-up
}

// NewMetrics makes the counters and registers them, where reg is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "lamppost", Subsystem: "mqtt", Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "lamppost", Subsystem: "mqtt", Name: name, Help: help}, []string{label})
	}
	m := &Metrics{
		Connections: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "lamppost", Subsystem: "mqtt",
			Name: "connections", Help: "Open MQTT sockets."}),
		Received:    counter("received_total", "PUBLISH packets read."),
		Acked:       counter("acked_total", "Acknowledgements of accepted reports."),
		Refused:     vec("refused_total", "Reports refused, by code.", "code"),
		BusySeconds: counter("busy_seconds_total", "Time that connections were left unread because the node was busy."),
		Closed:      vec("closed_total", "Connections ended by the front door, by cause.", "cause"),
		Dropped:     counter("dropped_total", "Messages to devices replaced by newer ones before they were sent."),
	}
	for _, name := range lamppost.CodeNames() {
		m.refused = append(m.refused, m.Refused.WithLabelValues(name))
	}
	if reg != nil {
		reg.MustRegister(m.Connections, m.Received, m.Acked, m.Refused, m.BusySeconds, m.Closed, m.Dropped)
	}
	return m
}

// refuse counts a refusal.
func (m *Metrics) refuse(code lamppost.Code) {
	if int(code) < len(m.refused) {
		m.refused[code].Inc()
		return
	}
	m.Refused.WithLabelValues(code.String()).Inc()
}
