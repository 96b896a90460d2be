package main

// The tests of the whole start here: they build the real binary, run it as a process of its own beside the SMSC
// simulator, and speak HTTP to it as a client would.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"otpgw/smpp/smsc"
)

// patience is how long a test waits for what should take milliseconds; only a failing test waits as long.
const patience = 30 * time.Second

// program is the path of the otpgw that the tests run; TestMain builds it.
var program string

func TestMain(m *testing.M) {
	inspectStore()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "otpgw-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "otpgw")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-X main.version=test", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// A plant is one otpgw with its SMSC, as an operator would run it.
type plant struct {
	t      testing.TB
	dir    string // configuration, credentials and data
	config string // path of the configuration file
	smsc   *smsc.Server
	smpp   string // where the simulator listens
	http   string // host:port of the API
	admin  string // host:port of the admin listener
	socket string // of its control
	base   string // path of the version that is spoken
	token  string
	client *http.Client

	observe func(r *http.Request, path, body string, a answer) // is shown every exchange, where it is set

	mu   sync.Mutex // guards what follows
	proc *exec.Cmd
	exit chan error
	log  bytes.Buffer // everything that the process wrote
}

// A plantOption changes the configuration before the first start.
type plantOption func(*plantConfig)

type plantConfig struct {
	otp     map[string]string // keys of [otp], values as TOML
	numbers string            // lines of [numbers]
	smsc    string            // more lines of [[smsc]]
	http    string            // more lines of [http]
	clients string            // more [[client]] tables
	tokens  string            // more [[token]] tables
	sim     smsc.Config
	level   string
	relay   func(t *testing.T, smsc string) string // stands between daemon and SMSC where it is set
}

func otp(key, value string) plantOption { return func(c *plantConfig) { c.otp[key] = value } }

// newPlant writes a configuration, starts a simulator in this process and the real otpgw beside it, and waits until it
// is ready. Everything ends with the test.
func newPlant(t testing.TB, options ...plantOption) *plant {
	t.Helper()
	c := plantConfig{
		otp: map[string]string{
			"resend_after": `"0s"`, "send_limit": "100", "number_limit": "100", "day_limit": "0", "number_day_limit": "0",
		},
		sim:   smsc.Config{SystemID: "otpgw", Password: "secret1", ReceiptDelay: time.Millisecond},
		level: "debug",
	}
	for _, o := range options {
		o(&c)
	}
	p := &plant{t: t, dir: t.TempDir(), base: apiPath, token: rand.Text(), http: freePort(t), admin: freePort(t)}
	p.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}
	p.config = filepath.Join(p.dir, "otpgw.toml")
	short, err := os.MkdirTemp("", "ctl") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	p.socket = filepath.Join(short, "control.sock")
	p.startSMSC(c.sim)
	if c.relay != nil {
		p.smpp = c.relay(t.(*testing.T), p.smpp)
	}

	p.write("smpp.password", "secret1\n", 0o600)
	p.write("tokens.toml", tokenStanza(p.token, "acme", time.Now().Add(time.Hour))+c.tokens, 0o600)
	var policy strings.Builder
	for k, v := range c.otp {
		fmt.Fprintf(&policy, "%s = %s\n", k, v)
	}
	p.write("otpgw.toml", fmt.Sprintf(`
[log]
level = %q
format = "json"
[store]
dir = %q
[otp]
%s
[http]
listen = %q
%s
[admin]
listen = %q
control = %q
[numbers]
%s
[tokens]
file = %q
[[smsc]]
name = "smsc-a"
endpoints = [%q]
system_id = "otpgw"
password = "file:%s"
rate = 0.0
window = 50
reconnect_min = "50ms"
%s
[[client]]
id = "acme"
sender = "ACME"
%s
`, c.level, filepath.Join(p.dir, "data"), policy.String(), p.http, c.http, p.admin, p.socket, c.numbers, filepath.Join(p.dir, "tokens.toml"),
		p.smpp, filepath.Join(p.dir, "smpp.password"), c.smsc, c.clients), 0o600)
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *plant) write(name, content string, mode os.FileMode) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), mode); err != nil {
		p.t.Fatal(err)
	}
}

// replace changes the configuration file; every old must be in it.
func (p *plant) replace(old, new string) {
	p.t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		p.t.Fatalf("the configuration has no %q", old)
	}
	p.write("otpgw.toml", strings.Replace(string(text), old, new, 1), 0o600)
}

func (p *plant) startSMSC(cfg smsc.Config) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.smpp = l.Addr().String()
	p.smsc = smsc.New(cfg, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.smsc.Serve(ctx, l) }()
	p.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			p.t.Errorf("simulator: %v", err)
		}
	})
}

