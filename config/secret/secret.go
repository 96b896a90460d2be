// Package secret has the type of settings that must not be shown.
package secret

import "log/slog"

// A Text is a secret: however it is printed, logged or encoded, "***" is what appears, and nothing where it is empty. It stands in a file,
// a credential or a variable of its own, never in the configuration.
type Text string

// UnmarshalSecret takes the secret as it stands there.
func (t *Text) UnmarshalSecret(text []byte) error {
	*t = Text(text)
	return nil
}

func (t Text) String() string {
	if t == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (t Text) GoString() string { return t.String() }

// LogValue hides the secret from logs.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText hides the secret from encoders.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
