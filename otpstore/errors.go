package otpstore

import (
	"errors"
	"fmt"
	"time"
)

// Verdicts of [Store.Verify] and [Store.Lookup].
var (
	// ErrWrongCode says that the code was wrong and that another try is left.
	ErrWrongCode = errors.New("wrong code")
	// ErrExpired says that the verification ended before: used, replaced by a newer code, or too old.
	ErrExpired = errors.New("verification is no longer valid")
	// ErrFailed says that the tries of the verification, or the failures of its number, are used up.
	ErrFailed = errors.New("too many wrong codes")
	// ErrNotFound says that the client has no such verification, or none any more.
	ErrNotFound = errors.New("no such verification")
)

// Answers of [Store.Issue] and [Store.Cancel] besides.
var (
	// ErrKeyReused says that the request's key was used for something else to the same number.
	ErrKeyReused = errors.New("idempotency key was used for another request")
	// ErrInWork says that the request of that key has no outcome yet.
	ErrInWork = errors.New("request of this idempotency key is in work")
	// ErrNoOutcome says that nobody knows what became of the request of that key.
	ErrNoOutcome = errors.New("outcome of the request of this idempotency key is unknown")
	// ErrFinished says that a verification has ended in another way already.
	ErrFinished = errors.New("verification has ended")
	// ErrCursor says that a cursor is none that a list gave.
	ErrCursor = errors.New("not a cursor")
)

// Failures of the store itself.
var (
	// ErrUnavailable says that the store could not do it now. Nothing was revealed; the change may or may not be kept.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrFull says that there is no room for another code. It is an ErrUnavailable; nothing was counted or kept.
	ErrFull = fmt.Errorf("%w: no space left for new codes", ErrUnavailable)
	// ErrReadOnly says that the file system is read-only. It is an ErrUnavailable; nothing was counted or kept.
	ErrReadOnly = fmt.Errorf("%w: the file system is read-only", ErrUnavailable)
	// ErrInUse says that another process holds the store.
	ErrInUse = errors.New("in use by another process")
	// ErrNewer says that a newer version of this program wrote the store.
	ErrNewer = errors.New("written by a newer version")
	// ErrCorrupt says that the store's file cannot be read as one.
	ErrCorrupt = errors.New("damaged, or not a store")
	// ErrWrongKey says that the store was written under another key.
	ErrWrongKey = errors.New("written under another key")
)

// refused reports whether err says that the disk took nothing, so that nothing was counted or kept.
func refused(err error) bool { return errors.Is(err, ErrFull) || errors.Is(err, ErrReadOnly) }

// A LimitError is the refusal of a code by one of the limits. Nothing was counted.
type LimitError struct {
	Limit      string        // "send_limit", "resend_after", "day_limit", "max_failures", "number_limit", "number_day_limit" or that of a Budget
	RetryAfter time.Duration // until this limit would let a code through, greater than 0
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s reached, retry after %s", e.Limit, e.RetryAfter)
}
