package tokens

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	checks    *prometheus.CounterVec
	hits      *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	questions *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
}

// newMetrics registers with reg, or nowhere when it is nil.
func newMetrics(reg prometheus.Registerer, v *Verifier) *metrics {
	auto := promauto.With(reg)
	if reg != nil {
		reg.MustRegister(collector{v})
	}
	return &metrics{
		checks: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_token_checks_total",
			Help: "Credentials looked at, by issuer (empty: the file, or nobody's) and result: ok, unavailable or why they were refused.",
		}, []string{"issuer", "result"}),
		hits: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_token_cache_hits_total",
			Help: "Tokens that were known from before, by issuer.",
		}, []string{"issuer"}),
		refreshes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_token_key_refreshes_total",
			Help: "Times that the keys of an issuer were fetched, by result: ok or failed.",
		}, []string{"issuer", "result"}),
		questions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_token_introspections_total",
			Help: "Questions to an issuer about a token, by result: active, inactive, failed, busy or breaker (not asked).",
		}, []string{"issuer", "result"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "otpgw_token_introspection_seconds",
			Help:    "Time that an issuer took to answer a question.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"issuer"}),
	}
}

func (m *metrics) checked(issuer string, err error) {
	m.checks.WithLabelValues(issuer, reasonOf(err)).Inc()
}

func (m *metrics) asked(issuer, result string, took time.Duration) {
	m.questions.WithLabelValues(issuer, result).Inc()
	if result == "active" || result == "inactive" || result == "failed" {
		m.seconds.WithLabelValues(issuer).Observe(took.Seconds())
	}
}

// A collector tells of the issuers in force, which a reload may change.
type collector struct{ *Verifier }

var (
	keyAge = prometheus.NewDesc("otpgw_token_key_age_seconds",
		"How long ago the keys of an issuer were fetched; none before the first time.", []string{"issuer"}, nil)
	issuerReady = prometheus.NewDesc("otpgw_token_issuer_ready",
		"1 while tokens of the issuer can be verified.", []string{"issuer"}, nil)
	cached = prometheus.NewDesc("otpgw_token_cached",
		"Tokens that are known to be good.", []string{"issuer"}, nil)
)

// Describe tells Prometheus what Collect sends.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- keyAge
	to <- issuerReady
	to <- cached
}

// Collect sends the state of the issuers.
func (c collector) Collect(to chan<- prometheus.Metric) {
	set := c.now.Load()
	if set == nil {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, issuer string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, issuer)
	}
	for _, i := range set.issuers {
		ready := 0.0
		if i.ready() == nil {
			ready = 1
		}
		gauge(issuerReady, ready, i.Name)
		gauge(cached, float64(i.verified.len()), i.Name)
		if i.keys == nil {
			continue
		}
		if keys := i.keys.now.Load(); keys != nil {
			gauge(keyAge, time.Since(keys.at).Seconds(), i.Name)
		}
	}
}
