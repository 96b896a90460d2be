package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	unbindTimeout   = 5 * time.Second // for the answer to our unbind
	peerUnbindGrace = time.Second     // for the answers that the SMSC still owes when it unbinds
	maxMute         = 3               // response_timeouts that a suspect SMSC may leave all that it is asked unanswered
)

// Values of interface_version (SMPP 3.4 §5.2.4, SMPP 5.0 §4.7.13).
const (
	interface33 = 0x33
	interface34 = 0x34
	interface50 = 0x50
)

// A bindKind is the command of a bind.
type bindKind = pdu.Command

const (
	transceiver = pdu.BindTransceiver
	transmitter = pdu.BindTransmitter
	receiver    = pdu.BindReceiver
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
	stateSuspect    = "suspect" // bound, but the SMSC does not answer
)

var states = [...]string{
	stateIdle, stateConnecting, stateBinding, stateBound, stateSuspect, stateDraining, stateUnbinding, stateBackoff, stateBlocked,
}

// A bind keeps one session up, and opens another when it ends.
type bind struct {
	name     string
	kind     bindKind
	account  *account
	dial     dialer
	endpoint int // of the next attempt
	metrics  *bindMetrics
	log      *slog.Logger

	wary bool // the last session ended without a sign of life: the next one has to show one

	mu        sync.Mutex // guards the rest
	state     string
	since     time.Time
	lastError string
	session   *session // of the states binding to unbinding
	peer      string   // where the connection goes, "" for none
	version   int      // sc_interface_version, 0 where the SMSC announced none
}

// run keeps the bind up until ctx ends, and drains it then. It waits for delay first.
func (b *bind) run(ctx context.Context, delay time.Duration) {
	defer b.enter(stateIdle, nil)
	wait := backoff{min: b.account.config.ReconnectMin, max: b.account.config.ReconnectMax}
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
}

// connect opens a session and returns when it has ended and all it started with it: for how long it was bound, and why
// it is not any more.
func (b *bind) connect(ctx context.Context) (time.Duration, error) {
	b.enter(stateConnecting, nil)
	cfg := &b.account.config
	dialed, err := b.dial(ctx, b.endpoint)
	if err != nil {
		b.endpoint++
		b.metrics.bindFailures.WithLabelValues(b.name, "connect").Inc()
		return 0, &connectError{err}
	}
	b.metrics.connects.WithLabelValues(b.name).Inc()
	s := &session{
		conn:    dialed.conn,
		account: b.account,
		metrics: b.metrics,
		log:     b.log,
		bind:    b.name,
		answer:  cfg.ResponseTimeout,
		started: time.Now(),

		transmits: b.kind != receiver,

		wake:     make(chan struct{}, 1),
		unbind:   make(chan struct{}),
		done:     make(chan struct{}),
		inflight: make(map[uint32]*request),
		haunted:  make(map[uint32]time.Time),
	}
	b.mu.Lock()
	b.peer, b.version = dialed.peer, 0
	b.mu.Unlock()
	s.more.L = &s.mu
	var running sync.WaitGroup
	defer running.Wait() // both end with the session
	running.Go(s.write)
	running.Go(func() { s.read(context.WithoutCancel(ctx)) }) // receipts are still recorded while we drain

	b.enter(stateBinding, s)
	if err := b.authenticate(ctx, s); err != nil {
		b.endpoint++
		s.end(endBindFailure, err)
		return 0, err
	}
	return b.serve(ctx, s)
}

// authenticate binds s.
func (b *bind) authenticate(ctx context.Context, s *session) error {
	cfg := &b.account.config
	r, err := s.ask(b.kind, cfg.bind())
	if err != nil {
		return err
	}
	timer := time.NewTimer(cfg.BindTimeout)
	defer timer.Stop()
	select {
	case o := <-r.done:
		if o.kind != answered {
			break
		}
		if o.accepted() && o.command == b.kind.Response() {
			b.announced(o.body)
			return nil
		}
		b.metrics.bindFailures.WithLabelValues(b.name, statusLabel(o.status)).Inc()
		return &bindError{status: o.status}
	case <-s.done:
	case <-timer.C:
		b.metrics.bindFailures.WithLabelValues(b.name, "timeout").Inc()
		return errBindTimeout
	case <-s.unbind:
		return errPeerUnbind
	case <-ctx.Done():
		return ctx.Err()
	}
	<-s.done
	b.metrics.bindFailures.WithLabelValues(b.name, "connection").Inc()
	if s.reason == endPeerClosed || s.reason == endReadError {
		return fmt.Errorf("%w: %w", errNoAnswer, s.err)
	}
	return fmt.Errorf("binding: %w", s.err)
}

