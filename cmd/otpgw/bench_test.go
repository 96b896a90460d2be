package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"otpgw/smpp/smsc"
)

// BenchmarkAPI measures the real binary over loopback with every commit synced, load generator and simulator in the
// same machine: requests a second, and the median and 99th percentile of the answer's time. "refused" is the same
// request without a token, that is HTTP alone: rates are worth something only as a ratio to it, in the same run.
func BenchmarkAPI(b *testing.B) {
	for _, connections := range []int{1, 64} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			p := newPlant(b, func(c *plantConfig) {
				c.level = "warn"
				c.smsc = "binds = 4"
				c.otp["max_attempts"], c.otp["max_failures"] = "10", "100" // every wrong guess below is one that is counted
				c.sim = smsc.Config{SystemID: "otpgw", Password: "secret1", KeepMessages: 4 << 20}
			})
			var next atomic.Int64
			var mu sync.Mutex
			var codes []string // authenticationIds
			b.Run("refused", func(b *testing.B) {
				closedLoop(b, p, connections, func() error {
					return p.expect(http.StatusUnauthorized, "/send-code", sendBody("+34600000000"), http.Header{"Authorization": nil}, nil)
				})
			})
			b.Run("send-code", func(b *testing.B) {
				closedLoop(b, p, connections, func() error {
					to := number(int(next.Add(1)))
					var a answer
					err := p.expect(http.StatusOK, "/send-code", sendBody(to), nil, &a)
					mu.Lock()
					codes = append(codes, a.id)
					mu.Unlock()
					return err
				})
			})
			b.Run("validate-code", func(b *testing.B) {
				var at atomic.Int64
				closedLoop(b, p, connections, func() error {
					id := codes[int(at.Add(1)-1)%len(codes)]
					return p.expect(http.StatusBadRequest, "/validate-code", validateBody(id, "none"), nil, nil)
				})
			})
		})
	}
}

// expect is one request whose answer must have the status.
func (p *plant) expect(status int, path, body string, header http.Header, into *answer) error {
	a, err := p.call(http.MethodPost, path, body, header)
	if err != nil {
		return err
	}
	if a.status != status {
		return fmt.Errorf("%s: %d %s", path, a.status, a.body)
	}
	if into != nil {
		*into = a
	}
	return nil
}

// closedLoop has b.N calls made by so many callers, each of which waits for its answer before it asks again.
// Allocations and processor time are the daemon's, from its own metrics.
func closedLoop(b *testing.B, p *plant, callers int, call func() error) {
	b.Helper()
	cost := func() (allocs, cpu float64) {
		scrape := p.metrics()
		return metric(b, scrape, "go_memstats_mallocs_total"), metric(b, scrape, "process_cpu_seconds_total")
	}
	allocsBefore, cpuBefore := cost()
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= b.N {
					return
				}
				asked := time.Now()
				if err := call(); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(asked)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	allocs, cpu := cost()
	b.ReportMetric((allocs-allocsBefore)/float64(b.N), "daemon-allocs/op")
	b.ReportMetric((cpu-cpuBefore)/float64(b.N)*1e6, "daemon-cpu-µs/op")
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(milliseconds(took[len(took)/2]), "p50-ms")
	b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
}
