package smpp

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"otpgw/smpp/pdu"
)

// metrics are those of one account; smsc is a label of all of them.
type metrics struct {
	registered *recorder
	factory    promauto.Factory
	shown      atomic.Pointer[account] // whose state the gauges tell
	binds      map[string]bool         // whose states are told

	connects       *prometheus.CounterVec
	bindFailures   *prometheus.CounterVec
	disconnects    *prometheus.CounterVec
	reconnectDelay *prometheus.GaugeVec
	rtt            *prometheus.HistogramVec
	misses         *prometheus.CounterVec
	pdus           *prometheus.CounterVec
	pduErrors      *prometheus.CounterVec
	unexpected     *prometheus.CounterVec
	inflight       *prometheus.GaugeVec
	windowSize     prometheus.Gauge
	windowWait     prometheus.Histogram
	rateLimit      prometheus.Gauge
	rateWait       prometheus.Histogram
	queueDepth     prometheus.Gauge
	submits        *prometheus.CounterVec
	submitSeconds  *prometheus.HistogramVec
	retries        *prometheus.CounterVec
	unknowns       *prometheus.CounterVec
	throttled      *prometheus.CounterVec
	segments       *prometheus.CounterVec
	accepted       prometheus.Counter // of submits, for every message
	receipts       *prometheus.CounterVec
	deferred       *prometheus.CounterVec
	mobile         *prometheus.CounterVec
	receiptSeconds *prometheus.HistogramVec
	matches        *prometheus.CounterVec
	receiptAfter   prometheus.Histogram
	promptly       prometheus.Counter
	expected       prometheus.Gauge
	unwatched      prometheus.Counter
	missing        prometheus.Counter
	late           *prometheus.CounterVec
	queries        *prometheus.CounterVec
	cancels        *prometheus.CounterVec
	errandsDropped *prometheus.CounterVec
}

// A recorder remembers what was registered.
type recorder struct {
	prometheus.Registerer
	all []prometheus.Collector
}

func (r *recorder) MustRegister(all ...prometheus.Collector) {
	r.all = append(r.all, all...)
	r.Registerer.MustRegister(all...)
}

// unregister takes the metrics of an account away that is none any more.
func (m *metrics) unregister() {
	for _, c := range m.registered.all {
		m.registered.Unregister(c)
	}
}

// tell is what of says of the account that is shown.
func (m *metrics) tell(of func(*account) float64) func() float64 {
	return func() float64 {
		if a := m.shown.Load(); a != nil {
			return of(a)
		}
		return 0
	}
}

// show has the gauges tell the state of a. They are 0 until then.
func (m *metrics) show(a *account) { m.shown.Store(a) }

