// Package config loads, checks and composes the settings of every component: defaults, then the TOML file, then the
// environment. It reads the secrets that the file refers to and the token file, and finds the place of every mistake.
//
// It decides nothing about what a setting means: each component owns its Config, its defaults and its Validate. Rules that
// span components are in rules.go. Start reading at Check in load.go.
package config

import (
	"errors"

	"otpgw/httpapi"
	"otpgw/httpapi/admin"
	"otpgw/httpapi/callbacks"
	"otpgw/httpapi/numbers"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// Config is everything that can be set. Its fields are the tables of the file, in the order of Reference.
//
// It may be printed: the secrets in it hide themselves.
type Config struct {
	Store       otpstore.Config      `toml:"store" comment:"Where codes and counters are kept."`
	OTP         otpstore.Policy      `toml:"otp" comment:"What a code is, how long it lives, and how often one may be asked for and tried."`
	HTTP        httpapi.Config       `toml:"http" comment:"The API: what it listens on and how much it takes."`
	Admin       admin.Config         `toml:"admin" comment:"Health, readiness and metrics. Not for the public."`
	Numbers     numbers.Config       `toml:"numbers" comment:"Which phone numbers codes may be sent to: prefixes in +E.164, of which the longest that matches decides, files, and a look-up."`
	Tokens      Tokens               `toml:"tokens" comment:"Who may use the API."`
	Log         Log                  `toml:"log" comment:"What is written to standard error."`
	SMSC        []smpp.Config        `toml:"smsc" comment:"One account on one SMSC. One table for each; their names differ."`
	Clients     []httpapi.Client     `toml:"client" comment:"One consumer of the API. One table for each."`
	Issuers     []tokens.Config      `toml:"issuer" optional:"true" comment:"Whose access tokens are taken besides those of the file. One table for each; their names and issuers differ."`
	Policies    []otpstore.Terms     `toml:"policy" optional:"true" comment:"What the codes of some clients are issued under, in place of [otp]. One table for each; a key that is not set has the default of [otp]."`
	Budgets     []httpapi.Budget     `toml:"budget" optional:"true" comment:"How many codes may be sent to a part of the world. One table for each."`
	Sinks       []callbacks.Config   `toml:"sink" optional:"true" comment:"Where clients are told what became of their verifications. One table for each."`
	TestNumbers []httpapi.TestNumber `toml:"test_number" optional:"true" comment:"A number that nothing is sent to, where http.sandbox is true. One table for each."`

	// TokenList is what the file named by Tokens.File holds. It is no key of its own.
	TokenList []tokens.Token `toml:"-"`
}

// Tokens says where the access tokens are.
type Tokens struct {
	File string `toml:"file" comment:"Absolute path of the file with the access tokens: tables [[token]] with sha256 (64 hex digits), client, scopes and expires. Empty, and no [[issuer]]: nobody is let in." reload:"hot"`
}

// Log says what is logged.
type Log struct {
	Level  string `toml:"level" comment:"The least severe level that is written: debug, info, warn or error." reload:"hot"`
	Format string `toml:"format" comment:"text, json, journal or auto. journal: entries of the journal of systemd, with a field for each attribute (journalctl CLIENT=... ID=...); json where it cannot be reached. auto: text where standard error is a terminal, journal where it leads there, else json." reload:"restart"`

	Requests string `toml:"requests" comment:"Of which requests and final receipts a line is written at level info: all, failures (answered with an error; not delivered) or none. The others have theirs at level debug, faults always." reload:"hot"`
	Audit    string `toml:"audit" comment:"Absolute path of a file to which is appended, as JSON lines, who did what through the control socket and the status page, and what limits refused. A reload opens it anew, as logrotate wants it. Empty: all that is in the log, with component=audit." reload:"hot"`
}

// DefaultLog writes from level info on, a line for each request.
func DefaultLog() Log { return Log{Level: "info", Format: "auto", Requests: "all"} }

// Validate returns the errors of l, joined; the text of each begins with its key.
func (l Log) Validate() error {
	return errors.Join(oneOf("level", l.Level, "debug", "info", "warn", "error"), oneOf("format", l.Format, "text", "json", "journal", "auto"),
		oneOf("requests", l.Requests, "all", "failures", "none"))
}

// Default is the configuration of an empty file: what has a safe default, and no SMSC, client or token.
func Default() Config {
	return Config{
		Store:   otpstore.DefaultConfig(),
		OTP:     otpstore.DefaultPolicy(),
		HTTP:    httpapi.DefaultConfig(),
		Admin:   admin.DefaultConfig(),
		Numbers: numbers.DefaultConfig(),
		Log:     DefaultLog(),
	}
}

// DefaultSMSC is what an empty [[smsc]] table means.
func DefaultSMSC() smpp.Config { return smpp.DefaultConfig() }
