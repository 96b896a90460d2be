package config

import (
	"fmt"
	"reflect"
	"strings"
)

// InForce is what is in force in a daemon that was started with one configuration and has put another in force since: of that only
// what a reload changes.
func InForce(started, current Config) Config {
	from, whole := reflect.ValueOf(started), reflect.ValueOf(&current).Elem()
	for _, sec := range configSchema() {
		if sec.list { // all that there are may change
			continue
		}
		for _, k := range sec.keys {
			if k.reload != "hot" {
				whole.Field(sec.index).Field(k.index).Set(from.Field(sec.index).Field(k.index))
			}
		}
	}
	return current
}

// Write is c as a file, or with changed only what is not the default, which is said beside it. Secrets are "***".
func Write(c Config, changed bool) string {
	var b strings.Builder
	whole := reflect.ValueOf(c)
	for _, sec := range configSchema() {
		defaults := defaultsOf(sec)
		for _, table := range sec.tables(whole) {
			headed := false
			for _, k := range sec.keys {
				value, usual := k.written(table), k.written(defaults)
				note := "default"
				if value != usual {
					note = "default " + usual
				} else if changed {
					continue
				}
				if !headed {
					fmt.Fprintf(&b, "\n%s\n", sec.header())
					headed = true
				}
				fmt.Fprintf(&b, "%-60s # %s\n", k.name+" = "+value, note)
			}
		}
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// tables are those of a section in a whole configuration.
func (s section) tables(whole reflect.Value) []reflect.Value {
	field := whole.Field(s.index)
	if !s.list {
		return []reflect.Value{field}
	}
	tables := make([]reflect.Value, field.Len())
	for i := range tables {
		tables[i] = field.Index(i)
	}
	return tables
}

// written is the value of a key in a table as it may be shown.
func (k key) written(table reflect.Value) string {
	v := table.Field(k.index)
	if k.kind == kindSecret && !v.IsZero() {
		return `"***"`
	}
	return k.kind.write(v)
}

// A Change is one key that has another value. Values are as they stand in a file; a secret shows only that it changed.
type Change struct {
	Key    string `json:"key"`
	Old    string `json:"old"` // "" where there is no such table
	New    string `json:"new"`
	Reload string `json:"reload"` // "hot" or "restart": when New takes effect
}

// Changes tells the keys of Diff with their values, in its order.
func Changes(old, new Config) []Change {
	hot, restart := Diff(old, new)
	changes := []Change{}
	for _, of := range []struct {
		keys   []string
		reload string
	}{{hot, "hot"}, {restart, "restart"}} {
		for _, at := range of.keys {
			changes = append(changes, Change{Key: at, Old: valueAt(old, at), New: valueAt(new, at), Reload: of.reload})
		}
	}
	return changes
}

// valueAt is the value of the key at, or the name of the table; "" where there is none.
func valueAt(c Config, at string) string {
	whole := reflect.ValueOf(c)
	for _, sec := range configSchema() {
		for n, table := range sec.tables(whole) {
			if at == sec.at(n) && sec.list {
				return sec.keys[0].written(table) // its name comes first
			}
			for _, k := range sec.keys {
				if at == sec.at(n)+"."+k.name {
					return k.written(table)
				}
			}
		}
	}
	return ""
}

// Defaults is a file with every key that has a default, at its default.
func Defaults() string {
	var b strings.Builder
	for i, sec := range configSchema() {
		mark := ""
		if sec.list {
			mark = "#" // there is none by default
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s%s\n", mark, sec.header())
		defaults := defaultsOf(sec)
		for _, k := range sec.keys {
			fmt.Fprintf(&b, "%s%s = %s\n", mark, k.name, k.written(defaults))
		}
	}
	return b.String()
}
