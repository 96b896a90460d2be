package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"otpgw/otpstore"
)

// On a real disk, every answer durable: run with TMPDIR on the disk in question.

type benched struct {
	*otpstore.Store
	end func()
}

func benchStore(b *testing.B, dir string) benched {
	b.Helper()
	p := policy()
	p.MaxFailures = 100
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, p, nil, quiet())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(end)
	return benched{s, end}
}

// share calls f b.N times from so many goroutines.
func share(b *testing.B, goroutines int, f func(n int64)) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	b.StartTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				f(n)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

type sent func(ctx context.Context, id string, r otpstore.SendResult) error

func issueAndSend(b *testing.B, s benched, number string, sent sent) otpstore.Issued {
	i, err := s.IssueFor(context.Background(), client, number)
	if err == nil {
		err = sent(context.Background(), i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{i.ID[:18]}, SubmittedAt: time.Now()})
	}
	if err != nil {
		b.Error(err)
	}
	return i
}

// "unwaited" is what a Sent would cost that is not durable when it returns.
func BenchmarkIssueSent(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64, 256} {
		for _, waited := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/%s", goroutines, map[bool]string{true: "waited", false: "unwaited"}[waited]), func(b *testing.B) {
				s := benchStore(b, b.TempDir())
				sent := s.Sent
				if !waited {
					sent = s.SentLazily
				}
				share(b, goroutines, func(n int64) { issueAndSend(b, s, fmt.Sprintf("+346%09d", n), sent) })
			})
		}
	}
}

// Each message has one receipt, which names it by its number.
func BenchmarkDelivered(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			s := benchStore(b, b.TempDir())
			issued := make([]otpstore.Issued, b.N+1)
			number := func(n int64) string { return fmt.Sprintf("+346%09d", n) }
			share(b, 256, func(n int64) { issued[n] = issueAndSend(b, s, number(n), s.SentLazily) })
			share(b, goroutines, func(n int64) {
				m, err := s.Delivered(context.Background(), otpstore.Receipt{
					SMSC: "main", MessageIDs: []string{issued[n].ID[:18], "1", "2"}, Converted: 1, Numbers: []string{number(n)},
					State: "DELIVRD", Final: true, Delivered: true,
				})
				if err != nil || !m.Changed {
					b.Error(m, err)
				}
			})
		})
	}
}

// Each code is judged once, and is right.
func BenchmarkVerify(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			s := benchStore(b, b.TempDir())
			issued := make([]otpstore.Issued, b.N+1)
			share(b, 256, func(n int64) { issued[n] = issueAndSend(b, s, fmt.Sprintf("+346%09d", n), s.SentLazily) })
			share(b, goroutines, func(n int64) {
				if err := s.Verify(context.Background(), client, issued[n].ID, issued[n].Code); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// Opening a store of 100,000 numbers, each with one code that was sent.
func BenchmarkOpen(b *testing.B) {
	const numbers = 100_000
	dir := b.TempDir()
	fill := benchStore(b, dir)
	var wg sync.WaitGroup
	for w := range 256 {
		wg.Go(func() {
			for n := w; n < numbers; n += 256 {
				issueAndSend(b, fill, fmt.Sprintf("+346%09d", n), fill.SentLazily)
			}
		})
	}
	wg.Wait()
	fill.end()
	b.ReportAllocs()
	for b.Loop() {
		s, err := otpstore.Open(otpstore.Config{Dir: dir}, policy(), nil, quiet())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(numbers*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// The life of a code: issued, sent, received, validated. "plain" has no client that is told, "owed" one that is told nothing, "told" one
// that is told both facts, by calls that take no time.
func BenchmarkTold(b *testing.B) {
	for _, goroutines := range []int{16, 64, 256} {
		for _, how := range []string{"plain", "owed", "told"} {
			b.Run(fmt.Sprintf("%d/%s", goroutines, how), func(b *testing.B) {
				s, err := otpstore.Open(otpstore.Config{Dir: b.TempDir()}, policy(), nil, quiet())
				if err != nil {
					b.Fatal(err)
				}
				var tell otpstore.Facts
				events, told := make(chan otpstore.Event, 1<<16), new(sync.WaitGroup)
				if how != "plain" {
					tell = otpstore.Delivery | otpstore.Outcome
					s.Notify(func(e otpstore.Event) {
						if how == "told" {
							events <- e
						}
					})
				}
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- s.Run(ctx) }()
				for range 16 {
					told.Go(func() {
						for e := range events {
							if _, _, err := s.Owes(ctx, e); err == nil {
								_ = s.Told(ctx, e, func(error) {}) // fails after the end only
							}
						}
					})
				}
				share(b, goroutines, func(n int64) {
					number := fmt.Sprintf("+346%09d", n)
					i, err := s.Issue(ctx, otpstore.Request{Client: client, Number: number, Terms: policy().Terms(), Tell: tell})
					if err == nil {
						err = s.Sent(ctx, i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{i.ID[:18]}})
					}
					if err == nil {
						_, err = s.Delivered(ctx, otpstore.Receipt{SMSC: "main", MessageIDs: []string{i.ID[:18]}, Converted: 1, Numbers: []string{number}, State: "DELIVRD", Final: true, Delivered: true})
					}
					if err == nil {
						err = s.Verify(ctx, client, i.ID, i.Code)
					}
					if err != nil {
						b.Error(err)
					}
				})
				close(events)
				told.Wait()
				cancel()
				if err := errors.Join(<-ended, s.Close()); err != nil {
					b.Error(err)
				}
			})
		}
	}
}
