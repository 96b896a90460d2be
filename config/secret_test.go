package config_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"otpgw/config"
)

// withPassword is a file that is valid but for the password of the SMSC.
func withPassword(value string) string {
	return strings.Replace(whole, `"file:DIR/smpp.password"`, value, 1)
}

func TestSecretsByReference(t *testing.T) {
	dir := folder(t)
	write(t, dir, "crlf", password+"\r\n", 0o600)
	write(t, dir, "bare", password, 0o400)
	if err := os.Symlink(filepath.Join(dir, "bare"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("SMPP_PASSWORD", password)
	refs := []string{"file:DIR/smpp.password", "file:DIR/crlf", "file:DIR/bare", "file:DIR/link", "cred:smpp.password", "env:SMPP_PASSWORD"}
	if os.Geteuid() == 0 { // a secret of root may be readable by its group
		write(t, dir, "group", password+"\n", 0o440)
		refs = append(refs, "cred:group")
	}
	for _, ref := range refs {
		cfg := valid(t, dir, withPassword(`"`+ref+`"`))
		if got := string(cfg.SMSC[0].Password); got != password {
			t.Errorf("%s: got %q", ref, got)
		}
	}
}

func TestVariableOfASecretIsKnown(t *testing.T) {
	t.Setenv("OTPGW_PASSWORD_OF_SMSC_A", password)
	valid(t, folder(t), withPassword(`"env:OTPGW_PASSWORD_OF_SMSC_A"`))
}

func TestKeyInBinaryMayEndLikeALine(t *testing.T) {
	dir := folder(t)
	for name, key := range map[string]string{
		"LF":      strings.Repeat("k", 31) + "\n",
		"CRLF":    strings.Repeat("k", 30) + "\r\n",
		"neither": strings.Repeat("k", 32),
	} {
		write(t, dir, "key", key, 0o600)
		cfg := valid(t, dir, "[store]\nkey = \"file:DIR/key\"\n"+whole)
		if !bytes.Equal(cfg.Store.Key, []byte(key)) {
			t.Errorf("%s: the key is not what the file holds", name)
		}
	}
	write(t, dir, "key", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))+"\n", 0o600)
	if cfg := valid(t, dir, "[store]\nkey = \"file:DIR/key\"\n"+whole); string(cfg.Store.Key) != strings.Repeat("k", 32) {
		t.Error("base64 with the end of a line: the key is not what the file holds")
	}
}

func TestSecretRefused(t *testing.T) {
	dir := folder(t)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("EMPTY", "")
	write(t, dir, "everybody", password, 0o604)
	write(t, dir, "writable", password, 0o620)
	write(t, dir, "empty", "", 0o600)
	write(t, dir, "huge", strings.Repeat("x", 70_000), 0o600)
	write(t, dir, "long", "much-too-long-for-SMPP", 0o600)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	const form = `: must be "file:/path", "cred:name" or "env:NAME", never the secret itself`
	cases := []struct{ value, want string }{
		{`"` + password + `"`, form},
		{`"file:smpp.password"`, form},
		{`"file:"`, form},
		{`"cred:../smpp.password"`, form},
		{`"cred:.."`, form},
		{`"cred:"`, form},
		{`"env:NOT A NAME"`, form},
		{`"FILE:DIR/smpp.password"`, form},
		{`12345678`, `: must be "file:/path", "cred:name" or "env:NAME"`},
		{`["` + password + `"]`, `: must be "file:/path", "cred:name" or "env:NAME"`},
		{`"file:DIR/none"`, ` = "file:DIR/none": no such file or directory`},
		{`"cred:none"`, ` = "cred:none": no such file or directory`},
		{`"file:DIR/folder"`, ` = "file:DIR/folder": is a directory, must be a file`},
		{`"file:DIR/pipe"`, ` = "file:DIR/pipe": is not a regular file`},
		{`"file:DIR/everybody"`, ` = "file:DIR/everybody": has mode 0604: must be 0600 or 0400, or 0640 or 0440 if root owns it`},
		{`"file:DIR/writable"`, ` = "file:DIR/writable": has mode 0620: must be 0600 or 0400, or 0640 or 0440 if root owns it`},
		{`"file:DIR/empty"`, ` = "file:DIR/empty": is empty or not set`},
		{`"file:DIR/huge"`, ` = "file:DIR/huge": is larger than 64 KiB`},
		{`"env:NOT_SET_AT_ALL"`, ` = "env:NOT_SET_AT_ALL": is empty or not set`},
		{`"env:EMPTY"`, ` = "env:EMPTY": is empty or not set`},
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(write(t, dir, "other", password, 0o600), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, struct{ value, want string }{`"file:DIR/other"`,
			` = "file:DIR/other": belongs to user 12345: must belong to root or to the user of otpgw`})
	}
	for _, c := range cases {
		_, lines := check(t, dir, withPassword(c.value))
		if want := `DIR/otpgw.toml:12:1: smsc[0].password` + c.want; len(lines) != 1 || lines[0] != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.value, strings.Join(lines, "\n"), want)
		}
	}

	_, lines := check(t, dir, withPassword(`"file:DIR/long"`))
	if said := strings.Join(lines, "\n"); len(lines) != 1 || !strings.HasPrefix(said, `DIR/otpgw.toml:12:1: smsc[0].password`) {
		t.Errorf("a password that SMPP cannot carry: %q", said)
	} else if strings.Contains(said, "much-too-long") {
		t.Errorf("the password is repeated: %s", said)
	}

	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, lines = check(t, dir, withPassword(`"cred:smpp.password"`))
	if len(lines) != 1 || !strings.Contains(lines[0], "CREDENTIALS_DIRECTORY is not set") {
		t.Errorf("outside systemd: %q", lines)
	}
}

