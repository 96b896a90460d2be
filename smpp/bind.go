package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	unbindTimeout   = 5 * time.Second // for the answer to our unbind
	peerUnbindGrace = time.Second     // for the answers that the SMSC still owes when it unbinds
	interface34     = 0x34            // SMPP 3.4 §5.2.4
)

// The states of a bind.
const (
	stateIdle       = "idle" // before its first attempt and after Run
	stateConnecting = "connecting"
	stateBinding    = "binding"
	stateBound      = "bound"
	stateDraining   = "draining"
	stateUnbinding  = "unbinding"
	stateBackoff    = "backoff"
	stateBlocked    = "blocked" // refused for its credentials
)

var states = [...]string{
	stateIdle, stateConnecting, stateBinding, stateBound, stateDraining, stateUnbinding, stateBackoff, stateBlocked,
}

// A bind keeps one session up, and opens another when it ends.
type bind struct {
	name     string
	config   *Config
	dial     dialer
	windows  *windows
	receipts *receipts
	metrics  *bindMetrics
	log      *slog.Logger

	mu        sync.Mutex // guards the rest
	state     string
	since     time.Time
	lastError string
	session   *session // of the states binding to unbinding
}

// run keeps the bind up until ctx ends, and drains it then. It waits for delay first.
func (b *bind) run(ctx context.Context, delay time.Duration) {
	defer b.enter(stateIdle, nil)
	defer b.receipts.close()
	wait := backoff{min: b.config.ReconnectMin, max: b.config.ReconnectMax}
	for b.sleep(ctx, delay) {
		bound, err := b.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		delay = wait.next(err, bound, rand.Float64())
		b.fell(err, delay)
	}
}

func (b *bind) sleep(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// fell takes note of why the bind is down and for how long.
func (b *bind) fell(err error, delay time.Duration) {
	b.mu.Lock()
	b.lastError = err.Error()
	b.mu.Unlock()
	b.metrics.reconnectDelay.WithLabelValues(b.name).Set(delay.Seconds())
	var refused *bindError
	if errors.As(err, &refused) && refused.credentials() {
		b.enter(stateBlocked, nil)
		b.log.Error("bind refused for its credentials", "status", refused.status.String(), "retry_in", delay)
		return
	}
	b.enter(stateBackoff, nil)
	b.log.Warn("bind down", "error", err, "retry_in", delay)
}

// enter changes the state. s is the session that goes with it.
func (b *bind) enter(state string, s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state, b.since, b.session = state, time.Now(), s
	for _, name := range states {
		value := 0.0
		if name == state {
			value = 1
		}
		b.metrics.state.WithLabelValues(b.name, name).Set(value)
	}
}

// connect opens a session and returns when it has ended and all it started with it: for how long it was bound, and why
// it is not any more.
func (b *bind) connect(ctx context.Context) (time.Duration, error) {
	b.enter(stateConnecting, nil)
	dialing, cancel := context.WithTimeout(ctx, b.config.ConnectTimeout)
	conn, err := b.dial(dialing)
	cancel()
	if err != nil {
		b.metrics.bindFailures.WithLabelValues(b.name, "connect").Inc()
		return 0, fmt.Errorf("connect: %w", err)
	}
	b.metrics.connects.WithLabelValues(b.name).Inc()
	s := &session{
		conn:      conn,
		windows:   b.windows,
		receipts:  b.receipts,
		metrics:   b.metrics,
		log:       b.log,
		smsc:      b.config.Name,
		bind:      b.name,
		writeTime: b.config.WriteTimeout,
		answer:    b.config.ResponseTimeout,
		started:   time.Now(),
		ghosts:    make(chan struct{}, 1),
		unbind:    make(chan struct{}),
		done:      make(chan struct{}),
		inflight:  make(map[uint32]*request),
		haunted:   make(map[uint32]time.Time),
	}
	s.more.L = &s.mu
	var running sync.WaitGroup
	defer running.Wait() // both end with the session
	running.Go(s.write)
	running.Go(func() { s.read(context.WithoutCancel(ctx)) }) // receipts are still recorded while we drain

	b.enter(stateBinding, s)
	if err := b.authenticate(ctx, s); err != nil {
		s.end(endBindFailure, err)
		return 0, err
	}
	return b.serve(ctx, s)
}

// authenticate binds s.
func (b *bind) authenticate(ctx context.Context, s *session) error {
	r, err := s.ask(pdu.BindTransceiver, &pdu.Bind{
		SystemID:         b.config.SystemID,
		Password:         string(b.config.Password),
		SystemType:       b.config.SystemType,
		InterfaceVersion: interface34,
	})
	if err != nil {
		return err
	}
	timer := time.NewTimer(b.config.BindTimeout)
	defer timer.Stop()
	select {
	case o := <-r.done:
		if o.kind != answered {
			break
		}
		if o.accepted() && o.command == pdu.BindTransceiverResp {
			return nil
		}
		b.metrics.bindFailures.WithLabelValues(b.name, statusLabel(o.status)).Inc()
		return &bindError{status: o.status}
	case <-s.done:
	case <-timer.C:
		b.metrics.bindFailures.WithLabelValues(b.name, "timeout").Inc()
		return errors.New("bind not answered in time")
	case <-s.unbind:
		return errPeerUnbind
	case <-ctx.Done():
		return ctx.Err()
	}
	<-s.done
	b.metrics.bindFailures.WithLabelValues(b.name, "connection").Inc()
	return fmt.Errorf("binding: %w", s.err)
}

// serve lets messages onto s until it ends.
func (b *bind) serve(ctx context.Context, s *session) (time.Duration, error) {
	since := time.Now()
	b.enter(stateBound, s)
	b.log.Info("bound")
	b.windows.add(s)
	b.attend(ctx, s)
	b.windows.remove(s)
	b.metrics.disconnects.WithLabelValues(b.name, s.reason).Inc()
	if s.reason == endDrain {
		b.log.Info("unbound")
	}
	return time.Since(since), s.err
}

// attend returns when s has ended.
func (b *bind) attend(ctx context.Context, s *session) {
	alive := keepalive{interval: b.config.EnquireLinkInterval, timeout: b.config.ResponseTimeout}
	timer := time.NewTimer(b.config.EnquireLinkInterval)
	defer timer.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-ctx.Done():
			b.drain(s)
			return
		case <-s.unbind:
			b.peerUnbound(s)
			return
		case <-s.ghosts:
		case <-timer.C:
		}
		misses := alive.misses
		ask, dead, wait := alive.next(time.Since(s.started), time.Duration(s.heard.Load()))
		if alive.misses > misses {
			b.metrics.misses.WithLabelValues(b.name).Inc()
		}
		if dead {
			s.end(endNoLife, errors.New("no answer to enquire_link"))
			return
		}
		if ask {
			if _, err := s.ask(pdu.EnquireLink, nil); err != nil {
				b.log.Error("pdu not encoded", "error", err)
			}
		}
		timer.Reset(min(wait, s.bury(time.Now())))
	}
}

