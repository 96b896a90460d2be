package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var cycles = flag.Int("cycles", 50, "how many times TestKillLosesNothing kills the daemon")

// A sentCode is what a client holds after a 200: the id, and what the phone shows. tries is how many wrong guesses were
// answered so far; unsure how many got no answer, and may or may not have been counted.
type sentCode struct {
	id, number    string
	tries, unsure int
}

// TestKillLosesNothing kills the daemon under load, again and again. The list of answers is kept here, outside of the
// store: every code that was answered with 200 must still validate, no counted try may be forgotten, no code may work
// twice and no send limit may reopen.
func TestKillLosesNothing(t *testing.T) {
	const (
		workers  = 8
		maxTries = 5
	)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d cycles", seed, *cycles)
	p := newPlant(t, otp("max_attempts", fmt.Sprint(maxTries)), otp("send_limit", "2"), otp("ttl", `"10m"`),
		func(c *plantConfig) { c.level = "warn"; c.sim.KeepMessages = 1 << 20 })
	var next atomic.Int64 // number that has had no code yet
	lost, back, twice, reopened, checked, restarts := 0, 0, 0, 0, 0, 0
	for cycle := range *cycles {
		var mu sync.Mutex // guards held
		var held []*sentCode
		var used []*sentCode
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range workers {
			rng := rand.New(rand.NewPCG(seed, uint64(cycle*workers+w)))
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					to := number(int(next.Add(1)))
					a, err := p.call(http.MethodPost, "/send-code", sendBody(to), nil)
					if err != nil || a.status != http.StatusOK {
						if err == nil && a.status != http.StatusServiceUnavailable {
							t.Errorf("send-code: %d %s", a.status, a.body)
						}
						continue
					}
					c := &sentCode{id: a.id, number: to}
					right := p.codeOf(c.number)
					mu.Lock()
					held = append(held, c)
					mu.Unlock()
					for range rng.IntN(maxTries - 1) {
						a, err := p.call(http.MethodPost, "/validate-code", validateBody(c.id, wrongFor(right)), nil)
						if err != nil {
							c.unsure++ // the daemon died before it answered
							return
						}
						if a.code != prefixAPI+"INVALID_OTP" {
							t.Errorf("wrong guess: %d %s", a.status, a.body)
						}
						c.tries++
					}
					if rng.IntN(4) == 0 {
						a, err := p.call(http.MethodPost, "/validate-code", validateBody(c.id, right), nil)
						mu.Lock()
						if err == nil && a.status == http.StatusNoContent {
							used = append(used, c)
						}
						// Used, or its use got no answer: not one of those that must validate.
						held = slices.DeleteFunc(held, func(h *sentCode) bool { return h == c })
						mu.Unlock()
					}
				}
			})
		}
		rng := rand.New(rand.NewPCG(seed, uint64(cycle)))
		<-time.After(time.Duration(20+rng.IntN(60)) * time.Millisecond) // a moment of real load
		p.kill()
		close(stop)
		wg.Wait()
		p.start()
		restarts++

		for _, c := range used {
			if a := p.validate(c.id, p.codeOf(c.number)); a.status == http.StatusNoContent {
				twice++
			}
		}
		for k, c := range held {
			checked++
			right := p.codeOf(c.number)
			if k%2 == 0 { // every second code is spent on wrong guesses: none may have been given back
				left := 0
				for p.validate(c.id, wrongFor(right)).code == prefixAPI+"INVALID_OTP" {
					left++
				}
				if left > maxTries-1-c.tries {
					back++
				}
				if left < maxTries-1-c.tries-c.unsure {
					t.Errorf("a try was counted that nobody made: %d left after %d answered and %d unanswered", left, c.tries, c.unsure)
				}
				continue
			}
			if a := p.validate(c.id, right); a.status != http.StatusNoContent {
				lost++
				t.Logf("cycle %d: %s: %d %s", cycle, c.id, a.status, a.body)
			}
		}
		if len(held) > 0 { // the limit is 2: one more is allowed, a third never
			to := held[0].number
			for range 2 {
				p.post("/send-code", sendBody(to), nil)
			}
			if got := len(p.smsc.Messages(to)); got > 2 {
				reopened++
			}
		}
	}
	t.Logf("%d kills, %d codes checked: %d lost, %d tries given back, %d used twice, %d limits reopened",
		restarts, checked, lost, back, twice, reopened)
	if lost+back+twice+reopened > 0 {
		t.Fail()
	}
	if checked < *cycles {
		t.Errorf("only %d codes were checked: the load was no load", checked)
	}
}

// codeOf is the code of the last message to number, which has arrived, for the SMSC accepted it before the client got its 200.
func (p *plant) codeOf(number string) string {
	messages := p.smsc.Messages(number)
	if len(messages) == 0 {
		return ""
	}
	return messages[len(messages)-1].Text[:6]
}
