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

// crowdTurn is how many numbers the load goes round, so that each is forgotten before its turn comes again.
const crowdTurn = 60_000

// BenchmarkManyRecords starts the real binary on a store that is full already and has 500 requests a second made, half of them send-code, half
// validate-code: how soon it is ready, how much memory it takes, and, over half an hour (-crowd-load 30m), how much more it takes with time: as
// many codes are forgotten as are sent.
func BenchmarkManyRecords(b *testing.B) {
	p := newPlant(b, otp("ttl", `"10s"`), otp("send_window", `"10s"`), otp("failure_window", `"10s"`), otp("retention", `"1m"`),
		func(c *plantConfig) { c.level = "warn" })
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
	var memory line
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	began = time.Now()
	asked := int(crowdLoad.Seconds() * rate)
	for n := 0; n < asked; n += 2 {
		if n%rate == 0 && n >= asked/3 {
			memory.add(time.Since(began).Hours(), p.anonymous(b))
		}
		<-tick.C
		id := make(chan string, 1)
		wg.Go(func() {
			a, err := p.call(http.MethodPost, "/send-code", sendBody(fmt.Sprintf("+347%07d0", n/2%crowdTurn)), nil)
			if err != nil || a.status != http.StatusOK {
				failed.Add(1)
			}
			id <- a.id
		})
		<-tick.C
		wg.Go(func() {
			if err := p.expect(http.StatusBadRequest, "/validate-code", validateBody(<-id, "000000"), nil, nil); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() > int64(asked/100) {
		b.Errorf("%d of %d requests failed", failed.Load(), asked)
	}
	b.ReportMetric(p.anonymous(b), "loaded-MiB")
	if *crowdLoad >= 10*time.Minute { // else it says nothing
		b.ReportMetric(memory.slope(), "MiB/h")
	}
	records := metric(b, p.metrics(), "otpgw_store_records")
	if most := float64(*crowdSize + crowdTurn); records < float64(*crowdSize) || records > most {
		b.Errorf("%.0f records, want %d to %.0f", records, *crowdSize, most)
	}
}

// A line is the one that has the least squares to points.
type line struct{ n, x, y, xx, xy float64 }

func (l *line) add(x, y float64) {
	l.n, l.x, l.y, l.xx, l.xy = l.n+1, l.x+x, l.y+y, l.xx+x*x, l.xy+x*y
}

func (l *line) slope() float64 { return (l.n*l.xy - l.x*l.y) / (l.n*l.xx - l.x*l.x) }

// fillStore has so many codes sent, each to a number of its own, that live for hours.
func fillStore(b *testing.B, dir string, size int) {
	b.Helper()
	policy := otpstore.DefaultPolicy()
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, policy, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
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
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
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
