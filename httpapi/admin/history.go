package admin

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// What the history is made of: a point a second for 15 minutes, quantiles over the last minute.
const (
	pointEvery  = time.Second
	pointsKept  = 900
	quantilesOf = 60 // points
)

// A Point is one second of the daemon's life. Rates are per second, times in seconds, NaN left out.
type Point struct {
	At        int64   `json:"t"` // Unix time
	Sent      float64 `json:"sent"`
	Submitted float64 `json:"submitted"` // accepted by SMSCs
	Verified  float64 `json:"verified"`
	Refused   float64 `json:"refused"` // requests answered with 4xx
	Failed    float64 `json:"failed"`  // with 5xx
	Receipts  float64 `json:"receipts"`
	Promptly  float64 `json:"promptly"` // delivered within 30 s of their acceptance
	SendP99   float64 `json:"sendP99"`
	CheckP99  float64 `json:"checkP99"`
	InFlight  float64 `json:"inFlight"`
	Queue     float64 `json:"queue"`  // messages that are being sent or wait to be
	Oldest    float64 `json:"oldest"` // for how long the one has waited that waits longest
}

// History takes a point a second from the metrics, so that the page shows the last minutes without a Prometheus. Its methods may be
// called concurrently.
type History struct {
	gatherer prometheus.Gatherer
	log      *slog.Logger

	mu       sync.Mutex // guards the rest
	points   []Point    // oldest first
	before   sample
	counts   []timings // of the last minute, oldest first
	tables   Tables
	rates    map[string]float64 // codes a second of each client, smoothed
	watchers map[chan struct{}]bool
}

// Tables are counters since the start, by what they tell apart, and what goes with a bind, a client or the store. Times are in seconds.
type Tables struct {
	Refusals []Count         `json:"refusals"`
	Receipts []Count         `json:"receipts"`
	Errors   []Count         `json:"errors"` // of receipts that were no success, by the network's code
	Limits   []Count         `json:"limits"`
	Codes    []Count         `json:"codes"`
	Submits  []Count         `json:"submits"`
	SMSCs    []SMSCFigures   `json:"smscs"`
	Binds    []BindFigures   `json:"binds"`
	Clients  []ClientFigures `json:"clients"`
	Store    StoreFigures    `json:"store"`
}

// A Count is one counter.
type Count struct {
	Name  string  `json:"name"`
	Count float64 `json:"count"`
}

// sample is what counters stand at.
type sample struct {
	sent, submitted, verified, refused, failed, receipts, promptly, inFlight, queue, oldest float64

	timings timings
	tables  Tables
}

// timings are the histograms that quantiles are taken of, by what they are of: sendTimes, checkTimes, commitTimes, or an SMSC and a bind
// with a slash between them.
type timings map[string]buckets

const (
	sendTimes   = "send-code"
	checkTimes  = "validate-code"
	commitTimes = "commit"
)

// buckets are a histogram's counts by upper bound.
type buckets map[float64]uint64

// NewHistory makes a history of what gatherer gathers. It takes no points before Run.
func NewHistory(gatherer prometheus.Gatherer, log *slog.Logger) *History {
	return &History{gatherer: gatherer, log: log, rates: map[string]float64{}, watchers: map[chan struct{}]bool{}}
}

// Run takes points until ctx ends.
func (h *History) Run(ctx context.Context) error {
	tick := time.NewTicker(pointEvery)
	defer tick.Stop()
	before := h.read()
	h.mu.Lock()
	h.before, h.tables = before, before.tables
	h.mu.Unlock()
	for {
		select {
		case now := <-tick.C:
			h.take(now)
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *History) take(now time.Time) {
	s := h.read()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts = append(h.counts, h.before.timings)
	if len(h.counts) > quantilesOf {
		h.counts = slices.Delete(h.counts, 0, 1)
	}
	p99 := func(of string) float64 { return quantile(0.99, h.counts[0][of], s.timings[of]) }
	second := pointEvery.Seconds()
	h.points = append(h.points, Point{
		At:   now.Unix(),
		Sent: rate(h.before.sent, s.sent, second), Submitted: rate(h.before.submitted, s.submitted, second), Verified: rate(h.before.verified, s.verified, second),
		Refused: rate(h.before.refused, s.refused, second), Failed: rate(h.before.failed, s.failed, second),
		Receipts: rate(h.before.receipts, s.receipts, second), Promptly: rate(h.before.promptly, s.promptly, second),
		InFlight: s.inFlight, Queue: s.queue, Oldest: s.oldest, SendP99: p99(sendTimes), CheckP99: p99(checkTimes),
	})
	if len(h.points) > pointsKept {
		h.points = slices.Delete(h.points, 0, 1)
	}
	for i := range s.tables.Binds {
		b := &s.tables.Binds[i]
		b.AnswerP99 = p99(b.SMSC + "/" + b.Name)
	}
	s.tables.Store.CommitP99 = p99(commitTimes)
	h.pace(s.tables.Clients, second)
	h.before, h.tables = s, s.tables
	for w := range h.watchers {
		select {
		case w <- struct{}{}:
		default: // it has not taken the last one yet
		}
	}
}

// rate is how fast a counter grew. One that was taken away and came back began anew.
func rate(before, now, seconds float64) float64 { return max(0, now-before) / seconds }

// watch gives a channel that is told of new points, and how to give it back; false where there are too many already.
func (h *History) watch() (news <-chan struct{}, done func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) >= watchersAllowed {
		return nil, nil, false
	}
	w := make(chan struct{}, 1)
	h.watchers[w] = true
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
	}, true
}

