package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"otpgw/config"
	"otpgw/httpapi"
	"otpgw/httpapi/admin"
	"otpgw/httpapi/callbacks"
	"otpgw/httpapi/numbers"
	"otpgw/httpapi/openapi"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// A daemon is the whole of otpgw in one process: store, binds, admin listener and API, built but not running.
type daemon struct {
	started config.Config // settings that need a restart are in force as they stand here
	current config.Config // settings that a reload may change are in force as they stand here

	log      *slog.Logger
	draining atomic.Bool
	pausing  atomic.Bool // no new codes
	reloads  *reloadMetrics
	registry *prometheus.Registry
	traces   *admin.Traces
	events   *admin.Events
	audit    *audit
	history  *admin.History
	refusals *receiptErrors
	begun    time.Time
	file     string // that the configuration is read from; "" for none

	reloading sync.Mutex // held while a configuration is read and put in force
	mu        sync.Mutex // guards the rest of this block
	level     *slog.LevelVar
	levelBack *time.Timer // sets the level back
	loaded    admin.Loaded

	store         *otpstore.Store
	callbacks     *callbacks.Callbacks
	numbers       *numbers.Directory
	tokens        *tokens.Verifier
	pool          *smpp.Pool
	admin         *admin.Server
	adminListener net.Listener
	control       net.Listener // nil: none
	api           *httpapi.Server
	apiListener   net.Listener
}

// newDaemon opens the listeners and the store and connects the parts. Nothing runs and no bind is tried before run.
// Whatever was opened is closed again when it fails.
func newDaemon(cfg config.Config, log *slog.Logger, level *slog.LevelVar) (_ *daemon, err error) {
	d := &daemon{started: cfg, current: cfg, level: level, begun: time.Now(), traces: admin.NewTraces(), events: new(admin.Events)}
	plain := log.Handler()
	log = slog.New(d.events.Handler(plain, "request", "receipt", "test number answered, nothing was sent"))
	d.log = log
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
	d.registry, d.reloads, d.refusals = registry, newReloadMetrics(registry), newReceiptErrors(registry)
	if d.audit, err = openAudit(cfg.Log.Audit, plain, registry, log); err != nil {
		return nil, fmt.Errorf("log.audit: %w", err)
	}

	given, err := sockets(log)
	if err != nil {
		return nil, err
	}
	if d.apiListener, err = listener(given, httpSocket, cfg.HTTP.Listen); err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	if d.adminListener, err = listener(given, adminSocket, cfg.Admin.Listen); err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	encryption, err := cfg.Admin.TLS()
	if err != nil {
		return nil, fmt.Errorf("admin.%w", err)
	}
	if encryption != nil {
		d.adminListener = tls.NewListener(d.adminListener, encryption)
	}
	if err = d.listenControl(cfg.Admin.Control); err != nil {
		return nil, fmt.Errorf("admin.control: %w", err)
	}
	cfg.Store.Inspector = inspector()
	if d.store, err = otpstore.Open(cfg.Store, cfg.OTP, registry, component(log, "otpstore")); err != nil {
		return nil, err
	}
	sinks, err := callbacks.Prepare(cfg.Sinks)
	if err != nil {
		return nil, err
	}
	d.callbacks = callbacks.New(owed{d.store}, sinks, d.toldOf, registry, component(log, "callbacks"))
	d.store.Notify(func(e otpstore.Event) { d.callbacks.Tell(owed{d.store}.event(e)) })
	plan, err := numbers.Load(cfg.Numbers, nil)
	if err != nil {
		return nil, fmt.Errorf("numbers: %w", err)
	}
	if d.numbers, err = numbers.New(plan, cfg.Numbers, registry, log); err != nil {
		return nil, fmt.Errorf("numbers: %w", err)
	}
	if d.tokens, err = tokens.New(cfg.TokenList, cfg.Issuers, registry, component(log, "tokens")); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	hooks := smpp.Hooks{Deliver: d.delivered, Late: d.late}
	if d.pool, err = smpp.NewPool(cfg.SMSC, hooks, registry, component(log, "smpp")); err != nil {
		return nil, err
	}
	if d.api, err = httpapi.New(cfg.HTTP, live(cfg, d.tokens.Set()), httpapi.Parts{Codes: d.store, Sender: d.pool, Numbers: d.numbers, Trace: d.traces, Audit: d.audit.log}, registry, component(log, "httpapi")); err != nil {
		return nil, err
	}
	adminLog := component(log, "admin")
	d.history = admin.NewHistory(registry, adminLog)
	page := &admin.Page{
		Verbs: controls{d}, History: d.history, Audit: d.audit.log,
		Password: cfg.Admin.Password, ViewPassword: cfg.Admin.ViewPassword,
	}
	d.admin = admin.New(d.checks(), registry, page, adminLog)
	const documents = "/openapi/"
	described, err := openapi.Handler(documents, cfg.HTTP.Versions, cfg.HTTP.Root(), cfg.HTTP.Origins)
	if err != nil {
		return nil, err
	}
	d.admin.Mount(documents, described)
	return d, nil
}

// checks are the parts that have to be ready.
func (d *daemon) checks() []admin.Check {
	return []admin.Check{
		{Name: "daemon", Ready: d.accepting},
		{Name: "store", Ready: d.store.Ready},
		{Name: "smsc", Ready: d.pool.Ready},
		{Name: "tokens", Ready: d.tokens.Ready},
	}
}

