package otpstore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// LookupNumber tells of the verifications of a number that are remembered, +E.164 as it was issued for, the newest first, whoever its
// clients are, as they stand after all earlier calls. There may be none.
func (s *Store) LookupNumber(ctx context.Context, number string) ([]Verification, error) {
	var refs []Ref
	for _, name := range s.keys.numbers(number) { // under an older key until the record changes
		refs = append(refs, Ref{ByNumber, name})
	}
	var found []Verification
	err := s.backend.Choose(ctx, refs, func(now time.Time, records []Record) (int, Record, bool) { // no Update by number: it is refused when the disk is full
		found = nil
		if len(records) == 0 {
			return 0, nil, false
		}
		n, ok := s.keys.open(records[0])
		if !ok {
			s.reportDamage(now, records[0])
			return 0, nil, true
		}
		for _, c := range slices.Backward(n.codes) {
			if !c.forgotten() {
				found = append(found, c.view(now))
			}
		}
		return 0, nil, false
	})
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	return found, nil
}

// LookupMessage tells of the verifications that have a message of that id at an SMSC: one, but where the SMSC begins its ids anew.
func (s *Store) LookupMessage(ctx context.Context, smsc, id string) ([]Verification, error) {
	return s.lookup(ctx, Ref{ByMessage, messageName(smsc, id)}, func(c code) bool { return c.place(smsc, id) >= 0 })
}

// lookup gives those codes of one record that are wanted, the newest first.
func (s *Store) lookup(ctx context.Context, ref Ref, wanted func(code) bool) ([]Verification, error) {
	var found []Verification
	err := s.backend.Update(ctx, ref, s.rule(func(now time.Time, n number) (number, bool) {
		found = nil
		for _, c := range slices.Backward(n.codes) {
			if wanted(c) {
				found = append(found, c.view(now))
			}
		}
		return n, false
	}))
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	return found, nil
}
