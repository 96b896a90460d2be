package httpapi

import (
	"context"
	"errors"
	"fmt"

	"otpgw/otpstore"
)

// validateCode judges a code (CAMARA OTP 1.1.1, validateCode). What has not the right form never reaches the store, and
// so costs no try.
func (s *Server) validateCode(ctx context.Context, x *exchange) error {
	id, code, err := readPair(x.request.Body, x.request.ContentLength, x.version.closed, "authenticationId", "code")
	switch {
	case err != nil:
		return err
	case !x.version.id(id):
		return invalidID
	case !between(code, 1, maxCode):
		return invalidCode
	}
	err = s.codes.Verify(ctx, x.client.ID, id, code)
	if judged(err) {
		x.id = id // to be logged: a string that is no id of ours might be a secret in the wrong place
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	s.sender.Cancel(id) // what still waits in the SMSC is of no use any more
	return nil
}

// judged says whether the store knows the id of which it said err.
func judged(err error) bool {
	return err == nil || errors.Is(err, otpstore.ErrWrongCode) || errors.Is(err, otpstore.ErrExpired) || errors.Is(err, otpstore.ErrFailed)
}
