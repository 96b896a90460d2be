package config

import (
	"fmt"
	"reflect"
	"strings"

	"otpgw/httpapi"
	"otpgw/httpapi/callbacks"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// preamble begins the sample.
const preamble = `Configuration of otpgw, in TOML: every key, with its default behind a #. "otpgw config reference" prints this file,
"otpgw check-config FILE" says what is wrong with it.

A key of a single table can also be set by the environment variable named beside it, which wins. There, items of a list
are separated by commas, and an empty variable counts as none. Paths are absolute.

A secret never stands here. Its value says where it is: "file:/path", "cred:name" (a systemd credential) or "env:NAME".
A file with a secret belongs to root or to the user of otpgw and has mode 0600 or 0400; one that belongs to root may be
readable by its group, 0640 or 0440. An end of line after the secret does not count.

"At once" is what a reload (SIGHUP) changes; the rest needs a restart.

What stands without a # is an example to be replaced. It needs two files: /etc/otpgw/smpp.password, with the password of
the account, and /etc/otpgw/tokens.toml, with a table for each token ("otpgw token new --client acme" prints one):

    [[token]]
    sha256 = "SHA-256 of the token, 64 hexadecimal digits"
    client = "acme"
    scopes = ["one-time-password-sms:send-validate"]
    expires = 2027-01-01T00:00:00Z`

// examples are the values, as TOML, of the keys that have no default which could work.
func examples() map[string]string {
	return map[string]string{
		"tokens.file":    `"/etc/otpgw/tokens.toml"`,
		"smsc.name":      `"smsc-a"`,
		"smsc.endpoints": `["10.0.0.10:2775"]`,
		"smsc.system_id": `"otpgw"`,
		"smsc.password":  `"file:/etc/otpgw/smpp.password"`,
		"client.id":      `"acme"`,
		"client.sender":  `"ACME"`,

		"policy.name":        `"short"`,
		"budget.name":        `"spain_hour"`,
		"budget.prefixes":    `["+34"]`,
		"budget.limit":       `10000`,
		"sink.name":          `"acme"`,
		"sink.url":           `"https://acme.example.com/otp-events"`,
		"sink.clients":       `["acme"]`,
		"sink.namespace":     `"com.example.otp"`,
		"sink.secret":        `"file:/etc/otpgw/acme.webhook-secret"`,
		"test_number.number": `"+34600000099"`,

		"issuer.name":     `"idp"`,
		"issuer.issuer":   `"https://idp.example.com"`,
		"issuer.audience": `["https://otp.example.com"]`,
	}
}

// width is where comments are wrapped.
const width = 120

// Reference is a configuration file with every key: what it means, its default, and whether a reload changes it. Load
// takes it as it is when the two files that its head names are there.
func Reference() string {
	var b strings.Builder
	for line := range strings.Lines(preamble) {
		fmt.Fprintln(&b, strings.TrimRight("# "+line, " \n"))
	}
	example := examples()
	for _, sec := range configSchema() {
		b.WriteString("\n\n")
		comment(&b, sec.comment)
		mark := ""
		if sec.optional {
			mark = "#"
		}
		fmt.Fprintf(&b, "%s%s\n", mark, sec.header())
		defaults := defaultsOf(sec)
		for _, k := range sec.keys {
			b.WriteByte('\n')
			comment(&b, k.comment)
			comment(&b, remark(sec, k))
			if value, given := example[sec.name+"."+k.name]; given {
				fmt.Fprintf(&b, "%s%s = %s\n", mark, k.name, value)
			} else {
				fmt.Fprintf(&b, "#%s = %s\n", k.name, k.kind.write(defaults.Field(k.index)))
			}
		}
	}
	return b.String()
}

// remark is what the schema knows of a key.
func remark(s section, k key) string {
	when := "restart"
	if k.reload == "hot" {
		when = "at once"
	}
	if name := s.env(k); name != "" {
		return "(" + when + "; " + name + ")"
	}
	return "(" + when + ")"
}

// defaultsOf is a table of the section with every default.
func defaultsOf(s section) reflect.Value {
	if s.list {
		return defaultTable(s.typ)
	}
	return reflect.ValueOf(Default()).Field(s.index)
}

// defaultTable is what an empty table of a list means.
func defaultTable(t reflect.Type) reflect.Value {
	for _, table := range []any{
		smpp.DefaultConfig(), httpapi.DefaultClient(), otpstore.DefaultPolicy().Terms(), httpapi.DefaultBudget(), httpapi.DefaultTestNumber(),
		tokens.DefaultConfig(),
		callbacks.DefaultConfig(),
	} {
		if reflect.TypeOf(table) == t {
			return reflect.ValueOf(table)
		}
	}
	panic(fmt.Sprintf("config: tables of type %v have no defaults", t))
}

// comment writes text as lines of comment that are at most width wide, if its words are.
func comment(b *strings.Builder, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			fmt.Fprintln(b, line)
			line = "#"
		}
		line += " " + word
	}
	fmt.Fprintln(b, line)
}
