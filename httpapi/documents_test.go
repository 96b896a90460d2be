package httpapi

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"otpgw/httpapi/openapi"
)

// Names of the operations, as the documents have them.
const (
	sendOp, validateOp       = "sendCode", "validateCode"
	listOp, readOp, cancelOp = "listVerifications", "readVerification", "cancelVerification"
)

var (
	camara = []string{sendOp, validateOp}
	ofSide = []string{listOp, readOp, cancelOp}
	every  = slices.Concat(camara, ofSide)
)

// leaves says of each row of the table of errors, by its name, which operations can answer with it. A row that is not here, or that is
// no more, fails TestDocumentsTellEveryError.
var leaves = map[string]struct {
	row *problem
	ops []string
}{
	"invalidBody": {invalidBody, camara}, "undeclared": {undeclared, camara}, "bodyTooLong": {bodyTooLong, camara}, "bodyUnread": {bodyUnread, camara},
	"invalidNumber": {invalidNumber, []string{sendOp}}, "invalidMessage": {invalidMessage, []string{sendOp}}, "invalidText": {invalidText, []string{sendOp}},
	"controlInText": {controlInText, []string{sendOp}}, "placeholderTwo": {placeholderTwo, []string{sendOp}}, "hiddenInText": {hiddenInText, []string{sendOp}},
	"mixedInText": {mixedInText, []string{sendOp}}, "linkInText": {linkInText, []string{sendOp}}, "digitsInText": {digitsInText, []string{sendOp}},
	"noTemplateFits": {noTemplateFits, []string{sendOp}},
	"invalidKey":     {invalidKey, []string{sendOp}}, "invalidID": {invalidID, []string{validateOp}}, "invalidCode": {invalidCode, []string{validateOp}},
	"invalidList": {invalidList, []string{listOp}}, "invalidCorrelator": {invalidCorrelator, every},

	"wrongCode": {wrongCode, []string{validateOp}}, "expiredCode": {expiredCode, []string{validateOp}}, "failedCode": {failedCode, []string{validateOp}},
	"unknownID": {unknownID, []string{validateOp, readOp, cancelOp}}, "unknownPath": {unknownPath, nil}, // no operation is there
	"numberNotOwn": {numberNotOwn, []string{sendOp}}, "identifierNotOwn": {identifierNotOwn, []string{sendOp}},

	"unauthenticated": {unauthenticated, every}, "noScope": {noScope, every}, "noClient": {noClient, every}, "noCertificate": {noCertificate, every}, "noVersion": {noVersion, camara},

	"tooManyCodes": {tooManyCodes, []string{sendOp}}, "numberLimit": {numberLimit, []string{sendOp}}, "dayLimit": {dayLimit, []string{sendOp}},
	"numberDayLimit": {numberDayLimit, []string{sendOp}}, "tooSoon": {tooSoon, []string{sendOp}}, "tooManyFailures": {tooManyFailures, []string{sendOp}},
	"numberNotAllowed": {numberNotAllowed, []string{sendOp}}, "numberLandline": {numberLandline, []string{sendOp}}, "numberRefused": {numberRefused, []string{sendOp}},
	"numberRefusedBefore": {numberRefusedBefore, []string{sendOp}}, "numberBlocked": {numberBlocked, []string{sendOp}},

	"methodNotAllowed": {methodNotAllowed, every}, "notAcceptable": {notAcceptable, every}, "unsupportedMedia": {unsupportedMedia, every},
	"finishedBefore": {finishedBefore, []string{cancelOp}}, "keyInWork": {keyInWork, []string{sendOp}}, "keyReused": {keyReused, []string{sendOp}},
	"tooManyRequests": {tooManyRequests, every}, "clientReading": {clientReading, camara}, "failureShare": {failureShare, []string{validateOp}},
	"quotaExceeded": {quotaExceeded, []string{sendOp}}, "quotaAsRate": {quotaAsRate, []string{sendOp}},

	"internal": {internal, every}, "requestRefused": {requestRefused, []string{sendOp}}, "notRecorded": {notRecorded, []string{sendOp}},
	"overloaded": {overloaded, every}, "paused": {paused, []string{sendOp}}, "authUnavailable": {authUnavailable, every}, "lookupUnavailable": {lookupUnavailable, []string{sendOp}},
	"storeUnavailable": {storeUnavailable, every}, "smscUnavailable": {smscUnavailable, []string{sendOp}}, "smscBusy": {smscBusy, []string{sendOp}},
	"timeout": {timeout, every}, "outcomeUnknown": {outcomeUnknown, []string{sendOp}},
}

