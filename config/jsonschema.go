package config

import (
	"encoding/json"
	"reflect"
	"time"
)

// jsonForm is what JSON Schema says of a value of that kind: a TOML file is checked by it as the JSON that it amounts to.
func (k kind) jsonForm() map[string]any {
	switch k {
	case kindBool:
		return map[string]any{"type": "boolean"}
	case kindInt:
		return map[string]any{"type": "integer"}
	case kindFloat:
		return map[string]any{"type": "number"}
	case kindDuration:
		return map[string]any{"type": "string", "pattern": `^-?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`}
	case kindStrings:
		return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	case kindSecret:
		return map[string]any{"type": "string", "pattern": "^$|^file:/|^cred:|^env:"}
	}
	return map[string]any{"type": "string"}
}

// JSONSchema describes the file to editors (JSON Schema 2020-12): which tables and keys there are, what they mean, what they hold and
// what they are by default. What goes together with what, and the ranges, Check says.
func JSONSchema() ([]byte, error) {
	tables := map[string]any{}
	for _, sec := range configSchema() {
		keys, defaults := map[string]any{}, defaultsOf(sec)
		for _, k := range sec.keys {
			form := k.kind.jsonForm()
			form["description"] = k.comment + " " + remark(sec, k)
			if k.kind != kindSecret {
				form["default"] = jsonValue(k.kind, defaults.Field(k.index))
			}
			keys[k.name] = form
		}
		table := map[string]any{"type": "object", "description": sec.comment, "properties": keys, "additionalProperties": false}
		if sec.list {
			table = map[string]any{"type": "array", "description": sec.comment, "items": table}
		}
		tables[sec.name] = table
	}
	return json.MarshalIndent(map[string]any{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "Configuration of otpgw",
		"type":                 "object",
		"properties":           tables,
		"additionalProperties": false,
	}, "", "  ")
}

// jsonValue is v as the file has it.
func jsonValue(k kind, v reflect.Value) any {
	switch {
	case k == kindDuration:
		return short(time.Duration(v.Int()))
	case k == kindStrings && v.Len() == 0:
		return []string{}
	}
	return v.Interface()
}
