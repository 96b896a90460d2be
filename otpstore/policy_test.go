package otpstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func rules() Policy {
	p := DefaultPolicy()
	p.ResendAfter = 0
	return p
}

func name(n int) Name { return newID(noon.Add(time.Duration(n) * time.Millisecond)) }

func digest(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }

// try issues c under the terms of p.
func try(now time.Time, p Policy, n number, c code) (number, *LimitError) {
	c.terms = p.Terms()
	next, _, err := issue(now, p, n, c)
	var refusal *LimitError
	if err != nil && !errors.As(err, &refusal) {
		panic(err)
	}
	return next, refusal
}

// failing has that many failures of a client.
func (n number) failing(p Policy, client string, count int, last time.Time) number {
	return n.failed(last, failures{client, count, last, p.MaxFailures, p.FailureWindow})
}

// reserve issues a code with the digits "right" and fails the test when a limit refuses it.
func reserve(t *testing.T, now time.Time, p Policy, n number, client string) (number, Name) {
	t.Helper()
	id := name(len(n.codes))
	n, refusal := try(now, p, n, code{id: id, client: client, mac: digest("right")})
	if refusal != nil {
		t.Fatal(refusal)
	}
	return n, id
}

// deliver issues a code and sends it.
func deliver(t *testing.T, now time.Time, p Policy, n number, client string) (number, Name) {
	t.Helper()
	n, id := reserve(t, now, p, n, client)
	n, changed := sent(now, n, id, SendResult{SMSC: "main", MessageIDs: []string{id.id()}})
	if !changed {
		t.Fatal("sent changed nothing")
	}
	return n, id
}

