package otpstore_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// A machine that starts with its clock set back by years goes on from the latest time that the store has seen: no life is longer, no limit is
// gone, no try comes back. In a bubble it is the year 2000.
func TestClockSetBackOverARestart(t *testing.T) {
	for _, zone := range []string{"Pacific/Apia", "America/St_Johns", "UTC"} {
		t.Run(zone, func(t *testing.T) {
			t.Setenv("TZ", zone)
			dir, p := t.TempDir(), policy()
			p.SendLimit, p.ResendAfter = 2, 0
			s := open(t, dir, p, nil)
			kept, late := s.send(phone), s.send("+3462")
			s.verify(kept, wrong(kept), otpstore.ErrWrongCode)
			s.close()
			synctest.Test(t, func(t *testing.T) {
				if time.Now().Year() != 2000 {
					t.Skip("the bubble's clock is not set back")
				}
				s := open(t, dir, p, nil)
				if trouble := strings.Join(s.Trouble(), ""); !strings.Contains(trouble, "the clock is off") {
					t.Errorf("the operator is told %q", trouble)
				}
				for range p.MaxAttempts - 2 {
					s.verify(kept, wrong(kept), otpstore.ErrWrongCode)
				}
				s.verify(kept, kept.Code, nil)
				s.send(phone)
				if _, err := s.IssueFor(t.Context(), client, phone); !errors.As(err, new(*otpstore.LimitError)) {
					t.Errorf("the limit is gone: %v", err)
				}
				time.Sleep(p.TTL)
				s.verify(late, late.Code, otpstore.ErrExpired)
				s.close()
			})
		})
	}
}
