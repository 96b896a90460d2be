package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp/pdu"
)

const (
	maxSends      = 10_000                 // Sends at once; more are turned away
	maxSendTime   = time.Minute            // for a Send whose context has no deadline
	throttlePause = time.Second            // before a message that was throttled is tried once more
	stagger       = 100 * time.Millisecond // between the first attempts of the binds
)

// A Pool keeps the binds of one account up and sends messages over them. Its methods may be called by several
// goroutines at once.
type Pool struct {
	config  Config
	dial    dialer
	binds   []*bind
	windows *windows
	pacer   *pacer
	metrics *metrics
	log     *slog.Logger

	started   atomic.Bool
	sending   atomic.Int64
	reference atomic.Uint32 // of the last message in segments; begins anywhere, so that a restart does not repeat
	requests  sync.Pool     // of *request
}

// A BindStatus is what one bind is at.
type BindStatus struct {
	Name string
	// State is "connecting", "binding", "bound", "draining", "unbinding", "backoff", "blocked" (refused for its
	// credentials) or "idle" (before its first attempt and after Run).
	State string
	// Since is when that state began.
	Since time.Time
	// InFlight is the number of messages on the bind, Window how many there may be.
	InFlight, Window int
	// LastError is why the bind was down the last time; "" where it never was.
	LastError string
}

// NewPool returns a pool that does nothing until Run. Each receipt goes to deliver, which must be safe for concurrent
// use and heed its context: with nil the receipt is acknowledged, with an error the SMSC is asked to send it again, so
// the same receipt may come more than once. Receipts of one message that come over one bind go
// there one after the other. reg may be nil.
func NewPool(cfg Config, deliver func(context.Context, Receipt) error, reg prometheus.Registerer, log *slog.Logger) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dial, err := newDialer(cfg)
	if err != nil {
		return nil, err
	}
	log = log.With("smsc", cfg.Name)
	m := newMetrics(reg, cfg.Name)
	p := &Pool{
		config:  cfg,
		windows: newWindows(cfg.Window, m),
		pacer:   newPacer(cfg.Rate, cfg.MaxSegments),
		metrics: m,
		log:     log,
		dial:    dial,
	}
	p.reference.Store(rand.Uint32())
	p.requests.New = func() any { return newRequest(pdu.SubmitSM) }
	m.windowSize.Set(float64(cfg.Window))
	m.rateLimit.Set(cfg.Rate)
	for i := range cfg.Binds {
		name := strconv.Itoa(i + 1)
		log := log.With("bind", name)
		bm := m.of(name)
		b := &bind{
			name:     name,
			config:   &p.config,
			dial:     func(ctx context.Context) (net.Conn, error) { return p.dial(ctx) },
			windows:  p.windows,
			receipts: newReceipts(deliver, cfg.ReceiptQueue, bm, log),
			metrics:  bm,
			log:      log,
		}
		b.enter(stateIdle, nil)
		p.binds = append(p.binds, b)
	}
	return p, nil
}

// Run keeps the binds up until ctx ends. Then it takes no more messages, waits for the answers to those on their way
// while it still acknowledges receipts, unbinds, and returns nil when all that it started has ended. It can be called
// once.
func (p *Pool) Run(ctx context.Context) error {
	if p.started.Swap(true) {
		return errors.New("smpp: the pool has run already")
	}
	p.windows.start()
	var binds sync.WaitGroup
	for i, b := range p.binds {
		binds.Go(func() { b.run(ctx, time.Duration(i)*stagger) })
	}
	<-ctx.Done()
	p.windows.close()
	binds.Wait()
	return nil
}

// Check says what Send would refuse before it sends anything: a *TextError or an *AddressError.
func (p *Pool) Check(m Message) error {
	_, err := p.config.compose(m, 0)
	return err
}

// Ready returns nil when at least one bind is bound, and else what each of them is at.
func (p *Pool) Ready() error {
	if p.windows.ready() > 0 {
		return nil
	}
	var all []string
	for _, s := range p.Binds() {
		text := fmt.Sprintf("bind %s %s", s.Name, s.State)
		if s.LastError != "" {
			text += " (" + s.LastError + ")"
		}
		all = append(all, text)
	}
	return fmt.Errorf("smsc %s: no bind is bound: %s", p.config.Name, strings.Join(all, ", "))
}

// SetRate changes the rate of the account, in segments a second; 0: no limit.
func (p *Pool) SetRate(perSecond float64) {
	p.pacer.set(perSecond)
	p.metrics.rateLimit.Set(perSecond)
}

// Binds is what each bind is at.
func (p *Pool) Binds() []BindStatus {
	all := make([]BindStatus, len(p.binds))
	for i, b := range p.binds {
		all[i] = b.status()
	}
	return all
}