// TestSecretsAreNeverRepeated puts secrets wherever an operator might and looks for them in everything that is said.
func TestSecretsAreNeverRepeated(t *testing.T) {
	const canary = "4711081547110815471108154711" // a number too, so that it need not stand in quotes
	dir := folder(t)
	write(t, dir, "key", strings.Repeat(canary, 2)+strings.Repeat("a", 8), 0o600) // 64 hexadecimal digits
	t.Setenv("OTPGW_STORE_KEY", "file:"+dir+"/key")
	cfg := valid(t, dir, whole)
	if len(cfg.Store.Key) != 32 {
		t.Fatal("the key was not read")
	}
	other := cfg
	other.SMSC = nil
	other.SMSC = append(other.SMSC, cfg.SMSC...)
	other.Store.Key, other.SMSC[0].Password = nil, ""
	marshalled, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("loaded", "config", cfg, "password", cfg.SMSC[0].Password)
	slog.New(slog.NewTextHandler(&log, nil)).Info("loaded", "config", cfg, "password", cfg.SMSC[0].Password)
	hot, restart := config.Diff(cfg, other)
	said := []string{
		fmt.Sprint(&cfg), string(marshalled), log.String(), fmt.Sprint(hot, restart), config.Reference(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		said = append(said, fmt.Sprintf(verb, cfg))
	}
	if want := "[smsc[0].password] [store.key]"; fmt.Sprint(hot, restart) != want {
		t.Errorf("Diff says %v %v, want %s", hot, restart, want)
	}

	for _, text := range []string{
		withPassword(canary),
		withPassword(`"` + canary + `"`),
		withPassword(`"""` + canary + `"""`),
		withPassword(`"file:` + canary + `"`),
		withPassword(`"` + canary),
		withPassword(`x` + canary),
		withPassword(`0x` + canary + canary),
		withPassword(`1.` + canary + `e9999`),
		withPassword(`["` + canary + `"]`),
		withPassword(`{ value = "` + canary + `" }`),
		withPassword(`""` + "\npasword = " + `"` + canary + `"`),
		strings.Replace(withPassword(`"`+canary+`"`), "[[smsc]]", "[smsc]", 1),
		strings.Replace(withPassword(`"`+canary+`"`), "[[smsc]]", "[[smcs]]", 1),
		"[store]\nkey = \"" + canary + "\"\n" + whole,
		whole + wholeSMSC + "password = \"" + canary + "\"\n",
	} {
		_, lines := check(t, dir, text)
		if len(lines) == 0 {
			t.Errorf("taken: %s", text)
		}
		said = append(said, lines...)
	}
	t.Setenv("OTPGW_STORE_KEY", canary)
	_, lines := check(t, dir, whole)
	said = append(said, lines...)

	write(t, dir, "tokens.toml", "[[token]]\nsha256 = \""+canary+"\"\nclient = \"acme\"\nscopes = [\"a\"]\nexpires = 2999-01-01T00:00:00Z\n", 0o600)
	_, lines = check(t, dir, whole)
	said = append(said, lines...)

	for _, s := range said {
		if strings.Contains(s, canary[:8]) || strings.Contains(s, password) || strings.Contains(s, "\x47\x11\x08\x15") ||
			strings.Contains(s, fmt.Sprintf("%x", password)) {
			t.Errorf("a secret is repeated:\n%s", s)
		}
	}
}
