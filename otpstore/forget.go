package otpstore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// What is left of a number that is forgotten. Its limits and its locks must not reopen by that, so of a code there stays that one was issued:
// when, for which client, under which terms, counted in which budgets; and the wrong codes in a row. All of it is under the keyed hash of the number,
// and goes when it counts no longer.

// Forgotten says what was erased of a number.
type Forgotten struct {
	Verifications int // ids, masked numbers, requests, message ids and receipts
	Live          int // of them, those that could be verified, or were being sent
}

// forgotten reports whether c is what is left of a code: no other was canceled and never accepted.
func (c code) forgotten() bool { return c.state == canceled && c.accepted.IsZero() }

// reduced is what is left of c. Its id is another one, of the same time.
func (c code) reduced(now time.Time) code {
	ended := earlier(now, c.end())
	c.terms.Name = ""
	return code{
		id: newID(c.id.Time()), client: c.client, state: canceled, terms: c.terms, scopes: c.scopes,
		issued: c.issued, expires: earlier(c.expires, ended), finished: ended,
	}
}

// limits reports whether c counts against any limit. A budget's window is a day at most.
func (c code) limits(now time.Time, p Policy) bool {
	return c.counts(now, max(p.SendWindow, c.terms.SendWindow, day))
}

// forget reduces n to what still limits it, and gives the codes that were reduced as they were: none, and nothing changed, where all are already.
func forget(now time.Time, p Policy, n number) (next number, erased []code) {
	var left []code
	for _, c := range n.codes {
		if c.forgotten() {
			left = append(left, c)
			continue
		}
		erased = append(erased, c)
		left = append(left, c.reduced(now))
	}
	if len(erased) == 0 {
		return n, nil
	}
	n.failures = slices.DeleteFunc(slices.Clone(n.failures), func(f failures) bool { return f.over(now) })
	n.codes = slices.DeleteFunc(slices.Clone(left), func(c code) bool { return !c.limits(now, p) })
	if len(n.codes) == 0 && len(n.failures) > 0 { // a record has a code
		n.codes = left[len(left)-1:]
	}
	return n, erased
}

// keep is a step that changes nothing.
func keep(time.Time, Record) (Record, bool) { return nil, false }

// Forget erases what is known of a number, +E.164 as codes were issued for, durably, whichever key of the ring it was named by: a code that is live
// ends, its id is not known from then on, and its client is told nothing more of it. What limits further codes stays, as if nothing was forgotten.
// Where nothing is known, or all is forgotten already, nothing changes. Pages of the file that are free, and receipts that wait for their message,
// are not touched.
func (s *Store) Forget(ctx context.Context, number string) (Forgotten, error) {
	var refs []Ref
	for _, name := range s.keys.numbers(number) {
		refs = append(refs, Ref{ByNumber, name})
	}
	if err := s.clearLeft(ctx, refs); err != nil {
		return Forgotten{}, fmt.Errorf("forget: %w", err)
	}
	p := *s.policy.Load()
	var erased []code
	var at time.Time
	err := s.backend.Choose(ctx, refs, func(now time.Time, records []Record) (int, Record, bool) {
		erased, at = nil, now
		for i, r := range records { // one at most: see rename
			n, ok := s.keys.open(r)
			if !ok { // dropped by what finds it next
				continue
			}
			n, erased = forget(now, p, n)
			switch {
			case len(erased) == 0:
			case len(n.codes) == 0:
				return i, nil, true
			default:
				n.index = refs[0].Name
				return i, s.keys.seal(n), true
			}
		}
		return 0, nil, false
	})
	if err != nil { // the step may still run: nothing that it writes is read
		return Forgotten{}, fmt.Errorf("forget: %w", err)
	}
	done := Forgotten{Verifications: len(erased)}
	for _, c := range erased {
		s.elapses.drop(c.id, c.expires)
		if c.at(at).verifiable() {
			done.Live++
		}
	}
	s.metrics.codes.WithLabelValues("forgotten").Add(float64(done.Live))
	return done, nil
}

// clearLeft removes what a backend keeps of records that went on until it is swept. It lies under the ids of their codes, so it is done while they
// are known: what forgets them may be cut off.
func (s *Store) clearLeft(ctx context.Context, refs []Ref) error {
	var ids []Name
	var at time.Time
	err := s.backend.Choose(ctx, refs, func(now time.Time, records []Record) (int, Record, bool) {
		ids, at = nil, now
		for _, r := range records {
			ids = slices.AppendSeq(ids, r.IDs())
		}
		return 0, nil, false
	})
	if err != nil { // the step may still run: nothing that it writes is read
		return err
	}
	for _, id := range ids {
		if _, _, err := s.backend.Sweep(ctx, id.previous(), at.Add(day), 1, keep); err != nil {
			return err
		}
	}
	return nil
}
