package httpapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"otpgw/httpapi"
	"otpgw/httpapi/numbers"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// codes is a store that does what a test says. A call that the test does not expect panics, which ends as a 500.
type codes struct {
	issue   func(ctx context.Context, r otpstore.Request) (otpstore.Issued, error)
	sent    func(ctx context.Context, id string, r otpstore.SendResult) error
	discard func(ctx context.Context, id string) error
	unknown func(ctx context.Context, id string) error
	verify  func(ctx context.Context, client, id, code string) error
	lookup  func(ctx context.Context, id string) (otpstore.Verification, error)
	cancel  func(ctx context.Context, client, id string) (bool, error)
	list    func(ctx context.Context, client string, o otpstore.ListOptions) (otpstore.List, error)
	skew    time.Duration // by so much the system's clock is ahead
}

func (c *codes) Now() time.Time { return time.Now().Add(-c.skew) }

func (c *codes) Issue(ctx context.Context, r otpstore.Request) (otpstore.Issued, error) {
	return c.issue(ctx, r)
}
func (c *codes) Lookup(ctx context.Context, id string) (otpstore.Verification, error) {
	return c.lookup(ctx, id)
}
func (c *codes) Cancel(ctx context.Context, client, id string) (bool, error) {
	return c.cancel(ctx, client, id)
}
func (c *codes) List(ctx context.Context, client string, o otpstore.ListOptions) (otpstore.List, error) {
	return c.list(ctx, client, o)
}
func (c *codes) Sent(ctx context.Context, id string, r otpstore.SendResult) error {
	return c.sent(ctx, id, r)
}
func (c *codes) Discard(ctx context.Context, id string) error { return c.discard(ctx, id) }
func (c *codes) Unknown(ctx context.Context, id string) error { return c.unknown(ctx, id) }
func (c *codes) Verify(ctx context.Context, client, id, code string) error {
	return c.verify(ctx, client, id, code)
}

// sender is a pool that does what a test says.
type sender struct {
	check func(m smpp.Message) error
	send  func(ctx context.Context, m smpp.Message) (smpp.Accepted, error)

	mu       sync.Mutex // guards the rest
	canceled []string
}

func (s *sender) Cancel(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canceled = append(s.canceled, ref)
}

func (s *sender) Check(m smpp.Message) error { return s.check(m) }
func (s *sender) Send(ctx context.Context, m smpp.Message) (smpp.Accepted, error) {
	return s.send(ctx, m)
}

const (
	base       = "/one-time-password-sms/v1"
	sendPath   = base + "/send-code"
	verifyPath = base + "/validate-code"

	correlator = "b4333c46-49c0-4f62-80d7-f0ef930f1c46"
	authID     = "019a7c2e-1111-7222-8333-444455556666"
	theCode    = "730152"
	theNumber  = "+34600000001"
	theToken   = "the-token-of-acme"
	scope      = "one-time-password-sms:send-validate"

	sendBody   = `{"phoneNumber":"+34600000001","message":"{{code}} is your code"}`
	verifyBody = `{"authenticationId":"` + authID + `","code":"` + theCode + `"}`
)

// A plant is a server with its fakes, all of which succeed until a test says otherwise.
type plant struct {
	t         testing.TB
	cfg       httpapi.Config
	live      httpapi.Live
	codes     *codes
	sender    *sender
	numbers   numbers.Config
	directory *numbers.Directory
	steps     *told
	reg       *prometheus.Registry
	logged    *syncBuffer
	audited   *syncBuffer
	*httpapi.Server
}

// told is what the trace was told of.
type told struct {
	mu  sync.Mutex // guards all
	all []string
}

func (t *told) add(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, s)
}

func (t *told) Begin(id, client, _, masked, correlator, _ string) {
	t.add(strings.Join([]string{id, client, masked, correlator}, " "))
}

func (t *told) Add(id string, _ time.Time, what, detail string, names ...string) {
	t.add(id + " " + what + ": " + detail + " " + strings.Join(names, ","))
}

