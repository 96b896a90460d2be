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

// BenchmarkManyRecords starts the real binary on a store that is full already and has 500 requests a second made: how soon it is ready, and
// how much memory it takes.
func BenchmarkManyRecords(b *testing.B) {
	p := newPlant(b, func(c *plantConfig) { c.level = "warn" })
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
	half := 0.0
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	asked := int(crowdLoad.Seconds() * rate)
	for n := range asked {
		if n == asked/2 {
			half = p.anonymous(b)
		}
		<-tick.C
		wg.Go(func() {
			to := fmt.Sprintf("+347%07d0", n/2)
			if err := p.expect(http.StatusOK, "/send-code", sendBody(to), nil, nil); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() > int64(asked/100) {
		b.Errorf("%d of %d requests failed", failed.Load(), asked)
	}
	b.ReportMetric(p.anonymous(b), "loaded-MiB")
	b.ReportMetric(p.anonymous(b)-half, "grown-in-2nd-half-MiB")
}

// fillStore has so many codes sent, each to a number of its own.
func fillStore(b *testing.B, dir string, size int) {
	b.Helper()
	policy := otpstore.DefaultPolicy()
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, policy, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 1024 {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(size); n = next.Add(1) {
				i, err := s.Issue(ctx, otpstore.Request{Client: "acme", Number: fmt.Sprintf("+346%08d", n), Masked: "+34*******01", Terms: policy.Terms()})
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
