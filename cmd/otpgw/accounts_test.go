package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"otpgw/smpp/smsc"
)

// TestReceiptAfterACrash: the id is hexadecimal in the answer and decimal in the receipt, and between the two the daemon is
// killed. The receipt finds its message all the same.
func TestReceiptAfterACrash(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) {
		c.sim.HexIDs, c.sim.FirstID, c.sim.ReceiptDelay = true, 0xABCDEF, 2*time.Second
	})
	var ids []string
	for n := range 20 {
		id, _ := p.send(number(n))
		ids = append(ids, id)
	}
	time.Sleep(50 * time.Millisecond) // what rides the next commit is on disk
	p.kill()
	p.start()
	p.await("the receipts", func() bool {
		return metric(t, p.metrics(), `otpgw_store_receipts_total{outcome="delivered"}`) == float64(len(ids))
	})
	if n := metric(t, p.metrics(), `otpgw_smpp_dlr_match_total{how="dec_to_hex",smsc="smsc-a"}`); n != float64(len(ids)) {
		t.Errorf("%v matched by conversion, want %d", n, len(ids))
	}
	if logged := p.logged(); strings.Count(logged, `message_id_format`) < 1 {
		t.Error("the log does not say which message_id_format it is")
	}
}

// TestAccountsByReload adds an account and takes another away while codes are sent: none is lost, and the bind of the one
// that stays is never touched.
func TestAccountsByReload(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) { c.level = "info" })
	first, address := p.smsc, p.smpp
	p.startSMSC(smsc.Config{SystemID: "otpgw", Password: "secret1", ReceiptDelay: time.Millisecond})
	second := p.smsc

	stop := make(chan struct{})
	sent := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				sent <- nil
				return
			default:
			}
			a, err := p.call(http.MethodPost, "/send-code", sendBody(number(n)), nil)
			if err != nil || a.status != http.StatusOK {
				sent <- fmt.Errorf("send-code: %d %s, %v", a.status, a.body, err)
				return
			}
		}
	}()
	reload := func(n int) {
		t.Helper()
		p.signal(syscall.SIGHUP)
		p.await("the reload", func() bool { return strings.Count(p.logged(), "configuration reloaded") == n })
	}
	account := func(name, address string, tier int) string {
		return fmt.Sprintf("[[smsc]]\nname = %q\ntier = %d\nendpoints = [%q]\nsystem_id = \"otpgw\"\npassword = \"file:%s/smpp.password\"\nrate = 0.0\nwindow = 50\n", name, tier, address, p.dir)
	}
	p.replace("[[client]]", account("smsc-b", p.smpp, 1)+"[[client]]")
	reload(1)
	p.await("messages over the second account", func() bool { return second.Stats().Accepted > 10 })
	if n := metric(t, p.metrics(), `otpgw_smpp_connects_total{bind="1",smsc="smsc-a"}`); n != 1 {
		t.Errorf("smsc-a was connected %v times", n)
	}
	p.replace(fmt.Sprintf("endpoints = [%q]", address), fmt.Sprintf("tier = 9\nendpoints = [%q]", address)) // smsc-a becomes the backup
	reload(2)
	p.await("the change", func() bool { return metric(t, p.metrics(), `otpgw_smpp_connects_total{bind="1",smsc="smsc-a"}`) == 2 })
	p.await("the end of messages over the backup", func() bool {
		before := first.Stats().Submits
		time.Sleep(100 * time.Millisecond)
		return first.Stats().Submits == before
	})
	close(stop)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if n := metric(t, p.metrics(), `otpgw_smpp_connects_total{bind="1",smsc="smsc-b"}`); n != 1 {
		t.Errorf("smsc-b was connected %v times", n)
	}
	p.replace(`name = "smsc-b"`, `name = "smsc-a"`) // two of one name
	p.signal(syscall.SIGHUP)
	p.await("the refusal", func() bool { return strings.Contains(p.logged(), "is that of smsc[0] too") })
}

func TestProbeCommand(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) { c.smsc = "binds = 1\n" }) // so that the receipt comes to the probe: the simulator takes turns
	probe := func(args ...string) (string, int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, append([]string{"smpp", "probe", "--config", p.config}, args...)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := probe("smsc-a", "--to", number(1))
	for _, want := range []string{"ok      connect ", "ok      bind ", `bind_transceiver accepted by "smscsim"`, "ok      submit_sm", "ok      receipt", `message_id_format = "as_is"`, "ok      unbind"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != exitOK || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if got := p.smsc.Messages(number(1)); len(got) != 1 || got[0].From != "ACME" {
		t.Errorf("messages %+v", got)
	}
	if out, code = probe("smsc-a", "--to", number(0)[:8]+"9911"); code != exitFailure || !strings.Contains(out, "FAILED  submit_sm") {
		t.Errorf("a refusal: exit code %d:\n%s", code, out)
	}
	if out, code = probe("nobody"); code != exitInvalid || !strings.Contains(out, `no [[smsc]] with name = "nobody": there are smsc-a`) {
		t.Errorf("an unknown name: exit code %d:\n%s", code, out)
	}
	if out, code = probe(); code != exitInvalid {
		t.Errorf("no name: exit code %d:\n%s", code, out)
	}
}
