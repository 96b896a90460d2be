package numbers_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"otpgw/httpapi/numbers"

	"github.com/prometheus/client_golang/prometheus"
)

// A bench is a directory whose look-up is answered by a handler over pipes, all within a bubble of synctest.
type bench struct {
	*numbers.Directory
	cfg   numbers.Config
	reg   *prometheus.Registry
	log   bytes.Buffer
	asked atomic.Int64 // requests that came in
	dials atomic.Int64
	open  atomic.Int64 // connections that the directory has not closed
	dead  atomic.Bool  // connections are refused
}

// pipes is a net.Listener of connections that never leave the process.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// counted is a connection that counts itself out when it is closed.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// inBubble runs test with a directory whose service is handler. Everything has ended when it returns.
func inBubble(t *testing.T, change func(*numbers.Config), handler http.HandlerFunc, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{reg: prometheus.NewRegistry()}
		b.cfg = config(func(c *numbers.Config) {
			c.LookupURL = "http://127.0.0.1/numbers"
			if change != nil {
				change(c)
			}
		})
		listener := &pipes{make(chan net.Conn), make(chan struct{})}
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b.asked.Add(1)
				handler(w, r)
			}),
			ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			b.dials.Add(1)
			if b.dead.Load() {
				return nil, io.ErrClosedPipe
			}
			ours, theirs := net.Pipe()
			select {
			case listener.connections <- theirs:
				b.open.Add(1)
				return &counted{Conn: ours, open: &b.open}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		var err error
		b.Directory, err = numbers.NewDialing(load(t, b.cfg, nil), b.cfg, dial, b.reg, slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- b.Run(ctx) }()

		test(t, b)

		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		synctest.Wait()
		if n := b.open.Load(); n != 0 {
			t.Errorf("%d connections are open after Run", n)
		}
		server.Close()
		<-served
		synctest.Wait()
		if strings.Contains(b.log.String(), "+34") || strings.Contains(b.log.String(), "s3cret") {
			t.Errorf("the log holds a number or the token: %s", b.log.String())
		}
	})
}

// says answers every number with one verdict.
func says(verdict string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"verdict":"`+verdict+`"}`) }
}

func (b *bench) judge(t *testing.T, number string) numbers.Verdict {
	t.Helper()
	v, err := b.Judge(t.Context(), number)
	if err != nil {
		t.Fatalf("judge: %v", err)
	}
	return v
}

// metric is the sum of a metric's values (of a histogram, its count) over the series that have the label value, "" for all.
func (b *bench) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
		return sum
	}
	t.Fatalf("no metric %s", name)
	return 0
}
