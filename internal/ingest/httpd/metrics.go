package httpd

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the front door's counters. They are safe for concurrent use.
type Metrics struct {
	// Refused counts answers that took nothing, by the code in them: those of reports and those of requests.
	Refused *prometheus.CounterVec
}

// NewMetrics makes the counters and registers them, where reg is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{Refused: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "lamppost", Subsystem: "http", Name: "refused_total",
		Help: "Reports, enrolments and requests refused, by code."}, []string{"code"})}
	if reg != nil {
		reg.MustRegister(m.Refused)
	}
	return m
}
