package otpstore

import (
	"context"
	"encoding/hex"
	"time"
)

// A Ref says which record is meant.
type Ref struct {
	By   Index
	Name Name
}

// An Index is one of the ways to find a record.
type Index uint8

// The ways to find a record: by its number, by the id of any of its codes, by any of its messages. Where two records know
// a message, the one that was written last is found.
const (
	ByNumber Index = iota + 1
	ByID
	ByMessage
)

// A Step is one application of a rule to a record: the record as it stands at the time now (nil where there is none) in, the
// record that takes its place (nil to remove it) and whether it differs out. It does no I/O and may run more than once;
// r is valid and unchanged only during the call. A record that the backend finds damaged is handed over empty, not nil.
type Step func(now time.Time, r Record) (next Record, changed bool)

// A Choice is a Step that sees several records, and changes at most one of them: that at i.
type Choice func(now time.Time, records []Record) (i int, next Record, changed bool)

// A KeyID tells keys apart without giving them away.
type KeyID [8]byte

// String is the id in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// A Backend keeps the records of numbers and makes each step atomic and durable. At most one record knows a number or an id.
//
// All methods are safe for concurrent use. Steps on one record, by Update, Choose, Note or Sweep, take effect one after the other, each
// on the result of the one before; a step that Note took is before every step that begins its Update or Note later. The time
// given to a step is that of Now. A backend that has little room left may refuse every Update by number, by which records come into being,
// with ErrFull, and goes on with the rest.
//
// A backend that cannot tell what became of a write gives ErrUnavailable. One that failed to write refuses all later work with
// ErrUnavailable, and Run returns the cause.
type Backend interface {
	// Claim gives the id of the key that the store was claimed with last. Where that is one of ids, or there was none, the first
	// of ids takes its place, durably, and is given. ids must not be empty.
	Claim(ctx context.Context, ids []KeyID) (KeyID, error)

	// Lost gives when the backend began anew because what it held before was lost, or the zero time.
	Lost() time.Time

	// Scan applies step to every record left by processes that have ended, durably. It is called once, before Run and
	// before every other method but Claim. Steps may run concurrently, each on a record of its own.
	Scan(ctx context.Context, step Step) error

	// Update applies step to one record and returns nil when the result is durable. When ctx ends before step began, step never
	// runs and the error wraps ErrUnavailable and ctx.Err(); once begun, the outcome is waited for, for 10 s at most. A
	// step that changes nothing writes nothing, but sees and waits for all that it follows.
	Update(ctx context.Context, ref Ref, step Step) error

	// Choose is an Update of one of several records. The choice sees those that refs lead to as they stand at one moment, each
	// once, in the order of the first ref to each; refs that lead to none are passed over, and it runs even when all do. It may let calls
	// of the other methods pass that began later, but none that began earlier.
	Choose(ctx context.Context, refs []Ref, choice Choice) error

	// Note is an Update that its caller does not wait for: it becomes durable with the next write, no later than 20 ms from now,
	// and done is then called once, without blocking, with what Update would have returned. ctx bounds the wait for room in a
	// queue; when Note returns an error, neither step nor done is ever called.
	Note(ctx context.Context, ref Ref, step Step, done func(error)) error

	// Sweep applies step to at most limit records whose newest id is greater than after and of a time before the given one,
	// oldest first, and gives the newest id of the last, or false when there were fewer. What is left there of a record that has a newer id now counts
	// as one, and is removed.
	Sweep(ctx context.Context, after Name, before time.Time, limit int, step Step) (last Name, more bool, err error)

	// Page calls visit with committed records, from that whose newest id is from, or with the zero name from the newest, towards the
	// oldest, until visit gives false or limit records were read; it gives the newest id of the last, and whether there are more that were not
	// read. What is left there of a record that has a newer id now counts as one, and is not visited. It holds up the other methods for the
	// reading of some records at most, not for visit; a record that changes meanwhile is seen once, as it was or as it is, or not at all.
	// r is valid during the call only.
	Page(ctx context.Context, from Name, limit int, visit func(r Record) bool) (last Name, more bool, err error)

	// Now is the backend's clock, in UTC, to the microsecond. It never goes back, not even over a restart, and never runs slower
	// than time does.
	Now() time.Time

	// Ready gives nil when Update can be expected to succeed, else why not.
	Ready() error

	// Trouble says what an operator should know, a line each, though work goes on.
	Trouble() []string

	// Run does the backend's work until ctx ends; then it finishes what was taken on, refuses the rest and returns nil.
	// Update, Choose, Note and Sweep wait for Run to begin. It is called once.
	Run(ctx context.Context) error

	// Close gives back what the backend holds. It is called after Run returned, or instead of Run.
	Close() error
}