func newMetrics(reg prometheus.Registerer, smsc string) *metrics {
	registered := &recorder{Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"smsc": smsc}, reg)}
	factory := promauto.With(registered)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return factory.NewCounterVec(prometheus.CounterOpts{Name: "otpgw_smpp_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return factory.NewGauge(prometheus.GaugeOpts{Name: "otpgw_smpp_" + name, Help: help})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return factory.NewGaugeVec(prometheus.GaugeOpts{Name: "otpgw_smpp_" + name, Help: help}, labels)
	}
	seconds := func(name, help string) prometheus.HistogramOpts {
		buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
		return prometheus.HistogramOpts{Name: "otpgw_smpp_" + name, Help: help, Buckets: buckets}
	}
	m := &metrics{
		registered:     registered,
		factory:        factory,
		binds:          make(map[string]bool),
		connects:       counter("connects_total", "Connections made.", "bind"),
		bindFailures:   counter("bind_failures_total", "Binds that failed: the status of a refusal, or connect, connection or timeout.", "bind", "status"),
		disconnects:    counter("disconnects_total", "Bound connections that ended, by reason.", "bind", "reason"),
		reconnectDelay: gauges("reconnect_delay_seconds", "The last wait before a bind was tried again.", "bind"),
		rtt:            factory.NewHistogramVec(seconds("enquire_link_rtt_seconds", "Time to the answer of an enquire_link."), []string{"bind"}),
		misses:         counter("enquire_link_misses_total", "Enquire_links after which nothing came in time.", "bind"),
		pdus:           counter("pdus_total", "PDUs received (in) and queued for sending (out).", "bind", "dir", "command"),
		pduErrors:      counter("pdu_errors_total", "PDUs received that could not be read, by the part that was wrong.", "bind", "command", "part"),
		unexpected:     counter("unexpected_responses_total", "Responses to no request that waits: late, duplicate, unknown, or of another type.", "bind", "kind"),
		inflight:       gauges("inflight", "Messages on a bind.", "bind"),
		windowSize:     gauge("window_size", "Messages that may be on one bind."),
		windowWait:     factory.NewHistogram(seconds("window_wait_seconds", "Wait for a place in a window.")),
		rateLimit:      gauge("rate_limit", "Segments a second that the account may send; 0: no limit."),
		rateWait:       factory.NewHistogram(seconds("rate_wait_seconds", "Wait for the rate of the account.")),
		queueDepth:     gauge("queue_depth", "Messages that are being sent or wait to be."),
		submits:        counter("submit_total", "Messages by result and by the status of the answer.", "result", "status"),
		submitSeconds:  factory.NewHistogramVec(seconds("submit_seconds", "Time from a submit_sm to its answer."), []string{"bind"}),
		retries:        counter("submit_retries_total", "Messages tried again: throttled, lost with a bind before they were written, after a passing fault, without validity_period, or (where configured) not answered.", "class"),
		unknowns:       counter("submit_unknown_total", "Messages whose outcome is unknown, by reason.", "reason"),
		throttled:      counter("throttled_total", "Answers that ask for a slower pace.", "status"),
		segments:       counter("segments_total", "Segments accepted, by alphabet.", "encoding"),
		receipts:       counter("dlr_total", "Receipts recorded, by state.", "state"),
		deferred:       counter("dlr_deferred_total", "Receipts that the SMSC was asked to send again later: queue_full, or error of who records them.", "reason"),
		mobile:         counter("mo_total", "Messages received that are no receipts. They are acknowledged and dropped.", "bind"),
		receiptSeconds: factory.NewHistogramVec(seconds("deliver_resp_seconds", "Time from a receipt to its acknowledgement."), []string{"bind"}),
	}
	m.matches = counter("dlr_match_total", "Receipts by how their id was found: same, hex_to_dec or dec_to_hex by conversion, orphan for none.", "how")
	m.receiptAfter = factory.NewHistogram(prometheus.HistogramOpts{
		Name: "otpgw_smpp_dlr_seconds", Help: "Time from the acceptance of a message to its final receipt.",
		Buckets: []float64{.1, .25, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800},
	})
	m.promptly = counter("delivered_promptly_total", "Messages whose receipt said within 30 s of their acceptance that the phone has them.").WithLabelValues()
	m.expected = gauge("dlr_expected", "Messages whose final receipts are waited for.")
	m.unwatched = counter("dlr_unwatched_total", "Messages whose receipts are not waited for because too many are.").WithLabelValues()
	m.missing = counter("dlr_missing_total", "Messages without a final receipt at the end of their validity and receipt_grace.").WithLabelValues()
	m.late = counter("submit_late_total", "Answers after their message was given up as unknown: accepted, refused, or incomplete.", "result")
	m.queries = counter("query_total", "query_sm for messages whose receipt is missing, by the state that the SMSC told, or failed.", "state")
	m.cancels = counter("cancel_total", "cancel_sm by result.", "result")
	m.errandsDropped = counter("errands_dropped_total", "Late answers not told, and query_sm and cancel_sm not sent, because too many wait.", "kind")
	factory.NewGaugeFunc(prometheus.GaugeOpts{Name: "otpgw_smpp_binds_bound", Help: "Binds that take messages."}, m.tell(func(a *account) float64 {
		return float64(a.gate.bound())
	}))
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "otpgw_smpp_queue_oldest_seconds", Help: "How long the message has waited that waits longest.",
	}, m.tell(func(a *account) float64 { return a.gate.oldest(time.Now()).Seconds() }))
	m.accepted = m.submits.WithLabelValues("accepted", statusLabel(pdu.StatusOK))
	for _, reason := range []string{"queue_full", "error"} {
		m.deferred.WithLabelValues(reason)
	}
	return m
}