// drain ends s in order: no new messages, the answers to those on their way, the acknowledgements of receipts, unbind.
func (b *bind) drain(s *session) {
	b.enter(stateDraining, s)
	vacant := b.windows.remove(s)
	timer := time.NewTimer(b.config.DrainTimeout)
	defer timer.Stop()
	if await(s, vacant, timer.C) {
		await(s, s.settle(), timer.C)
	}
	s.quiesce()
	b.enter(stateUnbinding, s)
	r, err := s.ask(pdu.Unbind, nil)
	if err != nil {
		b.log.Error("pdu not encoded", "error", err)
	} else {
		timer.Reset(unbindTimeout)
		select {
		case <-r.done:
		case <-s.unbind: // it had the same idea
		case <-s.done:
		case <-timer.C:
			b.log.Warn("unbind not answered in time")
		}
	}
	s.end(endDrain, nil)
}

// peerUnbound waits a moment for the answers that the SMSC still owes.
func (b *bind) peerUnbound(s *session) {
	b.enter(stateUnbinding, s)
	timer := time.NewTimer(peerUnbindGrace)
	defer timer.Stop()
	await(s, b.windows.remove(s), timer.C)
	s.end(endPeerUnbind, errPeerUnbind)
}

// await says whether event came before the end of s and of the time.
func await(s *session, event <-chan struct{}, over <-chan time.Time) bool {
	select {
	case <-event:
		return true
	case <-s.done:
	case <-over:
	}
	return false
}

// status is what the bind is at.
func (b *bind) status() BindStatus {
	b.mu.Lock()
	status := BindStatus{Name: b.name, State: b.state, Since: b.since, Window: b.windows.size, LastError: b.lastError}
	s := b.session
	b.mu.Unlock()
	if s != nil {
		status.InFlight = b.windows.used(s)
	}
	return status
}