// Send sends m and waits for the SMSC's answer. ctx's deadline bounds the wait for the account's rate, for a place in a
// window and for the answer together; without one it is a minute. Where the rate leaves no room before it, and where no
// bind is up (but for the first second after the start), Send fails at once.
//
// The error says which of three it was: *StatusError (refused) and anything that is ErrUnavailable, *TextError or
// *AddressError: certainly not accepted. ErrUnknown: written, and perhaps accepted. A message is tried once more, within
// the deadline, where it was throttled or where its bind was lost before it was written.
func (p *Pool) Send(ctx context.Context, m Message) (Accepted, error) {
	s, err := p.config.compose(m, byte(p.reference.Add(1)))
	if err != nil {
		return Accepted{}, err
	}
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxSendTime)
		defer cancel()
	}
	p.metrics.queueDepth.Set(float64(p.sending.Add(1)))
	defer func() { p.metrics.queueDepth.Set(float64(p.sending.Add(-1))) }()
	accepted, err := p.send(ctx, &s)
	p.metrics.sent(s.encoding, len(s.segments), err)
	return accepted, err
}

func (p *Pool) send(ctx context.Context, s *submission) (Accepted, error) {
	if p.sending.Load() > maxSends {
		return Accepted{}, &UnavailableError{Reason: "too many messages wait", RetryAfter: time.Second}
	}
	if err := p.windows.check(); err != nil {
		return Accepted{}, err
	}
	var paused, moved bool
	owed := len(s.segments) // tokens of the rate not taken yet
	for {
		accepted, o, err := p.attempt(ctx, s, owed)
		owed = 0
		if err != nil {
			return Accepted{}, err
		}
		switch {
		case o.accepted():
			return accepted, nil
		case o.lost && !moved && ctx.Err() == nil:
			moved = true
			p.metrics.retries.WithLabelValues("lost").Inc()
			continue
		case o.throttled() && !paused && p.pause(ctx):
			paused = true
			p.metrics.retries.WithLabelValues("throttled").Inc()
			owed = len(s.segments)
			continue
		}
		return Accepted{}, o.err()
	}
}

// pace waits for the account's rate.
func (p *Pool) pace(ctx context.Context, segments int) error {
	began := time.Now()
	err := p.pacer.wait(ctx, segments)
	p.metrics.rateWait.Observe(time.Since(began).Seconds())
	return err
}

// pause waits before a throttled message is tried again, and says whether it can be before the deadline.
func (p *Pool) pause(ctx context.Context) bool {
	if deadline, _ := ctx.Deadline(); time.Until(deadline) <= throttlePause {
		return false
	}
	timer := time.NewTimer(throttlePause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt sends all segments over one bind, each after the answer to the one before. One place in the window does for
// all of them. The outcome is that of the whole. owed is how many tokens of the rate it has to take.
func (p *Pool) attempt(ctx context.Context, s *submission, owed int) (Accepted, outcome, error) {
	r := p.requests.Get().(*request)
	defer p.requests.Put(r)
	began := time.Now()
	on, err := p.windows.acquire(ctx)
	p.metrics.windowWait.Observe(time.Since(began).Seconds())
	if err != nil {
		return Accepted{}, outcome{}, err
	}
	if owed > 0 { // only who may write at once takes of the rate: what is taken early would be spent in a burst
		if err := p.pace(ctx, owed); err != nil {
			p.windows.release(on, false, 0)
			return Accepted{}, outcome{}, err
		}
	}
	accepted := Accepted{
		SMSC:       p.config.Name,
		Bind:       on.bind,
		MessageIDs: make([]string, 0, len(s.segments)),
		Encoding:   s.encoding.String(),
		Segments:   len(s.segments),
	}
	var (
		o       outcome
		latency time.Duration
		paused  bool
	)
	for i := 0; i < len(s.segments); i++ {
		if r.octets, err = pdu.Append(r.octets[:0], pdu.Header{Command: pdu.SubmitSM}, s.segment(i)); err != nil {
			p.windows.release(on, false, latency)
			return Accepted{}, outcome{}, fmt.Errorf("encode: %w", err)
		}
		began = time.Now()
		o = on.submit(ctx, r)
		switch {
		case o.kind == answered:
			latency = o.at.Sub(r.at)
		case o.ghost:
			latency = time.Since(began) // at least
		case o.lost:
			p.windows.remove(on) // whoever tries again must not come back here
		}
		if o.throttled() {
			p.metrics.throttled.WithLabelValues(statusLabel(o.status)).Inc()
			if i > 0 && !paused && p.pause(ctx) {
				paused = true
				i--
				continue
			}
		}
		if !o.accepted() {
			break
		}
		if i == 0 {
			accepted.SubmittedAt = r.at
		}
		accepted.AnsweredAt = o.at
		accepted.MessageIDs = append(accepted.MessageIDs, o.id)
	}
	p.windows.release(on, o.ghost, latency)
	if !o.accepted() && len(accepted.MessageIDs) > 0 {
		o = outcome{kind: unknown, reason: reasonPartial}
	}
	return accepted, o, nil
}
