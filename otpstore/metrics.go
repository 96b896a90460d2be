package otpstore

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics is what a store tells, whatever its backend.
type metrics struct {
	codes    *prometheus.CounterVec
	limits   *prometheus.CounterVec
	receipts *prometheus.CounterVec
	orphans  *prometheus.CounterVec
	damaged  prometheus.Counter
	keyless  prometheus.Counter
	begun    prometheus.Gauge
	swept    prometheus.Counter
	lost     prometheus.Counter
}

// newMetrics registers them; waiting counts the receipts that wait for their message.
func newMetrics(reg prometheus.Registerer, waiting func() int) metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "otpgw_store_parked_receipts",
		Help: "Receipts that wait for their message to become known.",
	}, func() float64 { return float64(waiting()) })
	m := metrics{
		codes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_codes_total",
			Help: "What became of codes: issued, sent, discarded, unknown, sent_late and discarded_late after that, interrupted by the end of the process; verified, wrong, failed, expired, not_found, forgotten.",
		}, []string{"outcome"}),
		limits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_limits_total",
			Help: "Codes refused by a limit of their number.",
		}, []string{"limit"}),
		receipts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_store_receipts_total",
			Help: "Receipts whose message is known, by what they changed: delivered, failed, progress, nothing.",
		}, []string{"outcome"}),
		orphans: f.NewCounterVec(prometheus.CounterOpts{
			Name: "otpgw_store_orphans_total",
			Help: "Receipts whose message was not known when they came: parked to wait for it; then claimed by it, or expired; refused because too many wait.",
		}, []string{"outcome"}),
		damaged: f.NewCounter(prometheus.CounterOpts{
			Name: "otpgw_store_damaged_records_total",
			Help: "Records found to be not as they were written, and dropped.",
		}),
		keyless: f.NewCounter(prometheus.CounterOpts{
			Name: "otpgw_store_keyless_records_total",
			Help: "Records dropped because the key that they are sealed with is no longer in the ring.",
		}),
		begun: f.NewGauge(prometheus.GaugeOpts{
			Name: "otpgw_store_lost_timestamp_seconds",
			Help: "When something was lost: the store was found damaged, or a backup took its place; 0 where it never was.",
		}),
		swept: f.NewCounter(prometheus.CounterOpts{
			Name: "otpgw_store_swept_records_total",
			Help: "Records removed because nothing in them mattered any more.",
		}),
		lost: f.NewCounter(prometheus.CounterOpts{
			Name: "otpgw_store_lost_notes_total",
			Help: "Outcomes of submits that could not be recorded.",
		}),
	}
	for _, outcome := range []string{"issued", "sent", "discarded", "unknown", "sent_late", "discarded_late", "interrupted", "verified", "wrong", "failed", "expired", "not_found", "forgotten"} {
		m.codes.WithLabelValues(outcome)
	}
	for _, limit := range []string{"send_limit", "resend_after", "max_failures"} {
		m.limits.WithLabelValues(limit)
	}
	for _, outcome := range []string{"delivered", "failed", "progress", "nothing"} {
		m.receipts.WithLabelValues(outcome)
	}
	for _, outcome := range []string{"parked", "claimed", "expired", "refused"} {
		m.orphans.WithLabelValues(outcome)
	}
	return m
}

// boltMetrics is what the bbolt backend tells.
type boltMetrics struct {
	commit   prometheus.Histogram
	batch    prometheus.Histogram
	records  prometheus.Gauge
	full     prometheus.Counter
	fellBack prometheus.Gauge
	of       atomic.Pointer[Bolt] // whose figures are asked when they are wanted
}

func newBoltMetrics(reg prometheus.Registerer) *boltMetrics {
	f := promauto.With(reg)
	m := new(boltMetrics)
	ask := func(name, help string, figure func(*Bolt) float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if b := m.of.Load(); b != nil {
				return figure(b)
			}
			return 0
		})
	}
	ask("otpgw_store_disk_free_bytes", "Free space of the file system that the store is on.", func(b *Bolt) float64 {
		free, err := freeSpace(b.room.file)
		if err != nil {
			return 0
		}
		return float64(free)
	})
	ask("otpgw_store_room", "1 where records have room, 0 where only codes that were sent can be checked, -1 where nothing can be stored.", func(b *Bolt) float64 {
		return 1 - float64(b.room.state.Load())
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "otpgw_store_read_only",
		Help: "1 where the file system of the store is read-only: nothing is stored or checked.",
	}, func() float64 {
		b := m.of.Load()
		return float64(flag(b == nil || b.room.writable() != nil)) // without one the store waits for it: lateBolt
	})
	ask("otpgw_store_clock_skew_seconds", "By how much the system's clock is ahead of the store's, which never goes back and never leaps over a limit.", func(b *Bolt) float64 {
		_, skew := b.clock.now()
		return skew.Seconds()
	})
	m.full = f.NewCounter(prometheus.CounterOpts{
		Name: "otpgw_store_full_total",
		Help: "Calls refused because the disk is full.",
	})
	m.fellBack = f.NewGauge(prometheus.GaugeOpts{
		Name: "otpgw_store_fell_back",
		Help: "1 where one of the two heads of the store's file was damaged at the start and the other held the same; 2 where that may have been a commit older.",
	})
	m.commit = f.NewHistogram(prometheus.HistogramOpts{
		Name:    "otpgw_store_commit_seconds",
		Help:    "Duration of a commit with its steps, until it is durable.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
	})
	m.batch = f.NewHistogram(prometheus.HistogramOpts{
		Name:    "otpgw_store_batch_size",
		Help:    "Steps that shared a commit.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	})
	m.records = f.NewGauge(prometheus.GaugeOpts{
		Name: "otpgw_store_records",
		Help: "Numbers with a record.",
	})
	return m
}
