package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// A reference says where a secret is. The zero reference means that there is none.
type reference struct{ scheme, name string }

var (
	credentialName  = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,255}$`)
	environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)
)

// parseReference reads "file:/path", "cred:name" or "env:NAME". Its error does not repeat text: that could be a secret.
func parseReference(text string) (reference, error) {
	if text == "" {
		return reference{}, nil
	}
	scheme, name, _ := strings.Cut(text, ":")
	switch scheme {
	case "file":
		if filepath.IsAbs(name) {
			return reference{scheme, name}, nil
		}
	case "cred":
		if credentialName.MatchString(name) && name != "." && name != ".." {
			return reference{scheme, name}, nil
		}
	case "env":
		if environmentName.MatchString(name) {
			return reference{scheme, name}, nil
		}
	}
	return reference{}, errors.New("is no reference to a secret")
}

func (r reference) String() string { return r.scheme + ":" + r.name }

// read fetches the secret. Its errors name the reference and never what was found there.
func (r reference) read() ([]byte, error) {
	var text []byte
	var err error
	switch r.scheme {
	case "env":
		text = []byte(os.Getenv(r.name))
	case "cred":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, fmt.Errorf("%q: CREDENTIALS_DIRECTORY is not set: systemd sets it for a unit with LoadCredential=", r)
		}
		text, err = readFile(filepath.Join(dir, r.name), maxSecret, private)
	default:
		text, err = readFile(r.name, maxSecret, private)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", r, err)
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%q: is empty or not set", r)
	}
	return text, nil
}

// resolve fetches the secret and makes a setting of type t of it.
func (r reference) resolve(t reflect.Type) (reflect.Value, error) {
	setting := reflect.New(t)
	text, err := r.read()
	if err != nil {
		return setting.Elem(), err
	}
	take := setting.Interface().(secret).UnmarshalSecret
	line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if err = take(bytes.Clone(line)); err != nil && len(line) < len(text) {
		// What looks like the end of a line may be the end of a key in binary.
		if take(bytes.Clone(text)) == nil {
			err = nil
		}
	}
	if err != nil {
		return reflect.Zero(t), fmt.Errorf("%q: %s", r, withhold(err, line))
	}
	return setting.Elem(), nil
}

// withhold is what err says, unless it says the secret.
func withhold(err error, secret []byte) string {
	if len(secret) > 0 && strings.Contains(err.Error(), string(secret)) {
		return "is not usable"
	}
	return err.Error()
}

// fetchSecrets reads every secret that is referred to, and takes the references out of the document.
func (l *loader) fetchSecrets() {
	for _, sec := range l.schema {
		for n, table := range l.tables(sec) {
			for _, k := range sec.keys {
				if k.kind != kindSecret {
					continue
				}
				at := sec.at(n) + "." + k.name
				text, _ := table[k.name].(string)
				delete(table, k.name)
				if name, overridden := l.overrides[at]; overridden {
					text = os.Getenv(name)
				}
				if l.seen != nil {
					l.seen(at, text)
				}
				l.fetchSecret(at, k, text)
			}
		}
	}
}

func (l *loader) fetchSecret(at string, k key, text string) {
	ref, err := parseReference(text)
	if err != nil {
		l.fail(at, ": must be %v, never the secret itself", k.kind)
		return
	}
	if ref == (reference{}) {
		return
	}
	if ref.scheme == "env" {
		l.named = append(l.named, ref.name)
	}
	setting, err := ref.resolve(k.typ)
	if err != nil {
		l.fail(at, " = %v", err)
		return
	}
	l.secrets[at] = setting
}

// putSecrets sets what fetchSecrets found in whole, a Config.
func (l *loader) putSecrets(whole reflect.Value) {
	for _, sec := range l.schema {
		for n := range l.tables(sec) {
			table := whole.Field(sec.index)
			if sec.list {
				table = table.Index(n)
			}
			for _, k := range sec.keys {
				if setting, found := l.secrets[sec.at(n)+"."+k.name]; found {
					table.Field(k.index).Set(setting)
				}
			}
		}
	}
}
