package otpstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"

	"otpgw/otpstore"
)

var repeats = flag.Int("repeats", 100, "how many times a thousand guesses come at once")

// Of a thousand guesses at once as many are judged as tries are left: no guesser gains by being many.
func TestThousandGuessesAtOnce(t *testing.T) {
	const guesses = 1000
	p := policy()
	p.MaxFailures = 100
	s := open(t, t.TempDir(), p, nil)
	for n := range *repeats {
		i := s.send(fmt.Sprintf("+34600%06d", n))
		verdicts := make([]error, guesses)
		begin := make(chan struct{})
		var all sync.WaitGroup
		for g := range guesses {
			all.Go(func() {
				<-begin
				verdicts[g] = s.Verify(context.Background(), client, i.ID, wrong(i))
			})
		}
		close(begin)
		all.Wait()
		judged, refused := 0, 0
		for _, err := range verdicts {
			switch {
			case errors.Is(err, otpstore.ErrWrongCode):
				judged++
			case errors.Is(err, otpstore.ErrFailed):
				refused++
			default:
				t.Fatalf("round %d: %v", n, err)
			}
		}
		if v := s.lookup(i); judged != p.MaxAttempts-1 || refused != guesses-judged || v.Attempts != p.MaxAttempts || v.State != "locked" {
			t.Fatalf("round %d: %d guesses were told to be wrong, %d refused; the code is %s after %d tries", n, judged, refused, v.State, v.Attempts)
		}
		s.verify(i, i.Code, otpstore.ErrFailed)
	}
	s.close()
}