// answers says whether the version has row at all.
func (v version) answers(row *problem) bool {
	switch row {
	case undeclared:
		return v.closed
	case invalidCorrelator:
		return v.correlates
	case numberNotOwn, identifierNotOwn:
		return v.foreign == row
	case quotaExceeded, quotaAsRate:
		return v.quota == row
	}
	return true
}

const docRoot = "https://otp.example.com"

// document is the OpenAPI document of that name, read by others' code.
var document = sync.OnceValue(func() map[string]*openapi3.T {
	docs := map[string]*openapi3.T{}
	names := []string{openapi.Side}
	for _, v := range versions() {
		names = append(names, v.name)
	}
	for _, name := range names {
		d, err := openapi.New(name, docRoot)
		if err != nil {
			panic(err)
		}
		if docs[name], err = openapi3.NewLoader().LoadFromData(d.YAML); err != nil {
			panic(err)
		}
	}
	return docs
})

// errorsOf are the errors that an operation's description has, as "404 NOT_FOUND", with the message of the example of each.
func errorsOf(op *openapi3.Operation) map[string]string {
	told := map[string]string{}
	for status, response := range op.Responses.Map() {
		if status[0] == '2' {
			continue
		}
		media := response.Value.Content["application/json"]
		own := media.Schema.Value.AllOf[1].Value.Properties
		for _, s := range own["status"].Value.Enum {
			if fmt.Sprint(s) != status {
				status += " with status " + fmt.Sprint(s) // matches no row
			}
		}
		for _, code := range own["code"].Value.Enum {
			told[status+" "+code.(string)] = ""
		}
		for _, e := range media.Examples {
			value := e.Value.Value.(map[string]any)
			told[fmt.Sprintf("%v %v", value["status"], value["code"])] = value["message"].(string)
		}
	}
	return told
}

// TestDocumentsTellEveryError: what an operation can answer with stands in its description with the very message, and nothing else.
func TestDocumentsTellEveryError(t *testing.T) {
	var rows []string
	find := func(n ast.Node) bool {
		v, is := n.(*ast.ValueSpec)
		if !is || len(v.Values) != 1 {
			return true
		}
		switch e := v.Values[0].(type) {
		case *ast.UnaryExpr:
			if lit, is := e.X.(*ast.CompositeLit); is && fmt.Sprint(lit.Type) == "problem" {
				rows = append(rows, v.Names[0].Name)
			}
		case *ast.CallExpr:
			if fmt.Sprint(e.Fun) == "invalid" {
				rows = append(rows, v.Names[0].Name)
			}
		}
		return true
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, find)
	}
	slices.Sort(rows)
	if known := slices.Sorted(maps.Keys(leaves)); !slices.Equal(rows, known) {
		t.Errorf("the package has the rows %q, the table here %q", rows, known)
	}

	apis := map[string]version{openapi.Side: side}
	for _, v := range versions() {
		apis[v.name] = v
	}
	for name, v := range apis {
		for path, item := range document()[name].Paths.Map() {
			for _, op := range item.Operations() {
				want := map[string]string{}
				for _, l := range leaves {
					if slices.Contains(l.ops, op.OperationID) && v.answers(l.row) {
						want[fmt.Sprintf("%d %s", l.row.status, l.row.code)] = v.says(l.row)
					}
				}
				told := errorsOf(op)
				for e, message := range want {
					example, stands := told[e]
					switch {
					case !stands:
						t.Errorf("%s %s can answer %s; its description does not say so", name, path, e)
					case strings.HasSuffix(e, "INVALID_ARGUMENT"): // one message of many
						if !strings.HasPrefix(example, "Client specified an invalid argument, request body or query param: ") {
							t.Errorf("%s %s %s: example %q", name, path, e, example)
						}
					case strings.HasSuffix(e, " CONFLICT"):
					case example != message:
						t.Errorf("%s %s %s: example %q, answered is %q", name, path, e, example, message)
					}
				}
				for e := range told {
					if _, is := want[e]; !is {
						t.Errorf("%s %s is described with %s, which it never answers", name, path, e)
					}
				}
			}
		}
	}
}

