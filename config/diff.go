package config

import (
	"fmt"
	"reflect"
)

// Diff lists the keys whose values differ, in the order of Reference: those that a reload puts in force and those that
// need a restart. A table of a list that only one of the two has is one entry: client[2]. There are no values in the
// lists, so that they can be logged: some are secrets, and numbers.blocked may hold whole numbers.
func Diff(old, new Config) (hot, restart []string) {
	differs := func(reload, key string) {
		if reload == "hot" {
			hot = append(hot, key)
		} else {
			restart = append(restart, key)
		}
	}
	before, after := reflect.ValueOf(old), reflect.ValueOf(new)
	for _, sec := range configSchema() {
		a, b := before.Field(sec.index), after.Field(sec.index)
		if !sec.list {
			sec.diff(sec.name, a, b, differs)
			if sec.name == "tokens" && old.Tokens == new.Tokens && !reflect.DeepEqual(old.TokenList, new.TokenList) {
				differs("hot", "tokens.file") // it holds something else now
			}
			continue
		}
		for i := range max(a.Len(), b.Len()) {
			if i < min(a.Len(), b.Len()) {
				sec.diff(sec.at(i), a.Index(i), b.Index(i), differs)
				continue
			}
			reload := "hot"
			for _, k := range sec.keys {
				if k.reload != "hot" {
					reload = k.reload
				}
			}
			differs(reload, sec.at(i))
		}
	}
	return hot, restart
}

// diff compares one table with its successor.
func (s section) diff(at string, a, b reflect.Value, differs func(reload, key string)) {
	for _, k := range s.keys {
		x, y := a.Field(k.index), b.Field(k.index)
		if k.kind == kindStrings && x.Len() == 0 && y.Len() == 0 {
			continue // nil and empty are the same
		}
		if !reflect.DeepEqual(x.Interface(), y.Interface()) {
			differs(k.reload, fmt.Sprintf("%s.%s", at, k.name))
		}
	}
}
