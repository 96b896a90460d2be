package smpp_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
)

// BenchmarkSend sends over the binds of one account to a simulator on loopback in this process, as many at once as the
// windows hold. cpu-us/op is the processor time of both sides.
func BenchmarkSend(b *testing.B) {
	for _, binds := range []int{1, 4} {
		for _, window := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("binds=%d/window=%d", binds, window), func(b *testing.B) { benchmarkSend(b, binds, window) })
		}
	}
}

func benchmarkSend(b *testing.B, binds, window int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	l := &link{accepted: make(chan net.Conn)}
	s := newSimulator(l)
	s.quiet = true
	cfg := testConfig()
	cfg.Binds, cfg.Window = binds, window
	pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: ignore}, prometheus.NewRegistry(), discard())
	if err != nil {
		b.Fatal(err)
	}
	smpp.SetDialer(pool, func(ctx context.Context, _ string, _ int) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
		if err != nil {
			return nil, err
		}
		theirs, err := listener.Accept()
		l.accepted <- theirs
		return conn, err
	})
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	for bound := 0; bound < binds; time.Sleep(time.Millisecond) {
		bound = 0
		for _, s := range pool.Binds() {
			if s.State == "bound" {
				bound++
			}
		}
	}
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	var senders sync.WaitGroup
	for i := range binds * window {
		senders.Go(func() {
			for n := i; n < b.N; n += binds * window {
				if _, err := pool.Send(ctx, hello); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	s.wait()
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
