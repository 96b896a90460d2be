package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the picture of docs/architecture.md in code: for each package, those of ours that it may import.
// A package that is not in it does not exist.
var mayImport = map[string][]string{
	"otpgw/cmd/otpgw":          {"otpgw/config", "otpgw/httpapi", "otpgw/httpapi/admin", "otpgw/httpapi/callbacks", "otpgw/httpapi/numbers", "otpgw/httpapi/openapi", "otpgw/httpapi/tokens", "otpgw/otpstore", "otpgw/smpp", "otpgw/smpp/smsc"},
	"otpgw/cmd/smscsim":        {"otpgw/smpp/smsc"},
	"otpgw/config":             {"otpgw/httpapi", "otpgw/httpapi/admin", "otpgw/httpapi/callbacks", "otpgw/httpapi/numbers", "otpgw/httpapi/tokens", "otpgw/otpstore", "otpgw/smpp"},
	"otpgw/config/secret":      {},
	"otpgw/docs/examples/go":   {},
	"otpgw/httpapi":            {"otpgw/httpapi/numbers", "otpgw/httpapi/tokens", "otpgw/otpstore", "otpgw/smpp"},
	"otpgw/httpapi/admin":      {"otpgw/config/secret"},
	"otpgw/httpapi/callbacks":  {"otpgw/config/secret", "otpgw/httpapi/remote"},
	"otpgw/httpapi/numbers":    {"otpgw/config/secret", "otpgw/httpapi/remote"},
	"otpgw/httpapi/openapi":    {},
	"otpgw/httpapi/remote":     {},
	"otpgw/httpapi/tokens":     {"otpgw/config/secret", "otpgw/httpapi/remote"},
	"otpgw/otpstore":           {},
	"otpgw/otpstore/losefs":    {},
	"otpgw/otpstore/storetest": {"otpgw/otpstore"},
	"otpgw/packaging":          {},
	"otpgw/smpp":               {"otpgw/config/secret", "otpgw/smpp/pdu"},
	"otpgw/smpp/counterpart":   {},
	"otpgw/smpp/pdu":           {},
	"otpgw/smpp/smsc":          {"otpgw/smpp/pdu"},
}

// onlyImporter names the one package that may import a dependency.
var onlyImporter = map[string]string{
	"github.com/fiorix/go-smpp":      "otpgw/smpp/pdu",
	"github.com/warthog618/sms":      "otpgw/smpp/pdu",
	"github.com/spf13/viper":         "otpgw/config",
	"go.etcd.io/bbolt":               "otpgw/otpstore",
	"github.com/labstack/echo/v4":    "otpgw/httpapi",
	"github.com/pelletier/go-toml":   "otpgw/config",
	"github.com/spf13/cobra":         "otpgw/cmd/otpgw",
	"github.com/google/licensecheck": "otpgw/packaging",
	"github.com/golang-jwt/jwt/v5":   "otpgw/httpapi/tokens",
	"github.com/MicahParks/jwkset":   "otpgw/httpapi/tokens",
	"github.com/hanwen/go-fuse":      "otpgw/otpstore/losefs",
	"github.com/swaggest/swgui":      "otpgw/httpapi/openapi",
	"go.yaml.in/yaml":                "otpgw/httpapi/openapi",
}

func goList(t *testing.T, format string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", format, "otpgw/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestImportDirections(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range goList(t, `{{.ImportPath}} {{join .Imports " "}}`) {
		pkg, rest, _ := strings.Cut(line, " ")
		seen[pkg] = true
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s: a new package needs a line here and in docs/architecture.md", pkg)
		}
		for imp := range strings.FieldsSeq(rest) {
			if strings.HasPrefix(imp, "otpgw/") && !slices.Contains(allowed, imp) {
				t.Errorf("%s imports %s: against the direction of docs/architecture.md", pkg, imp)
			}
			for dep, only := range onlyImporter {
				if (imp == dep || strings.HasPrefix(imp, dep+"/")) && pkg != only {
					t.Errorf("%s imports %s: only %s may", pkg, imp, only)
				}
			}
			if imp == "testing" && !slices.Contains([]string{"otpgw/otpstore/losefs", "otpgw/otpstore/storetest", "otpgw/smpp/counterpart"}, pkg) {
				t.Errorf("%s imports testing outside a test", pkg)
			}
		}
	}
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("%s does not exist any more: take its line away", pkg)
		}
	}
}

// Tests may reach across, but never against the arrows of what is built: a black-box test of otpstore that needed smpp
// would be a dependency in disguise.
func TestImportDirectionsOfTests(t *testing.T) {
	for _, line := range goList(t, `{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}`) {
		pkg, rest, _ := strings.Cut(line, " ")
		for imp := range strings.FieldsSeq(rest) {
			if imp == "otpgw/config" && pkg != "otpgw/config" && !strings.HasPrefix(pkg, "otpgw/cmd/") {
				t.Errorf("the tests of %s import config", pkg)
			}
			if strings.HasPrefix(imp, "otpgw/smpp") && strings.HasPrefix(pkg, "otpgw/otpstore") {
				t.Errorf("the tests of %s import %s", pkg, imp)
			}
		}
	}
}
