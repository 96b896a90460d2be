package callbacks_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	hiding "otpgw/config/secret"
	"otpgw/httpapi/callbacks"
)

// patience bounds every wait; only a failing test waits as long.
const patience = 30 * time.Second

// secret is a key as it is handed around, and as a setting holds it.
func secret(n byte) (text string, key callbacks.Secret) {
	octets := bytes.Repeat([]byte{n}, 32)
	return "whsec_" + base64.StdEncoding.EncodeToString(octets), callbacks.Secret{Text: hiding.Text(octets)}
}

// book is where the events are: a list, as a store would have them.
type book struct {
	mu     sync.Mutex
	events []callbacks.Event
	told   map[string]int // by id and name
	fails  error          // what every method gives, where it is not nil
	part   int            // events in one part of Untold
	looked int            // parts
}

func newBook(events ...callbacks.Event) *book {
	return &book{events: events, told: map[string]int{}, part: 100}
}

func key(e callbacks.Event) string { return e.ID + "-" + e.Name }

func (b *book) Untold(_ context.Context, from string, visit func(callbacks.Event) bool) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked++
	if b.fails != nil {
		return "", b.fails
	}
	at := 0
	fmt.Sscan(from, &at)
	for end := min(at+b.part, len(b.events)); at < end; at++ {
		if b.told[key(b.events[at])] == 0 && !visit(b.events[at]) {
			return fmt.Sprint(at), nil
		}
	}
	if at == len(b.events) {
		return "", nil
	}
	return fmt.Sprint(at), nil
}

func (b *book) Describe(_ context.Context, e callbacks.Event) ([]byte, time.Time, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return nil, time.Time{}, false, b.fails
	}
	if b.told[key(e)] > 0 {
		return nil, time.Time{}, false, nil
	}
	return []byte(fmt.Sprintf(`{"authenticationId":%q}`, e.ID)), e.At, true, nil
}

func (b *book) Told(_ context.Context, e callbacks.Event, done func(error)) error {
	b.mu.Lock()
	b.told[key(e)]++
	b.mu.Unlock()
	done(nil)
	return nil
}

func (b *book) marks() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.told)
}

// list is what was marked, and how often.
func (b *book) list() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.told)
}

func (b *book) toldOf(key string) int { return b.list()[key] }

func (b *book) parts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.looked
}

// A post is what a receiver got.
type post struct {
	header http.Header
	body   []byte
	at     time.Time
	event  struct{ SpecVersion, ID, Source, Type, Time, DataContentType string }
}

// A receiver takes posts, and answers as answer says, with 204 where it is nil.
type receiver struct {
	mu     sync.Mutex
	answer func(w http.ResponseWriter, n int)
	posts  []post
	came   chan struct{}
}

func newReceiver(answer func(w http.ResponseWriter, n int)) *receiver {
	return &receiver{answer: answer, came: make(chan struct{}, 100_000)}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p := post{header: req.Header.Clone(), at: time.Now()}
	p.body, _ = io.ReadAll(req.Body)
	if err := json.Unmarshal(p.body, &p.event); err != nil {
		panic(err)
	}
	r.mu.Lock()
	r.posts = append(r.posts, p)
	n, answer := len(r.posts), r.answer
	r.mu.Unlock()
	r.came <- struct{}{}
	if answer != nil {
		answer(w, n)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) all() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts)
}

// await waits for n posts in all.
func (r *receiver) await(t *testing.T, n int) []post {
	t.Helper()
	deadline := time.After(patience)
	for len(r.all()) < n {
		select {
		case <-r.came:
		case <-deadline:
			t.Fatalf("%d posts, want %d", len(r.all()), n)
		}
	}
	return r.all()
}

// RoundTrip hands a request to the receiver without a network, for tests of time.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Result(), nil
}

func status(codes ...int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, n int) { w.WriteHeader(codes[min(n, len(codes))-1]) }
}

// https serves r with a certificate of its own, and gives a sink that trusts it.
func https(t *testing.T, h http.Handler) callbacks.Config {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := sinkOf("main", server.URL, "acme")
	cfg.CA = ca
	return cfg
}

func sinkOf(name, url string, clients ...string) callbacks.Config {
	cfg := callbacks.DefaultConfig()
	cfg.Name, cfg.URL, cfg.Clients, cfg.Namespace = name, url, clients, "com.example.otp"
	_, cfg.Secret = secret(1)
	return cfg
}

