package otpstore

import (
	"errors"
	"testing"
)

func signalled(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A batch leaves jobs behind: those that are waited for come next, the others are signalled again.
func TestNoJobIsForgotten(t *testing.T) {
	q := newQueue()
	put := func(waited bool, n int) {
		t.Helper()
		for range n {
			if err := q.put(t.Context(), &job{waited: waited}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(false, 10)
	put(true, batchLength)
	put(false, batchLength)
	if !signalled(q.lazy) || !signalled(q.urgent) {
		t.Fatal("nothing was signalled")
	}
	for round, want := range []int{batchLength, batchLength} { // the last waited job is in the second batch
		if got := len(q.take(urgentTurn)); got != want {
			t.Fatalf("batch %d has %d jobs, want %d", round, got, want)
		}
	}
	if q.take(urgentTurn) != nil {
		t.Error("jobs that nobody waits for were taken before their time")
	}
	if !signalled(q.lazy) {
		t.Error("they were left, and nothing tells of them")
	}
	if got := len(q.take(anyTurn)); got != 10 {
		t.Errorf("%d jobs left, want 10", got)
	}
	if q.take(anyTurn) != nil || len(q.room) != 0 {
		t.Errorf("an empty queue gives jobs or has no room: %d", len(q.room))
	}
	reason := errors.New("closed")
	q.close(reason)
	q.close(errors.New("again"))
	if err := q.put(t.Context(), &job{}); err != reason || len(q.room) != 0 {
		t.Errorf("a closed queue: %v", err)
	}
}

// Receipts let verifications pass, but nothing passes what came before it and is still there.
func TestWhatYieldsComesLast(t *testing.T) {
	q := newQueue()
	put := func(yields bool, n int) {
		t.Helper()
		for range n {
			if err := q.put(t.Context(), &job{waited: true, yields: yields}); err != nil {
				t.Fatal(err)
			}
		}
	}
	kinds := func(batch []*job) (urgent, yielding int) {
		for i, j := range batch {
			if j.yields {
				yielding++
			} else if urgent++; urgent != i+1 {
				t.Error("a job comes behind one that yields")
			}
		}
		return urgent, yielding
	}
	put(true, 1000)
	put(false, 1)
	if u, y := kinds(q.take(urgentTurn)); u != 1 || y != batchYields {
		t.Errorf("%d and %d that yield, want 1 and %d", u, y, batchYields)
	}
	put(false, 2*batchYields) // under load they keep up with the others
	if u, y := kinds(q.take(urgentTurn)); u != 2*batchYields || y != 2*batchYields {
		t.Errorf("%d and %d that yield, want %d of both", u, y, 2*batchYields)
	}
	signalled(q.polite)
	if q.take(urgentTurn) != nil || !signalled(q.polite) {
		t.Error("what yields was taken out of its turn, or nothing tells of it")
	}
	if u, y := kinds(q.take(politeTurn)); u != 0 || y != batchYields {
		t.Errorf("%d and %d that yield, want %d", u, y, batchYields)
	}
	for len(q.take(anyTurn)) > 0 {
	}

	put(true, 3)
	put(false, batchLength+1)
	put(true, 5) // these came after a job that is left for the next batch
	if u, y := kinds(q.take(urgentTurn)); u != batchLength || y != 3 {
		t.Errorf("%d and %d that yield, want %d and 3", u, y, batchLength)
	}
	if u, y := kinds(q.take(urgentTurn)); u != 1 || y != 5 {
		t.Errorf("%d and %d that yield, want 1 and 5", u, y)
	}
	if q.take(anyTurn) != nil || len(q.room) != 0 {
		t.Error("jobs are left")
	}
}