// Each state of R-21, and what it answers to a right and to a wrong code.
func TestVerdicts(t *testing.T) {
	p := rules()
	for _, test := range []struct {
		name         string
		make         func(t *testing.T) (number, Name)
		at           time.Time
		right, wrong error
	}{
		{"pending", func(t *testing.T) (number, Name) { return reserve(t, noon, p, number{}, "acme") }, noon, ErrNotFound, ErrNotFound},
		{"live", func(t *testing.T) (number, Name) { return deliver(t, noon, p, number{}, "acme") }, noon, nil, ErrWrongCode},
		{"live to the end", func(t *testing.T) (number, Name) { return deliver(t, noon, p, number{}, "acme") },
			noon.Add(p.TTL - time.Microsecond), nil, ErrWrongCode},
		{"elapsed exactly at the end", func(t *testing.T) (number, Name) { return deliver(t, noon, p, number{}, "acme") },
			noon.Add(p.TTL), ErrExpired, ErrExpired},
		{"unknown", func(t *testing.T) (number, Name) {
			n, id := reserve(t, noon, p, number{}, "acme")
			n, _ = lose(noon, n, id)
			return n, id
		}, noon, ErrNotFound, ErrNotFound},
		{"discarded", func(t *testing.T) (number, Name) {
			n, id := reserve(t, noon, p, number{}, "acme")
			n, _ = discard(n, id)
			return n, id
		}, noon, ErrNotFound, ErrNotFound},
		{"another client's", func(t *testing.T) (number, Name) { return deliver(t, noon, p, number{}, "other") }, noon, ErrNotFound, ErrNotFound},
		{"used", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, _, _ = verify(noon, n, "acme", id, digest("right"))
			return n, id
		}, noon, ErrExpired, ErrExpired},
		{"replaced", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, _ = deliver(t, noon, p, n, "acme")
			return n, id
		}, noon, ErrExpired, ErrExpired},
		{"not replaced by another client's", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, _ = deliver(t, noon, p, n, "other")
			return n, id
		}, noon, nil, ErrWrongCode},
		{"not replaced by a reservation", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, _ = reserve(t, noon, p, n, "acme")
			return n, id
		}, noon, nil, ErrWrongCode},
		{"not replaced by an unknown outcome", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, other := reserve(t, noon, p, n, "acme")
			n, _ = lose(noon, n, other)
			return n, id
		}, noon, nil, ErrWrongCode},
		{"last try", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			for range p.MaxAttempts - 1 {
				n, _, _ = verify(noon, n, "acme", id, digest("wrong"))
			}
			return n, id
		}, noon, nil, ErrFailed},
		{"locked", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			for range p.MaxAttempts {
				n, _, _ = verify(noon, n, "acme", id, digest("wrong"))
			}
			return n, id
		}, noon, ErrFailed, ErrFailed},
		{"locked, then elapsed", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			for range p.MaxAttempts {
				n, _, _ = verify(noon, n, "acme", id, digest("wrong"))
			}
			return n, id
		}, noon.Add(p.TTL + time.Hour), ErrFailed, ErrFailed},
		{"locked, then replaced", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			for range p.MaxAttempts {
				n, _, _ = verify(noon, n, "acme", id, digest("wrong"))
			}
			n, _ = deliver(t, noon, p, n, "acme")
			return n, id
		}, noon, ErrFailed, ErrFailed},
		{"elapsed, then replaced", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, _ = deliver(t, noon.Add(p.TTL), p, n, "acme")
			return n, id
		}, noon.Add(p.TTL), ErrExpired, ErrExpired},
		{"number locked by other codes", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n = n.failing(p, "acme", p.MaxFailures, noon)
			return n, id
		}, noon, ErrFailed, ErrFailed},
		{"number no longer locked", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n = n.failing(p, "acme", p.MaxFailures, noon.Add(-p.FailureWindow))
			return n, id
		}, noon, nil, ErrWrongCode},
		{"last failure of the number", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n = n.failing(p, "acme", p.MaxFailures-1, noon)
			return n, id
		}, noon, nil, ErrFailed},
		{"number that locks another client out", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			return n.failing(p, "other", p.MaxFailures, noon), id
		}, noon, nil, ErrWrongCode},
		{"canceled", func(t *testing.T) (number, Name) {
			n, id := deliver(t, noon, p, number{}, "acme")
			n, _, _ = cancel(noon, n, "acme", id)
			return n, id
		}, noon, ErrExpired, ErrExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			for digits, want := range map[string]error{"right": test.right, "wrong": test.wrong} {
				n, id := test.make(t)
				next, changed, got := verify(test.at, n, "acme", id, digest(digits))
				if !errors.Is(got, want) {
					t.Errorf("%s code: got %v, want %v", digits, got, want)
				}
				if !changed && !reflect.DeepEqual(next, n) {
					t.Errorf("%s code: changed, and says it is not", digits)
				}
				if errors.Is(got, ErrNotFound) && changed {
					t.Errorf("%s code: what is not found was charged", digits)
				}
				if _, again, second := verify(test.at, next, "acme", id, digest("wrong")); got != nil && !errors.Is(got, ErrWrongCode) &&
					(again || !errors.Is(second, got)) {
					t.Errorf("%s code: verdict %v did not stand: %v, changed %t", digits, got, second, again)
				}
			}
		})
	}
}

func TestRulesChangeNoArgument(t *testing.T) {
	p := rules()
	n, first := deliver(t, noon, p, number{}, "acme")
	n, second := reserve(t, noon, p, n, "acme")
	before := fmt.Sprintf("%+v", n)
	later := noon.Add(time.Hour)
	for what, rule := range map[string]func(){
		"issue":     func() { try(later, p, n, code{id: name(9)}) },
		"cancel":    func() { cancel(noon, n, "acme", first) },
		"sent":      func() { sent(later, n, second, SendResult{MessageIDs: []string{"1"}}) },
		"discard":   func() { discard(n, second) },
		"lose":      func() { lose(later, n, second) },
		"right":     func() { verify(noon, n, "acme", first, digest("right")) },
		"wrong":     func() { verify(noon, n, "acme", first, digest("wrong")) },
		"elapsed":   func() { verify(later, n, "acme", first, digest("right")) },
		"delivered": func() { delivered(n, Receipt{SMSC: "main", State: "DELIVRD", Final: true}, first.id()) },
		"recovered": func() { recovered(later, n) },
		"sweepable": func() { sweepable(later.Add(p.Retention), p, n) },
	} {
		if rule(); fmt.Sprintf("%+v", n) != before {
			t.Fatalf("%s changed its argument", what)
		}
	}
}

