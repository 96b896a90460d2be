package main

import "github.com/prometheus/client_golang/prometheus"

// reloadMetrics say whether the configuration in force is the one on disk.
type reloadMetrics struct {
	ok prometheus.Gauge
	at prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	ok := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "otpgw_config_reload_ok",
		Help: "1 when the last load of the configuration took effect, 0 when it was refused.",
	})
	at := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "otpgw_config_loaded_timestamp_seconds",
		Help: "When the configuration in force was loaded, as Unix time.",
	})
	reg.MustRegister(ok, at)
	m := &reloadMetrics{ok: ok, at: at}
	m.loaded()
	return m
}

func (m *reloadMetrics) loaded() {
	m.ok.Set(1)
	m.at.SetToCurrentTime()
}

func (m *reloadMetrics) refused() { m.ok.Set(0) }
