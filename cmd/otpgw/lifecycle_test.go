package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestReloadTakesAllOrNothing(t *testing.T) {
	p := newPlant(t, otp("max_attempts", "3"), otp("send_limit", "2"))
	first := number(1)
	p.send(first)
	p.send(first)
	if a := p.post("/send-code", sendBody(first), nil); a.code != prefixAPI+"MAX_OTP_CODES_EXCEEDED" {
		t.Fatalf("third send: %d %s", a.status, a.body)
	}

	// Broken: one wrong key spoils all of it, also the limit that was raised beside it.
	p.replace("send_limit = 2", "send_limit = 100\nsend_limmit = 1")
	p.signal(syscall.SIGHUP)
	p.await("refusal in the log", func() bool { return strings.Contains(p.logged(), "reload refused") })
	if !strings.Contains(p.logged(), "otp.send_limmit") {
		t.Errorf("the log does not name the wrong key: %s", tail(p.logged()))
	}
	if got := metric(t, p.metrics(), "otpgw_config_reload_ok"); got != 0 {
		t.Errorf("otpgw_config_reload_ok is %v after a refused reload", got)
	}
	if a := p.post("/send-code", sendBody(first), nil); a.code != prefixAPI+"MAX_OTP_CODES_EXCEEDED" {
		t.Errorf("after a refused reload: %d %s", a.status, a.body)
	}

	// Mended: policy, clients and tokens change; what needs a restart is said.
	newcomer := "token-of-a-newcomer"
	p.replace("send_limmit = 1\n", "")
	p.replace(`sender = "ACME"`, "sender = \"ACME\"\n[[client]]\nid = \"newcomer\"\nsender = \"NEW\"")
	p.replace("window = 50", "window = 51")
	p.replace(`format = "json"`, `format = "text"`)
	p.write("tokens.toml", tokenStanza(p.token, "acme", time.Now().Add(time.Hour))+
		tokenStanza(newcomer, "newcomer", time.Now().Add(time.Hour)), 0o600)
	p.signal(syscall.SIGHUP)
	p.await("reload in the log", func() bool { return strings.Contains(p.logged(), "configuration reloaded") })
	p.await("the metric", func() bool { return metric(t, p.metrics(), "otpgw_config_reload_ok") == 1 })
	if !strings.Contains(p.logged(), `"keys":"log.format"`) {
		t.Errorf("the log does not say what needs a restart: %s", tail(p.logged()))
	}
	if a := p.post("/send-code", sendBody(first), nil); a.status != http.StatusOK {
		t.Errorf("within the new limit: %d %s", a.status, a.body)
	}
	a := p.post("/send-code", sendBody(number(2)), http.Header{"Authorization": {"Bearer " + newcomer}})
	if a.status != http.StatusOK {
		t.Fatalf("the new client: %d %s", a.status, a.body)
	}
	code := p.read(number(2), 1)
	if mine := p.validate(a.id, code); mine.status != http.StatusNotFound {
		t.Errorf("an id of another client: %d %s", mine.status, mine.body)
	}
	if from := p.smsc.Messages(number(2))[0].From; from != "NEW" {
		t.Errorf("sender %q", from)
	}
}

// TestDrainLosesNoAnswer stops the daemon under load: every request that reached it is answered, every code that was
// answered with 200 arrived, its receipt was acknowledged, and it validates after the next start.
func TestDrainLosesNoAnswer(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) {
		c.level = "info"
		c.sim.Latency = 2 * time.Millisecond
		c.sim.KeepMessages = 1 << 20
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := map[string]string{} // number → id
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				to := number(w*10_000 + i)
				a, err := p.call(http.MethodPost, "/send-code", sendBody(to), nil)
				switch {
				case err != nil && strings.Contains(err.Error(), "connection refused"):
					return // the listener is closed: from here on nothing reaches the daemon
				case err != nil && refusedWhileClosing(err):
					return
				case err != nil:
					t.Errorf("a request that had reached the daemon got no answer: %v", err)
					return
				case a.status == http.StatusOK:
					mu.Lock()
					accepted[to] = a.id
					mu.Unlock()
				case a.status != http.StatusServiceUnavailable:
					t.Errorf("send-code: %d %s", a.status, a.body)
				}
			}
		})
	}
	p.await("load", func() bool { mu.Lock(); defer mu.Unlock(); return len(accepted) > 200 })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(p.logged()))
	}
	wg.Wait()
	if stats := p.smsc.Stats(); stats.Submits < len(accepted) {
		t.Errorf("%d submits for %d accepted codes", stats.Submits, len(accepted))
	}
	p.start()
	for to, id := range accepted {
		if a := p.validate(id, p.codeOf(to)); a.status != http.StatusNoContent {
			t.Errorf("%s: %d %s", to, a.status, a.body)
		}
	}
	t.Logf("%d codes accepted before the drain", len(accepted))
}

// refusedWhileClosing says that the connection was never served: an idle connection was closed as the request was being
// written on it, or a new one was still in the listener's backlog. HTTP clients send such a request again.
func refusedWhileClosing(err error) bool {
	for _, s := range []string{"connection reset by peer", "EOF", "broken pipe", "server closed idle connection"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) { c.sim.Latency = patience })
	go p.call(http.MethodPost, "/send-code", sendBody(number(1)), nil) //nolint:errcheck // cut off by the second signal
	p.await("submit", func() bool { return p.smsc.Stats().Submits > 0 })
	p.signal(syscall.SIGTERM)
	p.await("drain", func() bool { return strings.Contains(p.logged(), "draining") })
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exit:
		p.exit <- nil
	case <-time.After(5 * time.Second):
		t.Fatal("still there 5 s after the second signal")
	}
	if code := p.proc.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func TestAbsentSMSCIsNoBootFailure(t *testing.T) {
	p := newPlant(t)
	id, code := p.send(number(1))
	p.kill()
	p.replace(p.smpp, freePort(t))
	cmd := exec.Command(program, "serve", "--config", p.config)
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()
	p.proc, p.exit = cmd, exit
	p.await("liveness", func() bool { return p.probe("/healthz") == http.StatusOK })
	if got := p.probe("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d without a bind", got)
	}
	p.await("the API", func() bool { _, err := p.call(http.MethodPost, "/validate-code", "", nil); return err == nil })
	a := p.post("/send-code", sendBody(number(2)), nil)
	if a.status != http.StatusServiceUnavailable || a.code != "UNAVAILABLE" || a.header.Get("Retry-After") == "" {
		t.Errorf("send-code: %d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
	}
	if a := p.validate(id, code); a.status != http.StatusNoContent {
		t.Errorf("validate-code: %d %s", a.status, a.body)
	}
}

func TestDemoTellsTheWholeStory(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), program, "demo").CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; last != "OK: sent, delivered and validated." {
		t.Errorf("last line %q", last)
	}
	for _, want := range []string{
		"--> POST /send-code", "<-- 200 ", "SMS on " + demoNumber, "INVALID_OTP", "<-- 204 ", "VERIFICATION_EXPIRED", "DELIVRD",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the story lacks %q:\n%s", want, out)
		}
	}
}

// metric is the value of one series of a scrape, 0 when it is not there.
func metric(t testing.TB, scrape, series string) float64 {
	t.Helper()
	for line := range strings.Lines(scrape) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), series+" "); found {
			var v float64
			if _, err := fmt.Sscan(value, &v); err != nil {
				t.Fatalf("metric %s: %v", series, err)
			}
			return v
		}
	}
	return 0
}
