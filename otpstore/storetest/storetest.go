// Package storetest holds every backend of otpstore to its contract. It is a package of its own because it needs testing.
package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"otpgw/otpstore"
)

// patience bounds every wait of the suite; nothing takes nearly as long.
const patience = 30 * time.Second

// Open opens the backend whose data lie in dir, empty where dir is. It is called again for the same dir after Close.
type Open func(t testing.TB, dir string) otpstore.Backend

// An Engine is a kind of backend, and how to do to one what the world may do. Where one of the funcs but Open is nil that cannot happen to such a
// backend, and what is asked of it then is skipped.
type Engine struct {
	Open Open

	// Fill leaves no room for new records in a backend that runs, until free is called.
	Fill func(t testing.TB, b otpstore.Backend) (free func())

	// Lose destroys what the closed backend in dir holds, so that the next opening can but begin anew.
	Lose func(t testing.TB, dir string)

	// SetBack sets the clock of the system back, as the closed backend in dir sees it, by a minute at least. It gives the latest time that a step of it
	// was given until then, which the system's clock will not reach soon.
	SetBack func(t testing.TB, dir string) (latest time.Time)
}

// Run holds the engine to the contract of otpstore.Backend, and the rules on top of it to those that only atomic and
// ordered steps can keep.
func Run(t *testing.T, e Engine) {
	for name, test := range map[string]func(*testing.T, Open){
		"RecordIsFoundByItsNames":       testNames,
		"RecordIsRemoved":               testRemoved,
		"MessageLeadsToLastRecord":      testMessageMoves,
		"UnchangedWritesNothing":        testUnchanged,
		"ChoiceIsOfWhatRefsLeadTo":      testChoose,
		"StepsAreSerial":                testSerial,
		"NoteIsBeforeLaterUpdate":       testNoteOrder,
		"NoteIsDoneByItself":            testNoteDone,
		"QueuedUpdateIsWithdrawn":       testWithdrawn,
		"RunFinishesWhatWasTaken":       testDrain,
		"NothingIsTakenAfterRun":        testAfterRun,
		"ClosedWithoutRun":              testClosed,
		"ReopenedKeepsAll":              testReopened,
		"ScanChangesAreKept":            testScan,
		"KeyIsClaimedOnce":              testClaim,
		"SweepGoesByAge":                testSweep,
		"WrongGuessesInParallel":        testWrongGuesses,
		"RightGuessesInParallel":        testRightGuesses,
		"IssuesInParallelKeepSendLimit": testParallelIssues,
		"SendsInParallelLeaveOneActive": testParallelSends,
		"ReceiptsInParallelWithSent":    testParallelReceipts,
		"ReceiptsInParallelChangeOnce":  testParallelRepeats,
		"InterruptedSubmitIsUnknown":    testInterrupted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e.Open)
		})
	}
	for name, test := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// start scans and runs b. The func that it returns ends Run and closes b; it may be called twice.
func start(t testing.TB, b otpstore.Backend) (stop func()) {
	t.Helper()
	scan(t, b)
	return run(t, b.Run, b.Close)
}

// scan scans b and changes nothing.
func scan(t testing.TB, b otpstore.Backend) {
	t.Helper()
	if err := b.Scan(t.Context(), func(time.Time, otpstore.Record) (otpstore.Record, bool) { return nil, false }); err != nil {
		t.Fatalf("Scan: %v", err)
	}
}

// run runs run until the func that it returns is called, at the latest when the test ends; then close is called.
func run(t testing.TB, run func(context.Context) error, closes func() error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := closes(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// id makes an id of a time, as the store makes them but for its randomness.
func id(at time.Time, n byte) (name otpstore.Name) {
	binary.BigEndian.PutUint64(name[:], uint64(at.UnixMilli())<<16|0x7000)
	name[8], name[15] = 0x80, n
	return name
}

func number(n byte) otpstore.Name  { return otpstore.Name{0: 'n', 15: n} }
func message(n byte) otpstore.Name { return otpstore.Name{0: 'm', 15: n} }

func record(n otpstore.Name, ids, messages []otpstore.Name, body string) otpstore.Record {
	return otpstore.NewRecord(n, ids, messages, []byte(body))
}

// body is what follows the names of a record made here: its last octet.
func body(r otpstore.Record) byte { return r[len(r)-1] }

// put writes r in the place of whatever its number has.
func put(t testing.TB, b otpstore.Backend, r otpstore.Record) {
	t.Helper()
	change(t, b, otpstore.Ref{By: otpstore.ByNumber, Name: r.Number()}, r)
}

func change(t testing.TB, b otpstore.Backend, ref otpstore.Ref, next otpstore.Record) {
	t.Helper()
	err := b.Update(within(t), ref, func(time.Time, otpstore.Record) (otpstore.Record, bool) { return next, true })
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// look reads the record of a name, without changing it.
func look(t testing.TB, b otpstore.Backend, by otpstore.Index, name otpstore.Name) (r otpstore.Record) {
	t.Helper()
	err := b.Update(within(t), otpstore.Ref{By: by, Name: name}, func(_ time.Time, found otpstore.Record) (otpstore.Record, bool) {
		r = slices.Clone(found)
		return nil, false
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	return r
}

// expect checks which record each name leads to; "" stands for none.
func expect(t testing.TB, b otpstore.Backend, by otpstore.Index, name otpstore.Name, want string) {
	t.Helper()
	r := look(t, b, by, name)
	got := ""
	if r != nil {
		got = string(body(r))
	}
	if got != want {
		t.Errorf("index %d, name %s: got record %q, want %q", by, name, got, want)
	}
}

func unavailable(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, otpstore.ErrUnavailable) {
		t.Errorf("%s: got %v, want ErrUnavailable", what, err)
	}
}