func TestNumberLimit(t *testing.T) {
	p := rules()
	p.NumberLimit, p.SendWindow = 3, time.Hour
	var n number
	var ids [4]Name
	n, ids[0] = deliver(t, noon, p, n, "a")
	n, ids[1] = reserve(t, noon.Add(10*time.Minute), p, n, "b")
	n, _ = lose(noon.Add(10*time.Minute), n, ids[1]) // an unknown outcome counts
	n, ids[2] = reserve(t, noon.Add(20*time.Minute), p, n, "c")

	_, refusal := try(noon.Add(30*time.Minute), p, n, code{id: name(9)})
	if refusal == nil || *refusal != (LimitError{"number_limit", 30 * time.Minute}) {
		t.Fatalf("got %v, want number_limit for 30m", refusal)
	}
	if given, _ := discard(n, ids[2]); len(given.codes) != 2 {
		t.Fatal("the reservation was not given back")
	} else if _, refusal := try(noon.Add(30*time.Minute), p, given, code{id: name(9)}); refusal != nil {
		t.Errorf("after a reservation was given back: %v", refusal)
	}
	if _, refusal := try(noon.Add(time.Hour-time.Microsecond), p, n, code{id: name(9)}); refusal == nil || refusal.RetryAfter != time.Microsecond {
		t.Errorf("just before the window is over: %v", refusal)
	}
	if _, refusal := try(noon.Add(time.Hour), p, n, code{id: name(9)}); refusal != nil {
		t.Errorf("when the window is over: %v", refusal)
	}
	p.NumberLimit = 1 // lowered while three count: the last must fall out
	if _, refusal := try(noon.Add(30*time.Minute), p, n, code{id: name(9)}); refusal == nil || refusal.RetryAfter != 50*time.Minute {
		t.Errorf("after the limit was lowered: %v", refusal)
	}
	if _, refusal := try(noon.Add(-time.Hour), p, n, code{id: name(9)}); refusal == nil || refusal.RetryAfter > p.SendWindow {
		t.Errorf("after the clock went back: %v", refusal)
	}
}

func TestResendAfter(t *testing.T) {
	p := rules()
	p.ResendAfter = 30 * time.Second
	n, id := reserve(t, noon, p, number{}, "acme")
	if _, refusal := try(noon.Add(29*time.Second), p, n, code{id: name(9), client: "acme"}); refusal == nil || *refusal != (LimitError{"resend_after", time.Second}) {
		t.Errorf("got %v, want resend_after for 1s", refusal)
	}
	if _, refusal := try(noon.Add(30*time.Second), p, n, code{id: name(9), client: "acme"}); refusal != nil {
		t.Errorf("after the cool-down: %v", refusal)
	}
	n, _ = discard(n, id)
	if _, refusal := try(noon.Add(time.Second), p, n, code{id: name(9), client: "acme"}); refusal != nil {
		t.Errorf("after a reservation was given back: %v", refusal)
	}
}

