package smpp_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
)

// BenchmarkSend sends over one bind to a simulator on loopback in this process, as many at once as the window holds.
func BenchmarkSend(b *testing.B) {
	for _, window := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			l := &link{accepted: make(chan net.Conn)}
			s := newSimulator(l)
			s.quiet = true
			cfg := testConfig()
			cfg.Window = window
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
			if _, err := pool.Send(ctx, hello); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var senders sync.WaitGroup
			for i := range window {
				senders.Go(func() {
					for n := i; n < b.N; n += window {
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
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
			s.wait()
		})
	}
}
