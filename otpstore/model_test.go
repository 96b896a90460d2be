package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"otpgw/otpstore"
)

// The model is the rules once more, as plainly as can be: no trimming, no states that follow from the clock, one pass over all
// codes for every question.
type model struct {
	policy otpstore.Policy
	codes  []*modelCode // of all numbers, oldest first
	failed map[string]modelFailures
}

type modelFailures struct {
	count int
	last  time.Time
}

type modelCode struct {
	otpstore.Issued
	client, number string
	issued         time.Time
	expires        time.Time
	state          string // as Verification.State, but never "elapsed" before a verdict said so
	wrong          int
	answered       bool // late, after its outcome had been unknown
}

func (m *model) failures(number string, now time.Time) int {
	if f := m.failed[number]; now.Sub(f.last) < m.policy.FailureWindow {
		return f.count
	}
	return 0
}

func (m *model) refusal(number string, now time.Time) string {
	if m.failures(number, now) >= m.policy.MaxFailures {
		return "max_failures"
	}
	count := 0
	var last time.Time
	for _, c := range m.codes {
		if c.number == number && c.state != "discarded" && now.Sub(c.issued) < m.policy.SendWindow {
			count++
			last = c.issued
		}
	}
	switch {
	case count >= m.policy.SendLimit:
		return "send_limit"
	case count > 0 && now.Sub(last) < m.policy.ResendAfter:
		return "resend_after"
	}
	return ""
}

func (m *model) accept(c *modelCode, now time.Time) {
	c.state = "live"
	seen := false
	for _, o := range m.codes {
		switch {
		case o == c:
			seen = true
		case o.number != c.number || o.client != c.client:
		case seen && !slices.Contains([]string{"pending", "unknown", "discarded"}, o.state):
			c.state = "replaced"
		case !seen && o.state == "live":
			o.state = "replaced" // or it elapsed before: the same to everyone
		}
	}
}

func (m *model) verdict(c *modelCode, client, code string, now time.Time) error {
	switch {
	case c.client != client, slices.Contains([]string{"pending", "unknown", "discarded"}, c.state):
		return otpstore.ErrNotFound
	case c.state == "used", c.state == "replaced", c.state == "elapsed":
		return otpstore.ErrExpired
	case c.state == "locked":
		return otpstore.ErrFailed
	case !now.Before(c.expires):
		c.state = "elapsed"
		return otpstore.ErrExpired
	}
	failures := m.failures(c.number, now)
	switch {
	case failures >= m.policy.MaxFailures:
	case code == c.Code:
		c.state = "used"
		delete(m.failed, c.number)
		return nil
	default:
		c.wrong++
		m.failed[c.number] = modelFailures{failures + 1, now}
		if c.wrong < m.policy.MaxAttempts && failures+1 < m.policy.MaxFailures {
			return otpstore.ErrWrongCode
		}
	}
	c.state = "locked"
	return otpstore.ErrFailed
}

// Random sequences of calls, of time and of restarts are answered as the model answers them.
func TestStoreFollowsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) { checkModel(t, rt) })
	})
}

