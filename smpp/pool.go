package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	maxSendTime = time.Minute      // for a Send whose context has no deadline
	handover    = 10 * time.Second // for an account to be up that takes the place of another
	readPace    = 20_000           // receipts a second that are read, of all accounts together
)

// A Pool keeps the binds of all accounts up and sends messages over them. Its methods may be called by several
// goroutines at once.
type Pool struct {
	hooks    Hooks
	registry prometheus.Registerer
	log      *slog.Logger
	dialer   func(Config) (dialer, error) // newDialer, but in tests
	accounts atomic.Pointer[[]*account]
	started  atomic.Bool
	news     chan struct{} // there are moves; has room for one
	pace     *rate.Limiter // of the reading of receipts: a flood of them must leave the processor to those who wait for an answer

	mu      sync.Mutex      // guards the rest, and changes of accounts
	moves   []move          // not done yet
	wanted  []prepared      // what was applied last
	stopped map[string]bool // accounts among them that were stopped by hand
}

// Hooks are what a Pool tells of. They are called by several goroutines at once and must heed their context.
type Hooks struct {
	// Deliver records a receipt and says which message it was for. The SMSC gets its answer after it returned: with an
	// error it is asked to send the receipt again, so the same one may come more than once. Receipts of one message go
	// there one after the other, in the order of their arrival, as long as the account is the same.
	Deliver func(context.Context, Receipt) (Match, error)
	// Late tells of an answer to a message of which Send had to say ErrUnknown, a second after it came or later, at most
	// once for each; not where on_unknown is resend_once, for then the answer to one try says nothing of the other. It may
	// be nil.
	Late func(context.Context, LateAnswer)
}

// A BindStatus is what one bind is at.
type BindStatus struct {
	// SMSC is the account, Name the bind's name in it: "1", "tx1", "rx1" or "outbind".
	SMSC, Name string
	// Kind is "transceiver", "transmitter" or "receiver".
	Kind string
	// State is "connecting", "binding", "bound", "suspect" (bound, but the SMSC does not answer), "draining",
	// "unbinding", "backoff", "blocked" (refused for its credentials) or "idle" (before its first attempt and after Run).
	State string
	// Since is when that state began.
	Since time.Time
	// Peer is the endpoint of the connection, Version what the SMSC announced as sc_interface_version; 0: nothing.
	Peer    string
	Version int
	// InFlight is the number of messages on the bind, Window how many there may be.
	InFlight, Window int
	// LastError is why the bind was down the last time; "" where it never was.
	LastError string
}

// NewPool returns a pool that does nothing until Run. reg may be nil. The names of the accounts must differ.
func NewPool(accounts []Config, hooks Hooks, reg prometheus.Registerer, log *slog.Logger) (*Pool, error) {
	p := &Pool{hooks: hooks, registry: reg, log: log, dialer: newDialer, news: make(chan struct{}, 1), pace: rate.NewLimiter(readPace, 4*restEvery)}
	p.accounts.Store(new([]*account))
	change, err := p.Prepare(accounts)
	if err != nil {
		return nil, err
	}
	p.Apply(change)
	return p, nil
}

// Run keeps the binds up until ctx ends. Then it takes no more messages, waits for the answers to those on their way
// while it still acknowledges receipts, unbinds, and returns nil when all that it started has ended. It can be called
// once.
func (p *Pool) Run(ctx context.Context) error {
	if p.started.Swap(true) {
		return errors.New("smpp: the pool has run already")
	}
	var running sync.WaitGroup
	defer running.Wait()
	stops := make(map[*account]context.CancelFunc)
	for {
		for _, m := range p.due() {
			if m.stop != nil {
				stop := stops[m.stop]
				delete(stops, m.stop)
				running.Go(func() {
					defer stop()
					p.retire(ctx, m)
				})
			}
			if m.start != nil {
				alive, stop := context.WithCancel(ctx)
				stops[m.start] = stop
				running.Go(func() { m.start.run(alive) })
			}
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			return nil
		}
	}
}

// list is the accounts that may be sent over.
func (p *Pool) list() []*account { return *p.accounts.Load() }

// Check says what Send would refuse before it sends anything: a *TextError or an *AddressError.
func (p *Pool) Check(m Message) error {
	err := errUnserved
	for _, a := range p.list() {
		if _, fits := a.fits(m); !fits {
			continue
		}
		_, refusal := a.compose(m, time.Now())
		if refusal == nil {
			return nil
		}
		err = refusal
	}
	if err == errUnserved {
		if err = p.unserved(m); errors.Is(err, ErrUnavailable) {
			return nil // it can be sent when the account is up again
		}
	}
	return err
}