// Tables are those of the last second.
func (h *History) Tables() Tables {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tables
}

// since gives the points after a time, and the tables.
func (h *History) since(at int64) ([]Point, Tables) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := len(h.points)
	for i > 0 && h.points[i-1].At > at {
		i--
	}
	return slices.Clone(h.points[i:]), h.tables
}

// read reads the metrics. What cannot be gathered is 0.
func (h *History) read() sample {
	families, err := h.gatherer.Gather()
	if err != nil {
		h.log.Debug("history: gather", "err", err)
	}
	s := sample{timings: timings{}}
	figures := newFigures()
	for _, f := range families {
		switch f.GetName() {
		case "otpgw_codes_total":
			s.tables.Codes = counts(f, "outcome")
			s.sent, s.verified = sum(f, "outcome", "sent"), sum(f, "outcome", "verified")
		case "otpgw_http_requests_total":
			for _, m := range f.GetMetric() {
				switch status := label(m, "status"); {
				case strings.HasPrefix(status, "4"):
					s.refused += m.GetCounter().GetValue()
				case strings.HasPrefix(status, "5"):
					s.failed += m.GetCounter().GetValue()
				}
			}
		case "otpgw_http_refusals_total":
			s.tables.Refusals = counts(f, "reason")
		case "otpgw_limits_total":
			s.tables.Limits = counts(f, "limit")
		case "otpgw_smpp_dlr_total":
			s.tables.Receipts = counts(f, "state")
			s.receipts = sum(f, "", "")
		case "otpgw_smpp_submit_total":
			s.tables.Submits = counts(f, "status")
			s.submitted = sum(f, "result", "accepted")
		case "otpgw_smpp_delivered_promptly_total":
			s.promptly = sum(f, "", "")
		case "otpgw_smpp_queue_depth":
			s.queue = sum(f, "", "")
		case "otpgw_smpp_queue_oldest_seconds":
			for _, m := range f.GetMetric() {
				s.oldest = max(s.oldest, m.GetGauge().GetValue())
			}
		case "otpgw_receipt_errors_total":
			s.tables.Errors = counts(f, "error")
		case "otpgw_store_commit_seconds":
			s.timings[commitTimes] = histogram(f, func(*dto.Metric) bool { return true })
		case "otpgw_http_in_flight":
			s.inFlight = sum(f, "", "")
		case "otpgw_http_request_seconds":
			for _, of := range []string{sendTimes, checkTimes} {
				s.timings[of] = histogram(f, func(m *dto.Metric) bool { return strings.HasSuffix(label(m, "route"), "/"+of) })
			}
		case "otpgw_smpp_submit_seconds":
			for _, m := range f.GetMetric() {
				s.timings[label(m, "smsc")+"/"+label(m, "bind")] = bucketsOf(m)
			}
		}
		figures.read(f)
	}
	figures.put(&s.tables)
	return s
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// sum adds up the series with that label; all without a name.
func sum(f *dto.MetricFamily, name, value string) (total float64) {
	for _, m := range f.GetMetric() {
		if name == "" || label(m, name) == value {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

// counts adds up the series by a label, the largest first.
func counts(f *dto.MetricFamily, name string) []Count {
	by := map[string]float64{}
	for _, m := range f.GetMetric() {
		by[label(m, name)] += m.GetCounter().GetValue()
	}
	all := make([]Count, 0, len(by))
	for value, n := range by {
		if n > 0 {
			all = append(all, Count{Name: value, Count: n})
		}
	}
	slices.SortFunc(all, mostFirst)
	return all
}

// mostFirst orders counts, those that are the same by name.
func mostFirst(a, b Count) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
}

// histogram adds up the series that are wanted.
func histogram(f *dto.MetricFamily, wanted func(*dto.Metric) bool) buckets {
	all := buckets{}
	for _, m := range f.GetMetric() {
		if wanted(m) {
			for bound, n := range bucketsOf(m) {
				all[bound] += n
			}
		}
	}
	return all
}

func bucketsOf(m *dto.Metric) buckets {
	b := buckets{math.Inf(1): m.GetHistogram().GetSampleCount()}
	for _, bucket := range m.GetHistogram().GetBucket() {
		b[bucket.GetUpperBound()] = bucket.GetCumulativeCount()
	}
	return b
}

// quantile is the value below which the share q of what came between two counts lies, by straight lines within the buckets; 0 for
// nothing.
func quantile(q float64, before, now buckets) float64 {
	bounds := make([]float64, 0, len(now))
	for bound := range now {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	if len(bounds) == 0 {
		return 0
	}
	count := func(bound float64) float64 { return float64(now[bound]) - float64(before[bound]) }
	rank := q * count(bounds[len(bounds)-1])
	if rank <= 0 {
		return 0
	}
	low, below := 0.0, 0.0
	for _, bound := range bounds {
		if n := count(bound); n >= rank {
			if math.IsInf(bound, 1) {
				return low
			}
			return low + (bound-low)*(rank-below)/(n-below)
		}
		low, below = bound, count(bound)
	}
	return low
}
