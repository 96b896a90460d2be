package smpp

import (
	"errors"
	"fmt"
	"time"

	"otpgw/smpp/pdu"
)

var (
	// ErrUnavailable is matched by every error that says: certainly not sent, try again later.
	ErrUnavailable = errors.New("smsc unavailable")
	// ErrUnknown is matched by every error that says: perhaps sent. It must be taken neither for success nor for failure.
	ErrUnknown = errors.New("outcome unknown")
)

// An UnavailableError says that a message was certainly not sent.
type UnavailableError struct {
	// Reason is constant for a cause and holds nothing of the message.
	Reason string
	// RetryAfter is when it may be worth trying again.
	RetryAfter time.Duration
}

func (e *UnavailableError) Error() string { return "not sent: " + e.Reason }

// Is makes errors.Is(err, ErrUnavailable) true.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// A StatusError says that the SMSC refused a message: it was certainly not accepted.
type StatusError struct {
	// Status is the command_status of the answer (SMPP 3.4 §5.1.3).
	Status uint32
	// Class is what the status means: ClassThrottled, ClassDestination, …
	Class string
	// Command is the name of the answer: "submit_sm_resp" or "generic_nack".
	Command string
	// RetryAfter is when it may be worth trying again; 0 where that is not known.
	RetryAfter time.Duration
}

// Name is the status's name in the standard, or its number in hexadecimal: "ESME_RINVDSTADR", "0x00000422".
func (e *StatusError) Name() string { return pdu.Status(e.Status).String() }

func (e *StatusError) Error() string {
	return fmt.Sprintf("refused by the smsc: %s in %s", e.Name(), e.Command)
}

// An UnknownError says that a message was handed to the connection and that no answer came, or that only some of its
// segments were accepted.
type UnknownError struct {
	// Reason is constant for a cause and holds nothing of the message.
	Reason string
}

func (e *UnknownError) Error() string { return "outcome unknown: " + e.Reason }

// Is makes errors.Is(err, ErrUnknown) true.
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }

// A TextError says that a text cannot be sent. Nothing was sent.
type TextError struct {
	// Segments is the number of short messages that the text would take, Max how many it may take; both are 0 where the
	// text cannot be encoded at all.
	Segments, Max int
	Reason        string
}

func (e *TextError) Error() string {
	if e.Max > 0 {
		return fmt.Sprintf("text: %s: %d segments, at most %d", e.Reason, e.Segments, e.Max)
	}
	return "text: " + e.Reason
}

// An AddressError says that a sender or a number cannot be sent. Nothing was sent.
type AddressError struct {
	// Field is "from" or "to".
	Field, Reason string
}

func (e *AddressError) Error() string { return e.Field + ": " + e.Reason }