// A running is callbacks that run until the test ends.
type running struct {
	*callbacks.Callbacks
	t    *testing.T
	reg  *prometheus.Registry
	stop func()
	end  context.CancelFunc // of Run's context

	mu    sync.Mutex
	steps []string
	log   bytes.Buffer
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *running) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *running) apply(sinks ...callbacks.Config) {
	r.t.Helper()
	p, err := callbacks.Prepare(sinks)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Apply(p)
}

func start(t *testing.T, b *book, over http.RoundTripper, sinks ...callbacks.Config) *running {
	t.Helper()
	for _, s := range sinks {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	r := &running{t: t, reg: prometheus.NewRegistry()}
	trace := func(id, what, detail string, _ ...string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.steps = append(r.steps, id+": "+what+": "+detail)
	}
	r.Callbacks = callbacks.New(b, callbacks.Prepared{}, trace, r.reg, slog.New(slog.NewTextHandler(r, nil)))
	if over != nil {
		r.OverTransport(over)
	}
	r.apply(sinks...)
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// value is that of a counter or gauge, of all its series together that have these labels' values.
func (r *running) value(name string, labels ...string) (sum float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			var have []string
			for _, l := range m.Label {
				have = append(have, l.GetValue())
			}
			if f.GetName() == name && !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(have, l) }) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func happened(n int, name string) callbacks.Event {
	return callbacks.Event{ID: fmt.Sprintf("id-%05d", n), Client: "acme", Outcome: name != "delivered", Name: name, At: time.Now()}
}

func (r *running) tell(b *book, e callbacks.Event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	b.mu.Unlock()
	r.Tell(e)
}

func TestEventIsPostedOnceAndSigned(t *testing.T) {
	b, r := newBook(), newReceiver(nil)
	cfg := https(t, r)
	text, _ := secret(1)
	oldText, old := secret(2)
	cfg.OldSecret = old
	c := start(t, b, nil, cfg)
	e := happened(1, "used")
	e.At = time.Date(2026, 11, 27, 20, 0, 0, 123456000, time.FixedZone("", 3600))
	b.mu.Lock()
	b.events = append(b.events, e)
	b.mu.Unlock()
	e.At = time.Now()
	c.Tell(e)
	c.Tell(e)
	got := r.await(t, 1)[0]
	c.stop()
	if n := len(r.all()); n != 1 || b.toldOf("id-00001-used") != 1 {
		t.Errorf("%d posts, marks %v", n, b.list())
	}
	if got.header.Get("Content-Type") != "application/cloudevents+json" || got.header.Get("Webhook-Id") != "id-00001-used" {
		t.Errorf("header %v", got.header)
	}
	ev := got.event
	if ev.SpecVersion != "1.0" || ev.ID != "id-00001-used" || ev.Source != "/otpgw" || ev.Type != "com.example.otp.v1.used" || ev.DataContentType != "application/json" {
		t.Errorf("event %+v", ev)
	}
	if _, err := time.Parse(time.RFC3339Nano, ev.Time); err != nil || !strings.HasSuffix(ev.Time, "Z") {
		t.Errorf("time %q: %v", ev.Time, err)
	}
	if !strings.Contains(string(got.body), `"data":{"authenticationId":"id-00001"}`) {
		t.Errorf("body %s", got.body)
	}
	other, _ := secret(3)
	for text, good := range map[string]bool{text: true, oldText: true, other: false} {
		hook, err := webhooks.NewWebhook(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := hook.Verify(got.body, got.header); (err == nil) != good {
			t.Errorf("verified with %s: %v", text[:12], err)
		}
		for i := range got.body {
			altered := bytes.Clone(got.body)
			altered[i] ^= 1
			if hook.Verify(altered, got.header) == nil {
				t.Fatalf("octet %d altered, and accepted", i)
			}
		}
		for name, value := range map[string]string{"Webhook-Id": "id-00002-used", "Webhook-Timestamp": fmt.Sprint(time.Now().Unix() + 1)} {
			header := got.header.Clone()
			header.Set(name, value)
			if hook.Verify(got.body, header) == nil {
				t.Errorf("%s altered, and accepted", name)
			}
		}
	}
	if c.value("otpgw_callbacks_total", "taken") != 1 || c.value("otpgw_callbacks_pending") != 0 {
		t.Error("metrics do not say that one was taken and none waits")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.steps) != 1 || !strings.HasPrefix(c.steps[0], "id-00001: told: main used, 204 No Content in ") {
		t.Errorf("trace %q", c.steps)
	}
}

func TestReceiverWithoutTrustGetsNothing(t *testing.T) {
	r := newReceiver(nil)
	cfg := https(t, r)
	cfg.CA = "" // the system's do not know it
	if _, err := callbacks.Test(t.Context(), cfg); err == nil || strings.Contains(err.Error(), cfg.URL) {
		t.Errorf("got %v", err)
	}
	if len(r.all()) != 0 {
		t.Errorf("%d posts", len(r.all()))
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	target := newReceiver(nil)
	elsewhere := httptest.NewServer(target)
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(code)
		})
		b := newBook()
		c := start(t, b, nil, https(t, r))
		c.tell(b, happened(1, "used"))
		r.await(t, 1)
		c.stop()
		if b.marks() != 0 || len(target.all()) != 0 || c.value("otpgw_callbacks_total", "refused") != 1 {
			t.Errorf("%d: %d marks, %d posts elsewhere", code, b.marks(), len(target.all()))
		}
	}
}

