package smpp

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"otpgw/smpp/pdu"
)

// metrics are those of one account; smsc is a label of all of them.
type metrics struct {
	state          *prometheus.GaugeVec
	bound          prometheus.Gauge
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
}

func newMetrics(reg prometheus.Registerer, smsc string) *metrics {
	factory := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"smsc": smsc}, reg))
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
		state:          gauges("bind_state", "1 for the state that a bind is in.", "bind", "state"),
		bound:          gauge("binds_bound", "Binds that take messages."),
		connects:       counter("connects_total", "Connections made.", "bind"),
		bindFailures:   counter("bind_failures_total", "Binds that failed: the status of a refusal, or connect or timeout.", "bind", "status"),
		disconnects:    counter("disconnects_total", "Bound connections that ended, by reason.", "bind", "reason"),
		reconnectDelay: gauges("reconnect_delay_seconds", "The last wait before a bind was tried again.", "bind"),
		rtt:            factory.NewHistogramVec(seconds("enquire_link_rtt_seconds", "Time to the answer of an enquire_link."), []string{"bind"}),
		misses:         counter("enquire_link_misses_total", "Enquire_links after which nothing came in time.", "bind"),
		pdus:           counter("pdus_total", "PDUs received (in) and queued for sending (out).", "bind", "dir", "command"),
		pduErrors:      counter("pdu_errors_total", "PDUs received that could not be read, by the part that was wrong.", "bind", "command", "part"),
		unexpected:     counter("unexpected_responses_total", "Responses to no request that waits: late, unknown, or of another type.", "bind", "kind"),
		inflight:       gauges("inflight", "Messages on a bind.", "bind"),
		windowSize:     gauge("window_size", "Messages that may be on one bind."),
		windowWait:     factory.NewHistogram(seconds("window_wait_seconds", "Wait for a place in a window.")),
		rateLimit:      gauge("rate_limit", "Segments a second that the account may send; 0: no limit."),
		rateWait:       factory.NewHistogram(seconds("rate_wait_seconds", "Wait for the rate of the account.")),
		queueDepth:     gauge("queue_depth", "Messages that are being sent or wait to be."),
		submits:        counter("submit_total", "Messages by result and by the status of the answer.", "result", "status"),
		submitSeconds:  factory.NewHistogramVec(seconds("submit_seconds", "Time from a submit_sm to its answer."), []string{"bind"}),
		retries:        counter("submit_retries_total", "Messages tried once more: throttled, or lost with a bind before they were written.", "class"),
		unknowns:       counter("submit_unknown_total", "Messages whose outcome is unknown, by reason.", "reason"),
		throttled:      counter("throttled_total", "Answers that ask for a slower pace.", "status"),
		segments:       counter("segments_total", "Segments accepted, by alphabet.", "encoding"),
		receipts:       counter("dlr_total", "Receipts recorded, by state.", "state"),
		deferred:       counter("dlr_deferred_total", "Receipts that the SMSC was asked to send again later: queue_full, or error of who records them.", "reason"),
		mobile:         counter("mo_total", "Messages received that are no receipts. They are acknowledged and dropped.", "bind"),
		receiptSeconds: factory.NewHistogramVec(seconds("deliver_resp_seconds", "Time from a receipt to its acknowledgement."), []string{"bind"}),
	}
	m.accepted = m.submits.WithLabelValues("accepted", statusLabel(pdu.StatusOK))
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

func (m *metrics) of(bind string) *bindMetrics {
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
		pdu.GenericNack, pdu.BindTransceiverResp, pdu.AlertNotification, pdu.Outbind,
	} {
		b.in[c] = m.pdus.WithLabelValues(bind, "in", c.String())
	}
	for _, c := range []pdu.Command{
		pdu.SubmitSM, pdu.DeliverSMResp, pdu.DataSMResp, pdu.EnquireLink, pdu.EnquireLinkResp, pdu.Unbind, pdu.UnbindResp,
		pdu.GenericNack, pdu.BindTransceiver,
	} {
		b.out[c] = m.pdus.WithLabelValues(bind, "out", c.String())
	}
	return b
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
