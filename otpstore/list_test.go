package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// pages turns all pages of a client's list.
func (r *running) pages(client string, o otpstore.ListOptions) (ids []string) {
	r.t.Helper()
	for range 10_000 {
		page, err := r.List(r.t.Context(), client, o)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(page.Verifications) > o.Limit {
			r.t.Fatalf("%d on a page of %d", len(page.Verifications), o.Limit)
		}
		for _, v := range page.Verifications {
			if v.Client != client || o.State != "" && v.State != o.State {
				r.t.Errorf("%+v is on the list", v)
			}
			ids = append(ids, v.ID)
		}
		if page.Next == "" {
			return ids
		}
		o.After = page.Next
	}
	r.t.Fatal("the list has no end")
	return nil
}

func TestListOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		p.SendLimit, p.NumberLimit, p.DayLimit, p.NumberDayLimit = 100, 100, 0, 0
		s := open(t, t.TempDir(), p, nil)
		var want []string // newest first
		for n := range 40 {
			number := fmt.Sprintf("+34600%06d", n)
			for range n%5 + 1 {
				i := s.send(number)
				want = slices.Insert(want, 0, i.ID)
				time.Sleep(time.Second)
			}
			if n%3 == 0 {
				if _, err := s.IssueFor(t.Context(), "other", number); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
		}
		for _, limit := range []int{1, 2, 3, 7, 100, 1000} {
			if got := s.pages(client, otpstore.ListOptions{Limit: limit}); !slices.Equal(got, want) {
				t.Errorf("pages of %d: %d verifications, want %d in their order", limit, len(got), len(want))
			}
		}
		if got := s.pages("other", otpstore.ListOptions{Limit: 5}); len(got) != 14 {
			t.Errorf("another client has %d", len(got))
		}
		if got := s.pages("nobody", otpstore.ListOptions{Limit: 5}); len(got) != 0 {
			t.Errorf("nobody has %d", len(got))
		}
		if got := s.pages(client, otpstore.ListOptions{Limit: 5, State: "replaced"}); len(got) != len(want)-40 {
			t.Errorf("%d are replaced, want %d", len(got), len(want)-40)
		}
		if _, err := s.Cancel(t.Context(), client, want[0]); err != nil {
			t.Fatal(err)
		}
		if got := s.pages(client, otpstore.ListOptions{Limit: 5, State: "canceled"}); !slices.Equal(got, want[:1]) {
			t.Errorf("canceled: %q", got)
		}
		// New codes at the front do not disturb who turns pages.
		page, err := s.List(t.Context(), client, otpstore.ListOptions{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		s.send("+34699000000")
		if got := s.pages(client, otpstore.ListOptions{Limit: 10, After: page.Next}); !slices.Equal(got, want[10:]) {
			t.Errorf("after a new code: %d more, want %d", len(got), len(want)-10)
		}
		s.close()
	})
}

func TestCursorsThatAreNone(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	for _, after := range []string{"x", "AAAA", "!", string(make([]byte, 1000))} {
		if _, err := s.List(t.Context(), client, otpstore.ListOptions{Limit: 1, After: after}); !errors.Is(err, otpstore.ErrCursor) {
			t.Errorf("%.10q: %v", after, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.List(ended, client, otpstore.ListOptions{Limit: 1}); !errors.Is(err, otpstore.ErrUnavailable) {
		t.Errorf("for a caller that has gone: %v", err)
	}
	s.close()
}

func TestCodesOfLetters(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	terms := policy().Terms()
	terms.Name, terms.Alphabet, terms.Length = "letters", "letters", 5
	i, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: phone, Masked: "+34*******56", Terms: terms})
	if err != nil {
		t.Fatal(err)
	}
	if len(i.Code) != 5 || i.Code[0] < 'B' || i.Code[0] > 'Z' {
		t.Errorf("code %q", i.Code)
	}
	s.sent(i)
	if v := s.lookup(i); v.Masked != "+34*******56" || v.Policy != "letters" {
		t.Errorf("%+v", v)
	}
	small := []byte(i.Code)
	for n := range small {
		small[n] |= 0x20
	}
	s.verify(i, string(small), nil)
	s.close()
}
