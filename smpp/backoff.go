package smpp

import (
	"errors"
	"fmt"
	"time"

	"otpgw/smpp/pdu"
)

const (
	steady          = 30 * time.Second // bound for so long, a bind starts anew with its back-off
	authFloor       = 60 * time.Second // an SMSC may lock an account that knocks with a wrong password
	alreadyFloor    = 5 * time.Second  // our former session has to die there first
	peerUnbindFloor = time.Second
)

var (
	errPeerUnbind  = errors.New("unbind by the smsc") // ends a session
	errNoLife      = errors.New("no answer to enquire_link")
	errBindTimeout = errors.New("bind not answered in time")
	errNoAnswer    = errors.New("closed before the bind was answered") // as a load balancer does that has no SMSC behind it
)

// A connectError is a connection that was not to be had.
type connectError struct{ err error }

func (e *connectError) Error() string { return "connect: " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// A bindError is the refusal of a bind.
type bindError struct{ status pdu.Status }

func (e *bindError) Error() string { return fmt.Sprintf("bind refused: %v", e.status) }

// credentials says that trying again is useless until someone has changed something.
func (e *bindError) credentials() bool {
	switch e.status {
	case pdu.StatusBindFail, pdu.StatusInvPaswd, pdu.StatusInvSysID, pdu.StatusInvSysTyp:
		return true
	}
	return false
}

// A backoff spaces the attempts of one bind: a floor that depends on what ended the last one, and on top of it full
// jitter below a ceiling that doubles with each failure.
type backoff struct {
	min, max time.Duration
	failures int
}

// next is how long to wait after a session that was bound for so long (0: never) ended with err. random is in [0, 1).
func (b *backoff) next(err error, bound time.Duration, random float64) time.Duration {
	if bound >= steady {
		b.failures = 0
	}
	ceiling := b.min << min(b.failures, 20)
	if ceiling > b.max || ceiling <= 0 {
		ceiling = b.max
	}
	b.failures++
	switch { // where another try costs nobody anything, the SMSC must not be back for long before it is tried
	case harmless(err):
		ceiling = b.min
	case errors.Is(err, errNoAnswer):
		ceiling = min(ceiling, 2*b.min)
	}
	return floorOf(err) + time.Duration(random*float64(ceiling))
}

// harmless says that another try right after cannot become a storm: a connection that is refused or has no answer costs the
// SMSC nothing, and whoever found no sign of life has waited long for it.
func harmless(err error) bool {
	var refused *connectError
	return errors.As(err, &refused) || errors.Is(err, errNoLife) || errors.Is(err, errBindTimeout)
}

func floorOf(err error) time.Duration {
	var refused *bindError
	switch {
	case errors.As(err, &refused) && refused.credentials():
		return authFloor
	case errors.As(err, &refused) && refused.status == pdu.StatusAlyBnd:
		return alreadyFloor
	case errors.Is(err, errPeerUnbind):
		return peerUnbindFloor
	}
	return 0
}