// run runs the layers until ctx ends, and drains. It may be called once.
func (d *daemon) run(ctx context.Context) error {
	context.AfterFunc(ctx, func() { d.draining.Store(true) })
	err := runLayers(ctx, []layer{
		{"memory", runMemory},
		{"store", d.store.Run},
		{"callbacks", d.callbacks.Run},
		{"smpp", d.pool.Run},
		{"numbers", d.numbers.Run},
		{"tokens", d.tokens.Run},
		{"admin", func(ctx context.Context) error { return d.admin.Run(ctx, d.adminListener) }},
		{"control", d.runControl},
		{"systemd", d.runSystemd},
		{"http", func(ctx context.Context) error { return d.api.Run(ctx, d.apiListener) }},
	})
	return errors.Join(err, d.close())
}

// listenControl listens on the socket at path, if there is one to be.
func (d *daemon) listenControl(path string) error {
	if path == "" {
		return nil
	}
	l, err := admin.ListenControl(path)
	if errors.Is(err, fs.ErrNotExist) { // by default, where no service manager made the directory
		d.log.Warn("no control socket, its directory does not exist: otpgw status, reload and the like do not reach this daemon", "path", path)
		return nil
	}
	if err != nil {
		return err
	}
	d.control = l
	return nil
}

// runControl takes the operator's verbs.
func (d *daemon) runControl(ctx context.Context) error {
	if d.control == nil {
		<-ctx.Done()
		return nil
	}
	return admin.NewControl(controls{d}, component(d.log, "control"), d.audit.log).Run(ctx, d.control)
}

// close gives back what newDaemon opened, in the opposite order. The listeners are usually closed by then.
func (d *daemon) close() error {
	if d.apiListener != nil {
		_ = d.apiListener.Close() // closed already after a drain
	}
	if d.adminListener != nil {
		_ = d.adminListener.Close() // likewise
	}
	if d.control != nil {
		_ = d.control.Close() // likewise; it removes the socket
	}
	var err error
	if d.store != nil {
		err = d.store.Close()
	}
	if d.audit != nil {
		err = errors.Join(err, d.audit.close())
	}
	return err
}

// accepting is the readiness of the process itself.
func (d *daemon) accepting() error {
	if d.draining.Load() {
		return errors.New("draining")
	}
	if d.pausing.Load() {
		return errors.New("paused: no new codes")
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
	if match.Found {
		d.traces.Add(match.ID, r.At, "receipt", receiptDetail(r, match))
	}
	if err == nil && (match.Changed || !match.Found) {
		d.tell(ctx, r, match)
	}
	return smpp.Match{Found: match.Found, Form: match.Form}, err
}

// receiptDetail is a receipt in words: as it came, and how it was matched.
func receiptDetail(r smpp.Receipt, match otpstore.Match) string {
	detail := fmt.Sprintf("%s err:%s  %s id %s", r.State, r.Error, r.SMSC, r.MessageID)
	switch form := r.MessageIDs[match.Form]; {
	case match.Form >= r.Converted:
		detail += ", matched as " + form + " by conversion and number"
	case form != r.MessageID:
		detail += ", matched as " + form
	default:
		detail += ", matched"
	}
	if !match.Changed {
		detail += ", said nothing new"
	}
	return detail
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

// reload puts cfg, already loaded and checked, in force: all that may change while running, or nothing and an error. It gives the
// keys that changed, and those that need a restart.
func (d *daemon) reload(cfg config.Config) (changed, restart []string, err error) {
	var identity *httpapi.Identity
	if d.started.HTTP.TLSCert != "" { // everything that can fail comes before anything is touched
		loaded, err := httpapi.LoadIdentity(d.started.HTTP)
		if err != nil {
			return nil, nil, err
		}
		identity = &loaded
	}
	accounts, err := d.pool.Prepare(cfg.SMSC)
	if err != nil {
		return nil, nil, err
	}
	plan, err := d.numbers.Prepare(cfg.Numbers)
	if err != nil {
		return nil, nil, fmt.Errorf("numbers: %w", err)
	}
	admitted, err := d.tokens.Prepare(cfg.TokenList, cfg.Issuers)
	if err != nil {
		return nil, nil, fmt.Errorf("tokens: %w", err)
	}
	sinks, err := callbacks.Prepare(cfg.Sinks)
	if err != nil {
		return nil, nil, err
	}
	reopened, err := openAuditFile(cfg.Log.Audit) // last: nothing closes it if more fails
	if err != nil {
		return nil, nil, fmt.Errorf("log.audit: %w", err)
	}
	changed, _ = config.Diff(d.current, cfg)
	_, restart = config.Diff(d.started, cfg)

	d.store.SetPolicy(cfg.OTP)
	d.pool.Apply(accounts)
	d.numbers.Apply(plan)
	d.tokens.Apply(admitted)
	d.callbacks.Apply(sinks)
	d.api.SetLive(live(cfg, admitted))
	d.audit.swap(reopened)
	if identity != nil {
		d.api.SetIdentity(*identity)
	}
	d.mu.Lock()
	d.level.Set(slogLevel(cfg.Log))
	d.current = cfg
	d.mu.Unlock()

	d.log.Info("configuration reloaded", "changed", strings.Join(changed, " "))
	if len(restart) > 0 {
		d.log.Warn("some changes need a restart", "keys", strings.Join(restart, " "))
	}
	return changed, restart, nil
}

// live is the part of a configuration that the API takes over while it runs, and who is let in by it.
func live(cfg config.Config, admitted *tokens.Set) httpapi.Live {
	return httpapi.Live{
		Clients:      cfg.Clients,
		Policies:     cfg.Policies,
		Default:      cfg.OTP.Terms(),
		Budgets:      cfg.Budgets,
		Authenticate: admitted.Authenticate,
		TestNumbers:  cfg.TestNumbers,
		Sandbox:      cfg.HTTP.Sandbox,
		Logged:       cfg.Log.Requests,
		Tell:         facts(cfg.Sinks),
	}
}

func component(log *slog.Logger, name string) *slog.Logger { return log.With("component", name) }
