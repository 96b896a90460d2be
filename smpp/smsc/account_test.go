package smsc

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestReceiptsThatAreNotDueAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{server: New(Config{}, slog.New(slog.DiscardHandler))}
		plan := func(n int) []*receipt {
			all := make([]*receipt, n)
			for i := range all {
				all[i] = &receipt{delay: time.Minute}
			}
			return all
		}
		a.schedule(plan(maxWaiting))
		a.schedule(plan(1)) // one too many
		if _, waiting := a.size(); waiting != 0 {
			t.Errorf("%d are due at once", waiting)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, waiting := a.size(); waiting != maxWaiting {
			t.Errorf("%d are due, want %d", waiting, maxWaiting)
		}
	})
}
