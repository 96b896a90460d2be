package config

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"otpgw/httpapi/tokens"
)

// A tokenFile is the file that tokens.file names.
type tokenFile struct {
	Tokens []tokenEntry `toml:"token"`
}

type tokenEntry struct {
	SHA256  string    `toml:"sha256"`
	Client  string    `toml:"client"`
	Scopes  []string  `toml:"scopes"`
	Expires time.Time `toml:"expires"`
}

// loadTokens reads the file that tokens.file names.
func (l *loader) loadTokens(cfg *Config) {
	const at = "tokens.file"
	if cfg.Tokens.File == "" || l.document.failed[at] || !filepath.IsAbs(cfg.Tokens.File) {
		return
	}
	text, err := readFile(cfg.Tokens.File, maxFile, trusted)
	if err != nil {
		l.fail(at, " = %q: %v", cfg.Tokens.File, err)
		return
	}
	clients := []string{}
	for _, c := range cfg.Clients {
		clients = append(clients, c.ID)
	}
	for key := range l.document.failed {
		if key == "client" || strings.HasPrefix(key, "client[") && strings.HasSuffix(key, ".id") {
			clients = nil
		}
	}
	list, problems := parseTokens(cfg.Tokens.File, text, clients)
	cfg.TokenList = list
	l.problems = append(l.problems, problems...)
}

// parseTokens reads a token file. A token must be of one of clients, or of any if clients is nil: then they are not known.
func parseTokens(file string, text []byte, clients []string) ([]tokens.Token, Problems) {
	document, problem := parse(file, text)
	if problem != nil {
		return nil, Problems{*problem}
	}
	problems := Problems(document.check(schemaOf(reflect.TypeFor[tokenFile]())))
	var content tokenFile
	if err := decodeStrictly(document.values, &content); err != nil {
		return nil, append(problems, Problem{File: file, Message: plain(err.Error())})
	}

	var list []tokens.Token
	first := map[[32]byte]int{}
	for i, entry := range content.Tokens {
		at := fmt.Sprintf("token[%d]", i)
		report := func(warning bool, key, message string) {
			key = at + "." + key
			if !document.failed[key] {
				p := document.find(key)
				problems = append(problems, Problem{File: file, Line: p.line, Column: p.column, Key: key, Message: key + message, Warning: warning})
			}
		}
		token := tokens.Token{Client: entry.Client, Scopes: entry.Scopes, Expires: entry.Expires}
		sum, err := hex.DecodeString(entry.SHA256)
		if err != nil || copy(token.SHA256[:], sum) != len(token.SHA256) || len(sum) != len(token.SHA256) {
			report(false, "sha256", ": must be the SHA-256 of the token in 64 hexadecimal digits") // not repeated: it could be the token
		} else if earlier, twice := first[token.SHA256]; twice {
			report(false, "sha256", fmt.Sprintf(": is that of token[%d] too", earlier))
		} else {
			first[token.SHA256] = i
		}
		switch {
		case entry.Client == "":
			report(false, "client", ` = "": must be the id of a [[client]]`)
		case clients != nil && !slices.Contains(clients, entry.Client):
			message := fmt.Sprintf(" = %q: no [[client]] has that id", clip(entry.Client))
			if near := suggest(entry.Client, clients); near != "" {
				message += fmt.Sprintf(" (did you mean %q?)", near)
			}
			report(false, "client", message)
		}
		if len(entry.Scopes) == 0 {
			report(false, "scopes", " = []: must name a scope, or the token is good for nothing")
		}
		for _, scope := range entry.Scopes {
			if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' }) {
				report(false, "scopes", fmt.Sprintf(": %q: must be a scope of printable ASCII without spaces", clip(scope)))
			}
		}
		switch {
		case entry.Expires.IsZero():
			report(false, "expires", ": must be "+kindTime.String())
		case !entry.Expires.After(time.Now()):
			report(true, "expires", fmt.Sprintf(" = %s: is past, the token is refused", entry.Expires.Format(time.RFC3339)))
		}
		list = append(list, token)
	}
	if len(content.Tokens) == 0 && len(problems) == 0 {
		problems = append(problems, Problem{File: file, Message: "has no [[token]]: nobody is let in", Warning: true})
	}
	return list, problems
}

// decodeStrictly fills target with values, by the toml tags of target.
func decodeStrictly(values map[string]any, target any) error {
	c := &mapstructure.DecoderConfig{Result: target}
	strict(c)
	d, err := mapstructure.NewDecoder(c)
	if err != nil {
		return err
	}
	return d.Decode(values)
}
