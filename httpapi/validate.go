package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"otpgw/otpstore"
)

// validateCode judges a code (CAMARA OTP 1.1.1, validateCode). What has not the right form never reaches the store, and
// so costs no try.
func (s *Server) validateCode(ctx context.Context, x *exchange) error {
	id, code, err := x.readPair("authenticationId", "code")
	switch {
	case err != nil:
		return err
	case !x.version.id(id):
		return invalidID
	case !between(code, 1, maxCode):
		return invalidCode
	}
	if len(x.live.sandbox) > 0 {
		if err, known := s.tests.verify(x.client.ID, id, code); known {
			x.id = id
			return err
		}
	}
	if err := x.client.failures.take(time.Now(), x.client.FailureShare); err != nil {
		return err
	}
	err = s.codes.Verify(ctx, x.client.ID, id, code)
	if judged(err) {
		x.id = id // to be logged: a string that is no id of ours might be a secret in the wrong place
		s.trace.Add(id, time.Time{}, "checked", verdictOf(err), x.correlator)
	}
	if wrong := errors.Is(err, otpstore.ErrFailed) || errors.Is(err, otpstore.ErrWrongCode); wrong || err == nil {
		x.client.failures.count(time.Now(), wrong)
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	s.sender.Cancel(id) // what still waits in the SMSC is of no use any more
	return nil
}

// verdictOf is a verdict in words.
func verdictOf(err error) string {
	if err == nil {
		return "right code"
	}
	return err.Error()
}

// judged says whether the store knows the id of which it said err.
func judged(err error) bool {
	return err == nil || errors.Is(err, otpstore.ErrWrongCode) || errors.Is(err, otpstore.ErrExpired) || errors.Is(err, otpstore.ErrFailed)
}