func TestAnswerOfAGigabyteIsCutOff(t *testing.T) {
	written := make(chan int64, 1)
	r := newReceiver(func(w http.ResponseWriter, _ int) {
		var n int64
		block := make([]byte, 1<<16)
		for n < 1<<30 {
			k, err := w.Write(block)
			n += int64(k)
			if err != nil {
				break
			}
		}
		written <- n
	})
	b := newBook()
	c := start(t, b, nil, https(t, r))
	c.tell(b, happened(1, "used"))
	r.await(t, 1)
	select {
	case n := <-written:
		if n > 64<<20 {
			t.Errorf("%d octets were taken", n)
		}
	case <-time.After(patience):
		t.Fatal("the receiver still writes")
	}
	c.stop()
	if b.marks() != 1 {
		t.Error("a 200 was not taken for what it says")
	}
}

func TestAnswerThatNeverComesTakesNoLongerThanTimeout(t *testing.T) {
	release := make(chan struct{})
	cfg := https(t, newReceiver(func(http.ResponseWriter, int) { <-release }))
	defer close(release)
	cfg.Timeout = 100 * time.Millisecond
	begun := time.Now()
	if _, err := callbacks.Test(t.Context(), cfg); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > patience {
		t.Errorf("took %v", took)
	}
}

func TestAnswersDecideWhatFollows(t *testing.T) {
	for name, test := range map[string]struct {
		codes  []int
		wait   time.Duration
		posts  int
		marked bool
	}{
		"taken":           {[]int{200}, time.Hour, 1, true},
		"accepted":        {[]int{202}, time.Hour, 1, true},
		"fault, then not": {[]int{500, 503, 204}, time.Minute, 3, true},
		"busy":            {[]int{429, 408, 425, 204}, time.Minute, 4, true},
		"refused, soon":   {[]int{400}, 10 * time.Second, 1, false},
		"refused, later":  {[]int{400, 401, 204}, 2 * time.Minute, 3, true},
		"moved":           {[]int{307, 204}, time.Minute, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, r := newBook(), newReceiver(status(test.codes...))
				c := start(t, b, r, sinkOf("main", "https://sink.example", "acme"))
				c.tell(b, happened(1, "used"))
				time.Sleep(test.wait)
				synctest.Wait()
				c.stop()
				if n := len(r.all()); n != test.posts || (b.marks() == 1) != test.marked {
					t.Errorf("%d posts, %d marks", n, b.marks())
				}
				for _, p := range r.all() {
					if p.event.ID != "id-00001-used" {
						t.Errorf("told under %q", p.event.ID)
					}
				}
			})
		})
	}
}

func TestWaitsDoubleAndAreJittered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBook(), newReceiver(status(500, 500, 500, 500, 204))
		c := start(t, b, r, sinkOf("main", "https://sink.example", "acme"))
		c.tell(b, happened(1, "used"))
		time.Sleep(time.Minute)
		c.stop()
		posts := r.all()
		if len(posts) != 5 {
			t.Fatalf("%d posts", len(posts))
		}
		for i, p := range posts[1:] {
			most := time.Second << i
			if wait := p.at.Sub(posts[i].at); wait < most/2 || wait > most {
				t.Errorf("call %d after %v, want %v to %v", i+2, wait, most/2, most)
			}
		}
	})
}

func TestRetryAfterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		r := newReceiver(func(w http.ResponseWriter, n int) {
			if n == 1 {
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		cfg := sinkOf("main", "https://sink.example", "acme")
		cfg.MaxInFlight = 1
		c := start(t, b, r, cfg)
		for n := range 3 {
			c.tell(b, happened(n, "used"))
		}
		time.Sleep(3 * time.Minute)
		c.stop()
		posts := r.all()
		if len(posts) != 4 || b.marks() != 3 {
			t.Fatalf("%d posts, %d marks", len(posts), b.marks())
		}
		if wait := posts[1].at.Sub(posts[0].at); wait < 2*time.Minute {
			t.Errorf("the next call of the sink came after %v", wait)
		}
	})
}

func TestRetryAfterForms(t *testing.T) {
	now := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, "99999": time.Hour, "-1": 0, "soon": 0, "1.5": 0, "99999999999999999999": 0,
		"Fri, 27 Nov 2026 20:00:30 GMT": 30 * time.Second, "Fri, 27 Nov 2026 19:00:30 GMT": 0, "Fri, 27 Nov 2099 20:00:30 GMT": time.Hour,
	} {
		if got := callbacks.RetryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Fri, 27 Nov 2026 20:00:30 GMT")
	f.Fuzz(func(t *testing.T, text string) {
		if d := callbacks.RetryAfter(text, time.Now()); d < 0 || d > time.Hour {
			t.Errorf("%q: %v", text, d)
		}
	})
}

func TestDeadSinkCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBook(), newReceiver(status(503))
		c := start(t, b, r, sinkOf("main", "https://sink.example", "acme"))
		for n := range 1000 {
			c.tell(b, happened(n, "used"))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		down := len(r.all())
		if down > 200 || down < 60 {
			t.Errorf("%d calls in an hour", down)
		}
		if n := strings.Count(c.logged(), "\n"); n > 2 {
			t.Errorf("%d lines of log:\n%s", n, c.logged())
		}
		if s := c.Sinks()[0]; s.Name != "main" || s.Waiting != 1000 || s.Stopped || s.Failing < 50 || time.Since(s.Away) < 59*time.Minute || time.Since(s.Oldest) < time.Hour {
			t.Errorf("%+v", s)
		}
		r.mu.Lock()
		r.answer = nil
		r.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if b.marks() != 1000 {
			t.Errorf("%d of 1000 told after the sink was back", b.marks())
		}
		if s := c.Sinks()[0]; s != (callbacks.SinkState{Name: "main"}) {
			t.Errorf("%+v", s)
		}
		if n := len(r.all()) - down; n != 1000 {
			t.Errorf("%d calls for 1000 events", n)
		}
		c.stop()
	})
}

func TestWhatIsTooOldIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBook(), newReceiver(status(400))
		cfg := sinkOf("main", "https://sink.example", "acme")
		cfg.RetryFor = time.Hour
		c := start(t, b, r, cfg)
		c.tell(b, happened(1, "used"))
		old := happened(2, "used")
		old.At = old.At.Add(-2 * time.Hour)
		c.tell(b, old)
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if b.marks() != 1 || b.toldOf("id-00002-used") != 1 {
			t.Errorf("after 59 minutes: %v", b.list())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		c.stop()
		if b.marks() != 2 || c.value("otpgw_callbacks_total", "given_up") != 2 || !strings.Contains(c.logged(), "given up") {
			t.Errorf("%v\n%s", b.told, c.logged())
		}
		if n := len(r.all()); n < 5 || n > 12 {
			t.Errorf("a refused event was posted %d times in an hour", n)
		}
	})
}