// Limits of one client at one number; other clients are not their concern.
func TestLimitsOfAClient(t *testing.T) {
	p := rules()
	p.SendLimit, p.SendWindow, p.DayLimit, p.NumberLimit = 2, time.Hour, 3, 100
	var n number
	again := func(at time.Time, client string) *LimitError {
		_, refusal := try(at, p, n, code{id: name(9), client: client})
		return refusal
	}
	n, _ = deliver(t, noon, p, n, "a")
	n, _ = deliver(t, noon.Add(10*time.Minute), p, n, "a")
	if refusal := again(noon.Add(20*time.Minute), "a"); refusal == nil || *refusal != (LimitError{"send_limit", 40 * time.Minute}) {
		t.Errorf("got %v, want send_limit for 40m", refusal)
	}
	if refusal := again(noon.Add(20*time.Minute), "b"); refusal != nil {
		t.Errorf("another client: %v", refusal)
	}
	n, _ = deliver(t, noon.Add(2*time.Hour), p, n, "a")
	if refusal := again(noon.Add(4*time.Hour), "a"); refusal == nil || *refusal != (LimitError{"day_limit", 20 * time.Hour}) {
		t.Errorf("got %v, want day_limit for 20h", refusal)
	}
	if refusal := again(noon.Add(day), "a"); refusal != nil {
		t.Errorf("a day later: %v", refusal)
	}
	p.DayLimit = 0
	if refusal := again(noon.Add(4*time.Hour), "a"); refusal != nil {
		t.Errorf("without a limit of the day: %v", refusal)
	}
	p.NumberDayLimit = 3
	if refusal := again(noon.Add(4*time.Hour), "b"); refusal == nil || refusal.Limit != "number_day_limit" {
		t.Errorf("got %v, want number_day_limit", refusal)
	}
}

func TestMaxFailures(t *testing.T) {
	p := rules()
	p.SendLimit, p.NumberLimit, p.DayLimit, p.NumberDayLimit, p.MaxFailures = 100, 100, 0, 0, 4
	var n number
	var id Name
	fail := func(now time.Time, client string) error {
		t.Helper()
		n, id = deliver(t, now, p, n, client)
		var verdict error
		n, _, verdict = verify(now, n, client, id, digest("wrong"))
		return verdict
	}
	for i := range p.MaxFailures - 1 {
		if err := fail(noon, "acme"); !errors.Is(err, ErrWrongCode) {
			t.Fatalf("failure %d: %v", i+1, err)
		}
	}
	n, _, _ = verify(noon, n, "acme", id, digest("right")) // starts the count anew
	for i := range p.MaxFailures - 1 {
		if err := fail(noon, "acme"); !errors.Is(err, ErrWrongCode) {
			t.Fatalf("failure %d after a right code: %v", i+1, err)
		}
	}
	n, id = deliver(t, noon, p, n, "acme")
	n, open := reserve(t, noon, p, n, "acme")
	n, _, err := verify(noon, n, "acme", id, digest("wrong"))
	if !errors.Is(err, ErrFailed) {
		t.Fatalf("failure %d: %v", p.MaxFailures, err)
	}
	later := noon.Add(time.Hour)
	locked := code{id: name(9), client: "acme"}
	if _, refusal := try(later, p, n, locked); refusal == nil || *refusal != (LimitError{"max_failures", p.FailureWindow - time.Hour}) {
		t.Errorf("got %v, want max_failures for 23h", refusal)
	}
	n, _ = sent(noon, n, open, SendResult{})
	if _, _, err := verify(noon, n, "acme", open, digest("right")); !errors.Is(err, ErrFailed) {
		t.Errorf("right code of a client that is locked out: %v", err)
	}
	if err := fail(noon, "other"); !errors.Is(err, ErrWrongCode) {
		t.Errorf("another client is locked out too: %v", err)
	}
	if next, refusal := try(noon.Add(p.FailureWindow), p, n, locked); refusal != nil || next.failuresOf("acme").count != 0 {
		t.Errorf("after the failure window: %v, %+v", refusal, next.failures)
	}
	n = n.failing(p, "acme", p.MaxFailures-1, noon)
	if err := fail(noon.Add(p.FailureWindow), "acme"); !errors.Is(err, ErrWrongCode) || n.failuresOf("acme").count != 1 {
		t.Errorf("old failures still count: %v, %+v", err, n.failures)
	}
}

