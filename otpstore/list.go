package otpstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
)

// ListOptions say which verifications List gives.
type ListOptions struct {
	State string // only those in that state; "" for all
	After string // List.Next of the page before; "" for the first
	Limit int    // how many at most, 1 at least
}

// A List is a page of verifications.
type List struct {
	Verifications []Verification
	Next          string // "" where there are no more
}

// listReads bounds the records that one List reads; a page that ends there may have fewer verifications than there are.
const listReads = 10_000

// List gives a client's verifications, those of the numbers that were sent to last first, and of a number the newest first. It sees what is
// committed and holds up nobody for long. A number that is sent to while a client turns pages moves to the front: it may be missing from the
// pages that follow. The error wraps ErrCursor where o.After is none that a List gave.
func (s *Store) List(ctx context.Context, client string, o ListOptions) (List, error) {
	record, code, err := parseCursor(o.After)
	if err != nil {
		return List{}, err
	}
	var out List
	now, seen := s.backend.Now(), record // seen is the last record of which all was seen
	read, more, err := s.backend.Page(ctx, record, listReads, func(r Record) bool {
		n, ok := s.keys.open(r)
		if !ok {
			s.reportDamage(now, r)
			return true
		}
		key, last := r.Newest(), Name{}
		for _, c := range slices.Backward(n.codes) {
			if key == record && bytes.Compare(c.id[:], code[:]) >= 0 {
				continue // on an earlier page
			}
			if c.client != client || c.forgotten() || o.State != "" && c.at(now).String() != o.State {
				continue
			}
			if len(out.Verifications) == o.Limit {
				if out.Next = cursor(seen, Name{}); last != (Name{}) {
					out.Next = cursor(key, last)
				}
				return false
			}
			out.Verifications = append(out.Verifications, c.view(now))
			last = c.id
		}
		seen = key
		return true
	})
	if err != nil {
		return List{}, fmt.Errorf("list: %w", err)
	}
	if more && out.Next == "" {
		out.Next = cursor(read, Name{})
	}
	return out, nil
}

// cursor is where a page ended: at a record, or within it behind one of its codes.
func cursor(record, code Name) string {
	return base64.RawURLEncoding.EncodeToString(append(record[:], code[:]...))
}

func parseCursor(text string) (record, code Name, err error) {
	if text == "" {
		return record, code, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(record)+len(code) {
		return record, code, ErrCursor
	}
	return Name(b[:len(record)]), Name(b[len(record):]), nil
}
