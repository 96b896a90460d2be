package smpp

import (
	"context"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	errandWorkers = 4
	maxErrands    = 1000 // that wait; more are dropped, and counted
)

// errands are what an account does for nobody who waits: it tells of late answers, and asks the SMSC about messages.
type errands struct {
	account *account
	late    chan lateErrand
	asks    chan func(context.Context)
}

type lateErrand struct {
	answer LateAnswer
	at     time.Time // not before
}

func newErrands(a *account) *errands {
	return &errands{account: a, late: make(chan lateErrand, maxErrands), asks: make(chan func(context.Context), maxErrands)}
}

// run does what comes until ctx ends.
func (e *errands) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { e.tell(ctx) })
	for range errandWorkers {
		workers.Go(func() {
			for {
				select {
				case ask := <-e.asks:
					ask(ctx)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// tell passes late answers on, each a moment after it came: its caller has recorded by then that nothing is known.
func (e *errands) tell(ctx context.Context) {
	for {
		select {
		case l := <-e.late:
			if wait := time.Until(l.at); wait > 0 {
				timer := time.NewTimer(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return
				}
			}
			telling, cancel := context.WithTimeout(ctx, receiptTimeout)
			e.account.hooks.Late(telling, l.answer)
			cancel()
		case <-ctx.Done():
			return
		}
	}
}

func (e *errands) tellLate(answer LateAnswer) {
	select {
	case e.late <- lateErrand{answer, time.Now().Add(lateDelay)}:
	default:
		e.account.metrics.errandsDropped.WithLabelValues("late").Inc()
	}
}

func (e *errands) ask(kind string, do func(context.Context)) {
	select {
	case e.asks <- do:
	default:
		e.account.metrics.errandsDropped.WithLabelValues(kind).Inc()
	}
}

// query asks once what became of a message whose receipt is missing (SMPP 3.4 §4.8).
func (e *errands) query(x expectation) {
	if x.raw == "" {
		return
	}
	e.ask("query", func(ctx context.Context) {
		a := e.account
		o := a.inquire(ctx, pdu.QuerySM, &pdu.Query{MessageID: x.raw, Source: x.message.source})
		body, is := o.body.(*pdu.QueryResp)
		if !o.accepted() || !is {
			a.metrics.queries.WithLabelValues("failed").Inc()
			return
		}
		a.metrics.queries.WithLabelValues(body.State.String()).Inc()
		if !body.State.Final() {
			return
		}
		known := a.receipt(pdu.Receipt{MessageID: x.raw, State: body.State, Error: queryError(body.ErrorCode)}, time.Now())
		known.forms, known.MessageIDs, known.Converted = []idForm{{x.id, howSame}}, []string{x.id}, 1 // it is the id of an answer
		known.Numbers = []string{x.message.to}
		recording, cancel := context.WithTimeout(ctx, receiptTimeout)
		defer cancel()
		if err := a.deliver(recording, known); err != nil {
			a.log.Warn("state of a message not recorded", "error", err)
		}
	})
}

// cancel asks the SMSC to drop a message (SMPP 3.4 §4.9).
func (e *errands) cancel(x expectation) {
	if x.raw == "" {
		return
	}
	e.ask("cancel", func(ctx context.Context) {
		o := e.account.inquire(ctx, pdu.CancelSM, &pdu.Cancel{
			ServiceType: x.message.service, MessageID: x.raw, Source: x.message.source, Destination: x.message.destination,
		})
		result := "failed"
		switch {
		case o.accepted():
			result = "accepted"
		case o.kind == answered:
			result = "refused"
		}
		e.account.metrics.cancels.WithLabelValues(result).Inc()
	})
}

// inquire asks over any session that is well.
func (a *account) inquire(ctx context.Context, c pdu.Command, body pdu.Body) outcome {
	s := a.gate.any()
	if s == nil {
		return outcome{kind: notSent, reason: reasonLost}
	}
	r, err := s.ask(c, body)
	if err != nil {
		a.log.Error("pdu not encoded", "command", c.String(), "error", err)
		return outcome{kind: notSent}
	}
	timer := time.NewTimer(s.answer)
	defer timer.Stop()
	select {
	case o := <-r.done:
		return o
	case <-timer.C:
	case <-ctx.Done():
	}
	s.forsake(r)
	return outcome{kind: unknown, reason: reasonTimeout}
}
