package otpstore

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// TestPagesAreFull: what many callers have issued, sent and delivered lies on pages that are not half empty, as bbolt would leave them.
func TestPagesAreFull(t *testing.T) {
	PatchBeyond(nearRecords)
	defer CycleNear(0)
	policy := DefaultPolicy()
	s, err := Open(Config{Dir: t.TempDir()}, policy, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	const callers, each = 32, 200
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range each {
				number, id := fmt.Sprintf("+346%04d%04d", c, n), fmt.Sprintf("%d-%d", c, n)
				i, err := s.Issue(ctx, Request{Client: "acme", Number: number, Masked: "+34*******01", Terms: policy.Terms()})
				if err == nil {
					err = s.Sent(ctx, i.ID, SendResult{SMSC: "main", MessageIDs: []string{id}, SubmittedAt: time.Now()})
				}
				if err == nil {
					_, err = s.Delivered(ctx, Receipt{SMSC: "main", MessageIDs: []string{id}, Converted: 1, Numbers: []string{number}, State: "DELIVRD", Final: true, Delivered: true})
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
	b := s.backend.(*Bolt)
	stats := b.db.Stats()
	live := b.used - int64(stats.FreePageN+stats.PendingPageN)*int64(b.db.Info().PageSize)
	if a := live / (callers * each); a > 340 {
		t.Errorf("a record takes %d octets of the file, want 340 at most", a)
	} else {
		t.Logf("a record takes %d octets of the file", a)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
