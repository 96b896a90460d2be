package smpp

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A pacer is the token bucket of the account: one token a segment.
type pacer struct {
	least int // segments of the longest message: the bucket must hold as many

	// mu makes taking tokens and giving them back one step, so that one who cannot wait delays nobody.
	mu      sync.Mutex
	limiter *rate.Limiter
}

func newPacer(perSecond float64, least int) *pacer {
	p := &pacer{least: least, limiter: rate.NewLimiter(rate.Inf, least)}
	p.set(perSecond)
	return p
}

// set changes the rate, 0 to none. Those who wait already wait on as they began to.
func (p *pacer) set(perSecond float64) {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limiter.SetLimit(limit)
	p.limiter.SetBurst(max(p.least, int(perSecond/10), 1))
}

// wait takes n tokens and returns when they are due. Where that cannot be before ctx's deadline it takes none and
// fails at once. Every error is an *UnavailableError.
func (p *pacer) wait(ctx context.Context, n int) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	now := time.Now()
	p.mu.Lock()
	taken := p.limiter.ReserveN(now, n)
	delay := taken.DelayFrom(now)
	if deadline, set := ctx.Deadline(); set && delay > 0 && delay >= deadline.Sub(now) {
		taken.CancelAt(now)
		p.mu.Unlock()
		return &UnavailableError{Reason: "the rate leaves no room before the deadline", RetryAfter: delay - deadline.Sub(now)}
	}
	p.mu.Unlock()
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		taken.Cancel()
		p.mu.Unlock()
		return ended(ctx)
	}
}

// ended is the error of one whose ctx ended before anything was written.
func ended(ctx context.Context) error {
	reason := "the deadline passed before it could be sent"
	if context.Cause(ctx) == context.Canceled {
		reason = "the caller gave up before it could be sent"
	}
	return &UnavailableError{Reason: reason, RetryAfter: time.Second}
}
