package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"golang.org/x/sys/unix"

	"otpgw/config"
	"otpgw/httpapi/admin"
	"otpgw/otpstore"
)

// controls are the verbs of a daemon for its operator.
type controls struct{ *daemon }

// Status is what the daemon is at.
func (d controls) Status(context.Context) admin.Status {
	d.mu.Lock()
	s := admin.Status{Version: version, State: "running", Started: d.begun, Config: d.loaded, Level: d.level.Level().String()}
	d.mu.Unlock()
	switch {
	case d.draining.Load():
		s.State = "draining"
	case d.pausing.Load():
		s.State = "paused"
	}
	for _, c := range d.checks() {
		if err := c.Ready(); err != nil {
			s.Failing = append(s.Failing, admin.Failing{Name: c.Name, Reason: err.Error()})
		}
	}
	s.Ready = len(s.Failing) == 0
	for _, b := range d.pool.Binds() {
		s.Binds = append(s.Binds, admin.Bind{
			SMSC: b.SMSC, Name: b.Name, Kind: b.Kind, State: b.State, Since: b.Since, Peer: b.Peer,
			InFlight: b.InFlight, Window: b.Window, LastError: b.LastError,
		})
	}
	s.Stopped = d.pool.Stopped()
	d.mu.Lock()
	cfg := d.current
	d.mu.Unlock()
	s.Clients = []admin.ClientStatus{}
	for _, c := range cfg.Clients[:min(len(cfg.Clients), clientsTold)] {
		s.Clients = append(s.Clients, admin.ClientStatus{ID: c.ID, Enabled: c.Enabled, Rate: c.Rate, DayLimit: c.DayLimit})
	}
	s.Auth = d.auth(cfg, time.Now())
	s.Sinks = []admin.Sink{}
	for _, sink := range d.callbacks.Sinks() {
		s.Sinks = append(s.Sinks, admin.Sink(sink))
	}
	s.Store = storeStatus(d.started.Store.Dir)
	s.Events = d.events.Latest()
	tables := d.history.Tables()
	s.Tables = &tables
	for _, part := range []struct {
		name string
		list []string
	}{{"store", d.store.Trouble()}, {"tokens", d.tokens.Trouble()}, {"callbacks", d.callbacks.Trouble()}} {
		for _, line := range part.list {
			s.Trouble = append(s.Trouble, part.name+": "+line)
		}
	}
	return s
}

// clientsTold bounds the clients in a status.
const clientsTold = 200

// auth is what is known of tokens and certificate.
func (d *daemon) auth(cfg config.Config, now time.Time) admin.Auth {
	a := admin.Auth{Tokens: len(cfg.TokenList), Identity: d.api.IdentityExpires(), Issuers: []admin.Issuer{}}
	for _, i := range d.tokens.Issuers() {
		a.Issuers = append(a.Issuers, admin.Issuer(i))
	}
	for _, t := range cfg.TokenList {
		switch {
		case !now.Before(t.Expires):
			a.Expired++
		case a.NextExpiry.IsZero() || t.Expires.Before(a.NextExpiry):
			a.NextExpiry = t.Expires
		}
	}
	return a
}

// storeStatus is how large the store is and how much room its disk has; 0 for what cannot be found out.
func storeStatus(dir string) admin.Store {
	s := admin.Store{Dir: dir}
	var disk unix.Statfs_t
	if unix.Statfs(dir, &disk) == nil {
		s.Free, s.Disk = int64(disk.Bavail)*int64(disk.Bsize), int64(disk.Blocks)*int64(disk.Bsize)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return s
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			s.Size += info.Size()
		}
	}
	return s
}

// Running is the configuration in force.
func (d controls) Running(changed bool) string {
	d.mu.Lock()
	current := d.current
	d.mu.Unlock()
	return config.Write(config.InForce(d.started, current), changed)
}

// Pending reads the configuration file and says what a reload would change.
func (d controls) Pending(context.Context) (admin.Pending, error) {
	if d.file == "" {
		return admin.Pending{}, fmt.Errorf("%w: this daemon has no configuration file", admin.ErrRefused)
	}
	cfg, warnings, err := config.Load(d.file)
	if err != nil {
		return admin.Pending{}, fmt.Errorf("%w: the configuration on disk is not valid\n%w", admin.ErrRefused, err)
	}
	d.mu.Lock()
	current := d.current
	d.mu.Unlock()
	p := admin.Pending{File: d.file, Changes: []admin.Change{}, Warnings: []string{}}
	for _, c := range config.Changes(config.InForce(d.started, current), cfg) {
		p.Changes = append(p.Changes, admin.Change(c))
	}
	for _, w := range warnings {
		p.Warnings = append(p.Warnings, w.String())
	}
	return p, nil
}

