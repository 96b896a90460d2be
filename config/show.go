package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Show is the configuration in the file path as it is in force: every key with its value and where that is from, or with
// changed only those that are not the default. It can be loaded again where nothing in it came from the environment, but for secrets, of
// which only the place is shown. Problems are as Check has them.
func Show(path string, changed bool) (string, []Problem) {
	l := &loader{file: path, schema: configSchema(), overrides: map[string]string{}, secrets: map[string]reflect.Value{}}
	references := map[string]string{}
	l.seen = func(at, reference string) { references[at] = reference }
	cfg := l.load()
	l.problems.sort(path)
	if len(l.problems.errors()) > 0 {
		return "", l.problems
	}
	var b strings.Builder
	whole := reflect.ValueOf(cfg)
	for _, sec := range l.schema {
		tables := []reflect.Value{whole.Field(sec.index)}
		if sec.list {
			tables = tables[:0]
			for i := range whole.Field(sec.index).Len() {
				tables = append(tables, whole.Field(sec.index).Index(i))
			}
		}
		for n, table := range tables {
			defaults, headed := defaultsOf(sec), false
			for _, k := range sec.keys {
				at := sec.at(n) + "." + k.name
				from := l.origin(at)
				if from == "default" && changed {
					continue
				}
				if !headed {
					fmt.Fprintf(&b, "\n%s\n", sec.header())
					headed = true
				}
				value := k.kind.write(table.Field(k.index))
				switch {
				case k.kind == kindSecret:
					value = kindString.write(reflect.ValueOf(references[at]))
				case from == "default":
					value = k.kind.write(defaults.Field(k.index))
				}
				fmt.Fprintf(&b, "%-60s # %s\n", k.name+" = "+value, from)
			}
		}
	}
	return strings.TrimPrefix(b.String(), "\n"), l.problems
}

// origin says where the value of a key is from.
func (l *loader) origin(at string) string {
	if name, overridden := l.overrides[at]; overridden {
		return environment(name)
	}
	if l.document.has(at) {
		return fmt.Sprintf("line %d", l.document.find(at).line)
	}
	return "default"
}
