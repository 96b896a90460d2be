package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a configuration, and where.
type Problem struct {
	File    string `json:"file"`             // path as it was given, or "environment NAME"
	Line    int    `json:"line,omitempty"`   // from 1; 0 when the problem is not in one line
	Column  int    `json:"column,omitempty"` // in octets, from 1; 0 when Line is
	Key     string `json:"key,omitempty"`    // such as "otp.ttl" or "smsc[0].window"; "" when it is about the whole file
	Message string `json:"message"`          // one line that names the key and what may stand there
	Warning bool   `json:"warning"`          // it can be lived with
}

// String is one line: `/etc/otpgw/otpgw.toml:22:1: smsc[0].window = 0: must be 1..1000`.
func (p Problem) String() string {
	var b strings.Builder
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.File != "" {
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems are all that was found, errors first, each file from top to bottom.
type Problems []Problem

// Error is one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// errors returns the problems that are no warnings, nil if there are none.
func (ps Problems) errors() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Warning })
}

// sort brings problems into the order of Problems; main comes before other files.
func (ps Problems) sort(main string) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			before(!a.Warning, !b.Warning),
			before(a.File == main, b.File == main),
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
}

// before orders what is so before what is not.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