func checkModel(t *testing.T, rt *rapid.T) {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		rt.Fatal(err)
	}
	m := &model{failed: map[string]modelFailures{}, policy: otpstore.Policy{
		Length: 6, TTL: 5 * time.Minute, MaxAttempts: rapid.IntRange(2, 4).Draw(rt, "max_attempts"),
		SendLimit: rapid.IntRange(1, 6).Draw(rt, "send_limit"), SendWindow: 20 * time.Minute,
		ResendAfter: time.Duration(rapid.IntRange(0, 1).Draw(rt, "resend_after")) * time.Minute,
		MaxFailures: rapid.IntRange(2, 6).Draw(rt, "max_failures"), FailureWindow: 40 * time.Minute, Retention: 240 * time.Hour,
	}}
	clients, numbers := []string{"a", "b"}, []string{"+3461", "+3462"}
	s := open(t, dir, m.policy, nil)
	defer func() { s.stop() }()
	code := func(rt *rapid.T) *modelCode {
		if len(m.codes) == 0 {
			rt.Skip("no code yet")
		}
		return m.codes[len(m.codes)-1-min(len(m.codes)-1, rapid.IntRange(0, 4).Draw(rt, "code"))]
	}
	check := func(rt *rapid.T, err error) {
		if err != nil {
			rt.Fatal(err)
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"issue": func(rt *rapid.T) {
			client, number := rapid.SampledFrom(clients).Draw(rt, "client"), rapid.SampledFrom(numbers).Draw(rt, "number")
			want := m.refusal(number, time.Now())
			i, err := s.Issue(context.Background(), client, number)
			got := ""
			var limit *otpstore.LimitError
			if errors.As(err, &limit) {
				got = limit.Limit
				if now := time.Now(); m.refusal(number, now.Add(limit.RetryAfter-time.Microsecond)) != got || m.refusal(number, now.Add(limit.RetryAfter)) == got {
					rt.Fatalf("%s: retry after %s", got, limit.RetryAfter)
				}
			} else {
				check(rt, err)
			}
			if got != want {
				rt.Fatalf("refused by %q, want %q", got, want)
			}
			if err == nil {
				m.codes = append(m.codes, &modelCode{Issued: i, client: client, number: number, issued: time.Now(), expires: i.ExpiresAt, state: "pending"})
			}
		},
		"sent": func(rt *rapid.T) {
			c := code(rt)
			check(rt, s.Sent(context.Background(), c.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{c.ID}}))
			check(rt, look(s, c)) // so that it is applied now
			if c.state == "unknown" {
				c.answered = true
			}
			if c.state == "pending" {
				c.expires = time.Now().Add(m.policy.TTL)
				if latest := c.issued.Add(otpstore.Acceptance + m.policy.TTL); latest.Before(c.expires) {
					c.expires = latest
				}
				m.accept(c, time.Now())
			}
		},
		"discard": func(rt *rapid.T) {
			c := code(rt)
			check(rt, s.Discard(context.Background(), c.ID))
			if c.state == "pending" || c.state == "unknown" && !c.answered {
				c.state = "discarded"
			}
		},
		"unknown": func(rt *rapid.T) {
			c := code(rt)
			check(rt, s.Unknown(context.Background(), c.ID))
			if c.state == "pending" {
				c.state = "unknown"
			}
		},
		"verify": func(rt *rapid.T) {
			c := code(rt)
			client, digits := c.client, c.Code
			switch rapid.IntRange(0, 5).Draw(rt, "how") {
			case 0:
				client = "another"
			case 1, 2, 3:
				digits = wrong(c.Issued)
			}
			want := m.verdict(c, client, digits, time.Now())
			if got := s.Verify(context.Background(), client, c.ID, digits); !errors.Is(got, want) {
				rt.Fatalf("verdict %v, want %v", got, want)
			}
		},
		"time": func(rt *rapid.T) {
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, time.Minute, m.policy.TTL - time.Minute, m.policy.TTL, 20 * time.Minute, time.Hour}).Draw(rt, "passed"))
		},
		"restart": func(rt *rapid.T) {
			check(rt, s.stop())
			s = open(t, dir, m.policy, nil)
			for _, c := range m.codes {
				if c.state == "pending" {
					m.accept(c, time.Now())
				}
			}
		},
		"": func(rt *rapid.T) {
			for _, c := range m.codes[max(0, len(m.codes)-5):] {
				check(rt, look(s, c))
			}
		},
	})
	check(rt, s.stop())
}

// look compares what the store tells of a code with the model.
func look(s *running, c *modelCode) error {
	if c.state == "pending" {
		return nil
	}
	v, err := s.Lookup(context.Background(), c.ID)
	if c.state == "discarded" {
		if !errors.Is(err, otpstore.ErrNotFound) {
			return fmt.Errorf("discarded: %+v, %w", v, err)
		}
		return nil
	}
	want := map[string]bool{c.state: true}
	if (c.state == "live" || c.state == "replaced") && !time.Now().Before(c.expires) {
		want = map[string]bool{"elapsed": true, c.state: c.state == "replaced"}
	}
	if err != nil || !want[v.State] || v.Attempts != c.wrong || v.Client != c.client {
		return fmt.Errorf("%s: got %+v, %w; want %v, %d wrong", c.ID, v, err, slices.Collect(maps.Keys(want)), c.wrong)
	}
	return nil
}
