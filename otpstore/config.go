package otpstore

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Config says where the store is. It is read once, at the start.
type Config struct {
	Dir string `toml:"dir" comment:"Directory of the store, created with mode 0700 where it is missing." reload:"restart"`
	Key Key    `toml:"key" comment:"Key of the store as file:PATH, cred:NAME or env:NAME: 32 octets raw, as 64 hexadecimal digits or in base64; or several, the newest first, each in a line. Empty: the file otpgw.key in dir, generated at the first start." reload:"restart"`

	// Inspector is a program, and its arguments, that does nothing but [Inspect]: it checks the file before this process opens it. Without one this
	// process does. No file sets it.
	Inspector []string `toml:"-"`
}

// DefaultConfig keeps the store where a system service keeps its state.
func DefaultConfig() Config { return Config{Dir: "/var/lib/otpgw"} }

// Validate reports all that is wrong with c, each error beginning with its key.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New(`dir = "": must name a directory`))
	}
	if len(c.Key) > 0 {
		if err := c.Key.validate(); err != nil {
			errs = append(errs, fmt.Errorf("key: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Terms are what the codes of a client are issued under: [[policy]], or those of [otp]. A code keeps them.
type Terms struct {
	Name          string        `toml:"name" comment:"Name of the policy: 1 to 32 letters, digits, _ and -." reload:"hot"`
	Length        int           `toml:"length" comment:"Characters of a code, 6 to 10; fewer where they are letters." reload:"hot"`
	Alphabet      string        `toml:"alphabet" comment:"What codes are made of: digits, letters (capitals that are no vowels and look like nothing else) or alphanumeric (both). Letters may be typed small." reload:"hot"`
	AllowShort    bool          `toml:"insecure_allow_short_codes" comment:"Accept codes of 4 or 5 characters although they have less than 20 bits." reload:"hot"`
	TTL           time.Duration `toml:"ttl" comment:"How long a code is valid after the SMSC accepted its message, 1s to 10m." reload:"hot"`
	MaxAttempts   int           `toml:"max_attempts" comment:"Wrong codes until a verification has failed, the last included, 2 to 10." reload:"hot"`
	SendLimit     int           `toml:"send_limit" comment:"Codes that one client sends to one number within send_window, 1 to 100." reload:"hot"`
	SendWindow    time.Duration `toml:"send_window" comment:"Length of the sliding window of send_limit, ttl to 168h." reload:"hot"`
	ResendAfter   time.Duration `toml:"resend_after" comment:"Least time between two codes of one client to one number, 0s to send_window. 0s: none." reload:"hot"`
	DayLimit      int           `toml:"day_limit" comment:"Codes that one client sends to one number within 24 hours, 0 to 100. 0: no limit." reload:"hot"`
	MaxFailures   int           `toml:"max_failures" comment:"Wrong codes in a row of one client for one number, over all its codes, until it is locked out there, 1 to 100. A right code starts the count anew." reload:"hot"`
	FailureWindow time.Duration `toml:"failure_window" comment:"How long a failure counts and a client stays locked out after the last one, ttl to 720h." reload:"hot"`
}

// A Policy is the rules' figures: [otp]. It may change while the store runs; a code keeps the terms that it was issued under.
type Policy struct {
	Length         int           `toml:"length" comment:"Characters of a code, 6 to 10; fewer where they are letters." reload:"hot"`
	Alphabet       string        `toml:"alphabet" comment:"What codes are made of: digits, letters (capitals that are no vowels and look like nothing else) or alphanumeric (both). Letters may be typed small." reload:"hot"`
	AllowShort     bool          `toml:"insecure_allow_short_codes" comment:"Accept codes of 4 or 5 characters although they have less than 20 bits." reload:"hot"`
	TTL            time.Duration `toml:"ttl" comment:"How long a code is valid after the SMSC accepted its message, 1s to 10m." reload:"hot"`
	MaxAttempts    int           `toml:"max_attempts" comment:"Wrong codes until a verification has failed, the last included, 2 to 10." reload:"hot"`
	SendLimit      int           `toml:"send_limit" comment:"Codes that one client sends to one number within send_window, 1 to 100." reload:"hot"`
	SendWindow     time.Duration `toml:"send_window" comment:"Length of the sliding window of send_limit and number_limit, ttl to 168h." reload:"hot"`
	ResendAfter    time.Duration `toml:"resend_after" comment:"Least time between two codes of one client to one number, 0s to send_window. 0s: none." reload:"hot"`
	DayLimit       int           `toml:"day_limit" comment:"Codes that one client sends to one number within 24 hours, 0 to 100. 0: no limit." reload:"hot"`
	NumberLimit    int           `toml:"number_limit" comment:"Codes sent to one number within send_window, whichever client asks, 1 to 100." reload:"hot"`
	NumberDayLimit int           `toml:"number_day_limit" comment:"Codes sent to one number within 24 hours, whichever client asks, 0 to 100. 0: no limit." reload:"hot"`
	MaxFailures    int           `toml:"max_failures" comment:"Wrong codes in a row of one client for one number, over all its codes, until it is locked out there, 1 to 100. A right code starts the count anew." reload:"hot"`
	FailureWindow  time.Duration `toml:"failure_window" comment:"How long a failure counts and a client stays locked out after the last one, ttl to 720h." reload:"hot"`
	Retention      time.Duration `toml:"retention" comment:"How long a finished verification is remembered, ttl to 720h. Later its id is unknown." reload:"hot"`
}

// DefaultPolicy bounds the chance to guess a code of a number to 1 in 100,000 a day.
func DefaultPolicy() Policy {
	return Policy{
		Length:         6,
		Alphabet:       digits,
		TTL:            5 * time.Minute,
		MaxAttempts:    3,
		SendLimit:      5,
		SendWindow:     time.Hour,
		ResendAfter:    30 * time.Second,
		DayLimit:       10,
		NumberLimit:    10,
		NumberDayLimit: 20,
		MaxFailures:    10,
		FailureWindow:  24 * time.Hour,
		Retention:      24 * time.Hour,
	}
}

// Terms are those of clients that have no others.
func (p Policy) Terms() Terms {
	return Terms{
		Length: p.Length, Alphabet: p.Alphabet, AllowShort: p.AllowShort, TTL: p.TTL, MaxAttempts: p.MaxAttempts,
		SendLimit: p.SendLimit, SendWindow: p.SendWindow, ResendAfter: p.ResendAfter, DayLimit: p.DayLimit,
		MaxFailures: p.MaxFailures, FailureWindow: p.FailureWindow,
	}
}

var policyName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// Validate reports all that is wrong with t, each error beginning with its key.
func (t Terms) Validate() error {
	if !policyName.MatchString(t.Name) {
		return errors.Join(fmt.Errorf("name = %q: must be 1 to 32 letters, digits, _ and -", t.Name), t.validate())
	}
	return t.validate()
}

// validate is Validate without the name.
func (t Terms) validate() error {
	f := &faults{}
	a, known := alphabets[t.Alphabet]
	shortest := 6
	switch {
	case !known:
		f.add("alphabet = %q: must be digits, letters or alphanumeric", t.Alphabet)
	case t.AllowShort:
		shortest = 4
	default:
		for shortest = 4; a.bits(shortest) < leastBits; {
			shortest++
		}
	}
	f.count("length", t.Length, shortest, maxLength)
	f.span("ttl", t.TTL, time.Second, 10*time.Minute)
	f.count("max_attempts", t.MaxAttempts, 2, 10)
	f.count("send_limit", t.SendLimit, 1, 100)
	f.span("send_window", t.SendWindow, t.TTL, 168*time.Hour)
	f.span("resend_after", t.ResendAfter, 0, t.SendWindow)
	f.count("day_limit", t.DayLimit, 0, 100)
	f.count("max_failures", t.MaxFailures, 1, 100)
	f.span("failure_window", t.FailureWindow, t.TTL, 720*time.Hour)
	return errors.Join(f.errs...)
}

// Validate reports all that is wrong with p, each error beginning with its key.
func (p Policy) Validate() error {
	f := &faults{}
	f.count("number_limit", p.NumberLimit, 1, 100)
	f.count("number_day_limit", p.NumberDayLimit, 0, 100)
	f.span("retention", p.Retention, p.TTL, 720*time.Hour)
	return errors.Join(append([]error{p.Terms().validate()}, f.errs...)...)
}

// faults are the errors of a set of figures.
type faults struct{ errs []error }

func (f *faults) add(format string, args ...any) {
	f.errs = append(f.errs, fmt.Errorf(format, args...))
}

func (f *faults) count(key string, n, low, high int) {
	if n < low || n > high {
		f.add("%s = %d: must be %d..%d", key, n, low, high)
	}
}

func (f *faults) span(key string, d, low, high time.Duration) {
	if d < low || d > high {
		f.add("%s = %s: must be %s..%s", key, d, low, high)
	}
}

// memory is how long a finished code may still matter to an answer or a limit, as far as its terms say.
func (t Terms) memory() time.Duration { return max(t.SendWindow, t.FailureWindow, day) }

// memory is that for all codes.
func (p Policy) memory() time.Duration { return max(p.Retention, p.Terms().memory()) }
