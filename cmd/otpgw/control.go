package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/prometheus/common/expfmt"

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
	return s
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
func (d controls) StopSMSC(name string) error { return refused(d.pool.Stop(name)) }

// StartSMSC brings an account up again.
func (d controls) StartSMSC(name string) error { return refused(d.pool.Start(name)) }

func refused(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", admin.ErrRefused, err)
}

// Pause refuses new codes, or takes them again.
func (d controls) Pause(paused bool) {
	d.pausing.Store(paused)
	d.api.Pause(paused)
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
	case "heap":
		err := pprof.Lookup("heap").WriteTo(&b, 0)
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("%w: %q cannot be inspected", admin.ErrRefused, what)
}

var wholeNumber = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)

// tracesShown is how many verifications of a number are told of.
const tracesShown = 20

// Trace is what is known of a message: the steps that this process saw, and what the store knows. A number is found by the traces in
// memory only, for the store knows none.
func (d controls) Trace(ctx context.Context, query string) ([]admin.Trace, error) {
	if wholeNumber.MatchString(query) {
		found := d.traces.Latest(query, tracesShown)
		for i := range found {
			if v, err := d.store.Lookup(ctx, found[i].ID); err == nil {
				found[i].State = v.State
			}
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%w: nothing is known of this number since the start", admin.ErrRefused)
		}
		return found, nil
	}
	t, seen := d.traces.Find(query)
	id := query
	if seen {
		id = t.ID
	}
	v, err := d.store.Lookup(ctx, id)
	switch {
	case errors.Is(err, otpstore.ErrNotFound) && !seen:
		return nil, fmt.Errorf("%w: nothing is known by %q", admin.ErrRefused, query)
	case errors.Is(err, otpstore.ErrNotFound):
		return []admin.Trace{t}, nil
	case err != nil:
		return nil, err
	}
	if !seen {
		t = admin.Trace{ID: v.ID, Client: v.Client, Number: v.Masked, Steps: recalled(v)}
	}
	t.State = v.State
	return []admin.Trace{t}, nil
}

// recalled are the steps that the store remembers of a verification.
func recalled(v otpstore.Verification) []admin.Step {
	steps := []admin.Step{{At: v.IssuedAt, What: "accepted"}}
	add := func(at time.Time, what, detail string) {
		if !at.IsZero() {
			steps = append(steps, admin.Step{At: at, What: what, Detail: detail})
		}
	}
	add(v.SentAt, "submitted", fmt.Sprintf("%s id %v", v.SMSC, v.MessageIDs))
	if v.Receipt != "" {
		at := v.DeliveredAt
		if at.IsZero() {
			at = v.SentAt
		}
		add(at, "receipt", v.Receipt+" err:"+v.ReceiptError)
	}
	add(v.FinishedAt, v.State, fmt.Sprintf("wrong codes %d", v.Attempts))
	return steps
}

// loadedNow is what a configuration that took effect looks like to the operator.
func loadedNow(file string, warnings []config.Problem) admin.Loaded {
	return admin.Loaded{File: file, At: time.Now(), Warnings: len(warnings)}
}
