package otpstore

import (
	"errors"
	"fmt"
	"time"
)

// Config says where the store is. It is read once, at the start.
type Config struct {
	Dir string `toml:"dir" comment:"Directory of the store, created with mode 0700 where it is missing." reload:"restart"`
	Key Key    `toml:"key" comment:"Key of the store as file:PATH, cred:NAME or env:NAME: 32 octets raw, as 64 hexadecimal digits or in base64. Empty: the file otpgw.key in dir, generated at the first start." reload:"restart"`
}

// DefaultConfig keeps the store where a system service keeps its state.
func DefaultConfig() Config { return Config{Dir: "/var/lib/otpgw"} }

// Validate reports all that is wrong with c, each error beginning with its key.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New(`dir = "": must name a directory`))
	}
	if n := len(c.Key); n != 0 && n != keyLength {
		errs = append(errs, fmt.Errorf("key: must have %d octets, has %d", keyLength, n))
	}
	return errors.Join(errs...)
}

// A Policy is the rules' figures. It may change while the store runs; a code keeps the life and the tries it was issued with.
type Policy struct {
	Length        int           `toml:"length" comment:"Decimal digits of a code, 6 to 10." reload:"hot"`
	TTL           time.Duration `toml:"ttl" comment:"How long a code is valid after the SMSC accepted its message, 1s to 10m." reload:"hot"`
	MaxAttempts   int           `toml:"max_attempts" comment:"Wrong codes until a verification has failed, the last included, 2 to 10." reload:"hot"`
	SendLimit     int           `toml:"send_limit" comment:"Codes sent to one number within send_window, whichever client asks, 1 to 100." reload:"hot"`
	SendWindow    time.Duration `toml:"send_window" comment:"Length of the sliding window of send_limit, ttl to 168h." reload:"hot"`
	ResendAfter   time.Duration `toml:"resend_after" comment:"Least time between two codes to one number, 0s to send_window. 0s: none." reload:"hot"`
	MaxFailures   int           `toml:"max_failures" comment:"Wrong codes in a row for one number, over all its codes and clients, until it is locked, 1 to 100. A right code starts the count anew." reload:"hot"`
	FailureWindow time.Duration `toml:"failure_window" comment:"How long a failure counts and a locked number stays locked after the last failure, ttl to 720h." reload:"hot"`
	Retention     time.Duration `toml:"retention" comment:"How long a finished verification is remembered, ttl to 720h. Later its id is unknown." reload:"hot"`
}

// DefaultPolicy bounds the chance to guess a code of a number to 1 in 100,000 a day.
func DefaultPolicy() Policy {
	return Policy{
		Length:        6,
		TTL:           5 * time.Minute,
		MaxAttempts:   3,
		SendLimit:     5,
		SendWindow:    time.Hour,
		ResendAfter:   30 * time.Second,
		MaxFailures:   10,
		FailureWindow: 24 * time.Hour,
		Retention:     24 * time.Hour,
	}
}

// Validate reports all that is wrong with p, each error beginning with its key.
func (p Policy) Validate() error {
	var errs []error
	count := func(key string, n, low, high int) {
		if n < low || n > high {
			errs = append(errs, fmt.Errorf("%s = %d: must be %d..%d", key, n, low, high))
		}
	}
	span := func(key string, d, low, high time.Duration) {
		if d < low || d > high {
			errs = append(errs, fmt.Errorf("%s = %s: must be %s..%s", key, d, low, high))
		}
	}
	count("length", p.Length, 6, maxLength)
	span("ttl", p.TTL, time.Second, 10*time.Minute)
	count("max_attempts", p.MaxAttempts, 2, 10)
	count("send_limit", p.SendLimit, 1, 100)
	span("send_window", p.SendWindow, p.TTL, 168*time.Hour)
	span("resend_after", p.ResendAfter, 0, p.SendWindow)
	count("max_failures", p.MaxFailures, 1, 100)
	span("failure_window", p.FailureWindow, p.TTL, 720*time.Hour)
	span("retention", p.Retention, p.TTL, 720*time.Hour)
	return errors.Join(errs...)
}

// memory is how long a finished code may still matter to an answer or a limit.
func (p Policy) memory() time.Duration {
	return max(p.Retention, p.SendWindow, p.FailureWindow)
}
