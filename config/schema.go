package config

import (
	"fmt"
	"reflect"
	"slices"
)

// A schema is the tables of a file, found by reflection.
type schema []section

// A section is one table, or a list of tables.
type section struct {
	name     string
	list     bool // [[name]]
	optional bool // tag optional:"true": a list that is usually empty
	comment  string
	index    int // of the field in the whole
	typ      reflect.Type
	keys     []key
}

// A key is one key of a section.
type key struct {
	name    string
	kind    kind
	comment string
	reload  string // "hot" or "restart"
	index   int    // of the field in the section
	typ     reflect.Type
}

// schemaOf is the schema of a struct of structs and of slices of structs. It panics on a field that no file could set:
// that is a mistake in this program.
func schemaOf(whole reflect.Type) schema {
	var s schema
	for i := range whole.NumField() {
		f := whole.Field(i)
		name := f.Tag.Get("toml")
		if name == "-" {
			continue
		}
		sec := section{name: name, comment: f.Tag.Get("comment"), optional: f.Tag.Get("optional") == "true", index: i, typ: f.Type}
		if f.Type.Kind() == reflect.Slice {
			sec.list, sec.typ = true, f.Type.Elem()
		}
		for j := range sec.typ.NumField() {
			kf := sec.typ.Field(j)
			tag := kf.Tag.Get("toml")
			if !kf.IsExported() || tag == "-" {
				continue
			}
			if tag == "" {
				panic(fmt.Sprintf("config: %v.%s has no toml tag", sec.typ, kf.Name))
			}
			sec.keys = append(sec.keys, key{
				name:    tag,
				kind:    kindOf(kf.Type),
				comment: kf.Tag.Get("comment"),
				reload:  kf.Tag.Get("reload"),
				index:   j,
				typ:     kf.Type,
			})
		}
		s = append(s, sec)
	}
	return s
}

// configSchema is the schema of Config.
func configSchema() schema { return schemaOf(reflect.TypeFor[Config]()) }

// section returns the section of that name.
func (s schema) section(name string) (section, bool) {
	i := slices.IndexFunc(s, func(sec section) bool { return sec.name == name })
	if i < 0 {
		return section{}, false
	}
	return s[i], true
}

// key returns the key of that name.
func (s section) key(name string) (key, bool) {
	i := slices.IndexFunc(s.keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return s.keys[i], true
}

// at is the path of the section, of its nth table if it is a list.
func (s section) at(n int) string {
	if s.list {
		return fmt.Sprintf("%s[%d]", s.name, n)
	}
	return s.name
}

// header is the line that begins a table of the section.
func (s section) header() string {
	if s.list {
		return "[[" + s.name + "]]"
	}
	return "[" + s.name + "]"
}