// Write collects the log of the process.
func (p *plant) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *plant) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start starts the process and waits until it says that it is ready.
func (p *plant) start() {
	p.t.Helper()
	p.launch()
	p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })
}

// launch starts the process, by way of another program where one is named.
func (p *plant) launch(by ...string) {
	p.t.Helper()
	by = append(by, program, "serve", "--config", p.config)
	cmd := exec.Command(by[0], by[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = p, p, p.dir
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()
	p.mu.Lock()
	p.proc, p.exit = cmd, exit
	p.mu.Unlock()
}

// probe is the status of a GET on the admin listener, 0 when nobody answers.
func (p *plant) probe(path string) int {
	resp, err := p.client.Get("http://" + p.admin + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// await polls until is says yes; it fails the test when that takes too long or the process ended.
func (p *plant) await(what string, is func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case err := <-p.exit:
			p.exit <- err
			p.t.Fatalf("waiting for %s: otpgw ended: %v\n%s", what, err, p.logged())
		case <-deadline:
			p.t.Fatalf("%s: not within %v\n%s", what, patience, tail(p.logged()))
		case <-poll.C:
		}
	}
}

func (p *plant) signal(s os.Signal) {
	p.t.Helper()
	if err := p.proc.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop drains the process and returns its exit code.
func (p *plant) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exit:
		p.exit <- nil
		return p.proc.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("otpgw did not end within %v of SIGTERM\n%s", patience, tail(p.logged()))
		return -1
	}
}

// kill ends the process as a power switch would and waits for its end. It may be called when it has ended already.
func (p *plant) kill() {
	if err := p.proc.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill: %v", err)
	}
	p.exit <- <-p.exit
}

// An answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
	code   string // of the ErrorInfo, "" when there is none
	id     string // authenticationId
}

// call is one request. err is the transport's: nobody answered, and the outcome is unknown.
func (p *plant) call(method, path, body string, header http.Header) (answer, error) {
	req, err := http.NewRequest(method, "http://"+p.http+p.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.token)
	for k, v := range header {
		if v == nil {
			req.Header.Del(k)
		} else {
			req.Header[http.CanonicalHeaderKey(k)] = v
		}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
	var fields struct{ Code, AuthenticationID string }
	if len(text) > 0 {
		if err := json.Unmarshal(text, &fields); err != nil {
			return a, fmt.Errorf("body of a %d: %w: %q", a.status, err, text)
		}
	}
	a.code, a.id = fields.Code, fields.AuthenticationID
	if p.observe != nil {
		p.observe(req, path, body, a)
	}
	return a, nil
}

func (p *plant) post(path, body string, header http.Header) answer {
	p.t.Helper()
	a, err := p.call(http.MethodPost, path, body, header)
	if err != nil {
		p.t.Fatalf("POST %s: %v\n%s", path, err, tail(p.logged()))
	}
	return a
}

func sendBody(number string) string {
	return fmt.Sprintf(`{"phoneNumber":%q,"message":"{{code}} is your code"}`, number)
}

func validateBody(id, code string) string {
	return fmt.Sprintf(`{"authenticationId":%q,"code":%q}`, id, code)
}

// send gets a code onto number and returns its id and, as the phone shows it, the code.
func (p *plant) send(number string) (id, code string) {
	p.t.Helper()
	before := len(p.smsc.Messages(number))
	a := p.post("/send-code", sendBody(number), nil)
	if a.status != http.StatusOK || a.id == "" {
		p.t.Fatalf("send-code: %d %s", a.status, a.body)
	}
	return a.id, p.read(number, before+1)
}

// read is the code of the nth message that the phone with that number received.
func (p *plant) read(number string, nth int) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	messages, err := p.smsc.Wait(ctx, number, nth)
	if err != nil {
		p.t.Fatalf("message %d to %s: %v", nth, number, err)
	}
	code, _, _ := strings.Cut(messages[nth-1].Text, " ")
	return code
}

func (p *plant) validate(id, code string) answer {
	p.t.Helper()
	return p.post("/validate-code", validateBody(id, code), nil)
}

// metrics is what Prometheus would scrape.
func (p *plant) metrics() string {
	p.t.Helper()
	resp, err := p.client.Get("http://" + p.admin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("/metrics: %d, %v", resp.StatusCode, err)
	}
	return string(text)
}

// wrongFor is a code of the same length that is not code.
func wrongFor(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code)
}

// number is one of ten million that the simulator treats as ordinary ones: they end in 0.
func number(n int) string { return fmt.Sprintf("+346%07d0", n) }

// freePort is an address that nobody listens on. Its port is below those that the kernel gives to outgoing connections,
// so that none of them can take it before the daemon does.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(20_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

func tail(s string) string {
	if len(s) > 4000 {
		return "…" + s[len(s)-4000:]
	}
	return s
}
