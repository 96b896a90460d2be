package callbacks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Results of a call, as they are counted.
const (
	taken    = "taken"    // 2xx
	failed   = "failed"   // no answer, or one after which it is tried again soon
	refused  = "refused"  // another 4xx, or a redirect: tried again, rarely
	gone     = "gone"     // 410: the sink is stopped
	givenUp  = "given_up" // too old; no call
	unmarked = "unmarked" // taken, but not recorded: will be told again
)

type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, c *Callbacks) metrics {
	f := promauto.With(reg)
	if reg != nil {
		reg.MustRegister(standing{c})
	}
	return metrics{
		calls: f.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_callbacks_total",
			Help: "Callbacks by result: taken; failed and refused, to be tried again; gone; given_up, as too old; unmarked, taken and to be told again.",
		}, []string{"sink", "result"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "otpgw_callback_seconds",
			Help:    "Duration of a call, be it answered or not.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 15),
		}, []string{"sink"}),
	}
}

// forget removes the series of a sink that is no more.
func (m metrics) forget(sink string) {
	m.calls.DeletePartialMatch(prometheus.Labels{"sink": sink})
	m.seconds.DeletePartialMatch(prometheus.Labels{"sink": sink})
}

// standing tells how the sinks stand when it is asked.
type standing struct{ c *Callbacks }

var (
	pendingDesc = prometheus.NewDesc("otpgw_callbacks_pending", "Events in memory that are to be told. There may be more in the store.", []string{"sink"}, nil)
	oldestDesc  = prometheus.NewDesc("otpgw_callbacks_oldest_seconds", "Age of the oldest event in memory, 0 without one.", []string{"sink"}, nil)
	stoppedDesc = prometheus.NewDesc("otpgw_callbacks_stopped", "1 after the sink answered 410, until the next reload.", []string{"sink"}, nil)
)

func (s standing) Describe(descs chan<- *prometheus.Desc) {
	descs <- pendingDesc
	descs <- oldestDesc
	descs <- stoppedDesc
}

func (s standing) Collect(metrics chan<- prometheus.Metric) {
	now := time.Now()
	for _, sink := range s.c.Sinks() {
		age := time.Duration(0)
		if !sink.Oldest.IsZero() {
			age = max(0, now.Sub(sink.Oldest))
		}
		stopped := 0.0
		if sink.Stopped {
			stopped = 1
		}
		for desc, value := range map[*prometheus.Desc]float64{
			pendingDesc: float64(sink.Waiting), oldestDesc: age.Seconds(), stoppedDesc: stopped,
		} {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, sink.Name)
		}
	}
}
