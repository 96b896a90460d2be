package numbers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	verdicts [len(verdictNames)]prometheus.Counter
	entries  *prometheus.GaugeVec
	modified *prometheus.GaugeVec
	lookups  *prometheus.CounterVec
	seconds  prometheus.Histogram
	refused  prometheus.Counter
	recalled prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, d *Directory) metrics {
	auto := promauto.With(reg)
	m := metrics{
		entries: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "otpgw_numbers_entries", Help: "Numbers, ranges and prefixes in the file of a list."}, []string{"list"}),
		modified: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "otpgw_numbers_file_modified_timestamp_seconds", Help: "When the file of a list that is in force was last changed."}, []string{"list"}),
		lookups: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_numbers_lookups_total", Help: "Look-ups by result: a verdict, failed, late, busy or breaker (not asked)."}, []string{"result"}),
		seconds: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "otpgw_numbers_lookup_seconds", Help: "Time of a look-up, its wait for a turn included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
	}
	verdicts := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "otpgw_numbers_verdicts_total", Help: "Numbers judged, by verdict; those without one because the look-up failed are in no count."}, []string{"verdict"})
	for v := range m.verdicts {
		m.verdicts[v] = verdicts.WithLabelValues(verdictNames[v])
	}
	hits := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "otpgw_numbers_cache_hits_total", Help: "Verdicts that a cache gave: refused or lookup."}, []string{"cache"})
	m.refused, m.recalled = hits.WithLabelValues("refused"), hits.WithLabelValues("lookup")

	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		auto.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	const cached = "Numbers that a cache holds: refused or lookup."
	gauge("otpgw_numbers_cached", cached, prometheus.Labels{"cache": "refused"}, func() float64 { return float64(d.refused.len()) })
	gauge("otpgw_numbers_cached", cached, prometheus.Labels{"cache": "lookup"}, func() float64 {
		l := d.now.Load().lookup
		if l == nil {
			return 0
		}
		return float64(l.served.len() + l.others.len())
	})
	gauge("otpgw_numbers_lookup_breaker_state", "0 closed or no look-up, 1 half open, 2 open: the service is not asked.", nil, func() float64 {
		l := d.now.Load().lookup
		if l == nil {
			return 0
		}
		return float64(l.breaker.State())
	})
	return m
}

func (m *metrics) loaded(p *Plan) {
	m.modified.Reset()
	for i, source := range new(Config).sources() {
		l := p.lists[i]
		m.entries.WithLabelValues(source.key).Set(float64(l.len()))
		if l != nil {
			m.modified.WithLabelValues(source.key).Set(float64(l.info.ModTime().UnixMilli()) / 1000)
		}
	}
}

func (m *metrics) lookedUp(result string, took time.Duration) {
	m.lookups.WithLabelValues(result).Inc()
	m.seconds.Observe(took.Seconds())
}
