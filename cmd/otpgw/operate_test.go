package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/admin"
)

// operate runs a command of the real binary against the plant's daemon.
func (p *plant) operate(args ...string) (out string, code int) {
	p.t.Helper()
	if !slices.Contains(args, "--socket") {
		args = append(args, "--socket", p.socket)
	}
	cmd := exec.Command(program, args...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (p *plant) expectOutput(code int, want string, args ...string) {
	p.t.Helper()
	if out, got := p.operate(args...); got != code || !strings.Contains(out, want) {
		p.t.Errorf("otpgw %s: exit %d\n%s\nwant exit %d and %q", strings.Join(args, " "), got, out, code, want)
	}
}

func TestStatusAndBinds(t *testing.T) {
	p := newPlant(t)
	p.expectOutput(0, "running, ready", "status")
	p.expectOutput(0, "smsc-a  1     transceiver  bound", "bind", "list")
	var s admin.Status
	out, _ := p.operate("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || !s.Ready || s.State != "running" || len(s.Binds) != 2 || s.Config.File != p.config {
		t.Errorf("%v: %s", err, out)
	}

	p.expectOutput(0, "drains and stays down", "bind", "stop", "smsc-a")
	p.await("the binds to go", func() bool { return p.probe("/readyz") == 503 })
	p.expectOutput(1, "NOT READY", "status")
	p.expectOutput(0, "stopped", "bind", "list")
	if a := p.post("/send-code", sendBody(number(1)), nil); a.status != 503 {
		t.Errorf("without a bind: %d %s", a.status, a.body)
	}
	p.expectOutput(0, "nothing changed", "reload") // and does not bring it back
	p.expectOutput(0, "stopped", "bind", "list")
	p.expectOutput(0, "comes up", "bind", "start", "smsc-a")
	p.await("the binds to come back", func() bool { return p.probe("/readyz") == 200 })
	if a := p.post("/send-code", sendBody(number(1)), nil); a.status != 200 {
		t.Errorf("with binds again: %d %s", a.status, a.body)
	}
	p.expectOutput(2, `there is no smsc "smsc-b"`, "bind", "stop", "smsc-b")
	p.expectOutput(2, "accepts 1 arg", "bind", "stop")
	if !strings.Contains(p.logged(), `"msg":"control","component":"audit","action":"stop","uid":`) {
		t.Error("who stopped the binds is not in the log")
	}
}

func TestDrainAndResume(t *testing.T) {
	p := newPlant(t)
	id, code := p.send(number(1))
	p.expectOutput(0, "new codes are refused", "drain")
	a := p.post("/send-code", sendBody(number(2)), nil)
	if a.status != 503 || a.header.Get("Retry-After") != "30" {
		t.Errorf("send-code: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if a := p.post("/validate-code", validateBody(id, code), nil); a.status != 204 {
		t.Errorf("validate-code: %d %s", a.status, a.body)
	}
	p.expectOutput(1, "paused", "status")
	p.expectOutput(0, "new codes are sent", "resume")
	if a := p.post("/send-code", sendBody(number(2)), nil); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestReloadByCommand(t *testing.T) {
	p := newPlant(t)
	p.expectOutput(0, "nothing changed", "reload")
	p.replace(`sender = "ACME"`, `sender = "ACME2"`)
	p.replace("[http]\n", "[http]\nmax_in_flight = 100\n")
	p.expectOutput(0, "in force: client[0].sender\nneeds a restart: http.max_in_flight", "reload")
	p.expectOutput(0, "needs a restart: http.max_in_flight", "status")
	p.replace(`sender = "ACME2"`, `sender = ""`)
	p.expectOutput(2, "otpgw.toml:", "reload")
	p.expectOutput(0, "the last reload was refused", "status")
	if a := p.post("/send-code", sendBody(number(1)), nil); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.read(number(1), 1)
	if m := p.smsc.Messages(number(1)); m[0].From != "ACME2" {
		t.Errorf("sent from %q", m[0].From)
	}
	p.expectOutput(1, "no daemon answers at", "reload", "--socket", p.socket+"x")
}

func TestLogLevelByCommand(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) { c.level = "info" })
	p.replace("[log]\n", "[log]\nrequests = \"none\"\n")
	p.expectOutput(0, "in force: log.requests", "reload")
	requests := func() int { return strings.Count(p.logged(), `"msg":"request"`) }
	p.post("/send-code", sendBody(number(1)), nil)
	if n := requests(); n != 0 {
		t.Fatalf("%d requests in the log at level info", n)
	}
	p.expectOutput(0, "logging from level debug on for 1.5s", "log-level", "debug", "--for", "1.5s")
	p.post("/send-code", sendBody(number(2)), nil)
	p.await("a line", func() bool { return requests() == 1 })
	time.Sleep(2 * time.Second) // the daemon's clock is not ours to turn
	p.post("/send-code", sendBody(number(3)), nil)
	if n := requests(); n != 1 {
		t.Errorf("%d requests in the log after the time", n)
	}
	p.expectOutput(2, "must be debug, info, warn or error", "log-level", "loud")
}

func TestTraceOfAMessage(t *testing.T) {
	p := newPlant(t)
	const correlator = "trace-me"
	a := p.post("/send-code", sendBody(number(1)), map[string][]string{"X-Correlator": {correlator}})
	id, code := a.id, p.read(number(1), 1)
	p.post("/validate-code", validateBody(id, wrongFor(code)), nil)
	p.post("/validate-code", validateBody(id, code), nil)
	var out string
	p.await("the receipt in the trace", func() bool {
		out, _ = p.operate("trace", id)
		return strings.Contains(out, "DELIVRD")
	})
	for _, want := range []string{id + "  client acme  to +34*******10  USED  x-correlator trace-me\n", "  accepted      v1/send-code  quota 1/100 in 1h\n", "  encoded       GSM-7, 1 segment\n", "  submitted     smsc-a bind ", "  window 1/50  try 1\n", "  submit_resp   ESME_ROK (0x00000000)  id 1  in ", "  receipt       DELIVRD", "  checked       wrong code\n", "  checked       right code\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, code) || strings.Contains(out, number(1)) {
		t.Errorf("a secret in\n%s", out)
	}
	for _, query := range []string{correlator, number(1)} {
		p.expectOutput(0, id, "trace", query)
	}
	p.expectOutput(2, "nothing is known by", "trace", "never-heard-of")
	p.expectOutput(2, "nothing is known of this number", "trace", number(2))

	p.stop()
	p.start() // what is left is what the store knows
	p.expectOutput(0, "USED", "trace", id)
	p.expectOutput(0, "DELIVRD", "trace", id)
}
