package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A path leads to a table or key of a document: "otp", "otp.ttl", "smsc[0].window".
type path []part

// A part is one step of a path. Index counts the tables of a list at the top of a document; it is -1 elsewhere.
type part struct {
	name  string
	index int
	place place
}

// maxParts is how far a path is followed: a file has tables and keys in them, and the third part is one too many.
const maxParts = 3

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// String writes the path on one line, with names that TOML would have quoted in quotes.
func (p path) String() string {
	var b strings.Builder
	for i, step := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case bareKey.MatchString(step.name):
			b.WriteString(step.name)
		default:
			b.WriteString(strconv.Quote(clip(step.name)))
		}
		if step.index >= 0 {
			fmt.Fprintf(&b, "[%d]", step.index)
		}
	}
	return b.String()
}

// prefixes are the paths from the first table to p itself, and those of the whole lists on the way.
func prefixes(p path) []string {
	all := []string{path{{name: p[0].name, index: -1}}.String()}
	for i := range p {
		all = append(all, p[:i+1].String())
	}
	return all
}

// clip shortens what a message could not hold.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
