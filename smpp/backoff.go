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

// errPeerUnbind ends a session that the SMSC has ended with unbind.
var errPeerUnbind = errors.New("unbind by the smsc")

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
	return floorOf(err) + time.Duration(random*float64(ceiling))
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