// SendTest sends a code to number on behalf of a client.
func (d controls) SendTest(ctx context.Context, client, number string) (admin.Sent, error) {
	if client == "" {
		d.mu.Lock()
		clients := d.current.Clients
		d.mu.Unlock()
		if len(clients) == 0 {
			return admin.Sent{}, fmt.Errorf("%w: there is no [[client]]", admin.ErrRefused)
		}
		client = clients[0].ID
	}
	sent, err := d.api.SendTest(ctx, client, number)
	return admin.Sent(sent), refused(err)
}

// Reload reads the configuration file again.
func (d controls) Reload(context.Context) (admin.Reloaded, error) {
	if d.file == "" {
		return admin.Reloaded{}, fmt.Errorf("%w: this daemon has no configuration file", admin.ErrRefused)
	}
	done, err := d.reloadFrom(d.file)
	if err != nil {
		return admin.Reloaded{}, fmt.Errorf("%w: the configuration in force stays\n%w", admin.ErrRefused, err)
	}
	return done, nil
}

// StopSMSC drains an account.
func (d controls) StopSMSC(name string) error {
	err := d.pool.Stop(name)
	if err == nil {
		d.log.Info("smsc stopped by the operator", "smsc", name)
	}
	return refused(err)
}

// StartSMSC brings an account up again.
func (d controls) StartSMSC(name string) error {
	err := d.pool.Start(name)
	if err == nil {
		d.log.Info("smsc started by the operator", "smsc", name)
	}
	return refused(err)
}

func refused(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", admin.ErrRefused, err)
}

// Pause refuses new codes, or takes them again.
func (d controls) Pause(paused bool) {
	was := d.pausing.Swap(paused)
	d.api.Pause(paused)
	switch {
	case paused && !was:
		d.log.Warn("paused by the operator: new codes are refused")
	case was && !paused:
		d.log.Info("resumed by the operator: new codes are sent")
	}
}

// LogLevel sets the level of the log, for a time or until the next reload.
func (d controls) LogLevel(name string, during time.Duration) error {
	var level slog.Level
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, name) || level.UnmarshalText([]byte(name)) != nil {
		return fmt.Errorf("%w: level = %q: must be debug, info, warn or error", admin.ErrRefused, name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.levelBack != nil {
		d.levelBack.Stop()
	}
	d.level.Set(level)
	d.log.Info("log level set by the operator", "level", name, "for", during)
	if during > 0 {
		d.levelBack = time.AfterFunc(during, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.level.Set(slogLevel(d.current.Log))
		})
	}
	return nil
}

// Inspect is what those look at who mend the daemon. There are neither codes nor numbers in it.
func (d controls) Inspect(what string) ([]byte, error) {
	var b bytes.Buffer
	switch what {
	case "metrics":
		families, err := d.registry.Gather()
		if err != nil {
			return nil, err
		}
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
				return nil, err
			}
		}
		return b.Bytes(), nil
	case "goroutines":
		err := pprof.Lookup("goroutine").WriteTo(&b, 1) // without arguments: they may be anything
		return b.Bytes(), err
	case "store":
		stats, err := d.storeStats(context.Background())
		if err != nil {
			return nil, err
		}
		return json.Marshal(stats)
	case "heap":
		err := pprof.Lookup("heap").WriteTo(&b, 0)
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("%w: %q cannot be inspected", admin.ErrRefused, what)
}

var wholeNumber = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)

// tracesShown is how many verifications of a number are told of.
const tracesShown = 20

