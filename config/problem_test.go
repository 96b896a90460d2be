package config_test

import (
	"slices"
	"strings"
	"testing"

	"otpgw/config"
)

// bad are files with something wrong, and every line that is said of them. FILE is the file itself; … is the rest of a
// line whose words are a component's.
var bad = []struct {
	name string
	text string
	want []string
}{
	{"unknown key", "[otp]\ntll = \"5m\"\n" + whole, []string{
		`FILE:2:1: unknown key "otp.tll" (did you mean "otp.ttl"?)`,
	}},
	{"unknown key, indented", "[otp]\n\t ttl = \"5m\"\n\t max_atempts = 3\n" + whole, []string{
		`FILE:3:3: unknown key "otp.max_atempts" (did you mean "otp.max_attempts"?)`,
	}},
	{"unknown key, nothing like it", "[otp]\nfrobnicate = 1\n" + whole, []string{
		`FILE:2:1: unknown key "otp.frobnicate"`,
	}},
	{"capitals", "[otp]\nTTL = \"5m\"\n" + whole, []string{
		`FILE:2:1: unknown key "otp.TTL" (did you mean "otp.ttl"?)`,
	}},
	{"hyphen", "[otp]\nmax-attempts = 3\n" + whole, []string{
		`FILE:2:1: unknown key "otp.max-attempts" (did you mean "otp.max_attempts"?)`,
	}},
	{"key of another table", "[http]\nresend_after = \"5m\"\n" + whole, []string{
		`FILE:2:1: unknown key "http.resend_after" ("resend_after" belongs under [otp] or [[policy]])`,
	}},
	{"key before any table", "ttl = \"5m\"\n" + whole, []string{
		`FILE:1:1: unknown key "ttl" ("ttl" belongs under [otp] or [[policy]])`,
	}},
	{"key of two tables", "listen = \":80\"\n" + whole, []string{
		`FILE:1:1: unknown key "listen" ("listen" belongs under [http] or [admin])`,
	}},
	{"key of none", "frobnicate = 1\n" + whole, []string{
		`FILE:1:1: unknown key "frobnicate" (known are store, otp, http, admin, numbers, tokens, log, smsc, client, issuer, policy, budget, sink, test_number)`,
	}},
	{"unknown table, once", "[opt]\nttl = 1\nlength = 2\n[opt.more]\nx = 1\n" + whole, []string{
		`FILE:1:1: unknown key "opt" (did you mean "otp"?)`,
	}},
	{"unknown list, once", "[[clients]]\nid = \"a\"\n[[clients]]\nid = \"b\"\n" + whole, []string{
		`FILE:1:1: unknown key "clients" (did you mean "client"?)`,
	}},
	{"list in a list", whole + "[[client.sender]]\nx = 1\n[client.id.x]\n", []string{
		`FILE:17:1: client[0].sender: is there already, in line 16`,
	}},
	{"table in a table", "[otp.ttl]\nx = 1\n" + whole, []string{
		`FILE:1:1: otp.ttl: must be a duration such as "30s", "5m" or "1h30m", not a table`,
	}},
	{"dotted keys", "otp.ttl = \"soon\"\notp.lenght = 6\n" + whole, []string{
		`FILE:1:5: otp.ttl = "soon": must be a duration such as "30s", "5m" or "1h30m"`,
		`FILE:2:5: unknown key "otp.lenght" (did you mean "otp.length"?)`,
	}},
	{"inline table", "otp = { ttl = 5, lenght = 6 }\n" + whole, []string{
		`FILE:1:9: otp.ttl = 5: must be a duration such as "30s", "5m" or "1h30m"`,
		`FILE:1:18: unknown key "otp.lenght" (did you mean "otp.length"?)`,
	}},
	{"quoted key", "[otp]\n\"t.tl\\n\" = 1\n" + whole, []string{
		`FILE:2:1: unknown key "otp.\"t.tl\\n\""`,
	}},
	{"types", `[otp]
ttl = 300
length = "6"
max_attempts = 3.0
send_limit = true
[http]
allow_plain_http = "no"
listen = 8443
request_timeout = 2026-01-01T00:00:00Z
[log]
level = ["info"]
` + whole, []string{
		`FILE:2:1: otp.ttl = 300: must be a duration such as "30s", "5m" or "1h30m"`,
		`FILE:3:1: otp.length = "6": must be a whole number`,
		`FILE:4:1: otp.max_attempts = 3.0: must be a whole number`,
		`FILE:5:1: otp.send_limit = true: must be a whole number`,
		`FILE:7:1: http.allow_plain_http = "no": must be true or false`,
		`FILE:8:1: http.listen = 8443: must be a string`,
		`FILE:9:1: http.request_timeout = 2026-01-01T00:00:00Z: must be a duration such as "30s", "5m" or "1h30m"`,
		`FILE:11:1: log.level: must be a string`,
	}},
	{"lists of strings", "[numbers]\nown = [\"+34\", 346]\nblocked = \"+34600\"\n" + wholeTokens + wholeSMSC + wholeClient, []string{
		`FILE:2:1: numbers.own: must be a list of strings such as ["a", "b"]`,
		`FILE:3:1: numbers.blocked = "+34600": must be a list of strings such as ["a", "b"]`,
	}},
	{"numbers that are none", whole + "rate = nan\n" + "burst = 1.5\n", []string{
		`FILE:17:1: client[0].rate = nan: must be a number`,
		`FILE:18:1: client[0].burst = 1.5: must be a whole number`,
	}},
	{"table for list", wholeNumbers + wholeTokens + wholeClient + "[smsc]\nname = \"a\"\n", []string{
		`FILE:11:1: smsc: must be a list of tables, each headed [[smsc]]`,
	}},
	{"list for table", "[[otp]]\nttl = \"5m\"\n[[otp]]\nttl = \"5m\"\n" + whole, []string{
		`FILE:1:1: otp: must be one table, headed [otp]`,
	}},
	{"value for table", "otp = 5\nsmsc = \"a\"\n" + wholeNumbers + wholeTokens + wholeClient, []string{
		`FILE:1:1: otp: must be one table, headed [otp]`,
		`FILE:2:1: smsc: must be a list of tables, each headed [[smsc]]`,
	}},
	{"out of range, in the second client", whole + "[[client]]\nid = \"b\"\n  burst = 0\nsender = \"B\"\n", []string{
		`FILE:19:3: client[1].burst = 0: must be 1..100000`,
	}},
	{"missing keys stand at their table", wholeNumbers + wholeTokens + wholeSMSC + "  [[client]]\n", []string{
		`FILE:13:3: client[0].id = "": …`,
		`FILE:13:3: client[0].sender = "": …`,
		`DIR/tokens.toml:4:1: token[0].client = "acme": no [[client]] has that id`,
	}},
	{"client twice", whole + wholeClient, []string{
		`FILE:19:1: client[1].id = "acme": is that of client[0] too`,
	}},
	{"no SMSC", wholeNumbers + wholeTokens + wholeClient, []string{
		`FILE: smsc: there must be one [[smsc]] at least`,
	}},
	{"two SMSCs", whole + wholeSMSC, []string{
		`FILE:19:1: smsc[1].name = "smsc-a": is that of smsc[0] too`,
	}},
	{"relative paths", "[store]\ndir = \"data\"\n[tokens]\nfile = \"tokens.toml\"\n" + wholeNumbers + wholeSMSC + wholeClient, []string{
		`FILE:2:1: store.dir = "data": must be an absolute path`,
		`FILE:4:1: tokens.file = "tokens.toml": must be an absolute path`,
	}},
	{"timeouts that do not fit", "[http]\nrequest_timeout = \"10s\"\n" + whole + "[[client]]\nid = \"b\"\nsender = \"B\"\n", []string{
		`FILE:2:1: http.request_timeout = "10s": must be more than smsc[0].response_timeout = "10s", or the SMSC's answer comes too late`,
	}},
	{"one address for two listeners", "[http]\nlisten = \"127.0.0.1:9000\"\n[admin]\nlisten = \":9000\"\n" + whole, []string{
		`FILE:4:1: admin.listen = ":9000": must be another address than http.listen = "127.0.0.1:9000"`,
		`warning: FILE:3:1: admin.view_password = "": the status page is shown on this host only, although admin.listen = ":9000"`,
		`warning: FILE:4:1: admin.listen = ":9000": metrics and readiness are for all who reach it: only on a management network`,
	}},
	{"log", "[log]\nlevel = \"verbose\"\nformat = \"xml\"\n" + whole, []string{
		`FILE:2:1: log.level = "verbose": must be debug, info, warn or error`,
		`FILE:3:1: log.format = "xml": must be text, json, journal or auto`,
	}},
	{"guesses", "[otp]\nmax_failures = 50\n" + whole, []string{
		`warning: FILE:1:1: otp.length = 6 with max_failures = 50: 1 in 20000 succeeds who guesses at a number until it is locked (recommended: 1 in 100000)`,
	}},
	{"window", "[[smsc]]\nwindow = 4\nrate = 100" + strings.TrimPrefix(wholeSMSC, "\n[[smsc]]") + wholeNumbers + wholeTokens + wholeClient, []string{
		`warning: FILE:2:1: smsc[0].window = 4 on 2 binds: carries 80 messages a second if the SMSC takes 100ms to answer, less than rate = 100`,
	}},
	{"certificate that is not there", "[http]\ntls_cert = \"DIR/no.pem\"\ntls_key = \"DIR/no.key\"\n" + whole, []string{
		`FILE:3:1: http.tls_key = "DIR/no.key": no such file or directory`,
	}},
	{"certificate of the admin listener that is not there", "[admin]\ntls_cert = \"DIR/no.pem\"\ntls_key = \"DIR/no.key\"\n" + whole, []string{
		`FILE:3:1: admin.tls_key = "DIR/no.key": no such file or directory`,
	}},
	{"certificate of the admin listener that is none", "[admin]\ntls_cert = \"DIR/smpp.password\"\ntls_key = \"DIR/smpp.password\"\n" + whole, []string{
		`FILE:2:1: admin.tls_cert = "DIR/smpp.password": tls: failed to find any PEM data in certificate input`,
	}},
	{"client certificates on plain HTTP", "[admin]\ntls_client_ca = \"DIR/ca.pem\"\n" + whole, []string{
		`FILE:2:1: admin.tls_client_ca = "DIR/ca.pem": needs tls_cert`,
	}},
	{"log of no kind", "[log]\nrequests = \"some\"\naudit = \"audit.log\"\n" + whole, []string{
		`FILE:2:1: log.requests = "some": must be all, failures or none`,
		`FILE:3:1: log.audit = "audit.log": must be an absolute path`,
	}},
	{"audit log that is a directory", "[log]\naudit = \"DIR\"\n" + whole, []string{
		`FILE:2:1: log.audit = "DIR": must be a regular file, …`,
	}},
	{"audit log in a file", "[log]\naudit = \"DIR/tokens.toml/audit.log\"\n" + whole, []string{
		`FILE:2:1: log.audit = "DIR/tokens.toml/audit.log": not a directory`,
	}},
	{"audit log in no directory", "[log]\naudit = \"DIR/nowhere/audit.log\"\n" + whole, []string{
		`warning: FILE:2:1: log.audit = "DIR/nowhere/audit.log": its directory does not exist, and the daemon makes none`,
	}},
	{"audit log that may be", "[log]\naudit = \"DIR/audit.log\"\n" + whole, nil},
	{"audit log for all to read", "[log]\naudit = \"DIR/public\"\n" + whole, []string{
		`FILE:2:1: log.audit = "DIR/public": has mode 0644, must be closed to others: 0600 or 0640`,
	}},
	{"certificates that are none", "[http]\ntls_cert = \"DIR/smpp.password\"\ntls_key = \"DIR/smpp.password\"\n" + wholeTokens + wholeNumbers + wholeClient +
		wholeSMSC + "tls_ca = \"DIR/tokens.toml\"\n", []string{
		`FILE:2:1: http.tls_cert: DIR/smpp.password: …`,
		`FILE:20:1: smsc[0].tls_ca = "DIR/tokens.toml": holds no certificate in PEM`,
	}},
	{"sinks", whole + wholeSink + "ca = \"DIR/tokens.toml\"\n" + wholeSink + "retry_for = \"48h\"\n", []string{
		`FILE:24:1: sink[0].ca = "DIR/tokens.toml": holds no certificate in PEM`,
		`FILE:27:1: sink[1].name = "main": is that of sink[0] too`,
		`FILE:29:1: sink[1].clients: "acme" has sink[0] already`,
		`FILE:32:1: sink[1].retry_for = "48h0m0s": must be 1m..24h`,
	}},
	{"sink of nobody", whole + "[[sink]]\nname = \"a b\"\nurl = \"http://10.0.0.1/\"\nclients = [\"other\"]\nevents = [\"all\"]\nnamespace = \"com\"\nsecret = \"file:DIR/smpp.password\"\n", []string{
		`FILE:18:1: sink[0].name = "a b": must be 1 to 32 letters, digits, _ and -`,
		`FILE:19:1: sink[0].url: must be an https URL of at most 2048 characters, or http to a loopback address, without user and fragment`,
		`FILE:21:1: sink[0].events = "all": must be delivery or outcome`,
		`FILE:22:1: sink[0].namespace = "com": must be a reverse domain name of yours, such as com.example.otp`,
		`FILE:23:1: sink[0].secret = "file:DIR/smpp.password": must be whsec_ and 24 to 64 octets in base64`,
		`warning: FILE:20:1: sink[0].clients: there is no [[client]] with id = "other"`,
	}},
	{"token of a client that is not there", wholeTokens + wholeNumbers + wholeSMSC, []string{
		`DIR/tokens.toml:4:1: token[0].client = "acme": no [[client]] has that id`,
		`warning: FILE: client: there is no [[client]]: nobody can use the API`,
	}},
	{"id that is none", wholeTokens + wholeNumbers + wholeSMSC + "[[client]]\nid = 1\nsender = \"X\"\n", []string{
		`FILE:14:1: client[0].id = 1: must be a string`,
	}},
	{"nothing at all", "", []string{
		`FILE: smsc: there must be one [[smsc]] at least`,
		`warning: FILE: numbers.own = []: codes are sent to every number in the world`,
		`warning: FILE: client: there is no [[client]]: nobody can use the API`,
		`warning: FILE: tokens.file = "": nobody is let in`,
	}},

	// Syntax: only the first error can be said.
	{"no value", "[otp]\nttl =\n", []string{`FILE:2:6: incomplete number`}},
	{"no quotes", "[otp]\nttl = 5m\n", []string{`FILE:2:8: expected newline but got U+006D 'm'`}},
	{"leading zero", whole + "burst = 0123\n", []string{`FILE:17:10: expected newline but got U+0031 '1'`}},
	{"table not closed", "[otp\nttl = \"5m\"\n", []string{`FILE:1:5: expected character ]`}},
	{"key twice", "[otp]\nttl = \"5m\"\n\n ttl = \"6m\"\n", []string{`FILE:4:2: otp.ttl: is there already, in line 2`}},
	{"table twice", "[otp]\nttl = \"5m\"\n[http]\n  [otp]\n", []string{`FILE:4:3: otp: is there already, in line 1`}},
	{"invalid UTF-8", "[log]\nlevel = \"\xff\"\n", []string{`FILE:2:10: invalid UTF-8`}},
	{"NUL", "[log]\x00\n", []string{`FILE:1:6: expected newline but got U+0000`}},
	{"UTF-16", "\xff\xfe[\x00", []string{`FILE: is written in UTF-16, must be UTF-8`}},
	{"nesting", "a = " + strings.Repeat("[", 500_000), []string{`FILE: nests lists or tables too deeply`}},

	// What Windows does to files.
	{"byte order mark and CRLF", "\ufeff[otp]\r\nttl = 5\r\n" + strings.ReplaceAll(whole, "\n", "\r\n"), []string{
		`FILE:2:1: otp.ttl = 5: must be a duration such as "30s", "5m" or "1h30m"`,
	}},

	// Everything at once.
	{"many", `[otp]
tll = "5m"
length = 99
[http]
max_in_flight = 0
[[smsc]]
name = "smsc-a"
endpoints = ["127.0.0.1:2775"]
system_id = "otpgw"
windw = 5
window = 0
password = "hunter2"
[[client]]
id = "acme"
sender = "ACME"
`, []string{
		`FILE:2:1: unknown key "otp.tll" (did you mean "otp.ttl"?)`,
		`FILE:3:1: otp.length = 99: must be 6..10`,
		`FILE:5:1: http.max_in_flight = 0: must be 4..65536`,
		`FILE:10:1: unknown key "smsc[0].windw" (did you mean "smsc[0].window"?)`,
		`FILE:11:1: smsc[0].window = 0: must be 1..1000`,
		`FILE:12:1: smsc[0].password: must be "file:/path", "cred:name" or "env:NAME", never the secret itself`,
		`warning: FILE: numbers.own = []: codes are sent to every number in the world`,
		`warning: FILE: tokens.file = "": nobody is let in`,
	}},
}

func TestBadFilesNameEveryPlace(t *testing.T) {
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("WEBHOOK_SECRET", webhookSecret)
			dir := folder(t)
			_, got := check(t, dir, c.text)
			var want []string
			for _, line := range c.want {
				want = append(want, strings.ReplaceAll(line, "FILE", "DIR/otpgw.toml"))
			}
			same := func(got, want string) bool {
				begin, open := strings.CutSuffix(want, "…")
				return got == want || open && strings.HasPrefix(got, begin)
			}
			if !slices.EqualFunc(got, want, same) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestProblemsAreOneError(t *testing.T) {
	dir := folder(t)
	path := write(t, dir, "otpgw.toml", "[otp]\ntll = \"5m\"\nlenght = 6\n", 0o600)
	_, _, err := config.Load(path)
	problems, is := err.(*config.Problems)
	if !is || len(*problems) != 3 {
		t.Fatalf("got %v, want three problems and no warning", err)
	}
	if got := strings.Count(err.Error(), "\n"); got != 2 {
		t.Errorf("%d line ends in %q", got, err)
	}
	if p := (*problems)[1]; p.Line != 2 || p.Column != 1 || p.Key != "otp.tll" || p.File != path || p.Warning {
		t.Errorf("got %+v", p)
	}
}
