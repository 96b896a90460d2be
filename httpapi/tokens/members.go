package tokens

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var errObject = errors.New("is not one JSON object")

// members calls visit for each member of the JSON object in text, and wants nothing to follow it. A member that is there twice, at
// whatever depth, and invalid UTF-8 are errors. The value is good until visit returns.
func members(text []byte, visit func(name string, value jsontext.Value) error) error {
	in := jsontext.NewDecoder(bytes.NewBuffer(text))
	if t, err := in.ReadToken(); err != nil || t.Kind() != '{' {
		return errObject
	}
	for in.PeekKind() != '}' {
		name, err := in.ReadToken()
		if err != nil {
			return jsonFault(err)
		}
		text := name.String()
		value, err := in.ReadValue()
		if err != nil {
			return jsonFault(err)
		}
		if err := visit(text, value); err != nil {
			return fmt.Errorf("%.40q: %w", text, err)
		}
	}
	if _, err := in.ReadToken(); err != nil {
		return jsonFault(err)
	}
	if _, err := in.ReadToken(); err != io.EOF {
		return errObject
	}
	return nil
}

// jsonFault is err without what stands in the text.
func jsonFault(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("has a member twice")
	}
	return errObject
}

// textOf is the string that v must be.
func textOf(v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", errors.New("must be a string")
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return string(text), err
}

// maxItems bounds lists in tokens.
const maxItems = 256

// textsOf are the strings that v must be, one or a list.
func textsOf(v jsontext.Value) ([]string, error) {
	if v.Kind() == '"' {
		text, err := textOf(v)
		return []string{text}, err
	}
	if v.Kind() != '[' {
		return nil, errors.New("must be a string or a list of strings")
	}
	in := jsontext.NewDecoder(bytes.NewBuffer(slices.Clone(v)))
	if _, err := in.ReadToken(); err != nil {
		return nil, jsonFault(err)
	}
	texts := []string{}
	for in.PeekKind() != ']' {
		t, err := in.ReadToken()
		if err != nil {
			return nil, jsonFault(err)
		}
		if t.Kind() != '"' || len(texts) == maxItems {
			return nil, fmt.Errorf("must be a string or a list of up to %d strings", maxItems)
		}
		texts = append(texts, t.String())
	}
	return texts, nil
}

// scopesOf are the scopes in v: a string with spaces between them (RFC 6749 §3.3), or a list of them.
func scopesOf(v jsontext.Value) ([]string, error) {
	scopes, err := textsOf(v)
	if err == nil && v.Kind() == '"' {
		scopes = strings.FieldsFunc(scopes[0], func(r rune) bool { return r == ' ' })
	}
	return scopes, err
}

// latest is the last second that a date may name: that of the year 9999.
const latest = 253402300799

// dateOf is the NumericDate that v must be (RFC 7519 §2), in whole seconds since 1970.
func dateOf(v jsontext.Value) (time.Time, error) {
	seconds, err := strconv.ParseInt(string(v), 10, 64) // neither "1.5" nor "1e9" nor a string
	if err != nil || seconds < 0 || seconds > latest {
		return time.Time{}, errors.New("must be whole seconds since 1970")
	}
	return time.Unix(seconds, 0), nil
}
