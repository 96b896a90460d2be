package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"otpgw/config"
	"otpgw/smpp/smsc"
)

// A scenario is one story that the demo tells: it is told only if all of it was seen.
type scenario struct {
	name, about string
	seen        string // what is said when it was
	settle      func(*config.Config)
	tell        func(ctx context.Context, d *demonstration) error
}

func usually(*config.Config) {}

// shortLife makes codes expire while somebody watches.
func shortLife(cfg *config.Config) {
	cfg.OTP.TTL = 2 * time.Second
	for i := range cfg.SMSC {
		cfg.SMSC[i].ReceiptGrace = time.Second
	}
}

// scenarios are all there are, the usual one first.
var scenarios = []scenario{
	{"happy", "a code is sent, delivered and validated, and works once", "sent, delivered and validated", usually, tellHappy},
	{"wrong-code", "three wrong codes end a verification, and the right one comes too late", "locked after three wrong codes", usually, tellWrongCode},
	{"expired", "a code is typed after its time is over", "refused after its time was over", shortLife, tellExpired},
	{"smsc-down", "the SMSC goes away: 503, while a code that was sent can be checked; then it comes back", "503 while the SMSC was away, sent when it was back", usually, tellDown},
	{"throttled", "the SMSC asks for a slower pace, and the message goes at the second try", "sent at the second try", usually, tellThrottled},
	{"late-dlr", "the receipt comes 5 s late, after the code was validated", "validated, and the late receipt found its message", usually, tellLate},
	{"no-dlr", "the receipt never comes, and is missed", "validated, and the missing receipt was counted", shortLife, tellMissing},
}

func scenarioNamed(name string) (scenario, error) {
	var names []string
	for _, s := range scenarios {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return scenario{}, fmt.Errorf("--scenario %q: must be one of %s", name, strings.Join(names, ", "))
}

// scenarioList is what there is, for --help.
func scenarioList() string {
	lines := make([]string, len(scenarios))
	for i, s := range scenarios {
		lines[i] = fmt.Sprintf("  %-12s%s", s.name, s.about)
	}
	return strings.Join(lines, "\n")
}

func tellHappy(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, demoNumber)
	if err != nil {
		return err
	}
	err = errors.Join(
		d.check(ctx, id, wrong(code), http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.INVALID_OTP"),
		d.check(ctx, id, code, http.StatusNoContent, ""),
		d.check(ctx, id, code, http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED")) // a code works once
	if err != nil {
		return err
	}
	return d.trace(ctx, id, "used", "DELIVRD")
}

func tellWrongCode(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, demoNumber)
	if err != nil {
		return err
	}
	for range d.daemon.started.OTP.MaxAttempts - 1 {
		if err := d.check(ctx, id, wrong(code), http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.INVALID_OTP"); err != nil {
			return err
		}
	}
	err = errors.Join(
		d.check(ctx, id, wrong(code), http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED"),
		d.check(ctx, id, code, http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED"))
	if err != nil {
		return err
	}
	return d.trace(ctx, id, "locked", "DELIVRD")
}

func tellExpired(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, demoNumber)
	if err != nil {
		return err
	}
	d.say("the person takes too long: codes live %v here", d.daemon.started.OTP.TTL)
	if err := d.trace(ctx, id, "elapsed", "DELIVRD"); err != nil {
		return err
	}
	return d.check(ctx, id, code, http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED")
}

func tellDown(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, demoNumber)
	if err != nil {
		return err
	}
	refusal, err := smsc.ParseStatus("ESME_RSYSERR")
	if err != nil {
		return err
	}
	d.smsc.Configure(func(c *smsc.Config) { c.BindStatus = refusal })
	d.smsc.Drop("otpgw")
	err = d.await(ctx, func() error {
		if d.daemon.pool.Ready() == nil {
			return errors.New("the daemon does not notice that the SMSC is away")
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range d.daemon.pool.Binds() {
		d.say("the SMSC is away  bind smsc-a/%s %s: %s", b.Name, b.State, b.LastError)
	}
	if _, err := d.post(ctx, "/send-code", sendCodeBody{"+34600000002", "{{code}} is your code for Demo Shop"}, http.StatusServiceUnavailable); err != nil {
		return err
	}
	if err := d.check(ctx, id, code, http.StatusNoContent, ""); err != nil {
		return err
	}
	d.smsc.Configure(func(c *smsc.Config) { c.BindStatus = 0 })
	if err := d.awaitReady(ctx); err != nil {
		return err
	}
	d.say("the SMSC is back")
	if id, code, err = d.send(ctx, "+34600000002"); err != nil {
		return err
	}
	if err := d.check(ctx, id, code, http.StatusNoContent, ""); err != nil {
		return err
	}
	return d.trace(ctx, id, "used", "DELIVRD")
}

func tellThrottled(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, "+34600009921") // the simulator refuses the first message to it with ESME_RTHROTTLED
	if err != nil {
		return err
	}
	t, _ := d.daemon.traces.Find(id)
	second := false
	for _, s := range t.Steps {
		if s.What == "submitted" {
			fmt.Fprintf(d.out, "    %s\n", s.Detail)
			second = strings.HasSuffix(s.Detail, "try 2")
		}
	}
	if !second {
		return errors.New("the message did not go at the second try")
	}
	if err := d.check(ctx, id, code, http.StatusNoContent, ""); err != nil {
		return err
	}
	return d.trace(ctx, id, "used", "DELIVRD")
}

func tellLate(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, "+34600009905") // the simulator sends its receipt 5 s late
	if err != nil {
		return err
	}
	if err := d.check(ctx, id, code, http.StatusNoContent, ""); err != nil {
		return err
	}
	if err := d.trace(ctx, id, "used", ""); err != nil { // nothing came yet
		return err
	}
	d.say("validated; the receipt is still to come")
	return d.trace(ctx, id, "used", "DELIVRD")
}

func tellMissing(ctx context.Context, d *demonstration) error {
	id, code, err := d.send(ctx, "+34600009902") // the simulator sends no receipt
	if err != nil {
		return err
	}
	if err := d.check(ctx, id, code, http.StatusNoContent, ""); err != nil {
		return err
	}
	if err := d.trace(ctx, id, "used", ""); err != nil {
		return err
	}
	const missing = "otpgw_smpp_dlr_missing_total"
	err = d.await(ctx, func() error {
		if n, err := d.counted(missing); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("%s is %v, not 1", missing, n))
		}
		return nil
	})
	if err == nil {
		d.say("%s 1", missing)
	}
	return err
}

// counted is what a counter of the daemon stands at, all its series together.
func (d *demonstration) counted(name string) (total float64, err error) {
	families, err := d.daemon.registry.Gather()
	for _, f := range families {
		if f.GetName() == name && f.GetType() == dto.MetricType_COUNTER {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total, err
}