func TestGoneStopsTheSinkUntilItIsAppliedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBook(), newReceiver(status(410))
		cfg := sinkOf("main", "https://sink.example", "acme")
		cfg.MaxInFlight = 1
		c := start(t, b, r, cfg)
		for n := range 10 {
			c.tell(b, happened(n, "used"))
		}
		time.Sleep(time.Hour)
		c.tell(b, happened(10, "used"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.all()) != 1 || b.marks() != 0 || c.value("otpgw_callbacks_stopped") != 1 || c.value("otpgw_callbacks_total", "gone") != 1 {
			t.Errorf("%d posts, %d marks", len(r.all()), b.marks())
		}
		if !strings.Contains(c.logged(), "level=ERROR") {
			t.Errorf("logged %s", c.logged())
		}
		if s := c.Sinks()[0]; !s.Stopped || s.Waiting != 0 || time.Since(s.Away) != 2*time.Hour {
			t.Errorf("%+v", s)
		}
		if trouble := c.Trouble(); len(trouble) != 1 || !strings.Contains(trouble[0], "sink main: stopped") {
			t.Errorf("trouble %q", trouble)
		}
		r.mu.Lock()
		r.answer = nil
		r.mu.Unlock()
		c.apply(cfg)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.all()) != 12 || b.marks() != 11 || c.value("otpgw_callbacks_stopped") != 0 {
			t.Errorf("applied again: %d posts, %d marks", len(r.all()), b.marks())
		}
		c.stop()
	})
}

func TestUntoldAtStartIsToldInBoundedMemory(t *testing.T) {
	const events = callbacks.QueueLength + callbacks.QueueLength/2 + 7
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.part = 4096
		for n := range events {
			b.events = append(b.events, happened(n, "used"))
		}
		posts, most := 0, 0
		asked := make(chan *running, 1)
		counts := roundTrip(func(*http.Request) (*http.Response, error) {
			posts++
			c := <-asked
			asked <- c
			held, queued := c.Waiting()
			most = max(most, held, queued)
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})
		cfg := sinkOf("main", "https://sink.example", "acme")
		cfg.MaxInFlight = 1 // one call at a time counts
		c := start(t, b, counts, cfg)
		asked <- c
		time.Sleep(time.Minute)
		synctest.Wait()
		c.stop()
		if posts != events || b.marks() != events {
			t.Errorf("%d posts, %d marks of %d", posts, b.marks(), events)
		}
		if most > callbacks.QueueLength+1 || most < callbacks.QueueLength/2 {
			t.Errorf("up to %d events in memory", most)
		}
	})
}

func TestWhatFoundNoRoomIsFoundAgain(t *testing.T) {
	const events = callbacks.QueueLength + 500
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.part = 4096
		var up atomic.Bool
		var posts atomic.Int64
		sometimes := roundTrip(func(*http.Request) (*http.Response, error) {
			if !up.Load() {
				return nil, errors.New("down")
			}
			posts.Add(1)
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})
		c := start(t, b, sometimes, sinkOf("main", "https://sink.example", "acme"))
		synctest.Wait()
		for n := range events {
			c.tell(b, happened(n, "used"))
		}
		if held, _ := c.Waiting(); held > callbacks.QueueLength+8 {
			t.Errorf("%d events in memory", held)
		}
		time.Sleep(time.Minute)
		up.Store(true)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		c.stop()
		if b.marks() != events || posts.Load() != events {
			t.Errorf("%d posts, %d marks of %d", posts.Load(), b.marks(), events)
		}
	})
}

func TestStoreThatIsAwayIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBook(happened(1, "used")), newReceiver(nil)
		b.fails = errors.New("not now")
		c := start(t, b, r, sinkOf("main", "https://sink.example", "acme"))
		c.tell(b, happened(2, "delivered"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(r.all()) != 0 || b.parts() > 12 {
			t.Errorf("%d posts, looked %d times in 10 s", len(r.all()), b.parts())
		}
		b.mu.Lock()
		b.fails = nil
		b.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		c.stop()
		if b.marks() != 2 || len(r.all()) != 2 {
			t.Errorf("%d posts, %v", len(r.all()), b.list())
		}
	})
}

func TestSinksThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBook(), newReceiver(status(503))
		first := sinkOf("first", "https://sink.example", "acme")
		c := start(t, b, r, first)
		for n := range 20 {
			c.tell(b, happened(n, "used"))
		}
		time.Sleep(10 * time.Second)
		c.apply() // none
		c.tell(b, happened(20, "used"))
		c.Tell(callbacks.Event{ID: "x", Client: "stranger", Name: "used", Outcome: true, At: time.Now()})
		time.Sleep(time.Second)
		synctest.Wait()
		before := len(r.all())
		time.Sleep(time.Hour)
		synctest.Wait()
		if held, _ := c.Waiting(); held != 0 || len(r.all()) != before {
			t.Errorf("without a sink: %d held, %d posts more", held, len(r.all())-before)
		}
		if c.value("otpgw_callbacks_total") != 0 {
			t.Error("series of a sink that is no more")
		}
		r.mu.Lock()
		r.answer = nil
		r.mu.Unlock()
		second := sinkOf("second", "https://sink.example", "other", "acme")
		second.Events = []string{"outcome"}
		b.mu.Lock()
		b.events = append(b.events, happened(21, "delivered"))
		b.mu.Unlock()
		c.apply(second)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(r.all()) - before; n != 21 || b.toldOf("id-00021-delivered") != 0 {
			t.Errorf("another sink got %d of 21 events", n)
		}
		c.apply(second) // stays as it was
		c.tell(b, happened(22, "used"))
		time.Sleep(time.Second)
		c.stop()
		if n := len(r.all()) - before; n != 22 {
			t.Errorf("after nothing changed: %d posts", n)
		}
	})
}

