package otpstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"otpgw/otpstore"
)

// TestParallelCodesNeverExceedALimit: whatever bounds the codes of a number, of many requests at once exactly as many get one.
func TestParallelCodesNeverExceedALimit(t *testing.T) {
	for _, c := range []struct {
		limit string
		set   func(*otpstore.Policy)
		want  int64 // of two clients together
	}{
		{"send_limit", func(p *otpstore.Policy) { p.SendLimit = 5 }, 10},
		{"day_limit", func(p *otpstore.Policy) { p.DayLimit = 4 }, 8},
		{"number_limit", func(p *otpstore.Policy) { p.NumberLimit = 7 }, 7},
		{"number_day_limit", func(p *otpstore.Policy) { p.NumberDayLimit = 6 }, 6},
	} {
		t.Run(c.limit, func(t *testing.T) {
			p := policy()
			p.SendLimit, p.DayLimit, p.NumberLimit, p.NumberDayLimit = 50, 0, 100, 0
			c.set(&p)
			s := open(t, t.TempDir(), p, nil)
			var given atomic.Int64
			var group sync.WaitGroup
			for n := range 100 {
				client := []string{"a", "b"}[n%2]
				group.Go(func() {
					var limit *otpstore.LimitError
					_, err := s.Issue(context.Background(), otpstore.Request{Client: client, Number: "+34600000001", Masked: "+34*", Terms: p.Terms()})
					switch {
					case err == nil:
						given.Add(1)
					case !errors.As(err, &limit) || limit.Limit != c.limit:
						t.Error(err)
					}
				})
			}
			group.Wait()
			if given.Load() != c.want {
				t.Errorf("%d codes, want %d", given.Load(), c.want)
			}
			s.close()
		})
	}
}
