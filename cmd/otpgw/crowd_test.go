package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"otpgw/otpstore"
)

var (
	crowdSize = flag.Int("crowd", 20_000, "how many records BenchmarkManyRecords begins with")
	crowdLoad = flag.Duration("crowd-load", 10*time.Second, "how long it loads the daemon")
)

// BenchmarkManyRecords starts the real binary on a store that is full already, and makes 500 requests a second: how soon it is ready, and how much
// memory it takes. In the first half every other request sends a code, of which its id and its message are remembered for a day; in the second half
// codes are tried that are over, and nothing more is to be remembered. With -crowd-load 30m it says what that does to the memory.
func BenchmarkManyRecords(b *testing.B) {
	p := newPlant(b, otp("ttl", `"10s"`), otp("send_window", `"10s"`), func(c *plantConfig) { c.level = "warn" })
	empty := p.anonymous(b)
	if code := p.stop(); code != 0 {
		b.Fatalf("exit code %d", code)
	}
	fillStore(b, filepath.Join(p.dir, "data"), *crowdSize)
	began := time.Now()
	p.start()
	b.ReportMetric(milliseconds(time.Since(began)), "ready-ms")
	b.ReportMetric(empty, "empty-MiB")
	b.ReportMetric(p.anonymous(b), "ready-MiB")

	const rate = 500
	var failed atomic.Int64
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	asked := int(crowdLoad.Seconds()*rate) / 4 * 2 // of each half
	load := func(request func(n int)) (growth line) {
		began := time.Now()
		for n := range asked {
			if n%rate == 0 && n >= asked/3 {
				growth.add(time.Since(began).Hours(), p.anonymous(b))
			}
			<-tick.C
			wg.Go(func() { request(n) })
		}
		wg.Wait()
		return growth
	}
	sent, over := make(chan string, asked), make(chan string, asked)
	remembering := load(func(n int) {
		if n%2 == 1 {
			id := <-sent
			if err := p.expect(http.StatusBadRequest, "/validate-code", validateBody(id, "000000"), nil, nil); err != nil {
				failed.Add(1)
			}
			over <- id
			return
		}
		a, err := p.call(http.MethodPost, "/send-code", sendBody(fmt.Sprintf("+347%07d0", n/2)), nil)
		if err != nil || a.status != http.StatusOK {
			failed.Add(1)
		}
		sent <- a.id
	})
	idle := load(func(int) {
		id := <-over
		if err := p.expect(http.StatusBadRequest, "/validate-code", validateBody(id, "000000"), nil, nil); err != nil {
			failed.Add(1)
		}
		over <- id
	})
	if failed.Load() > int64(asked/100) {
		b.Errorf("%d of %d requests failed", failed.Load(), 2*asked)
	}
	b.ReportMetric(p.anonymous(b), "loaded-MiB")
	if *crowdLoad >= 10*time.Minute { // else they say nothing
		b.ReportMetric(remembering.slope()*(1<<20)/(rate/2*3600), "octets/code")
		b.ReportMetric(idle.slope(), "MiB/h")
	}
	if records := metric(b, p.metrics(), "otpgw_store_records"); records < float64(*crowdSize) {
		b.Errorf("%.0f records, want %d at least", records, *crowdSize)
	}
}

// A line is the one that has the least squares to points.
type line struct{ n, x, y, xx, xy float64 }

func (l *line) add(x, y float64) {
	l.n, l.x, l.y, l.xx, l.xy = l.n+1, l.x+x, l.y+y, l.xx+x*x, l.xy+x*y
}

func (l *line) slope() float64 { return (l.n*l.xy - l.x*l.y) / (l.n*l.xx - l.x*l.x) }

// fillStore has so many codes sent, each to a number of its own, that live for hours.
func fillStore(t testing.TB, dir string, size int) {
	t.Helper()
	policy := otpstore.DefaultPolicy()
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, policy, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	terms := policy.Terms()
	terms.TTL = 6 * time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 1024 {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(size); n = next.Add(1) {
				i, err := s.Issue(ctx, otpstore.Request{Client: "acme", Number: fmt.Sprintf("+346%08d", n), Masked: "+34*******01", Terms: terms})
				if err == nil {
					err = s.Sent(ctx, i.ID, otpstore.SendResult{SMSC: "smsc-a", MessageIDs: []string{strconv.FormatInt(n, 10)}, SubmittedAt: time.Now()})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// anonymous is the memory of the process that is its own, in MiB: RssAnon, without the pages of the file that it maps.
func (p *plant) anonymous(b *testing.B) float64 {
	b.Helper()
	p.mu.Lock()
	pid := p.proc.Process.Pid
	p.mu.Unlock()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, found := strings.Cut(string(status), "RssAnon:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		b.Fatal("no RssAnon")
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
