package smpp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"otpgw/smpp/pdu"
)

// stagger is the time between the first attempts of an account's binds.
const stagger = 100 * time.Millisecond

// An account is one contract with one SMSC: its binds, and what its messages and receipts share.
type account struct {
	config   Config
	files    [sha256.Size]byte
	rate     float64     // in force; guarded by mu of the Pool
	retired  atomic.Bool // on its way out, or replaced
	classes  classes
	reader   pdu.ReceiptReader
	text     pdu.TextOptions
	hooks    Hooks
	gate     *gate
	binds    []*bind
	outbind  *outbind // nil where the SMSC does not call
	receipts *receipts
	pace     *rate.Limiter // of the reading of receipts, the pool's
	expected *expected
	errands  *errands
	stubborn *stubborn
	metrics  *metrics
	log      *slog.Logger

	sending   atomic.Int64
	reference atomic.Uint32 // of the last message in segments; begins anywhere, so that a restart does not repeat
	requests  sync.Pool     // of *request
	decToHex  atomic.Bool   // the ids of receipts are decimal, those of answers hexadecimal
	hexToDec  atomic.Bool   // or the other way round
}

// newAccount starts nothing.
func newAccount(from prepared, hooks Hooks, pace *rate.Limiter, m *metrics, log *slog.Logger) *account {
	cfg := from.config
	a := &account{
		config:   cfg,
		files:    from.files,
		rate:     cfg.Rate,
		hooks:    hooks,
		pace:     pace,
		text:     cfg.textOptions(),
		gate:     newGate(cfg, m),
		expected: newExpected(m),
		stubborn: newStubborn(),
		metrics:  m,
		log:      log.With("smsc", cfg.Name),
	}
	a.classes, _ = newClasses(cfg.StatusOverrides) // Validate has seen that they can be read
	a.reader.Pattern, _ = cfg.receiptPattern()     // likewise
	a.receipts = newReceipts(a, cfg.ReceiptQueue)
	a.errands = newErrands(a)
	a.reference.Store(rand.Uint32())
	a.requests.New = func() any { return newRequest(pdu.SubmitSM) }
	m.windowSize.Set(float64(cfg.Window))
	m.rateLimit.Set(cfg.Rate)

	next := 0
	add := func(n int, kind bindKind, prefix string) {
		for i := range n {
			a.binds = append(a.binds, a.newBind(prefix+strconv.Itoa(i+1), kind, from.dial, next))
			next++
		}
	}
	add(cfg.Binds, transceiver, "")
	add(cfg.Transmitters, transmitter, "tx")
	add(cfg.Receivers, receiver, "rx")
	if cfg.OutbindListen != "" {
		a.outbind = newOutbind(cfg, a.log)
		a.binds = append(a.binds, a.newBind("outbind", receiver, func(ctx context.Context, _ int) (dialed, error) { return a.outbind.next(ctx) }, 0))
	}
	return a
}

func (a *account) newBind(name string, kind bindKind, dial dialer, endpoint int) *bind {
	b := &bind{
		name:     name,
		kind:     kind,
		account:  a,
		dial:     dial,
		endpoint: endpoint,
		metrics:  a.metrics.of(name),
		log:      a.log.With("bind", name),
	}
	b.enter(stateIdle, nil)
	return b
}

// run keeps the binds up until ctx ends, drains them, and returns when all that it started has ended.
func (a *account) run(ctx context.Context) {
	a.gate.start()
	var others, binds sync.WaitGroup
	chores, done := context.WithCancel(context.WithoutCancel(ctx)) // they go on while the binds drain
	others.Go(func() { a.watch(chores) })
	others.Go(func() { a.errands.run(chores) })
	if a.outbind != nil {
		others.Go(func() { a.outbind.run(ctx) })
	}
	for i, b := range a.binds {
		binds.Go(func() { b.run(ctx, time.Duration(i)*stagger) })
	}
	<-ctx.Done()
	a.gate.close()
	binds.Wait()
	a.receipts.close()
	done()
	others.Wait()
}

// ready returns nil when messages can be sent, and else what each bind is at.
func (a *account) ready() error {
	if a.gate.ready() {
		return nil
	}
	var all []string
	for _, b := range a.binds {
		s := b.status()
		text := fmt.Sprintf("bind %s %s", s.Name, s.State)
		if s.LastError != "" {
			text += " (" + s.LastError + ")"
		}
		all = append(all, text)
	}
	return fmt.Errorf("smsc %s: no bind takes messages: %s", a.config.Name, strings.Join(all, ", "))
}