// bindMetrics are those of one bind that are counted for each PDU.
type bindMetrics struct {
	*metrics
	bind           string
	inflight       prometheus.Gauge
	submitSeconds  prometheus.Observer
	receiptSeconds prometheus.Observer
	in, out        map[pdu.Command]prometheus.Counter
	inOther        prometheus.Counter
}

// of is not safe for concurrent use.
func (m *metrics) of(bind string) *bindMetrics {
	m.tellState(bind)
	b := &bindMetrics{
		metrics:        m,
		bind:           bind,
		inflight:       m.inflight.WithLabelValues(bind),
		submitSeconds:  m.submitSeconds.WithLabelValues(bind),
		receiptSeconds: m.receiptSeconds.WithLabelValues(bind),
		in:             make(map[pdu.Command]prometheus.Counter),
		out:            make(map[pdu.Command]prometheus.Counter),
		inOther:        m.pdus.WithLabelValues(bind, "in", "other"),
	}
	for _, c := range []pdu.Command{
		pdu.SubmitSMResp, pdu.DeliverSM, pdu.DataSM, pdu.EnquireLink, pdu.EnquireLinkResp, pdu.Unbind, pdu.UnbindResp,
		pdu.GenericNack, pdu.BindTransceiverResp, pdu.BindTransmitterResp, pdu.BindReceiverResp, pdu.QuerySMResp,
		pdu.CancelSMResp, pdu.AlertNotification, pdu.Outbind,
	} {
		b.in[c] = m.pdus.WithLabelValues(bind, "in", c.String())
	}
	for _, c := range []pdu.Command{
		pdu.SubmitSM, pdu.DeliverSMResp, pdu.DataSMResp, pdu.EnquireLink, pdu.EnquireLinkResp, pdu.Unbind, pdu.UnbindResp,
		pdu.GenericNack, pdu.BindTransceiver, pdu.BindTransmitter, pdu.BindReceiver, pdu.QuerySM, pdu.CancelSM,
	} {
		b.out[c] = m.pdus.WithLabelValues(bind, "out", c.String())
	}
	return b
}

// tellState makes the gauges of a bind's states.
func (m *metrics) tellState(bind string) {
	if m.binds[bind] {
		return
	}
	m.binds[bind] = true
	for _, state := range states {
		m.factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "otpgw_smpp_bind_state", Help: "1 for the state that a bind is in.",
			ConstLabels: prometheus.Labels{"bind": bind, "state": state},
		}, m.tell(func(a *account) float64 {
			for _, b := range a.binds {
				if b.name == bind && b.status().State == state {
					return 1
				}
			}
			return 0
		}))
	}
}

func (b *bindMetrics) received(c pdu.Command) {
	if counter, known := b.in[c]; known {
		counter.Inc()
		return
	}
	b.inOther.Inc()
}

// commandLabel bounds what a peer can make a label of.
func (b *bindMetrics) commandLabel(c pdu.Command) string {
	if _, known := b.in[c]; known {
		return c.String()
	}
	return "other"
}

// statusLabel bounds the vendors' statuses to one label.
func statusLabel(s pdu.Status) string {
	if name := s.String(); strings.HasPrefix(name, "ESME_") {
		return name
	}
	return "other"
}

// sent counts the end of a Send.
func (m *metrics) sent(encoding pdu.Encoding, segments int, err error) {
	var (
		refused *StatusError
		lost    *UnknownError
	)
	switch {
	case err == nil:
		m.accepted.Inc()
		m.segments.WithLabelValues(encoding.String()).Add(float64(segments))
	case errors.As(err, &refused):
		m.submits.WithLabelValues("refused", statusLabel(pdu.Status(refused.Status))).Inc()
	case errors.As(err, &lost):
		m.submits.WithLabelValues("unknown", "").Inc()
		m.unknowns.WithLabelValues(lost.Reason).Inc()
	default:
		m.submits.WithLabelValues("not_sent", "").Inc()
	}
}