// The failures of many clients do not make a record grow, and never let a client go that is locked out.
func TestFailuresOfManyClients(t *testing.T) {
	p := rules()
	n := number{}.failing(p, "guesser", p.MaxFailures, noon)
	for i := range 100 {
		n = n.failing(p, fmt.Sprint("client-", i), 1, noon.Add(time.Duration(i)))
	}
	if len(n.failures) != maxFailing || n.failuresOf("guesser").count != p.MaxFailures || n.failuresOf("client-99").count != 1 {
		t.Errorf("%d kept, %+v", len(n.failures), n.failuresOf("guesser"))
	}
}

func TestRequestWithAKey(t *testing.T) {
	p := rules()
	p.ResendAfter = time.Minute
	asked := code{id: name(0), client: "acme", terms: p.Terms(), key: Name{1}, digest: Name{2}}
	n, earlier, err := issue(noon, p, number{}, asked)
	if err != nil || earlier != -1 {
		t.Fatal(earlier, err)
	}
	again := func(change func(*code)) (int, error) {
		c := asked
		c.id = name(7)
		change(&c)
		next, earlier, err := issue(noon, p, n, c)
		if (err != nil || earlier >= 0) && !reflect.DeepEqual(next, n) {
			t.Error("a repeated request changed something")
		}
		return earlier, err
	}
	same := func(*code) {}
	if _, err := again(same); !errors.Is(err, ErrInWork) {
		t.Errorf("while it is in work: %v", err)
	}
	if lost, _ := lose(noon, n, asked.id); true {
		n, lost = lost, n
		if _, err := again(same); !errors.Is(err, ErrNoOutcome) {
			t.Errorf("when its outcome is unknown: %v", err)
		}
		n = lost
	}
	n, _ = sent(noon, n, asked.id, SendResult{SMSC: "main"})
	if earlier, err := again(same); earlier != 0 || err != nil {
		t.Errorf("when it was sent: %d, %v", earlier, err)
	}
	if _, err := again(func(c *code) { c.digest = Name{3} }); !errors.Is(err, ErrKeyReused) {
		t.Errorf("another message: %v", err)
	}
	var limit *LimitError
	if _, err := again(func(c *code) { c.key = Name{9} }); !errors.As(err, &limit) || limit.Limit != "resend_after" {
		t.Errorf("another key: %v", err)
	}
	if earlier, err := again(func(c *code) { c.client = "other" }); earlier != -1 || err != nil {
		t.Errorf("the same key of another client: %d, %v", earlier, err)
	}
	n, _, _ = verify(noon, n, "acme", asked.id, digest("right"))
	if earlier, err := again(same); earlier != 0 || err != nil {
		t.Errorf("when its code was used: %d, %v", earlier, err)
	}
}

func TestCancelRule(t *testing.T) {
	p := rules()
	n, live := deliver(t, noon, p, number{}, "acme")
	if _, changed, err := cancel(noon, n, "other", live); changed || !errors.Is(err, ErrNotFound) {
		t.Errorf("another client: %t, %v", changed, err)
	}
	if _, changed, err := cancel(noon.Add(p.TTL), n, "acme", live); changed || !errors.Is(err, ErrFinished) {
		t.Errorf("when it was over: %t, %v", changed, err)
	}
	n, changed, err := cancel(noon, n, "acme", live)
	if !changed || err != nil || n.codes[0].state != canceled || n.codes[0].finished != noon {
		t.Fatalf("%t, %v, %+v", changed, err, n.codes[0])
	}
	if _, changed, err := cancel(noon, n, "acme", live); changed || err != nil {
		t.Errorf("again: %t, %v", changed, err)
	}
	n, used := deliver(t, noon, p, n, "acme")
	n, _, _ = verify(noon, n, "acme", used, digest("right"))
	if _, changed, err := cancel(noon, n, "acme", used); changed || !errors.Is(err, ErrFinished) {
		t.Errorf("used: %t, %v", changed, err)
	}
	n, pending := reserve(t, noon, p, n, "acme")
	if _, changed, err := cancel(noon, n, "acme", pending); changed || !errors.Is(err, ErrNotFound) {
		t.Errorf("pending, of which nobody was told: %t, %v", changed, err)
	}
}