// bind is the body of the binds of this account.
func (c *Config) bind() *pdu.Bind {
	return &pdu.Bind{
		SystemID:         c.SystemID,
		Password:         string(c.Password),
		SystemType:       c.SystemType,
		InterfaceVersion: byte(c.InterfaceVersion),
		AddressTON:       byte(c.BindTON),
		AddressNPI:       byte(c.BindNPI),
		AddressRange:     c.AddressRange,
	}
}

// announced keeps the version of the SMSC.
func (b *bind) announced(body pdu.Body) {
	answer, is := body.(*pdu.BindResp)
	if !is {
		return
	}
	if v, found := answer.TLVs.Get(pdu.TagSCInterfaceVersion); found && len(v) == 1 {
		b.mu.Lock()
		b.version = int(v[0])
		b.mu.Unlock()
		if c := b.account.config.Concatenation; v[0] < interface34 && (c == "sar" || c == "payload") {
			b.log.Warn("the smsc announces a version without optional parameters", "interface_version", v[0], "concatenation", c)
		}
	}
}

// serve lets messages onto s until it ends.
func (b *bind) serve(ctx context.Context, s *session) (time.Duration, error) {
	since := time.Now()
	b.enter(stateBound, s)
	b.log.Info("bound")
	gate := b.account.gate
	if b.wary { // its answer to the bind is enough of a sign of life for one message
		gate.suspect(s)
		gate.proven(s, time.Now())
		s.alarm()
	}
	if s.transmits {
		gate.add(s)
	}
	b.attend(ctx, s)
	gate.remove(s)
	b.wary = s.reason == endNoLife || gate.suspects(s)
	b.metrics.disconnects.WithLabelValues(b.name, s.reason).Inc()
	if s.reason == endDrain {
		b.log.Info("unbound")
	}
	return time.Since(since), s.err
}

// attend returns when s has ended.
func (b *bind) attend(ctx context.Context, s *session) {
	gate := b.account.gate
	alive := keepalive{interval: b.account.config.EnquireLinkInterval, timeout: s.answer}
	mute := time.Duration(0) // since when a suspect peer has answered nothing, since the session started
	timer := time.NewTimer(b.account.config.EnquireLinkInterval)
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
		case <-s.wake:
		case <-timer.C:
		}
		now, missed, asked := time.Since(s.started), alive.missed, alive.asked
		ask, dead, wait := alive.next(now, time.Duration(s.heard.Load()), gate.suspects(s))
		if alive.heard {
			gate.proven(s, s.started.Add(asked))
		}
		if !gate.suspects(s) {
			mute = now
		} else if mute = max(mute, time.Duration(s.spoken.Load())); now-mute >= maxMute*s.answer {
			dead = true // it talks and does not answer
		}
		if alive.missed && !missed || dead {
			b.metrics.misses.WithLabelValues(b.name).Inc()
			gate.suspect(s)
		}
		if dead {
			s.end(endNoLife, errNoLife)
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
	vacant := b.account.gate.remove(s)
	timer := time.NewTimer(b.account.config.DrainTimeout)
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
	await(s, b.account.gate.remove(s), timer.C)
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
	status := BindStatus{
		SMSC: b.account.config.Name, Name: b.name, State: b.state, Since: b.since, LastError: b.lastError,
		Kind: strings.TrimPrefix(b.kind.String(), "bind_"),
	}
	s := b.session
	if s != nil {
		status.Peer, status.Version = b.peer, b.version
	}
	b.mu.Unlock()
	if b.kind != receiver {
		status.Window = b.account.gate.size
	}
	if s != nil {
		status.InFlight = b.account.gate.used(s)
		if status.State == stateBound && b.account.gate.suspects(s) {
			status.State = stateSuspect
		}
	}
	return status
}
