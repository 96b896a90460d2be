package config_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"otpgw/config"
)

// tables are the struct types of the tables of a file by name.
func tables() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for f := range reflect.TypeFor[config.Config]().Fields() {
		if name := f.Tag.Get("toml"); name != "-" {
			all[name] = f.Type
			if f.Type.Kind() == reflect.Slice {
				all[name] = f.Type.Elem()
			}
		}
	}
	return all
}

func TestEveryKeyIsDescribed(t *testing.T) {
	variables := map[string]string{}
	for name, table := range tables() {
		for f := range table.Fields() {
			key := f.Tag.Get("toml")
			if key == "-" { // set by the program, in no file
				continue
			}
			at := name + "." + key
			if key == "" || strings.ToLower(key) != key || strings.ContainsAny(key, "-.") {
				t.Errorf("%v.%s: toml:%q", table, f.Name, key)
			}
			if comment := f.Tag.Get("comment"); len(comment) < 10 {
				t.Errorf("%s has the comment %q", at, comment)
			}
			if reload := f.Tag.Get("reload"); reload != "hot" && reload != "restart" {
				t.Errorf("%s has reload:%q", at, reload)
			}
			variable := strings.ToUpper(name + "_" + key)
			if other, taken := variables[variable]; taken {
				t.Errorf("%s and %s share an environment variable", at, other)
			}
			variables[variable] = at
		}
	}
	if len(variables) < 40 {
		t.Errorf("only %d keys were looked at", len(variables))
	}
}

// TestValidateNamesKeys sets every key to nonsense and holds that whatever a component says begins with one of its keys.
func TestValidateNamesKeys(t *testing.T) {
	absurd := map[reflect.Kind][]any{
		reflect.String:  {"\x00", "no such thing", strings.Repeat("x", 70_000), "\xff"},
		reflect.Int:     {math.MinInt, -1, math.MaxInt},
		reflect.Int64:   {time.Duration(math.MinInt64), -time.Second, time.Duration(math.MaxInt64)},
		reflect.Float64: {math.NaN(), math.Inf(1), math.Inf(-1), -1.0, 1e300},
		reflect.Slice:   {[]string{"\x00"}, []string{"", ""}},
		reflect.Bool:    {true, false},
	}
	said := 0
	for name, table := range tables() {
		hold := func(v reflect.Value) {
			for _, err := range errorsOf(v) {
				said++
				key, _, _ := strings.Cut(strings.Fields(err.Error() + " ")[0], ":")
				if !hasKey(table, key) {
					t.Errorf("[%s] says %q, which begins with no key of it", name, err)
				}
			}
		}
		hold(reflect.Zero(table))
		for i := range table.NumField() {
			for _, value := range absurd[table.Field(i).Type.Kind()] {
				v := reflect.New(table).Elem()
				if reflect.TypeOf(value).ConvertibleTo(v.Field(i).Type()) {
					v.Field(i).Set(reflect.ValueOf(value).Convert(v.Field(i).Type()))
					hold(v)
				}
			}
		}
	}
	if said < 100 {
		t.Errorf("components object to nonsense only %d times", said)
	}
}

func errorsOf(v reflect.Value) []error {
	validator, can := v.Interface().(interface{ Validate() error })
	if !can {
		return nil
	}
	err := validator.Validate()
	if joined, is := err.(interface{ Unwrap() []error }); is {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func hasKey(table reflect.Type, key string) bool {
	for f := range table.Fields() {
		if f.Tag.Get("toml") == key {
			return true
		}
	}
	return false
}
