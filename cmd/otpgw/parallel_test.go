package main

import (
	"net/http"
	"sync"
	"testing"
)

// answersOf runs calls at once and counts the answers by their ErrorInfo code, "" for success.
func answersOf(t *testing.T, p *plant, n int, call func(i int) (answer, error)) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	counts := map[string]int{}
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			a, err := call(i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			counts[a.code]++
		})
	}
	close(begin)
	wg.Wait()
	return counts
}

func TestParallelWrongGuessesAreCountedExactly(t *testing.T) {
	const guesses = 1000
	p := newPlant(t, otp("max_attempts", "3"), func(c *plantConfig) { c.http = "max_in_flight = 4096" })
	id, code := p.send(number(1))
	counts := answersOf(t, p, guesses, func(int) (answer, error) {
		return p.call(http.MethodPost, "/validate-code", validateBody(id, wrongFor(code)), nil)
	})
	if got := counts[prefixAPI+"INVALID_OTP"]; got != 2 {
		t.Errorf("%d answers INVALID_OTP, want max_attempts-1 = 2", got)
	}
	if got := counts[prefixAPI+"VERIFICATION_FAILED"]; got != guesses-2 {
		t.Errorf("%d answers VERIFICATION_FAILED, want %d", got, guesses-2)
	}
	if a := p.validate(id, code); a.code != prefixAPI+"VERIFICATION_FAILED" {
		t.Errorf("the right code after the lock: %d %s", a.status, a.body)
	}
	if got := metric(t, p.metrics(), `otpgw_codes_total{outcome="wrong"}`); got != 2 {
		t.Errorf("%v guesses were told to be wrong, want 2", got)
	}
}

func TestParallelRightGuessesSucceedOnce(t *testing.T) {
	p := newPlant(t)
	id, code := p.send(number(1))
	counts := answersOf(t, p, 100, func(int) (answer, error) {
		return p.call(http.MethodPost, "/validate-code", validateBody(id, code), nil)
	})
	if counts[""] != 1 || counts[prefixAPI+"VERIFICATION_EXPIRED"] != 99 {
		t.Errorf("answers %v, want one success and 99 VERIFICATION_EXPIRED", counts)
	}
}

func TestParallelSendsNeverExceedTheLimit(t *testing.T) {
	p := newPlant(t, otp("send_limit", "5"))
	counts := answersOf(t, p, 100, func(int) (answer, error) {
		return p.call(http.MethodPost, "/send-code", sendBody(number(1)), nil)
	})
	if counts[""] != 5 || counts[prefixAPI+"MAX_OTP_CODES_EXCEEDED"] != 95 {
		t.Errorf("answers %v, want 5 successes and 95 MAX_OTP_CODES_EXCEEDED", counts)
	}
	if got := len(p.smsc.Messages(number(1))); got != 5 {
		t.Errorf("the phone received %d messages, want 5", got)
	}
}
