// Package openapi holds the OpenAPI 3.0 documents of what httpapi serves, one for each version and one for the side API, and serves
// them with a page to try them. The documents promise to be complete: every status and every code that an operation answers with
// stands in them, and no other. It imports nothing of ours; the tests of httpapi hold the two against each other.
//
// The versions differ in little, so they are one text with the differences marked: one-time-password-sms.yaml. verifications.yaml is
// the side API's, and common.yaml what the two share.
package openapi

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var texts embed.FS

var templates = template.Must(template.New("").Delims("<%", "%>").ParseFS(texts, "*.yaml"))

// Side is the name of the side API's document.
const Side = "verifications"

// A Document describes one API.
type Document struct {
	Name string // where it is served: a version, such as v1, or Side
	YAML []byte
	JSON []byte // the same
}

// facts are what a document's text leaves open.
type facts struct {
	Place   string // below /one-time-password-sms/
	Version string // of the API
	V0, V2  bool
	Root    string // scheme, host and port of the API
	Invalid string // when an argument is
	Unknown string // what is not found
	Slowed  string // why a client is told to wait, besides its rate
	Late    string
	Example string // of what is wrong with an argument
	wording map[string]string
}

// Say is the message of an error in the words of the version.
func (f facts) Say(code string) string { return f.wording[code] }

// wording0 and wording1 are the messages in which version 0 differs.
var (
	wording0 = map[string]string{
		"UNAUTHENTICATED":   "Request not authenticated due to missing, invalid, or expired credentials",
		"PERMISSION_DENIED": "Client does not have sufficient permissions to perform this action",
		"NOT_FOUND":         "A specified resource is not found",
		"TOO_MANY_REQUESTS": "Either out of resource quota or reaching rate limiting",
		"INTERNAL":          "Server error",
		"UNAVAILABLE":       "Service unavailable",
		"TIMEOUT":           "Request timeout exceeded. Try later.",
	}
	wording1 = map[string]string{
		"UNAUTHENTICATED":   "Request not authenticated due to missing, invalid, or expired credentials.",
		"PERMISSION_DENIED": "Client does not have sufficient permissions to perform this action.",
		"NOT_FOUND":         "The specified resource is not found.",
		"TOO_MANY_REQUESTS": "Rate limit reached.",
		"INTERNAL":          "Unknown server error. Typically a server bug.",
		"UNAVAILABLE":       "Service Unavailable.",
		"TIMEOUT":           "Request timeout exceeded.",
	}
)

// released are the CAMARA versions by the places where they are served.
var released = map[string]string{"v0": "0.5.0", "v0.5": "0.5.0", "v1": "1.1.1", "v2": "2.0.0-rc.2", "v2rc2": "2.0.0-rc.2"}

// New makes the document of that name for an API that clients reach at root: https://host or http://host, with a port where it has one.
func New(name, root string) (Document, error) {
	if u, err := url.Parse(root); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != root {
		return Document{}, fmt.Errorf("openapi: %q is not http(s)://host[:port]", root)
	}
	text, f := "one-time-password-sms.yaml", facts{
		Place: name, Version: released[name], V0: strings.HasPrefix(name, "v0"), V2: strings.HasPrefix(name, "v2"), Root: root, wording: wording1,
		Invalid: "A header or the body has not the right shape, or the text is not one that the client may send.",
		Unknown: "Not found. For send-code the number is not one of this operator; for validate-code the authenticationId is unknown, forgotten or of another client.",
		Slowed:  ", too many of its bodies are awaited or, for validate-code, too many of its codes were wrong lately",
		Late:    "The SMSC or a part of the daemon did not answer in time. An SMS may arrive or not, and its code is not valid.",
		Example: "phoneNumber must be + and 5 to 15 digits, the first not 0",
	}
	switch {
	case name == Side:
		text, f.Version = "verifications.yaml", "1.0.0"
		f.Invalid = "A header or the query has not the right shape."
		f.Unknown = "The authenticationId is unknown, forgotten or of another client."
		f.Slowed = ""
		f.Late = "A part of the daemon did not answer in time."
		f.Example = "limit must be 1 to 100, state one of the states, after the next of a page, each at most once"
	case f.Version == "":
		return Document{}, fmt.Errorf("openapi: there is no document of %q", name)
	case f.V0:
		f.wording = wording0
	case f.V2:
		f.wording = map[string]string{}
		for code, message := range wording1 {
			f.wording[code] = message
		}
		f.wording["UNAUTHENTICATED"] += " A new authentication is required."
		f.Unknown = "The authenticationId is unknown, forgotten or of another client."
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, text, f); err != nil {
		return Document{}, fmt.Errorf("openapi: %s: %w", name, err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(b.Bytes(), &tree); err != nil {
		return Document{}, fmt.Errorf("openapi: %s: %w", name, err)
	}
	asJSON, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		return Document{}, fmt.Errorf("openapi: %s: %w", name, err)
	}
	return Document{Name: name, YAML: b.Bytes(), JSON: append(asJSON, '\n')}, nil
}

// All are the documents of the versions at these places, and the side API's.
func All(places []string, root string) ([]Document, error) {
	var all []Document
	for _, name := range append(slices.Clone(places), Side) {
		d, err := New(name, root)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}