// Ready returns nil when messages can be sent over one account at least, and else what every bind is at.
func (p *Pool) Ready() error {
	var all []error
	for _, a := range p.list() {
		err := a.ready()
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	if len(all) == 0 {
		return errors.New("no smsc is in use: all are stopped, or none is configured")
	}
	return errors.Join(all...)
}

// Binds is what each bind is at.
func (p *Pool) Binds() []BindStatus {
	var all []BindStatus
	for _, a := range p.list() {
		for _, b := range a.binds {
			all = append(all, b.status())
		}
	}
	return all
}

// Send sends m over the best account for it and waits for the SMSC's answer. ctx's deadline bounds the wait for the
// account's rate, for a place in a window and for the answer together; without one it is a minute. Where there is no
// prospect of a place before it, Send fails at once.
//
// The error says which of three it was: *StatusError (refused) and anything that is ErrUnavailable, *TextError or
// *AddressError: certainly not accepted. ErrUnknown: written, and perhaps accepted. Within the deadline a message is
// tried again where it was throttled, met a passing fault, or where its bind was lost before it was written; over
// another account where this one cannot take it. After ErrUnknown it is tried again only with on_unknown = resend_once.
func (p *Pool) Send(ctx context.Context, m Message) (Accepted, error) {
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxSendTime)
		defer cancel()
	}
	accepted, err, again := p.try(ctx, m)
	if again {
		if accepted, second, _ := p.try(ctx, m); !errors.Is(second, errUnserved) {
			return accepted, second
		}
	}
	return accepted, err
}

// try sends m over one account after the other. again says that one of them has a successor since, by a reload.
func (p *Pool) try(ctx context.Context, m Message) (accepted Accepted, failure error, again bool) {
	var room [4]candidate
	candidates := p.choose(room[:0], m, time.Now())
	if len(candidates) == 0 {
		return Accepted{}, p.unserved(m), false
	}
	for i, c := range candidates {
		accepted, err := c.account.deal(ctx, m, func() bool {
			return anyUsable(candidates[i+1:])
		})
		if err == nil {
			return accepted, nil, false
		}
		again = again || c.account.retired.Load()
		if failure = graver(failure, err); !movable(err) || ctx.Err() != nil {
			return Accepted{}, failure, false
		}
	}
	return Accepted{}, failure, again
}

// deal sends m over this account and counts what became of it.
func (a *account) deal(ctx context.Context, m Message, elsewhere func() bool) (Accepted, error) {
	s, err := a.compose(m, time.Now())
	if err != nil {
		return Accepted{}, err
	}
	accepted, err := a.send(ctx, &s, elsewhere)
	a.metrics.sent(s.encoding, len(s.segments), err)
	return accepted, err
}

// movable says that another account may do better.
func movable(err error) bool {
	var (
		refused *StatusError
		text    *TextError
	)
	switch {
	case errors.As(err, &refused):
		return refused.Class == ClassThrottled || refused.Class == ClassTemporary || refused.Class == ClassUnavailable
	case errors.As(err, &text):
		return true // others may take more segments
	}
	return errors.Is(err, ErrUnavailable)
}

// graver is what the caller is told of two accounts' errors: what an SMSC said rather than that it could not be asked.
func graver(before, now error) error {
	var refused *StatusError
	if before != nil && (errors.As(before, &refused) || !errors.Is(now, ErrUnavailable)) && !errors.As(now, &refused) && !errors.Is(now, ErrUnknown) {
		return before
	}
	return now
}

// Cancel asks the SMSC to drop the messages with that Ref which it has not delivered yet, where the account allows it. It
// does not wait.
func (p *Pool) Cancel(ref string) {
	for _, a := range p.list() {
		if a.config.Cancel {
			a.cancel(ref)
		}
	}
}

// errUnserved is the error of a message for which there is no account.
var errUnserved error = &AddressError{Field: "to", Reason: "no smsc serves this number, client and sender"}

// unserved is why no account can take m: one that would was stopped, or there is none.
func (p *Pool) unserved(m Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.wanted {
		if _, fits := a.config.fits(m); fits && p.stopped[a.config.Name] {
			return &UnavailableError{Reason: "the smsc was stopped", RetryAfter: downRetry}
		}
	}
	return errUnserved
}

// checkNames wants every account to have its own.
func checkNames(accounts []Config) error {
	seen := make(map[string]bool)
	for _, c := range accounts {
		if seen[c.Name] {
			return fmt.Errorf("smsc %s: there are two of that name", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}