// A reservation whose outcome could not be written down does not stay open for ever.
func TestPendingIsSettledWhenItsTimeIsOver(t *testing.T) {
	p := rules()
	n, id := reserve(t, noon, p, number{}, "acme")
	if n = tidy(noon.Add(p.TTL), p, n); !n.is(id, pending) {
		t.Error("settled while it may still be sent")
	}
	if n = tidy(noon.Add(p.TTL+acceptance), p, n); !n.is(id, unknown) {
		t.Error("not settled")
	}
}

func TestLifeBeginsWithAcceptance(t *testing.T) {
	p := rules()
	for _, test := range []struct{ after, life time.Duration }{
		{0, p.TTL},
		{10 * time.Second, p.TTL + 10*time.Second},
		{acceptance, p.TTL + acceptance},
		{acceptance + time.Second, p.TTL + acceptance},
		{-time.Hour, p.TTL - time.Hour}, // the clock went back
	} {
		n, id := reserve(t, noon, p, number{}, "acme")
		n, _ = sent(noon.Add(test.after), n, id, SendResult{})
		if got := n.codes[0].expires.Sub(noon); got != test.life {
			t.Errorf("accepted after %s: life of %s, want %s", test.after, got, test.life)
		}
	}
}

func TestCodeKeepsItsPolicy(t *testing.T) {
	p := rules()
	n, id := reserve(t, noon, p, number{}, "acme")
	p.TTL, p.MaxAttempts = time.Second, 2
	n, _ = sent(noon, n, id, SendResult{})
	at := noon.Add(time.Minute)
	for try := 1; try <= 3; try++ {
		var err error
		n, _, err = verify(at, n, "acme", id, digest("wrong"))
		want := ErrWrongCode
		if try == 3 {
			want = ErrFailed
		}
		if !errors.Is(err, want) {
			t.Errorf("try %d: got %v, want %v", try, err, want)
		}
	}
}

// Of two codes of a client, the one issued last stays, in whatever order the SMSC accepts them.
func TestNewestStaysActive(t *testing.T) {
	p := rules()
	n, older := reserve(t, noon, p, number{}, "acme")
	n, newer := reserve(t, noon, p, n, "acme")
	n, _ = sent(noon, n, newer, SendResult{})
	n, _ = sent(noon, n, older, SendResult{})
	if _, _, err := verify(noon, n, "acme", older, digest("right")); !errors.Is(err, ErrExpired) {
		t.Errorf("older: %v", err)
	}
	if _, _, err := verify(noon, n, "acme", newer, digest("right")); err != nil {
		t.Errorf("newer: %v", err)
	}
}