// operations are the described ones as "POST /path", with all versions there are.
var operations = sync.OnceValue(func() map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for _, doc := range document() {
		below := strings.TrimPrefix(doc.Servers[0].URL, "{apiRoot}")
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				all[method+" "+below+path] = op
			}
		}
	}
	return all
})

func TestEveryRouteIsDescribed(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Versions = nil
	for _, v := range versions() {
		cfg.Versions = append(cfg.Versions, v.name)
	}
	s, err := New(cfg, Live{}, Parts{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	for _, r := range s.handler.Routes() {
		if r.Method != http.MethodOptions {
			served = append(served, r.Method+" "+strings.Replace(r.Path, ":id", "{authenticationId}", 1))
		}
	}
	slices.Sort(served)
	if described := slices.Sorted(maps.Keys(operations())); !slices.Equal(served, described) {
		t.Errorf("served: %q\ndescribed: %q", served, described)
	}
}

// Undescribed says what an answer of a server of these versions has that the description of its operation has not: "" for none, or
// where there is no operation.
func Undescribed(versions []string, method, path string, status int, code string, header http.Header) string {
	if place, _, is := strings.Cut(strings.TrimPrefix(path, apiPath), "/"); is && strings.HasPrefix(path, apiPath) && !slices.Contains(versions, place) {
		return ""
	}
	if item, is := strings.CutPrefix(path, sidePath+"/"); is {
		path = sidePath + "/{authenticationId}"
		if strings.HasSuffix(item, "/cancel") {
			path += "/cancel"
		}
	}
	all := operations()
	op := all[method+" "+path]
	if op == nil && status == http.StatusMethodNotAllowed {
		for _, m := range header["Allow"] {
			op = all[m+" "+path]
		}
	}
	if op == nil {
		return ""
	}
	response := op.Responses.Status(status)
	if response == nil {
		return fmt.Sprintf("status %d", status)
	}
	if _, is := errorsOf(op)[fmt.Sprintf("%d %s", status, code)]; code != "" && !is {
		return fmt.Sprintf("%d %s", status, code)
	}
	for _, name := range []string{"X-Correlator", "Retry-After", "Www-Authenticate", "Allow"} {
		var described, required bool
		for h, d := range response.Value.Headers {
			if http.CanonicalHeaderKey(h) == name {
				described, required = true, d.Value.Required
			}
		}
		if _, is := header[name]; is != described && (is || required) {
			return fmt.Sprintf("%d %s: header %s: sent %v, described %v", status, code, name, is, described)
		}
	}
	return ""
}

// TestAPIDocumentTellsEveryReason: docs/api.md has a line for each row that can leave an operation, with its status, its code, its
// reason and its operations, and no other.
func TestAPIDocumentTellsEveryReason(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	short := map[string]string{sendOp: "send-code", validateOp: "validate-code", listOp: "list", readOp: "read", cancelOp: "cancel"}
	words := map[string]string{
		strings.Join(every, " "): "all", strings.Join(camara, " "): "both", "": "none", strings.Join([]string{validateOp, readOp, cancelOp}, " "): "validate-code, read, cancel",
	}
	want := map[string]bool{}
	for _, l := range leaves {
		ops, is := words[strings.Join(l.ops, " ")]
		if !is {
			ops = short[l.ops[0]]
		}
		code := strings.Replace(l.row.code, otpPrefix, "…", 1)
		want[fmt.Sprintf("%d %s | %s | %s", l.row.status, code, l.row.reason, ops)] = true
	}
	have := map[string]bool{}
	line := regexp.MustCompile("(?m)^\\| (\\d{3}) ([A-Z_.…]+)(?:, in version \\d ([A-Z_]+))? \\| ((?:`[a-z_]+`(?:, )?)+) \\| ([a-z, -]+) \\|")
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		for reason := range strings.SplitSeq(m[4], ", ") {
			for _, code := range []string{m[2], m[3]} {
				if code != "" {
					have[fmt.Sprintf("%s %s | %s | %s", m[1], code, strings.Trim(reason, "`"), m[5])] = true
				}
			}
		}
	}
	for row := range want {
		if !have[row] {
			t.Errorf("docs/api.md has no line %s", row)
		}
	}
	for row := range have {
		if !want[row] {
			t.Errorf("docs/api.md has a line that nothing answers with: %s", row)
		}
	}
}
