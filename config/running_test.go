package config_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"otpgw/config"
)

func TestInForceIsWhatAReloadChanged(t *testing.T) {
	started := valid(t, folder(t), whole)
	current := started
	current.HTTP.Listen, current.OTP.TTL = "127.0.0.1:1", 2*time.Minute
	current.SMSC = slices.Clone(started.SMSC)
	current.SMSC[0].Window++
	got := config.InForce(started, current)
	if got.HTTP.Listen != started.HTTP.Listen || got.OTP.TTL != 2*time.Minute || got.SMSC[0].Window != current.SMSC[0].Window {
		t.Errorf("%q, %v, %d", got.HTTP.Listen, got.OTP.TTL, got.SMSC[0].Window)
	}
	if hot, _ := config.Diff(got, current); len(hot) > 0 {
		t.Errorf("not in force: %q", hot)
	}
	if _, restart := config.Diff(got, started); len(restart) > 0 {
		t.Errorf("changed without a restart: %q", restart)
	}
}

func TestChangesHaveValuesButNoSecrets(t *testing.T) {
	old := valid(t, folder(t), whole)
	current := old
	current.OTP.TTL, current.Numbers.Own = 2*time.Minute, []string{"+346", "+347"}
	current.SMSC = slices.Clone(old.SMSC)
	current.SMSC[0].Password = "other"
	current.HTTP.Listen = "127.0.0.1:1"
	current.Clients = nil
	const want = `[{otp.ttl "5m" "2m" hot} {numbers.own ["+346"] ["+346", "+347"] hot} {smsc[0].password "***" "***" hot} ` +
		`{client[0] "acme"  hot} {http.listen "127.0.0.1:8080" "127.0.0.1:1" restart}]`
	if got := fmt.Sprint(config.Changes(old, current)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := config.Changes(old, old); got == nil || len(got) > 0 {
		t.Errorf("nothing changed: %v", got)
	}
}

func TestWrite(t *testing.T) {
	cfg := valid(t, folder(t), whole)
	all, changed := config.Write(cfg, false), config.Write(cfg, true)
	for _, want := range []string{`(?m)^ttl = "5m" +# default$`, `(?m)^\[\[smsc\]\]$`, `(?m)^password = "\*\*\*" +# default ""$`, `(?m)^own = \["\+346"\] +# default \[\]$`} {
		if !regexp.MustCompile(want).MatchString(all) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
	if strings.Contains(changed, "# default\n") || !strings.Contains(changed, `id = "acme"`) || strings.Contains(all, password) {
		t.Errorf("changed:\n%s", changed)
	}
}

// The defaults are a file that is read, and means what no file means.
func TestDefaultsAreTheDefaults(t *testing.T) {
	dir := folder(t)
	text := config.Defaults()
	if strings.Contains(text, "***") {
		t.Error("a secret by default")
	}
	tables := strings.Split(text, "\n#[[")[0]
	written := valid(t, dir, strings.NewReplacer("own = []\n", "own = [\"+346\"]\n", "\nfile = \"\"\n", "\nfile = \"DIR/tokens.toml\"\n").Replace(tables)+wholeSMSC+wholeClient)
	hot, restart := config.Diff(written, valid(t, dir, whole))
	if len(hot)+len(restart) > 0 {
		t.Errorf("differ: %q %q", hot, restart)
	}
}

// Every key of the reference is in the schema, and its default of the type that the schema wants.
func TestJSONSchema(t *testing.T) {
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	type form struct {
		Type        string
		Description string
		Pattern     string
		Default     any
		Properties  map[string]*form
		Items       *form
		Closed      any `json:"additionalProperties"`
	}
	var whole form
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	if whole.Closed != false {
		t.Error("it takes any table")
	}
	var table *form
	keys := 0
	for line := range strings.Lines(config.Reference()) {
		if header := regexp.MustCompile(`^#?\[+([a-z_]+)\]+\n$`).FindStringSubmatch(line); header != nil {
			if table = whole.Properties[header[1]]; table == nil {
				t.Fatalf("no table %s", header[1])
			}
			if table.Type == "array" {
				table = table.Items
			}
			if table.Closed != false || table.Type != "object" {
				t.Errorf("%s: %+v", header[1], table)
			}
		}
		key := regexp.MustCompile(`^#?([a-z0-9_]+) = (.)`).FindStringSubmatch(line)
		if key == nil || table == nil {
			continue
		}
		keys++
		f := table.Properties[key[1]]
		if f == nil || f.Description == "" {
			t.Errorf("%s: %+v", key[1], f)
			continue
		}
		ok := false
		switch v := f.Default.(type) {
		case bool:
			ok = f.Type == "boolean"
		case float64:
			ok = f.Type == "number" || f.Type == "integer" && v == float64(int64(v))
		case string:
			ok = f.Type == "string" && regexp.MustCompile(f.Pattern).MatchString(v)
		case []any:
			ok = f.Type == "array"
		case nil:
			ok = f.Type == "string" && strings.Contains(f.Pattern, "cred:") // a secret
		}
		if !ok {
			t.Errorf("%s: the default %v is no %s", key[1], f.Default, f.Type)
		}
	}
	if keys < 100 {
		t.Errorf("%d keys were looked at", keys)
	}
}
