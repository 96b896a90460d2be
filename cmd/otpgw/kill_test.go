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

var (
	cycles     = flag.Int("cycles", 200, "how many times TestKillLosesNothing kills the daemon")
	killWithin = flag.Duration("kill-within", 2*time.Minute, "when it has killed 50 times and this is over it stops")
)

// A sentCode is what a client holds after a 200: the id, and what the phone shows. wrong is how many wrong guesses were
// answered so far; unsure how many got no answer, and may or may not have been counted.
type sentCode struct {
	id, right     string
	wrong, unsure int
	used          bool // answered with 204
	unsureUse     bool
}

// An addressee is one number, and the codes that were sent to it, oldest first.
type addressee struct {
	number string
	codes  []*sentCode
	unsure bool // the last send-code got no answer: it may have replaced the code before
}

// A toll is what kills have cost.
type toll struct {
	lost, back, twice, older, reopened atomic.Int64
	answers, checked, resent, usedUp   atomic.Int64 // how much was at stake
}

// TestKillLosesNothing kills the daemon under load, again and again. The list of answers is kept here, outside of the
// store: every code that was answered with 200 must still validate unless a newer one replaced it, which it must; no counted try may be
// forgotten, no code may work twice and no send limit may reopen. Every message has its receipt meanwhile.
func TestKillLosesNothing(t *testing.T) {
	p := newPlant(t, otp("max_attempts", fmt.Sprint(killTries)), otp("send_limit", fmt.Sprint(killSends)), otp("ttl", `"10m"`),
		func(c *plantConfig) { c.level = "warn"; c.sim.KeepMessages = 1 << 20 })
	p.losesNothing(t, *cycles, *killWithin, p.kill, p.start)
}

