package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A kind is what a key may hold.
type kind int

const (
	kindString kind = iota
	kindBool
	kindInt
	kindFloat
	kindDuration // a string such as "30s"
	kindStrings
	kindTime   // a date and time with its offset; only in the token file
	kindSecret // a string that says where the secret is
)

// String says what a value of that kind looks like.
func (k kind) String() string {
	switch k {
	case kindBool:
		return "true or false"
	case kindInt:
		return "a whole number"
	case kindFloat:
		return "a number"
	case kindDuration:
		return `a duration such as "30s", "5m" or "1h30m"`
	case kindStrings:
		return `a list of strings such as ["a", "b"]`
	case kindTime:
		return "a time such as 2027-01-01T00:00:00Z"
	case kindSecret:
		return `"file:/path", "cred:name" or "env:NAME"`
	}
	return "a string"
}

// secret is a setting that must not stand in the file itself. UnmarshalSecret takes it as it was found elsewhere.
type secret interface{ UnmarshalSecret(text []byte) error }

// kindOf is the kind of a setting of type t. It panics on a type that no file can set: a mistake in this program.
func kindOf(t reflect.Type) kind {
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[secret]()):
		return kindSecret
	case t == reflect.TypeFor[time.Duration]():
		return kindDuration
	case t == reflect.TypeFor[time.Time]():
		return kindTime
	case t.Kind() == reflect.String:
		return kindString
	case t.Kind() == reflect.Bool:
		return kindBool
	case t.Kind() == reflect.Int:
		return kindInt
	case t.Kind() == reflect.Float64:
		return kindFloat
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return kindStrings
	}
	panic(fmt.Sprintf("config: a setting of type %v cannot be read", t))
}

// fault says, to follow the key, why a value of a file is none of that kind; "" when it is one.
func (k kind) fault(n node) string {
	if k.takes(n) {
		return ""
	}
	must := ": must be " + k.String()
	switch {
	case k == kindSecret && n.kind == unstable.String:
		return must + ", never the secret itself"
	case k == kindSecret:
		return must
	case n.kind == unstable.Array:
		return must
	case n.kind == unstable.String:
		return " = " + strconv.Quote(clip(n.text)) + must
	}
	return " = " + clip(n.text) + must
}

func (k kind) takes(n node) bool {
	switch k {
	case kindString:
		return n.kind == unstable.String
	case kindSecret:
		_, err := parseReference(n.text)
		return n.kind == unstable.String && err == nil
	case kindStrings:
		return n.kind == unstable.Array && !slices.ContainsFunc(n.items, func(i unstable.Kind) bool { return i != unstable.String })
	case kindBool:
		return n.kind == unstable.Bool
	case kindInt:
		return n.kind == unstable.Integer
	case kindFloat:
		return n.kind == unstable.Integer || n.kind == unstable.Float && !strings.ContainsAny(n.text, "in") // inf, nan
	case kindTime:
		if n.kind == unstable.DateTime {
			return true
		}
	}
	_, err := k.parse(n.text) // durations and times may be, or must be, strings
	return n.kind == unstable.String && err == nil
}

// parse reads a value of that kind from text, as it stands in an environment variable. Items of a list are separated by
// commas.
func (k kind) parse(text string) (any, error) {
	switch k {
	case kindBool:
		if text == "true" || text == "false" {
			return text == "true", nil
		}
	case kindInt:
		if n, err := strconv.Atoi(text); err == nil {
			return n, nil
		}
	case kindFloat:
		if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
	case kindDuration:
		if d, err := time.ParseDuration(text); err == nil {
			return d, nil
		}
	case kindTime:
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t, nil
		}
	case kindStrings:
		items := strings.Split(text, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		return items, nil
	default:
		return text, nil
	}
	return nil, fmt.Errorf("must be %v", k)
}

// write is v as it stands in a TOML file.
func (k kind) write(v reflect.Value) string {
	switch k {
	case kindBool, kindInt:
		return fmt.Sprint(v.Interface())
	case kindFloat:
		s := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	case kindDuration:
		return strconv.Quote(short(time.Duration(v.Int())))
	case kindStrings:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = strconv.Quote(v.Index(i).String())
		}
		return "[" + strings.Join(items, ", ") + "]"
	case kindSecret:
		return `""`
	}
	return strconv.Quote(v.String())
}

// short is d without the zeros that its String has at the end: 5m for 5m0s.
func short(d time.Duration) string {
	s := d.String()
	if cut, found := strings.CutSuffix(s, "m0s"); found {
		s = cut + "m"
	}
	if cut, found := strings.CutSuffix(s, "h0m"); found {
		s = cut + "h"
	}
	return s
}
