package smpp

import "log/slog"

// A Password is a secret: however it is printed, "***" is what appears, and nothing where it is empty.
type Password string

// UnmarshalSecret takes the password as it stands in a file or variable.
func (p *Password) UnmarshalSecret(text []byte) error {
	*p = Password(text)
	return nil
}

func (p Password) String() string {
	if p == "" {
		return ""
	}
	return "***"
}

// GoString hides the password from %#v.
func (p Password) GoString() string { return p.String() }

// LogValue hides the password from logs.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText hides the password from encoders.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