// losesNothing has the daemon killed and started again under load, so many times or until that time is over, and goes through the books each time.
func (p *plant) losesNothing(t *testing.T, cycles int, within time.Duration, kill, start func()) {
	const workers = 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d cycles", seed, cycles)
	var next atomic.Int64 // number that has had no code yet
	var sum toll
	began, done := time.Now(), 0
	for cycle := range cycles {
		if cycle >= 50 && time.Since(began) > within {
			break
		}
		done++
		var mu sync.Mutex // guards all
		var all []*addressee
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
					a := &addressee{number: number(int(next.Add(1)))}
					mu.Lock()
					all = append(all, a)
					mu.Unlock()
					if !p.useCodes(t, a, rng, &sum) {
						return
					}
				}
			})
		}
		rng := rand.New(rand.NewPCG(seed, uint64(cycle)))
		enough := sum.answers.Load() + 1 + rng.Int64N(50)
		p.await("load", func() bool { return sum.answers.Load() >= enough })
		kill()
		close(stop)
		wg.Wait()
		start()

		queue := make(chan int, len(all))
		for k := range all {
			queue <- k
		}
		close(queue)
		for range workers {
			wg.Go(func() {
				for k := range queue {
					p.checkAddressee(t, all[k], k, &sum)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.Fatalf("in cycle %d of seed %d", cycle, seed)
		}
	}
	t.Logf("%d kills, %d codes checked, %d sent after another, %d used: %d lost, %d tries given back, %d used twice, %d right although older, %d limits reopened",
		done, sum.checked.Load(), sum.resent.Load(), sum.usedUp.Load(), sum.lost.Load(), sum.back.Load(), sum.twice.Load(), sum.older.Load(), sum.reopened.Load())
	if sum.lost.Load()+sum.back.Load()+sum.twice.Load()+sum.older.Load()+sum.reopened.Load() > 0 {
		t.Fail()
	}
	for what, n := range map[string]int64{"checked": sum.checked.Load(), "sent after another": sum.resent.Load(), "used": sum.usedUp.Load()} {
		if n < int64(done)/2 {
			t.Errorf("only %d codes were %s: the load was no load", n, what)
		}
	}
}

const (
	killTries = 5
	killSends = 3
)

// useCodes has codes sent to one number and brings some back, until chance ends it or the daemon is gone: then it gives false.
func (p *plant) useCodes(t *testing.T, a *addressee, rng *rand.Rand, sum *toll) bool {
	for n := range 1 + rng.IntN(killSends) {
		answer, err := p.call(http.MethodPost, "/send-code", sendBody(a.number), nil)
		switch {
		case err != nil:
			a.unsure = true
			return false
		case answer.status == http.StatusServiceUnavailable: // the SMSC is not bound yet, or its answer was not waited for
			a.unsure = true
			return true
		case answer.status != http.StatusOK:
			t.Errorf("send-code: %d %s", answer.status, answer.body)
			return false
		}
		sum.answers.Add(1)
		c := &sentCode{id: answer.id, right: p.codeOf(a.number)}
		a.codes = append(a.codes, c)
		if n > 0 {
			sum.resent.Add(1)
		}
		for range rng.IntN(killTries - 1) {
			answer, err := p.call(http.MethodPost, "/validate-code", validateBody(c.id, wrongFor(c.right)), nil)
			if err != nil {
				c.unsure++ // the daemon died before it answered
				return false
			}
			if answer.code != prefixAPI+"INVALID_OTP" {
				t.Errorf("wrong guess: %d %s", answer.status, answer.body)
			}
			c.wrong++
			sum.answers.Add(1)
		}
		if rng.IntN(4) > 0 {
			continue
		}
		for range 2 { // the second time it must be used
			answer, err := p.call(http.MethodPost, "/validate-code", validateBody(c.id, c.right), nil)
			switch {
			case err != nil:
				c.unsureUse = true
				return false
			case answer.status == http.StatusNoContent && c.used:
				sum.twice.Add(1)
			case answer.status == http.StatusNoContent:
				c.used = true
				sum.usedUp.Add(1)
			case !c.used:
				t.Errorf("right code: %d %s", answer.status, answer.body)
			}
		}
	}
	return true
}

// checkAddressee compares what is there after a kill with what was answered before it. k chooses what the code is spent on.
func (p *plant) checkAddressee(t *testing.T, a *addressee, k int, sum *toll) {
	post := func(path, body string) answer {
		got, err := p.call(http.MethodPost, path, body, nil)
		if err != nil {
			t.Errorf("after the start: %s: %v", path, err)
		}
		return got
	}
	right := func(c *sentCode) bool {
		return post("/validate-code", validateBody(c.id, c.right)).status == http.StatusNoContent
	}
	for i, c := range slices.Backward(a.codes) {
		sum.checked.Add(1)
		newest := i == len(a.codes)-1
		switch {
		case c.used:
			if right(c) {
				sum.twice.Add(1)
			}
		case !newest:
			if right(c) {
				sum.older.Add(1)
				t.Logf("%s is right although %s was accepted after it", c.id, a.codes[i+1].id)
			}
		case c.unsureUse:
			if once := right(c); right(c) && once {
				sum.twice.Add(1)
			}
		case k%2 == 0: // every second code is spent on wrong guesses: none may have been given back
			left := 0
			for post("/validate-code", validateBody(c.id, wrongFor(c.right))).code == prefixAPI+"INVALID_OTP" {
				left++
			}
			if left > killTries-1-c.wrong {
				sum.back.Add(1)
			}
			if left < killTries-1-c.wrong-c.unsure && !a.unsure {
				t.Errorf("a try was counted that nobody made: %d left after %d answered and %d unanswered", left, c.wrong, c.unsure)
			}
		default:
			got := post("/validate-code", validateBody(c.id, c.right))
			if got.status != http.StatusNoContent && !a.unsure {
				sum.lost.Add(1)
				t.Logf("%s: %d %s", c.id, got.status, got.body)
			}
			if got.status == http.StatusNoContent && right(c) {
				sum.twice.Add(1)
			}
		}
	}
	if k%4 == 0 {
		for range killSends + 1 - len(a.codes) { // one more than the limit allows
			post("/send-code", sendBody(a.number))
		}
		if len(p.smsc.Messages(a.number)) > killSends {
			sum.reopened.Add(1)
		}
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
