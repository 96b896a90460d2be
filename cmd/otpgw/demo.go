package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"otpgw/config"
	"otpgw/httpapi"
	"otpgw/httpapi/tokens"
	"otpgw/smpp/smsc"
)

const (
	demoNumber  = "+34600000001" // the simulator delivers to it (smsc.Behaviours)
	demoClient  = "demo"
	demoTimeout = 20 * time.Second // for the story; it takes well under a second
	apiPath     = "/one-time-password-sms/v1"
)

// The bodies of CAMARA One Time Password SMS, as a client writes them.
type (
	sendCodeBody struct {
		PhoneNumber string `json:"phoneNumber"`
		Message     string `json:"message"`
	}
	validateCodeBody struct {
		AuthenticationID string `json:"authenticationId"`
		Code             string `json:"code"`
	}
)

// A demonstration is the daemon, an SMSC simulator and a client in one process, telling what happens between them.
type demonstration struct {
	out     io.Writer
	began   time.Time
	daemon  *daemon
	smsc    *smsc.Server
	base    string // of the API
	token   string
	client  *http.Client
	phoneAt string // of the simulator's web page
}

// demo runs the main job for real and prints it to out. It returns nil only if every step was seen.
func demo(ctx context.Context, out io.Writer, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "otpgw-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demonstration{out: out, began: time.Now(), token: rand.Text(), client: &http.Client{Timeout: demoTimeout}}
	fmt.Fprintf(out, "%s  built-in configuration, data in a temporary directory\n", versionLine())

	// The simulator is the lowest layer: the binds of the daemon drain before it goes.
	smppListener, err := listenNear("127.0.0.1:2775")
	if err != nil {
		return err
	}
	defer smppListener.Close()
	phoneListener, err := listenNear("127.0.0.1:8025")
	if err != nil {
		return err
	}
	defer phoneListener.Close()
	quiet := slog.New(slog.DiscardHandler)
	d.smsc = smsc.New(smsc.Config{SystemID: "otpgw", Password: "demo", ReceiptDelay: 50 * time.Millisecond}, quiet)
	d.phoneAt = "http://" + phoneListener.Addr().String()
	d.say("SMSC simulator   %s   %s  (the phone)", smppListener.Addr(), d.phoneAt)

	cfg, err := demoConfig(filepath.Join(dir, "data"), smppListener.Addr().String(), d.token)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(slog.LevelError) // the story is on the screen; only what is wrong is worth a line of log
	if d.daemon, err = newDaemon(cfg, newLogger(os.Stderr, logForm{}, level), level); err != nil {
		return err
	}
	d.base = "http://" + d.daemon.apiListener.Addr().String() + apiPath

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan error, 1)
	ran := runLayers(ctx, []layer{
		{"smsc", func(ctx context.Context) error { return d.smsc.Serve(ctx, smppListener) }},
		{"phone", func(ctx context.Context) error { return servePhone(ctx, phoneListener, d.smsc.Handler()) }},
		{"otpgw", d.daemon.run},
		{"story", func(ctx context.Context) error {
			err := d.tell(ctx)
			if err == nil && keep {
				d.invite()
				<-ctx.Done()
			}
			told <- err
			stop()
			<-ctx.Done() // every layer ends when it is told to
			return nil
		}},
	})
	if err := errors.Join(<-told, ran); err != nil {
		return fmt.Errorf("the demo did not work: %w", err)
	}
	if !keep {
		fmt.Fprintln(out, "OK: sent, delivered and validated.")
	}
	return nil
}

// tell plays the client's part. Every step is checked: an answer, an SMS or a receipt that does not come is an error.
func (d *demonstration) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()

	if err := d.awaitReady(ctx); err != nil {
		return err
	}
	for _, b := range d.daemon.pool.Binds() {
		d.say("bind smsc-a/%-6s %s as \"otpgw\"  window %d", b.Name, b.State, b.Window)
	}
	d.say("API              %s   metrics http://%s/metrics", d.base, d.daemon.adminListener.Addr())

	var sent struct {
		AuthenticationID string `json:"authenticationId"`
	}
	answer, err := d.post(ctx, "/send-code", sendCodeBody{demoNumber, "{{code}} is your code for Demo Shop"}, http.StatusOK)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, &sent); err != nil || sent.AuthenticationID == "" {
		return fmt.Errorf("send-code answered %q", answer)
	}
	messages, err := d.smsc.Wait(ctx, demoNumber, 1)
	if err != nil {
		return fmt.Errorf("no SMS arrived: %w", err)
	}
	sms := messages[len(messages)-1]
	fmt.Fprintf(d.out, "    SMS on %s   %q     %s, %s, from %q\n",
		sms.To, sms.Text, sms.Encoding, count(sms.Segments, "segment"), sms.From)
	code, _, found := strings.Cut(sms.Text, " is your code for Demo Shop")
	if !found {
		return fmt.Errorf("the SMS does not say the code: %q", sms.Text)
	}

	wrong := strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code)
	for _, step := range []struct {
		code   string
		status int
		says   string
	}{
		{wrong, http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.INVALID_OTP"},
		{code, http.StatusNoContent, ""},
		{code, http.StatusBadRequest, "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED"}, // a code works once
	} {
		answer, err := d.post(ctx, "/validate-code", validateCodeBody{sent.AuthenticationID, step.code}, step.status)
		if err != nil {
			return err
		}
		if !bytes.Contains(answer, []byte(step.says)) {
			return fmt.Errorf("validate-code answered %s, not %s", answer, step.says)
		}
	}
	return d.trace(ctx, sent.AuthenticationID)
}

