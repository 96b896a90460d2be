//go:build linux

package smpp_test

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"otpgw/smpp"
)

// An esme is our pool as the tests with counterparts use it. What they know of its Go interface stands in this file.
type esme struct {
	t        *testing.T
	pool     *smpp.Pool
	receipts chan arrival
	cancel   context.CancelFunc
	ended    chan error
}

// A submitted message, as the counterparts see it.
type submitted struct {
	ids      []string // one a segment
	encoding string
}

// An arrival is a receipt that reached the deliver func.
type arrival struct {
	ids              []string // under which the message may be known
	state            string
	final, delivered bool
}

// startESME runs a pool of one account, and returns when all its binds are bound. separate has it bind once as a
// transmitter and once as a receiver, else there are two transceivers.
func startESME(t *testing.T, address string, separate bool) *esme {
	t.Helper()
	cfg := smpp.DefaultConfig()
	cfg.Name, cfg.Endpoints, cfg.SystemID, cfg.Password = "main", []string{address}, "otpgw", "s3cr3t"
	cfg.Binds, cfg.Rate, cfg.MaxSegments = 2, 0, 3
	if separate {
		cfg.Binds, cfg.Transmitters, cfg.Receivers = 0, 1, 1
	}
	e := &esme{t: t, receipts: make(chan arrival, 10_000), ended: make(chan error, 1)}
	deliver := func(_ context.Context, r smpp.Receipt) (smpp.Match, error) {
		e.receipts <- arrival{ids: r.MessageIDs, state: r.State, final: r.Final, delivered: r.Delivered}
		return smpp.Match{Found: true}, nil
	}
	pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: deliver}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e.pool = pool
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	t.Cleanup(cancel) // where the test failed on the way
	go func() { e.ended <- pool.Run(ctx) }()
	for until := time.Now().Add(interopPatience); !e.bound(); runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("not bound: %v, %+v", pool.Ready(), pool.Binds())
		}
	}
	return e
}

func (e *esme) bound() bool {
	for _, b := range e.pool.Binds() {
		if b.State != "bound" {
			return false
		}
	}
	return true
}

func (e *esme) send(ctx context.Context, from, to, text string) (submitted, error) {
	a, err := e.pool.Send(ctx, smpp.Message{From: from, To: to, Text: text, Validity: 5 * time.Minute})
	return submitted{ids: a.MessageIDs, encoding: a.Encoding}, err
}

// stop ends the pool.
func (e *esme) stop() {
	e.t.Helper()
	e.cancel()
	select {
	case err := <-e.ended:
		if err != nil {
			e.t.Errorf("Run = %v, want nil", err)
		}
	case <-time.After(interopPatience):
		e.t.Fatal("Run has not returned")
	}
}