// syncBuffer is a buffer that several goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newPlant(t testing.TB, change ...func(*plant)) *plant {
	t.Helper()
	p := &plant{
		t:   t,
		cfg: httpapi.DefaultConfig(),
		live: httpapi.Live{
			Clients: []httpapi.Client{
				{ID: "acme", Enabled: true, Sender: "ACME", Text: "free", Burst: 100},
				{ID: "retired", Sender: "OLD", Text: "free", Burst: 1},
			},
			Authenticate: tokens.File([]tokens.Token{
				token(theToken, "acme", time.Hour, scope, "openid"),
				token("expired-token", "acme", -time.Second, scope),
				token("unscoped-token", "acme", time.Hour, scope+"x", "one-time-password-sms"),
				token("retired-token", "retired", time.Hour, scope),
				token("stray-token", "nobody", time.Hour, scope),
			}),
			Default: otpstore.DefaultPolicy().Terms(),
		},
		numbers: numbers.DefaultConfig(),
		codes: &codes{
			issue: func(context.Context, otpstore.Request) (otpstore.Issued, error) {
				return otpstore.Issued{ID: authID, Code: theCode, ExpiresAt: time.Now().Add(5 * time.Minute)}, nil
			},
			sent: func(context.Context, string, otpstore.SendResult) error { return nil },
			verify: func(_ context.Context, _, id, _ string) error {
				if id != authID {
					return otpstore.ErrNotFound
				}
				return nil
			},
		},
		sender: &sender{
			check: func(smpp.Message) error { return nil },
			send: func(context.Context, smpp.Message) (smpp.Accepted, error) {
				return smpp.Accepted{SMSC: "smsc-a", MessageIDs: []string{"4711"}}, nil
			},
		},
		reg:     prometheus.NewRegistry(),
		logged:  new(syncBuffer),
		audited: new(syncBuffer),
		steps:   new(told),
	}
	p.numbers.Own, p.numbers.Landline = []string{"+346", "+34691234"}, []string{"+34691"}
	p.numbers.NotAllowed, p.numbers.Blocked = []string{"+346066"}, []string{"+346077"}
	for _, f := range change {
		f(p)
	}
	log := slog.New(slog.NewJSONHandler(p.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	plan, err := numbers.Load(p.numbers, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.directory, err = numbers.New(plan, p.numbers, nil, log); err != nil {
		t.Fatal(err)
	}
	s, err := httpapi.New(p.cfg, p.live, httpapi.Parts{
		Codes: p.codes, Sender: p.sender, Numbers: p.directory, Trace: p.steps, Audit: slog.New(slog.NewJSONHandler(p.audited, nil)),
	}, p.reg, log)
	if err != nil {
		t.Fatal(err)
	}
	p.Server = s
	return p
}

func token(secret, client string, life time.Duration, scopes ...string) tokens.Token {
	return tokens.Token{SHA256: sha256.Sum256([]byte(secret)), Client: client, Scopes: scopes, Expires: time.Now().Add(life)}
}

// request is a good request but for the headers in pairs; a value "-" takes the header away.
func request(path, body string, pairs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+theToken)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("x-correlator", correlator)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			r.Header.Del(pairs[i])
		} else {
			r.Header.Set(pairs[i], pairs[i+1])
		}
	}
	return r
}

// An answer is a response that was found to be as every answer has to be.
type answer struct {
	status int
	header http.Header
	body   string
	code   string // of the ErrorInfo
}

func (a answer) is(status int, code string) bool { return a.status == status && a.code == code }

func (p *plant) do(r *http.Request) answer {
	p.t.Helper()
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, r)
	a := check(p.t, w.Result())
	if what := httpapi.Undescribed(p.cfg.Versions, r.Method, r.URL.Path, a.status, a.code, a.header); what != "" {
		p.t.Errorf("%s %s: the answer is not as described: %s", r.Method, r.URL.Path, what)
	}
	return a
}

func (p *plant) post(path, body string, pairs ...string) answer {
	p.t.Helper()
	return p.do(request(path, body, pairs...))
}

var (
	correlatorForm = regexp.MustCompile(`^[a-zA-Z0-9-_:;.\/<>{}]{1,256}$`)
	uuidForm       = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// check holds what is true of every answer and takes it apart.
func check(t testing.TB, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
	if v := resp.Header.Values("x-correlator"); len(v) != 1 || !correlatorForm.MatchString(v[0]) {
		t.Errorf("x-correlator: %q", v)
	}
	if v := resp.Header.Values("Cache-Control"); len(v) != 1 || v[0] != "no-store" {
		t.Errorf("Cache-Control: %q", v)
	}
	if a.status == http.StatusNoContent {
		if _, has := resp.Header["Content-Type"]; has || a.body != "" {
			t.Errorf("a 204 with body %q and Content-Type %q", a.body, resp.Header["Content-Type"])
		}
		return a
	}
	if v := resp.Header.Values("Content-Type"); len(v) != 1 || v[0] != "application/json" {
		t.Errorf("Content-Type: %q", v)
	}
	if a.status == http.StatusOK || resp.Request != nil && resp.Request.Method == http.MethodHead {
		return a
	}
	var info struct {
		Status        int
		Code, Message string
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&info); err != nil || info.Status != a.status || info.Code == "" || info.Message == "" {
		t.Errorf("ErrorInfo of a %d: %s (%v)", a.status, a.body, err)
	}
	a.code = info.Code
	_, retry := resp.Header["Retry-After"]
	waiting := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable ||
		a.code == "ONE_TIME_PASSWORD_SMS.MAX_OTP_CODES_EXCEEDED" || a.status == http.StatusConflict && strings.Contains(a.body, "in work")
	if retry != waiting {
		t.Errorf("%d %s with Retry-After %q", a.status, a.code, resp.Header.Get("Retry-After"))
	}
	if retry {
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 {
			t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
		}
	}
	if _, challenged := resp.Header["Www-Authenticate"]; challenged != (a.status == 401 || a.code == "PERMISSION_DENIED") {
		t.Errorf("%d %s with WWW-Authenticate %q", a.status, a.code, resp.Header.Get("WWW-Authenticate"))
	}
	return a
}

// metric is the value of the counter or gauge of that name and these labels (name, value, …); 0 when there is none.
func (p *plant) metric(name string, labels ...string) float64 {
	p.t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue series
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}

var errBroken = errors.New("broken")

func get(path string) *http.Request {
	r := request(path, "")
	r.Method = http.MethodGet
	return r
}

// rewound is the body of a request from its beginning, for one that several subtests share.
func rewound(t testing.TB, r *http.Request) io.ReadCloser {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return io.NopCloser(bytes.NewReader(text))
}
