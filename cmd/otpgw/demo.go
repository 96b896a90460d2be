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
	"otpgw/otpstore"
	"otpgw/smpp/smsc"
)

const (
	demoNumber  = "+34600000001" // the simulator delivers to it (smsc.Behaviours)
	demoClient  = "demo"
	demoTimeout = 30 * time.Second // for the story; the usual one takes well under a second
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
func demo(ctx context.Context, out io.Writer, story scenario, keep bool) (err error) {
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

	cfg, err := demoConfig(filepath.Join(dir, "data"), smppListener.Addr().String(), d.token, story.settle)
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
			err := d.tell(ctx, story)
			if err == nil && keep {
				d.invite(story)
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
		fmt.Fprintf(out, "OK: %s.\n", story.seen)
	}
	return nil
}

// tell plays the client's part of a story. Every step is checked: an answer, an SMS or a receipt that does not come is an error.
func (d *demonstration) tell(ctx context.Context, story scenario) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()

	if err := d.awaitReady(ctx); err != nil {
		return err
	}
	for _, b := range d.daemon.pool.Binds() {
		d.say("bind smsc-a/%-6s %s as \"otpgw\"  window %d", b.Name, b.State, b.Window)
	}
	d.say("API              %s   metrics http://%s/metrics", d.base, d.daemon.adminListener.Addr())
	return story.tell(ctx, d)
}

// send has a code sent to number and reads it from the phone.
func (d *demonstration) send(ctx context.Context, number string) (id, code string, err error) {
	var sent struct {
		AuthenticationID string `json:"authenticationId"`
	}
	before := len(d.smsc.Messages(number))
	answer, err := d.post(ctx, "/send-code", sendCodeBody{number, "{{code}} is your code for Demo Shop"}, http.StatusOK)
	if err != nil {
		return "", "", err
	}
	if err := json.Unmarshal(answer, &sent); err != nil || sent.AuthenticationID == "" {
		return "", "", fmt.Errorf("send-code answered %q", answer)
	}
	messages, err := d.smsc.Wait(ctx, number, before+1)
	if err != nil {
		return "", "", fmt.Errorf("no SMS arrived: %w", err)
	}
	sms := messages[len(messages)-1]
	fmt.Fprintf(d.out, "    SMS on %s   %q     %s, %s, from %q\n",
		sms.To, sms.Text, sms.Encoding, count(sms.Segments, "segment"), sms.From)
	code, _, found := strings.Cut(sms.Text, " is your code for Demo Shop")
	if !found {
		return "", "", fmt.Errorf("the SMS does not say the code: %q", sms.Text)
	}
	return sent.AuthenticationID, code, nil
}

// check has a code checked, and wants that status and, in the answer, what it says.
func (d *demonstration) check(ctx context.Context, id, code string, status int, says string) error {
	answer, err := d.post(ctx, "/validate-code", validateCodeBody{id, code}, status)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(says)) {
		return fmt.Errorf("validate-code answered %s, not %s", answer, says)
	}
	return nil
}

// wrong is a code of the same length that is not code.
func wrong(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code)
}

// awaitReady waits until the daemon can send.
func (d *demonstration) awaitReady(ctx context.Context) error {
	if err := d.await(ctx, d.daemon.pool.Ready); err != nil {
		return fmt.Errorf("no bind: %w", err)
	}
	return nil
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

// trace waits until the store knows that a verification ended so and that a receipt said so, "" for none, and prints what it knows.
func (d *demonstration) trace(ctx context.Context, id, state, receipt string) error {
	var v otpstore.Verification
	err := d.await(ctx, func() (err error) {
		if v, err = d.daemon.store.Lookup(ctx, id); err != nil {
			return err
		}
		if v.State != state || v.Receipt != receipt {
			return fmt.Errorf("the verification is %s with receipt %q, not %s with %q", v.State, v.Receipt, state, receipt)
		}
		return nil
	})
	if err != nil {
		return err
	}
	since := func(t time.Time) float64 { return milliseconds(t.Sub(v.IssuedAt)) }
	fmt.Fprintf(d.out, "trace %s   accepted +0.0  submitted +%.1f (%s)  resp +%.1f (id %s)  ",
		id, since(v.SubmittedAt), v.SMSC, since(v.SentAt), strings.Join(v.MessageIDs, " "))
	if !v.DeliveredAt.IsZero() {
		fmt.Fprintf(d.out, "%s +%.1f  ", v.Receipt, since(v.DeliveredAt))
	}
	if state == "used" {
		state = "validated"
	}
	fmt.Fprintf(d.out, "%s +%.1f ms\n", state, since(v.FinishedAt))
	return nil
}

// await polls until is says nil, and else gives what it said last.
func (d *demonstration) await(ctx context.Context, is func() error) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		why := is()
		if why == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return why
		case <-poll.C:
		}
	}
}

// invite says what can be tried while the demo stays up.
func (d *demonstration) invite(story scenario) {
	fmt.Fprintf(d.out, "OK: %s.\n", story.seen)
	fmt.Fprintf(d.out, `Staying up; Ctrl-C ends it. The phone's inbox: %[1]s/
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
func demoConfig(dir, smscAddress, token string, settle func(*config.Config)) (config.Config, error) {
	cfg := config.Default()
	cfg.Store.Dir = dir
	cfg.Log.Audit = filepath.Join(filepath.Dir(dir), "audit.log")
	cfg.OTP.ResendAfter = 0 // so that whoever plays with --keep is not told to wait
	cfg.HTTP.Listen = freeAddress("127.0.0.1:8080")
	cfg.Admin.Listen = freeAddress("127.0.0.1:9464")
	cfg.Admin.Control = filepath.Join(filepath.Dir(dir), "control.sock")
	account := config.DefaultSMSC()
	account.Name, account.Endpoints = "smsc-a", []string{smscAddress}
	account.SystemID, account.Password = "otpgw", "demo"
	account.Binds = 1
	account.ReconnectMin = 50 * time.Millisecond
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
	settle(&cfg)
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
