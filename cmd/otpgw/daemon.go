package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"otpgw/config"
	"otpgw/httpapi"
	"otpgw/httpapi/admin"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// A daemon is the whole of otpgw in one process: store, binds, admin listener and API, built but not running.
type daemon struct {
	started config.Config // settings that need a restart are in force as they stand here
	current config.Config // settings that a reload may change are in force as they stand here

	log      *slog.Logger
	level    *slog.LevelVar
	draining atomic.Bool
	reloads  *reloadMetrics

	store         *otpstore.Store
	pool          *smpp.Pool
	admin         *admin.Server
	adminListener net.Listener
	api           *httpapi.Server
	apiListener   net.Listener
}

// newDaemon opens the listeners and the store and connects the parts. Nothing runs and no bind is tried before run.
// Whatever was opened is closed again when it fails.
func newDaemon(cfg config.Config, log *slog.Logger, level *slog.LevelVar) (_ *daemon, err error) {
	d := &daemon{started: cfg, current: cfg, log: log, level: level}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "otpgw_build_info",
			Help:        "Always 1; the labels say what runs.",
			ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
	)
	d.reloads = newReloadMetrics(registry)

	if d.apiListener, err = net.Listen("tcp", cfg.HTTP.Listen); err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	if d.adminListener, err = net.Listen("tcp", cfg.Admin.Listen); err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	if d.store, err = otpstore.Open(cfg.Store, cfg.OTP, registry, component(log, "otpstore")); err != nil {
		return nil, err
	}
	hooks := smpp.Hooks{Deliver: d.delivered, Late: d.late}
	if d.pool, err = smpp.NewPool(cfg.SMSC, hooks, registry, component(log, "smpp")); err != nil {
		return nil, err
	}
	if d.api, err = httpapi.New(cfg.HTTP, live(cfg), d.store, d.pool, registry, component(log, "httpapi")); err != nil {
		return nil, err
	}
	d.admin = admin.New(cfg.Admin, []admin.Check{
		{Name: "daemon", Ready: d.accepting},
		{Name: "store", Ready: d.store.Ready},
		{Name: "smsc", Ready: d.pool.Ready},
	}, registry, component(log, "admin"))
	return d, nil
}

// run runs the layers until ctx ends, and drains. It may be called once.
func (d *daemon) run(ctx context.Context) error {
	context.AfterFunc(ctx, func() { d.draining.Store(true) })
	err := runLayers(ctx, []layer{
		{"store", d.store.Run},
		{"smpp", d.pool.Run},
		{"admin", func(ctx context.Context) error { return d.admin.Run(ctx, d.adminListener) }},
		{"http", func(ctx context.Context) error { return d.api.Run(ctx, d.apiListener) }},
	})
	return errors.Join(err, d.close())
}

// close gives back what newDaemon opened, in the opposite order. The listeners are usually closed by then.
func (d *daemon) close() error {
	if d.apiListener != nil {
		_ = d.apiListener.Close() // closed already after a drain
	}
	if d.adminListener != nil {
		_ = d.adminListener.Close() // likewise
	}
	if d.store != nil {
		return d.store.Close()
	}
	return nil
}

// accepting is the readiness of the process itself.
func (d *daemon) accepting() error {
	if d.draining.Load() {
		return errors.New("draining")
	}
	return nil
}

// delivered carries a receipt from the binds to the store. The SMSC gets its answer after it returned.
func (d *daemon) delivered(ctx context.Context, r smpp.Receipt) (smpp.Match, error) {
	match, err := d.store.Delivered(ctx, otpstore.Receipt{
		SMSC:       r.SMSC,
		MessageIDs: r.MessageIDs,
		Converted:  r.Converted,
		Numbers:    r.Numbers,
		State:      r.State,
		Final:      r.Final,
		Delivered:  r.Delivered,
		Error:      r.Error,
		At:         r.At,
	})
	return smpp.Match{Found: match.Found, Form: match.Form}, err
}

// late carries to the store what the SMSC said of a message after its client had been told that nothing was known: its
// receipts are matched, or its place in the limits of the number is given back. Its code stays what it is.
func (d *daemon) late(ctx context.Context, answer smpp.LateAnswer) {
	var err error
	if answer.Err != nil {
		err = d.store.Discard(ctx, answer.Ref)
	} else {
		err = d.store.Sent(ctx, answer.Ref, otpstore.SendResult{
			SMSC:        answer.Accepted.SMSC,
			MessageIDs:  answer.Accepted.MessageIDs,
			SubmittedAt: answer.Accepted.SubmittedAt,
			AnsweredAt:  answer.Accepted.AnsweredAt,
		})
	}
	if err != nil {
		d.log.Warn("late answer of the smsc not recorded", "id", answer.Ref, "error", err)
	}
}

// reload puts cfg, already loaded and checked, in force: all that may change while running, or nothing and an error.
func (d *daemon) reload(cfg config.Config) error {
	var certificate *tls.Certificate
	if d.started.HTTP.TLSCert != "" { // everything that can fail comes before anything is touched
		pair, err := httpapi.LoadCertificate(d.started.HTTP)
		if err != nil {
			return err
		}
		certificate = &pair
	}
	accounts, err := d.pool.Prepare(cfg.SMSC)
	if err != nil {
		return err
	}
	changed, _ := config.Diff(d.current, cfg)
	_, restart := config.Diff(d.started, cfg)

	d.store.SetPolicy(cfg.OTP)
	d.pool.Apply(accounts)
	d.api.SetLive(live(cfg))
	if certificate != nil {
		d.api.SetCertificate(*certificate)
	}
	d.level.Set(slogLevel(cfg.Log))
	d.current = cfg

	d.log.Info("configuration reloaded", "changed", strings.Join(changed, " "))
	if len(restart) > 0 {
		d.log.Warn("some changes need a restart", "keys", strings.Join(restart, " "))
	}
	return nil
}

// live is the part of a configuration that the API takes over while it runs.
func live(cfg config.Config) httpapi.Live {
	return httpapi.Live{
		Clients:      cfg.Clients,
		Numbers:      cfg.Numbers,
		Authenticate: httpapi.Tokens(cfg.TokenList),
		CodeLength:   cfg.OTP.Length,
	}
}

func component(log *slog.Logger, name string) *slog.Logger { return log.With("component", name) }