// Trace is what is known of messages: the steps that this process saw, and what the store knows.
func (d controls) Trace(ctx context.Context, query string, reveal bool) ([]admin.Trace, error) {
	if wholeNumber.MatchString(query) {
		return d.traceNumber(ctx, query, reveal)
	}
	if reveal {
		return nil, fmt.Errorf("%w: whole numbers are kept nowhere: one is shown to who asks by it", admin.ErrRefused)
	}
	if t, seen := d.traces.Find(query); seen {
		v, err := d.store.Lookup(ctx, t.ID)
		if err != nil && !errors.Is(err, otpstore.ErrNotFound) {
			return nil, err
		}
		return []admin.Trace{completed(t, v)}, nil
	}
	v, err := d.store.Lookup(ctx, query)
	if err == nil {
		return []admin.Trace{completed(admin.Trace{}, v)}, nil
	}
	if !errors.Is(err, otpstore.ErrNotFound) {
		return nil, err
	}
	found := []admin.Trace{}
	d.mu.Lock()
	accounts := d.current.SMSC
	d.mu.Unlock()
	for _, account := range accounts {
		known, err := d.store.LookupMessage(ctx, account.Name, query)
		if err != nil {
			return nil, err
		}
		for _, v := range known {
			found = append(found, completed(admin.Trace{}, v))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: nothing is known by %q", admin.ErrRefused, query)
	}
	return found, nil
}

// traceNumber is what is known of the messages to a number, the newest first: those in memory, which the store may have forgotten or never
// had, and those in the store.
func (d controls) traceNumber(ctx context.Context, number string, reveal bool) ([]admin.Trace, error) {
	known, err := d.store.LookupNumber(ctx, number)
	if err != nil {
		return nil, err
	}
	stored := map[string]otpstore.Verification{}
	for _, v := range known {
		stored[v.ID] = v
	}
	found := []admin.Trace{}
	for _, t := range d.traces.Latest(number, tracesShown) {
		found = append(found, completed(t, stored[t.ID]))
		delete(stored, t.ID)
	}
	for _, v := range known {
		if _, left := stored[v.ID]; left {
			found = append(found, completed(admin.Trace{}, v))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: nothing is known of this number", admin.ErrRefused)
	}
	slices.SortStableFunc(found, func(a, b admin.Trace) int { return cmp.Compare(b.ID, a.ID) }) // ids are in the order of time
	found = found[:min(len(found), tracesShown)]
	if reveal {
		for i := range found {
			found[i].Number = number
		}
	}
	return found, nil
}

// Forget erases what is known of a number, in the store and in memory.
func (d controls) Forget(ctx context.Context, number string) (admin.Forgotten, error) {
	if !wholeNumber.MatchString(number) {
		return admin.Forgotten{}, fmt.Errorf("%w: the number must be + and 5 to 15 digits, the first not 0", admin.ErrRefused)
	}
	stored, err := d.store.Forget(ctx, number)
	if err != nil {
		return admin.Forgotten{}, err
	}
	done := admin.Forgotten{Verifications: stored.Verifications, Live: stored.Live, Traces: d.traces.Forget(number)}
	if done == (admin.Forgotten{}) {
		return done, fmt.Errorf("%w: nothing is known of this number", admin.ErrRefused)
	}
	return done, nil
}

// Backup writes the store's file.
func (d controls) Backup(ctx context.Context, w io.Writer) error { return d.store.Backup(ctx, w) }

// completed is a trace with what the store knows of it; a v without an id is nothing. Steps that this process did not see are those that the
// store remembers.
func completed(t admin.Trace, v otpstore.Verification) admin.Trace {
	if v.ID == "" {
		return t
	}
	if t.ID == "" {
		t = admin.Trace{ID: v.ID, Client: v.Client, Number: v.Masked, Steps: recalled(v)}
	} else if v.Receipt != "" && !slices.ContainsFunc(t.Steps, func(s admin.Step) bool { return s.What == "receipt" }) {
		for _, s := range recalled(v) {
			if s.What == "receipt" {
				s.Detail += "  " + v.SMSC + ", faster than the answer to its message"
				t.Steps = append(t.Steps, s)
			}
		}
	}
	t.State, t.Delivery = v.State, v.Receipt
	return t
}

// recalled are the steps that the store remembers of a verification.
func recalled(v otpstore.Verification) []admin.Step {
	steps := []admin.Step{{At: v.IssuedAt, What: "accepted"}}
	add := func(at time.Time, what, detail string) {
		if !at.IsZero() {
			steps = append(steps, admin.Step{At: at, What: what, Detail: detail})
		}
	}
	add(v.SubmittedAt, "submitted", v.SMSC)
	add(v.SentAt, "submit_resp", "ESME_ROK  id "+strings.Join(v.MessageIDs, " "))
	if v.Receipt != "" {
		at := v.DeliveredAt
		if at.IsZero() {
			at = v.SentAt
		}
		add(at, "receipt", v.Receipt+" err:"+v.ReceiptError)
	}
	add(v.FinishedAt, v.State, "wrong codes "+strconv.Itoa(v.Attempts))
	slices.SortStableFunc(steps, func(a, b admin.Step) int { return a.At.Compare(b.At) })
	return steps
}

// loadedNow is what a configuration that took effect looks like to the operator.
func loadedNow(file string, warnings []config.Problem) admin.Loaded {
	return admin.Loaded{File: file, At: time.Now(), Warnings: len(warnings)}
}