// TestLateOutcome: what comes after the outcome was unknown makes receipts known, or gives the place back; the code stays dead.
func TestLateOutcome(t *testing.T) {
	p := rules()
	n, older := deliver(t, noon, p, number{}, "acme")
	n, id := reserve(t, noon.Add(time.Minute), p, n, "acme")
	n, _ = lose(noon.Add(time.Minute), n, id)
	lost := n
	n, changed := sent(noon.Add(2*time.Minute), n, id, SendResult{SMSC: "main", MessageIDs: []string{"late"}})
	if i := n.find(id); !changed || n.codes[i].state != unknown || n.codes[i].messages[0].id != "late" {
		t.Errorf("got %+v, %t", n.codes, changed)
	}
	if c := n.codes[n.find(older)]; c.state != live {
		t.Errorf("the older code is %v: nobody was told of the newer one", c.state)
	}
	if _, changed := delivered(n, Receipt{SMSC: "main", State: "DELIVRD", Final: true, Delivered: true}, "late"); !changed {
		t.Error("its receipt is not known")
	}
	if _, _, err := verify(noon.Add(2*time.Minute), n, "acme", id, [32]byte{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("verify = %v", err)
	}
	if _, changed := sent(noon, n, id, SendResult{SMSC: "main", MessageIDs: []string{"again"}}); changed {
		t.Error("recorded twice")
	}
	if _, changed := sent(noon, lost, id, SendResult{SMSC: "main"}); changed {
		t.Error("nothing became known, and it was recorded")
	}
	if _, changed := discard(n, id); changed {
		t.Error("discarded after it was accepted")
	}
	if v := n.codes[n.find(id)].view(noon); !reflect.DeepEqual(v.MessageIDs, []string{"late"}) || v.SMSC != "main" || v.State != "unknown" {
		t.Errorf("told as %+v", v)
	}
	given, changed := discard(lost, id)
	if !changed || given.find(id) >= 0 || given.codes[given.find(older)].state != live {
		t.Errorf("after a late refusal: %+v, %t", given.codes, changed)
	}
}

func TestOutcomeIsTakenOnce(t *testing.T) {
	p := rules()
	n, id := deliver(t, noon, p, number{}, "acme")
	if _, changed := sent(noon, n, id, SendResult{SMSC: "other"}); changed {
		t.Error("sent twice")
	}
	if _, changed := discard(n, id); changed {
		t.Error("discarded after it was sent")
	}
	if _, changed := lose(noon, n, id); changed {
		t.Error("lost after it was sent")
	}
	n, id = reserve(t, noon, p, n, "acme")
	n, _ = lose(noon, n, id)
	if _, changed := sent(noon, n, id, SendResult{}); changed {
		t.Error("sent after it was lost")
	}
}

// A submit that a crash cut off was answered to nobody: its code counts, never verifies and replaces nothing.
func TestRecovered(t *testing.T) {
	p := rules()
	n, older := deliver(t, noon, p, number{}, "acme")
	n, other := deliver(t, noon, p, n, "other")
	n, lost := reserve(t, noon, p, n, "acme")
	n, _ = lose(noon, n, lost)
	n, newer := reserve(t, noon.Add(time.Minute), p, n, "acme")
	at := noon.Add(2 * time.Minute)
	n, changed := recovered(at, n)
	if !changed {
		t.Fatal("nothing recovered")
	}
	for _, want := range []struct {
		id     Name
		client string
		err    error
	}{{older, "acme", nil}, {other, "other", nil}, {lost, "acme", ErrNotFound}, {newer, "acme", ErrNotFound}} {
		if _, _, err := verify(at, n, want.client, want.id, digest("right")); !errors.Is(err, want.err) {
			t.Errorf("%s of %s: got %v, want %v", want.id, want.client, err, want.err)
		}
	}
	if c := n.codes[n.find(newer)]; c.state != unknown || !c.finished.Equal(at) || !c.counts(at, p.SendWindow) {
		t.Errorf("got %+v", c)
	}
	if _, changed := recovered(at, n); changed {
		t.Error("recovered twice")
	}
	n, newest := reserve(t, at, p, n, "acme")
	if n, _ = recovered(at.Add(1000*time.Hour), n); !n.codes[n.find(newest)].finished.Equal(at.Add(p.TTL + acceptance)) {
		t.Error("the time of a process that did not run prolongs the memory of a code")
	}
}

func TestReceipts(t *testing.T) {
	type step struct {
		message, state string
		final, ok      bool
		found, changed bool
	}
	for _, test := range []struct {
		name  string
		steps []step
		state string
		done  bool
	}{
		{"none", nil, "", false},
		{"on its way", []step{{"1", "ENROUTE", false, false, true, true}}, "ENROUTE", false},
		{"of a message unknown", []step{{"9", "DELIVRD", true, true, false, false}}, "", false},
		{"one of two delivered", []step{{"2", "DELIVRD", true, true, true, true}}, "", false},
		{"both delivered", []step{{"2", "DELIVRD", true, true, true, true}, {"1", "DELIVRD", true, true, true, true}}, "DELIVRD", true},
		{"twice", []step{{"1", "ENROUTE", false, false, true, true}, {"1", "ENROUTE", false, false, true, false},
			{"2", "DELIVRD", true, true, true, true}, {"2", "DELIVRD", true, true, true, false}}, "ENROUTE", false},
		{"final state stands", []step{{"1", "UNDELIV", true, false, true, true}, {"1", "DELIVRD", true, true, true, false},
			{"1", "ENROUTE", false, false, true, false}}, "UNDELIV", false},
		{"unknown is not the last word", []step{{"1", "DELIVRD", true, true, true, true}, {"2", "UNKNOWN", true, false, true, true},
			{"2", "UNDELIV", true, false, true, false}, {"2", "DELIVRD", true, true, true, true}}, "DELIVRD", true},
		{"first failure decides", []step{{"1", "DELIVRD", true, true, true, true}, {"2", "EXPIRED", true, false, true, true}}, "EXPIRED", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, id := reserve(t, noon, rules(), number{}, "acme")
			n, _ = sent(noon, n, id, SendResult{SMSC: "main", MessageIDs: []string{"1", "2"}})
			at := noon
			for _, s := range test.steps {
				at = at.Add(time.Second)
				found := n.knows("main", s.message)
				var changed bool
				n, changed = delivered(n, Receipt{SMSC: "main", State: s.state, Final: s.final, Delivered: s.ok, At: at}, s.message)
				if found != s.found || changed != s.changed {
					t.Errorf("%s of %s: found %t, changed %t", s.state, s.message, found, changed)
				}
			}
			state, _, when := n.codes[0].receipt()
			if state != test.state || when.IsZero() == test.done || (test.done && !when.Equal(at)) {
				t.Errorf("got %q, delivered at %v; want %q, %t", state, when, test.state, test.done)
			}
		})
	}
	n, id := deliver(t, noon, rules(), number{}, "acme")
	if _, changed := delivered(n, Receipt{SMSC: "backup", State: "DELIVRD", Final: true}, id.id()); changed {
		t.Error("a receipt of another SMSC was taken")
	}
}

