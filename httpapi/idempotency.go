package httpapi

import (
	"net/http"
	"strings"
)

// idempotencyKey is the client's name of a request, "" where it gave none: the Idempotency-Key header as a string of RFC 8941
// §3.3.3, in quotes, or the bare characters that most clients send.
func idempotencyKey(h http.Header) (string, *problem) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	bare := !strings.HasPrefix(key, `"`)
	if !bare {
		unquoted, ok := unquote(key)
		if !ok {
			return "", invalidKey
		}
		key = unquoted
	}
	if len(values) > 1 || len(key) < 1 || len(key) > 255 {
		return "", invalidKey
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' || bare && (c == ' ' || c == '"' || c == ',') {
			return "", invalidKey
		}
	}
	return key, nil
}

// unquote is the content of a quoted string, in which a backslash stands before a quote or a backslash only.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	var content strings.Builder
	for inner := s[1 : len(s)-1]; inner != ""; {
		c := inner[0]
		inner = inner[1:]
		switch c {
		case '"':
			return "", false
		case '\\':
			if inner == "" || inner[0] != '"' && inner[0] != '\\' {
				return "", false
			}
			c, inner = inner[0], inner[1:]
		}
		content.WriteByte(c)
	}
	return content.String(), true
}
