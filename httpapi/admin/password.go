package admin

import (
	"errors"

	"otpgw/config/secret"
)

// A Password is that of the status page.
type Password struct{ secret.Text }

// UnmarshalSecret takes a password of 12 characters at least.
func (p *Password) UnmarshalSecret(text []byte) error {
	if len(text) < 12 {
		return errors.New("must have 12 characters at least")
	}
	return p.Text.UnmarshalSecret(text)
}