func TestTidyBoundsHistory(t *testing.T) {
	p := rules()
	p.SendLimit, p.NumberLimit, p.SendWindow, p.TTL = 100, 100, 10*time.Minute, time.Second
	p.DayLimit, p.NumberDayLimit, p.Retention = 0, 100, 100*time.Hour
	var n number
	for i := range 1000 {
		now := noon.Add(time.Duration(i) * day / 100) // 100 a day
		n, _ = deliver(t, now, p, n, "acme")
		if len(n.codes) > maxCodes {
			t.Fatalf("%d codes kept", len(n.codes))
		}
	}
	if len(n.codes) < 100 {
		t.Errorf("only %d codes kept of 100 that count", len(n.codes))
	}
	n = tidy(noon.Add(10*day+p.memory()+p.TTL), p, n)
	if len(n.codes) != 0 {
		t.Errorf("%d codes kept after all that remembers them", len(n.codes))
	}
}

func TestSweepable(t *testing.T) {
	p := rules()
	n, id := deliver(t, noon, p, number{}, "acme")
	end := noon.Add(p.TTL + p.Retention)
	if sweepable(end.Add(-time.Microsecond), p, n) {
		t.Error("swept too early")
	}
	if !sweepable(end, p, n) {
		t.Error("not swept at the end of its retention")
	}
	n, _, _ = verify(noon.Add(time.Minute), n, "acme", id, digest("right"))
	if !sweepable(noon.Add(time.Minute+p.Retention), p, n) {
		t.Error("used, and not swept at the end of its retention")
	}
	p.SendWindow = 48 * time.Hour
	if sweepable(end, p, n) {
		t.Error("swept while it counts against send_limit")
	}
	pending, _ := reserve(t, noon, p, number{}, "acme")
	if sweepable(noon.Add(p.SendWindow), p, pending) || !sweepable(noon.Add(p.SendWindow+p.TTL+acceptance), p, pending) {
		t.Error("a reservation nobody settled is swept too early or never")
	}
}
