package admin

import (
	"bytes"
	"errors"
	"log/slog"
)

// A Password is that of the status page. It prints as "***".
type Password []byte

// UnmarshalSecret takes a password of 12 characters at least.
func (p *Password) UnmarshalSecret(text []byte) error {
	if len(text) < 12 {
		return errors.New("must have 12 characters at least")
	}
	*p = bytes.Clone(text)
	return nil
}

// String hides the password.
func (p Password) String() string {
	if len(p) == 0 {
		return ""
	}
	return "***"
}

// GoString hides the password.
func (p Password) GoString() string { return p.String() }

// LogValue hides the password.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText hides the password.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