func TestSinkThatChangesDuringACall(t *testing.T) {
	release := make(chan struct{})
	r := newReceiver(func(w http.ResponseWriter, n int) {
		if n == 1 {
			<-release
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	b := newBook()
	cfg := https(t, r)
	cfg.Timeout = patience
	c := start(t, b, nil, cfg)
	c.tell(b, happened(1, "used"))
	r.await(t, 1)
	cfg.MaxInFlight = 3
	c.apply(cfg)
	close(release) // the old call fails: the event is the new sink's to tell
	r.await(t, 2)
	c.stop()
	if b.toldOf("id-00001-used") != 1 || len(r.all()) != 2 {
		t.Errorf("%d posts, %v", len(r.all()), b.list())
	}
}

func TestSlowSinkHoldsUpNobody(t *testing.T) {
	release := make(chan struct{})
	slow := newReceiver(func(http.ResponseWriter, int) { <-release })
	quick := newReceiver(nil)
	b := newBook()
	a, z := https(t, slow), https(t, quick)
	z.Name, z.Clients = "quick", []string{"zoo"}
	c := start(t, b, nil, a, z)
	var longest time.Duration
	for n := range 1000 {
		e := happened(n, "used")
		begun := time.Now()
		c.Tell(e)
		longest = max(longest, time.Since(begun))
		if n%10 == 0 {
			e.Client = "zoo"
			e.ID = "zoo-" + e.ID
			c.Tell(e)
		}
	}
	quick.await(t, 100)
	if n := len(slow.all()); n > a.MaxInFlight {
		t.Errorf("%d calls at once", n)
	}
	if longest > 5*time.Second {
		t.Errorf("Tell took %v", longest)
	}
	close(release)
	c.stop()
}

func TestRunEndsAfterCallsOnTheirWay(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	r := newReceiver(func(http.ResponseWriter, int) {
		close(entered)
		<-release
	})
	b := newBook()
	cfg := https(t, r)
	cfg.MaxInFlight, cfg.Timeout = 1, patience
	c := start(t, b, nil, cfg)
	c.tell(b, happened(1, "used"))
	c.tell(b, happened(2, "used"))
	<-entered
	ended := make(chan struct{})
	c.end() // before the call that is on its way has ended, so that no other begins
	go func() { c.stop(); close(ended) }()
	close(release)
	<-ended
	if len(r.all()) != 1 || b.toldOf("id-00001-used") != 1 {
		t.Errorf("%d posts, %v", len(r.all()), b.list())
	}
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		b := newBook()
		cfg := sinkOf("main", "https://sink.example", "acme")
		cfg.Timeout = 30 * time.Second
		c := start(t, b, hangs, cfg)
		c.tell(b, happened(1, "used"))
		synctest.Wait()
		begun := time.Now()
		c.stop()
		if took := time.Since(begun); took > 6*time.Second || b.marks() != 0 {
			t.Errorf("took %v, %d marks", took, b.marks())
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTestEvent(t *testing.T) {
	r := newReceiver(func(w http.ResponseWriter, _ int) {
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	})
	cfg := https(t, r)
	answer, err := callbacks.Test(t.Context(), cfg)
	if err != nil || answer.Code != http.StatusTeapot || answer.Body != "short and stout" {
		t.Errorf("%+v, %v", answer, err)
	}
	text, _ := secret(1)
	hook, err := webhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	p := r.all()[0]
	if err := hook.Verify(p.body, p.header); err != nil || p.event.Type != "com.example.otp.v1.test" {
		t.Errorf("%s: %v", p.body, err)
	}
}