// awaitReady waits until the daemon says on its admin listener that it can send.
func (d *demonstration) awaitReady(ctx context.Context) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	var why error
	for {
		if why = d.daemon.pool.Ready(); why == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no bind: %w", why)
		case <-poll.C:
		}
	}
}

// post sends one request, prints it with its answer, and returns the answer's body if the status is the wanted one.
func (d *demonstration) post(ctx context.Context, operation string, body any, want int) ([]byte, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+operation, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+d.token)
	fmt.Fprintf(d.out, "--> POST %-16s %s\n", operation, encoded)
	asked := time.Now()
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(d.out, "<-- %d %-64s %5.1f ms\n", resp.StatusCode, answer, milliseconds(time.Since(asked)))
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s answered %d, not %d", operation, resp.StatusCode, want)
	}
	return answer, nil
}

// trace waits for the receipt and prints what the store knows of the verification.
func (d *demonstration) trace(ctx context.Context, id string) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		v, err := d.daemon.store.Lookup(ctx, id)
		if err != nil {
			return err
		}
		if !v.DeliveredAt.IsZero() && !v.FinishedAt.IsZero() {
			since := func(t time.Time) float64 { return milliseconds(t.Sub(v.IssuedAt)) }
			fmt.Fprintf(d.out, "trace %s   accepted +0.0  submitted +%.1f (%s)  resp +%.1f (id %s)  %s +%.1f  validated +%.1f ms\n",
				id, since(v.SubmittedAt), v.SMSC, since(v.SentAt), strings.Join(v.MessageIDs, " "),
				v.Receipt, since(v.DeliveredAt), since(v.FinishedAt))
			if v.Receipt != "DELIVRD" || v.State != "used" {
				return fmt.Errorf("the verification ended as %s with receipt %s", v.State, v.Receipt)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("no delivery receipt came")
		case <-poll.C:
		}
	}
}

// invite says what can be tried while the demo stays up.
func (d *demonstration) invite() {
	fmt.Fprintf(d.out, `OK: sent, delivered and validated.
Staying up; Ctrl-C ends it. The phone's inbox: %[1]s/
Send a code:
  curl -i %[2]s/send-code -H 'Authorization: Bearer %[3]s' -H 'Content-Type: application/json' \
    -d '{"phoneNumber":"+34600000002","message":"{{code}} is your code"}'
Read it:
  curl -s '%[1]s/messages?to=+34600000002'
Check it:
  curl -i %[2]s/validate-code -H 'Authorization: Bearer %[3]s' -H 'Content-Type: application/json' \
    -d '{"authenticationId":"...","code":"..."}'
Metrics: http://%[4]s/metrics   readiness: http://%[4]s/readyz
Look inside:
  otpgw status --socket %[5]s
  otpgw trace +34600000002 --socket %[5]s
Numbers that make the SMSC misbehave: smscsim --list
`, d.phoneAt, d.base, d.token, d.daemon.adminListener.Addr(), d.daemon.started.Admin.Control)
}

func (d *demonstration) say(format string, args ...any) {
	fmt.Fprintf(d.out, "[%4.0f ms] %s\n", milliseconds(time.Since(d.began)), fmt.Sprintf(format, args...))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// demoConfig is a configuration like any other, valid by config's own rules, for one client and the simulator.
func demoConfig(dir, smscAddress, token string) (config.Config, error) {
	cfg := config.Default()
	cfg.Store.Dir = dir
	cfg.OTP.ResendAfter = 0 // so that whoever plays with --keep is not told to wait
	cfg.HTTP.Listen = freeAddress("127.0.0.1:8080")
	cfg.Admin.Listen = freeAddress("127.0.0.1:9464")
	cfg.Admin.Control = filepath.Join(filepath.Dir(dir), "control.sock")
	account := config.DefaultSMSC()
	account.Name, account.Endpoints = "smsc-a", []string{smscAddress}
	account.SystemID, account.Password = "otpgw", "demo"
	account.Binds = 1
	cfg.SMSC = append(cfg.SMSC[:0], account)
	client := httpapi.DefaultClient()
	client.ID, client.Sender = demoClient, "DEMO"
	cfg.Clients = append(cfg.Clients[:0], client)
	cfg.TokenList = []tokens.Token{{
		SHA256:  sha256.Sum256([]byte(token)),
		Client:  demoClient,
		Scopes:  []string{scopeSendValidate},
		Expires: time.Now().Add(24 * time.Hour),
	}}
	return cfg, cfg.Validate()
}

// listenNear listens on address or, where that is taken, on a free port of the same host.
func listenNear(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// freeAddress is address if it can be listened on, else one with a port that the system chooses.
func freeAddress(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close() // nothing was accepted on it
	return address
}

// servePhone serves the simulator's web page until ctx ends.
func servePhone(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // its error would be the listener's, closed anyway
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
