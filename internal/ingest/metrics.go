package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
)

// Metrics counts reports by what became of them.
type Metrics struct {
	Reports  *prometheus.CounterVec // by code
	Readings prometheus.Counter     // committed
	Busy     prometheus.Counter     // times the queue was full
	Floods   prometheus.Counter     // times somebody was not listened to because of bad reports

	Together, Alone prometheus.Counter // reports whose signature was checked with others', or by itself
	Searches        prometheus.Counter // batches in which a bad signature had to be found

	byCode []prometheus.Counter
}

// NewMetrics makes the metrics and registers them, unless reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lamppost_reports_total", Help: "Reports by what became of them."}, []string{"code"}),
		Readings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lamppost_readings_committed_total", Help: "Readings in committed reports."}),
		Busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lamppost_ingest_busy_total", Help: "Times a report found the queue full."}),
		Floods: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lamppost_ingest_floods_total", Help: "Times a report was not taken because too many bad ones came from the same device."}),
		Searches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lamppost_ingest_searches_total", Help: "Batches in which a bad signature had to be found."}),
	}
	checked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lamppost_ingest_checked_total", Help: "Reports whose signature was checked, together with others or alone."}, []string{"how"})
	m.Together, m.Alone = checked.WithLabelValues("together"), checked.WithLabelValues("alone")
	for _, name := range lamppost.CodeNames() {
		m.byCode = append(m.byCode, m.Reports.WithLabelValues(name))
	}
	if reg != nil {
		reg.MustRegister(m.Reports, m.Readings, m.Busy, m.Floods, m.Searches, checked)
	}
	return m
}

func (m *Metrics) count(code lamppost.Code) { m.byCode[code].Inc() }
