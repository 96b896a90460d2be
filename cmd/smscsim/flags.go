package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"otpgw/smpp/smsc"
)

// configFlags declares the flags that change a configuration and returns what applies those that were given.
func configFlags(flags *flag.FlagSet) func(*smsc.Config) {
	var given []func(*smsc.Config)
	set := func(f func(*smsc.Config)) { given = append(given, f) }

	text := func(name, usage string, field func(*smsc.Config) *string) {
		flags.Func(name, usage, func(s string) error {
			set(func(c *smsc.Config) { *field(c) = s })
			return nil
		})
	}
	number := func(name, usage string, field func(*smsc.Config) *int) {
		flags.Func(name, usage, func(s string) error {
			n, err := notNegative(s)
			set(func(c *smsc.Config) { *field(c) = n })
			return err
		})
	}
	share := func(name, usage string, most float64, field func(*smsc.Config) *float64) {
		flags.Func(name, usage, func(s string) error {
			n, err := between(s, most)
			set(func(c *smsc.Config) { *field(c) = n })
			return err
		})
	}
	wait := func(name, usage string, field func(*smsc.Config) *time.Duration) {
		flags.Func(name, usage, func(s string) error {
			d, err := notBefore(s)
			set(func(c *smsc.Config) { *field(c) = d })
			return err
		})
	}

	text("system-id", "the only `system_id` that may bind; all may without it", func(c *smsc.Config) *string { return &c.SystemID })
	text("password", "its `password`; any will do without it", func(c *smsc.Config) *string { return &c.Password })
	flags.Func("bind-status", "refuse binds with that `status`: ESME_RALYBND, or 0x05", func(s string) error {
		status, err := smsc.ParseStatus(s)
		set(func(c *smsc.Config) { c.BindStatus = status })
		return err
	})
	number("bind-refusals", "how `many` binds --bind-status refuses before they are accepted; 0 is all", func(c *smsc.Config) *int { return &c.BindRefusals })
	number("max-binds", "refuse with ESME_RALYBND more than so `many` binds of a system_id; 0 is no limit", func(c *smsc.Config) *int { return &c.MaxBinds })
	text("outbind", "call a client at that `host:port` and ask it to bind, while nobody is bound", func(c *smsc.Config) *string { return &c.Outbind })
	wait("latency", "`time` from a message to its answer, as 300ms", func(c *smsc.Config) *time.Duration { return &c.Latency })
	share("rate", "refuse with ESME_RTHROTTLED more than so `many` messages a second; 0 is no limit", 1e6, func(c *smsc.Config) *float64 { return &c.Rate })
	share("throttled-share", "refuse that `share` of messages with ESME_RTHROTTLED, 0 to 1", 1, func(c *smsc.Config) *float64 { return &c.ThrottledShare })
	number("drop-every", "drop the connection at every `nth` message; 0 is never", func(c *smsc.Config) *int { return &c.DropEvery })
	number("unbind-every", "unbind after every `nth` message; 0 is never", func(c *smsc.Config) *int { return &c.UnbindEvery })
	wait("receipt-delay", "`time` from the answer to the receipt", func(c *smsc.Config) *time.Duration { return &c.ReceiptDelay })
	share("lost-receipts", "`share` of messages whose receipts never come, 0 to 1", 1, func(c *smsc.Config) *float64 { return &c.LostReceipts })

	return func(c *smsc.Config) {
		for _, f := range given {
			f(c)
		}
	}
}

func notNegative(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, errors.New("must be a whole number, 0 or more")
	}
	return n, nil
}

func between(s string, most float64) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(0 <= n && n <= most) { // nor NaN
		return 0, fmt.Errorf("must be a number from 0 to %g", most)
	}
	return n, nil
}

func notBefore(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New("must be a time, as 300ms or 2s")
	}
	return d, nil
}
