package otpstore

import (
	"context"
	"fmt"
	"time"
)

// Facts are what a client is told of a verification, as a set.
type Facts uint8

// The facts that there are.
const (
	Delivery Facts = 1 << iota // what the SMSC's last receipt says
	Outcome                    // how the verification ended

	allFacts = Delivery | Outcome
)

// An Event is a fact that is there and that the client was not told yet, as far as is known.
type Event struct {
	ID, Client string
	Fact       Facts     // exactly one
	Name       string    // Delivery: "delivered" or "undelivered"; Outcome: the state, "used", "locked", "elapsed", "replaced", "canceled" or "unknown"
	At         time.Time // when it came to be
}

// delivery is what there is to tell of the messages of c, "" as long as the last word is not spoken, and since when.
func (c code) delivery() (name string, at time.Time) {
	all := len(c.messages) > 0
	for _, m := range c.messages {
		switch {
		case m.final && !m.ok:
			return "undelivered", m.at
		case !m.ok:
			all = false
		case m.at.After(at):
			at = m.at
		}
	}
	if !all {
		return "", time.Time{}
	}
	return "delivered", at
}

// outcome is how c ended, "" as long as it did not, and when.
func (c code) outcome(now time.Time) (name string, at time.Time) {
	switch s := c.at(now); {
	case s == pending || s == live:
		return "", time.Time{}
	case c.state == live: // elapsed, and not written down yet
		return s.String(), c.expires
	default:
		return s.String(), c.finished
	}
}

// owed are the events of c that its client is still to be told.
func (c code) owed(now time.Time) []Event {
	left := c.wanted &^ c.told
	if left == 0 {
		return nil
	}
	var all []Event
	add := func(f Facts, name string, at time.Time) {
		if left&f != 0 && name != "" {
			all = append(all, Event{ID: c.id.id(), Client: c.client, Fact: f, Name: name, At: at})
		}
	}
	name, at := c.delivery()
	add(Delivery, name, at)
	name, at = c.outcome(now)
	add(Outcome, name, at)
	return all
}

// owes finds an event among those that are still to be told: the place of its code, and since when.
func (n number) owes(now time.Time, id Name, e Event) (i int, at time.Time, ok bool) {
	if i = n.find(id); i >= 0 {
		for _, owed := range n.codes[i].owed(now) {
			if owed.Fact == e.Fact && owed.Name == e.Name {
				return i, owed.At, true
			}
		}
	}
	return i, at, false
}

// tell records that an event needs no more telling.
func tell(now time.Time, n number, id Name, e Event) (number, bool) {
	i, _, ok := n.owes(now, id, e)
	if !ok {
		return n, false
	}
	c := n.codes[i]
	c.told |= e.Fact
	return n.with(i, c), true
}

// Notify makes the store call f with what becomes due to be told, once it is durable: again with each change of the number until
// Told, so f has to know what it knows. f is called concurrently and returns at once. What a process that ended left untold is not
// among it: see Untold. Notify is called before Run.
func (s *Store) Notify(f func(Event)) { s.notify = f }

// Untold pages through the store for what clients are still to be told, those numbers first that were sent to last, and calls visit with
// each event until it gives false or limit records were read. next is where the following page begins, with the record at which visit gave
// false; "" after the last. from is "" for the first page. It sees what is committed and holds up nobody for long; a number that is sent to
// meanwhile may be missing, and is told of through Notify.
func (s *Store) Untold(ctx context.Context, from string, limit int, visit func(Event) bool) (next string, err error) {
	start, again, err := parseCursor(from)
	if err != nil {
		return "", err
	}
	if from != "" {
		limit++ // the record that the page before ended with is the first that is read
	}
	now, stopped := s.backend.Now(), Name{}
	last, more, err := s.backend.Page(ctx, start, limit, func(r Record) bool {
		if !r.owing() || r.Newest() == start && again == (Name{}) {
			return true
		}
		n, ok := s.keys.open(r)
		if !ok {
			s.reportDamage(now, r)
			return true
		}
		for _, c := range n.codes {
			s.watch(now, c)
			for _, e := range c.owed(now) {
				if !visit(e) {
					stopped = c.id
					return false
				}
			}
		}
		return true
	})
	if err != nil {
		return "", fmt.Errorf("look for what is untold: %w", err)
	}
	if !more && stopped == (Name{}) {
		return "", nil
	}
	return cursor(last, stopped), nil
}

// Owes gives the verification of an event that its client is still to be told, and when the event came to be, as they stand after all
// earlier calls; ErrNotFound when the client was told, or the verification is forgotten.
func (s *Store) Owes(ctx context.Context, e Event) (v Verification, at time.Time, err error) {
	name, ok := parseID(e.ID)
	if !ok {
		return v, at, ErrNotFound
	}
	var found bool
	var seen Verification
	err = s.backend.Update(ctx, Ref{ByID, name}, s.rule(func(now time.Time, n number) (number, bool) {
		var i int
		if i, e.At, found = n.owes(now, name, e); found {
			seen = n.codes[i].view(now)
		}
		return n, false
	}))
	switch {
	case err != nil: // the step may still run: nothing that it writes is read
		return v, at, fmt.Errorf("look up: %w", err)
	case !found:
		return v, at, ErrNotFound
	}
	return seen, e.At, nil
}

// Told records that an event needs no more telling. It is ordered before every later call and durable within 20 ms; done is called once
// then, without blocking. When Told gives an error done is never called.
func (s *Store) Told(ctx context.Context, e Event, done func(error)) error {
	name, ok := parseID(e.ID)
	if !ok {
		return ErrNotFound
	}
	return s.backend.Note(ctx, Ref{ByID, name}, s.rule(func(now time.Time, n number) (number, bool) {
		return tell(now, n, name, e)
	}), done)
}

// heard is a number as a step left it.
type heard struct {
	now time.Time
	number
}

// hear is a rule whose result is kept for announce, where it has something to be told.
func (s *Store) hear(h *heard, f func(now time.Time, n number) (number, bool)) Step {
	return s.rule(func(now time.Time, n number) (number, bool) {
		*h = heard{}
		next, changed := f(now, n)
		if changed {
			*h = s.hears(now, next)
		}
		return next, changed
	})
}

func (s *Store) hears(now time.Time, n number) heard {
	if s.notify == nil {
		return heard{}
	}
	for _, c := range n.codes {
		if c.wanted != 0 {
			return heard{now, n}
		}
	}
	return heard{}
}

// announce tells what of a number is to be told, now that it is durable.
func (s *Store) announce(h heard) {
	for _, c := range h.codes {
		s.watch(h.now, c)
		for _, e := range c.owed(h.now) {
			s.notify(e)
		}
	}
}
