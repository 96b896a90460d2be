package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	refusals *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	codes    *prometheus.CounterVec // by client
	refused  *prometheus.CounterVec // by client
}

// newMetrics registers with reg, or nowhere when it is nil.
func newMetrics(reg prometheus.Registerer, all [kinds]*slots, identity func() *Identity) *metrics {
	make := promauto.With(reg)
	for kind, operation := range [kinds]string{"send-code", "validate-code", "verifications"} {
		make.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "otpgw_http_in_flight",
			Help:        "Requests in work.",
			ConstLabels: prometheus.Labels{"operation": operation},
		}, func() float64 { return float64(all[kind].taken.Load()) })
	}
	if identity() != nil {
		make.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "otpgw_http_certificate_expiry_timestamp_seconds",
			Help: "Unix time at which the TLS certificate in force expires.",
		}, func() float64 { return float64(identity().certificate.Leaf.NotAfter.Unix()) })
	}
	return &metrics{
		codes: make.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_client_codes_total",
			Help: "What became of the codes of each configured client: sent, verified, wrong, failed.",
		}, []string{"client", "outcome"}),
		refused: make.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_client_refusals_total",
			Help: "Requests of each configured client that were answered with an error, by reason.",
		}, []string{"client", "reason"}),
		requests: make.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_http_requests_total",
			Help: "Requests answered, by route and HTTP status.",
		}, []string{"route", "status"}),
		refusals: make.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_http_refusals_total",
			Help: "Requests answered with an error, by route and reason.",
		}, []string{"route", "reason"}),
		seconds: make.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "otpgw_http_request_seconds",
			Help:                        "Time from a request's headers to its answer.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"route"}),
	}
}

func (m *metrics) finished(x *exchange, status int, refusal *problem, took time.Duration) {
	m.requests.WithLabelValues(x.name, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(x.name).Observe(took.Seconds())
	if refusal != nil {
		m.refusals.WithLabelValues(x.name, refusal.reason).Inc()
	}
	if x.client == nil { // who is no configured client is no label
		return
	}
	if refusal != nil {
		m.refused.WithLabelValues(x.client.ID, refusal.reason).Inc()
	}
	switch {
	case x.kind == sending && refusal == nil && !x.unsent:
		m.codes.WithLabelValues(x.client.ID, "sent").Inc()
	case x.kind != validating:
	case refusal == nil:
		m.codes.WithLabelValues(x.client.ID, "verified").Inc()
	case refusal == wrongCode:
		m.codes.WithLabelValues(x.client.ID, "wrong").Inc()
	case refusal == failedCode:
		m.codes.WithLabelValues(x.client.ID, "failed").Inc()
	}
}

// forget drops what was counted of a client that is configured no more.
func (m *metrics) forget(client string) {
	m.codes.DeletePartialMatch(prometheus.Labels{"client": client})
	m.refused.DeletePartialMatch(prometheus.Labels{"client": client})
}
