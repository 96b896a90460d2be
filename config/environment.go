package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// envPrefix begins the name of every environment variable that overrides a key.
const envPrefix = "OTPGW_"

// env is the name of the environment variable that overrides a key, "" where none does: tables in lists are for the file.
func (s section) env(k key) string {
	if s.list {
		return ""
	}
	return envPrefix + strings.ToUpper(s.name+"_"+k.name)
}

// environment is where a problem with an environment variable is.
func environment(name string) string { return "environment " + name }

// checkOverrides finds the environment variables that override a key and have a value for it. An empty one is none.
func (l *loader) checkOverrides() {
	for _, sec := range l.schema {
		for _, k := range sec.keys {
			name := sec.env(k)
			text := os.Getenv(name)
			if name == "" || text == "" {
				continue
			}
			at := sec.name + "." + k.name
			l.overrides[at] = name
			delete(l.document.failed, at) // whatever the file says, it does not count
			if k.kind == kindSecret {
				continue
			}
			if _, err := k.kind.parse(text); err != nil {
				l.fail(at, " = %q: %v", clip(text), err)
			}
		}
	}
}

// checkEnvironment warns of variables that look as if they set something and do not.
func (l *loader) checkEnvironment() {
	var known []string
	for _, sec := range l.schema {
		for _, k := range sec.keys {
			if name := sec.env(k); name != "" {
				known = append(known, strings.TrimPrefix(name, envPrefix))
			}
		}
	}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || slices.Contains(known, rest) || slices.Contains(l.named, name) {
			continue
		}
		message := "sets no key"
		if near := suggest(rest, known); near != "" {
			message += fmt.Sprintf(" (did you mean %s%s?)", envPrefix, near)
		}
		for _, sec := range l.schema {
			if sec.list && strings.HasPrefix(rest, strings.ToUpper(sec.name)+"_") {
				message = fmt.Sprintf("sets no key: %s is for the file only", sec.header())
			}
		}
		l.problems = append(l.problems, Problem{File: environment(name), Message: message, Warning: true})
	}
}
