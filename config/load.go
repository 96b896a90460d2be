package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Load reads the configuration in the file path, with the defaults under it and the environment over it, and everything
// that it refers to. The error is *Problems, all of them at once, when there is anything to say against it; without one the
// problems are warnings. Load may be called concurrently; every call reads everything anew.
func Load(path string) (Config, []Problem, error) {
	cfg, problems := Check(path)
	if faults := Problems(problems).errors(); len(faults) > 0 {
		return Config{}, nil, &faults
	}
	return cfg, problems, nil
}

// Check is Load that returns errors and warnings together. If there are errors among the problems, the configuration must
// not be used.
func Check(path string) (Config, []Problem) {
	l := &loader{file: path, schema: configSchema(), overrides: map[string]string{}, secrets: map[string]reflect.Value{}}
	cfg := l.load()
	l.problems.sort(path)
	return cfg, l.problems
}

// A loader is the state of one Check.
type loader struct {
	file      string
	schema    schema
	document  *document
	overrides map[string]string        // key to the environment variable that overrides it
	named     []string                 // environment variables that secrets are read from
	secrets   map[string]reflect.Value // key to setting
	problems  Problems
	seen      func(key, reference string) // is told where secrets are; may be nil
}

func (l *loader) load() Config {
	text, err := readFile(l.file, maxFile, trusted)
	if err != nil {
		l.problems = append(l.problems, Problem{File: cmp.Or(l.file, "configuration file"), Message: err.Error()})
		return Default()
	}
	document, problem := parse(l.file, text)
	if problem != nil {
		l.problems = append(l.problems, *problem)
		return Default()
	}
	l.document = document
	l.problems = append(l.problems, document.check(l.schema)...)
	l.checkOverrides()
	l.fetchSecrets()
	l.checkEnvironment()
	cfg := l.decode()
	l.loadTokens(&cfg)
	l.loadCertificates(cfg)
	l.checkAudit(cfg)
	for _, f := range cfg.findings() {
		l.report(f)
	}
	return cfg
}

// report finds the place of f. A key of which something is wrong already has its default instead: no more of it.
func (l *loader) report(f finding) {
	if l.document.failed[f.key] {
		return
	}
	p := Problem{File: l.file, Key: f.key, Message: f.message, Warning: f.warning}
	if name, overridden := l.overrides[f.key]; overridden {
		p.File = environment(name)
	} else {
		at := l.document.find(f.key)
		p.Line, p.Column = at.line, at.column
	}
	l.problems = append(l.problems, p)
}

// fail reports f and keeps the rules from saying more of its key.
func (l *loader) fail(key, format string, args ...any) {
	l.report(finding{key: key, message: key + fmt.Sprintf(format, args...)})
	l.document.failed[key] = true
}

// tables are the tables of a section as the document has them; nil stands for one that is not there.
func (l *loader) tables(sec section) []map[string]any {
	if !sec.list {
		table, _ := l.document.values[sec.name].(map[string]any)
		return []map[string]any{table}
	}
	list, _ := l.document.values[sec.name].([]any)
	tables := make([]map[string]any, len(list))
	for i := range list {
		tables[i], _ = list[i].(map[string]any)
	}
	return tables
}

// decode lays environment over file over defaults. Everything in it has been checked: an error is a mistake in this
// program, but it is reported like any other.
func (l *loader) decode() Config {
	v := viper.New()
	defaults := reflect.ValueOf(Default())
	var cfg Config
	whole := reflect.ValueOf(&cfg).Elem()
	for _, sec := range l.schema {
		if sec.list { // viper knows no defaults in lists: decode over them
			field := whole.Field(sec.index)
			for range l.tables(sec) {
				field.Set(reflect.Append(field, defaultTable(sec.typ)))
			}
			continue
		}
		for _, k := range sec.keys {
			if k.kind == kindSecret {
				continue
			}
			at, value := sec.name+"."+k.name, defaults.Field(sec.index).Field(k.index).Interface()
			v.SetDefault(at, value)
			v.MustBindEnv(at, sec.env(k)) // not AutomaticEnv: it takes OTPGW_OTP for the whole of [otp]
			if _, overridden := l.overrides[at]; overridden && l.document.failed[at] {
				v.Set(at, value)
			}
		}
	}
	err := v.MergeConfigMap(l.document.values)
	if err == nil {
		err = v.UnmarshalExact(&cfg, strict)
	}
	if err != nil {
		l.problems = append(l.problems, Problem{File: l.file, Message: plain(strings.ReplaceAll(err.Error(), "\n", " "))})
	}
	l.putSecrets(whole)
	return cfg
}

// strict makes a decoder take what it is given for what it is. Only what a kind is written as is read from a string.
func strict(c *mapstructure.DecoderConfig) {
	c.TagName = "toml"
	c.WeaklyTypedInput = false
	c.ErrorUnused = true
	c.DecodeHook = func(from, to reflect.Type, value any) (any, error) {
		if text, is := value.(string); is && to.Kind() != reflect.Interface && to != from {
			return kindOf(to).parse(text)
		}
		return value, nil
	}
}
