package main

// What watches the daemon is tested against it: a real Prometheus scrapes a real plant, with the rules of the package, and every
// expression of rules and dashboard has to find data.

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/smpp/counterpart"
	"otpgw/smpp/smsc"
)

const (
	rulesFile     = "../../packaging/prometheus/otpgw.rules.yml"
	rulesTests    = "../../packaging/prometheus/otpgw_test.yml"
	dashboardFile = "../../packaging/grafana/otpgw.json"
	operations    = "../../docs/operations.md"
)

var alertNames = regexp.MustCompile(`(?m)^ *- alert: (\S+)$`)

func TestAlertsFireAndDoNot(t *testing.T) {
	counterpart.Need(t, "prometheus", "promtool")
	if out, err := exec.CommandContext(t.Context(), "promtool", "test", "rules", rulesTests).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	tests := read(t, rulesTests)
	alerts := alertNames.FindAllStringSubmatch(read(t, rulesFile), -1)
	if len(alerts) < 20 {
		t.Errorf("%d alerts are found", len(alerts))
	}
	for _, a := range alerts {
		for _, fact := range []string{" fires\n", " does not fire\n"} {
			if !strings.Contains(tests, "  - name: "+a[1]+fact) {
				t.Errorf("there is no test that %s%s", a[1], strings.TrimSpace(fact))
			}
		}
	}
}

// A dashboard is the part of Grafana's model that is of interest here.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
}

// expressions are those of the dashboard, for all instances and accounts, each with the panel that it is in.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	all, ids := map[string]string{}, map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || (p.Type != "row") == (len(p.Targets) == 0) {
			t.Errorf("panel %q: id %d again, or no expression", p.Title, p.ID)
		}
		ids[p.ID] = true
		for _, o := range d.Panels[:i] {
			if a, b := p.GridPos, o.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q lies on %q", p.Title, o.Title)
			}
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "10s", "$instance", ".*", "$smsc", ".*").Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("panel %q: a variable that is not known in %s", p.Title, expr)
			}
			all[expr] = p.Title
		}
	}
	if len(all) < 50 {
		t.Errorf("%d expressions are found", len(all))
	}
	return all
}

// A rule is one as Prometheus tells it.
type rule struct {
	Type, Name, Query, Health, LastError string
	Labels, Annotations                  map[string]string
}

// A promServer is a running Prometheus.
type promServer struct {
	t       *testing.T
	address string
}

// startPrometheus runs one that scrapes the plants four times a second and evaluates the rules.
func startPrometheus(t *testing.T, plants ...*plant) promServer {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, p := range plants {
		targets = append(targets, p.admin)
	}
	dir := t.TempDir()
	writeFile(t, dir+"/prometheus.yml", fmt.Sprintf(`global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs:
  - job_name: otpgw
    static_configs: [{targets: [%s]}]
`, rules, strings.Join(targets, ", ")))
	p := promServer{t: t, address: freePort(t)}
	cmd := counterpart.Command(t.Context(), "prometheus", "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address="+p.address, "--log.level=warn")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to lose
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(tail(log.String()))
		}
	})
	plants[0].await("Prometheus", func() bool {
		resp, err := http.Get("http://" + p.address + "/-/ready")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return p
}

// ask reads an answer of the HTTP API into what.
func (p promServer) ask(path string, query url.Values, what any) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.address + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: what}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s %v: %v %s", path, query, err, answer.Error)
	}
}

// finds says whether an expression gives a number.
func (p promServer) finds(expr string) bool {
	p.t.Helper()
	var found struct {
		Result []struct{ Value [2]any }
	}
	p.ask("query", url.Values{"query": {expr}}, &found)
	for _, r := range found.Result {
		if r.Value[1] != "NaN" {
			return true
		}
	}
	return false
}

// rules are those that were evaluated.
func (p promServer) rules() []rule {
	p.t.Helper()
	var answer struct {
		Groups []struct{ Rules []rule }
	}
	p.ask("rules", nil, &answer)
	var all []rule
	for _, g := range answer.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

var selector = regexp.MustCompile(`(?:^|[^:a-z_])((?:otpgw_[a-z_]+|up|process_start_time_seconds)(?:\{[^}]*\})?)(?:[^:a-z_(]|$)`)

// unfound are metrics that the plants do not have: those of issuers.
var unfound = map[string]bool{
	"otpgw_token_introspection_seconds": true,
	"otpgw_token_issuer_ready":          true,
	"otpgw_token_key_age_seconds":       true,
}

// faults are the numbers that make the SMSC do what some expressions need to have data: it refuses, throttles, does not answer, drops the
// connection, forgets receipts or sends those of others.
var faults = []string{"undelivered", "no-receipt", "bad-destination", "throttled-once", "throttled", "system-error", "no-answer", "unbind", "empty-id", "strangers"}

func TestRulesAndDashboardFindData(t *testing.T) {
	counterpart.Need(t, "prometheus", "prometheus", "promtool")
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer broken.Close()
	p := newPlant(t, otp("send_limit", "2"), func(c *plantConfig) {
		c.level = "info"
		c.numbers = fmt.Sprintf("lookup_url = %q\nlookup_fail = \"open\"", broken.URL)
		c.smsc = "response_timeout = \"1s\""
		c.http = `request_timeout = "5s"`
		// Nobody listens there: its binds fail.
		c.clients = fmt.Sprintf("[[smsc]]\nname = \"smsc-b\"\ntier = 2\nendpoints = [%q]\nsystem_id = \"otpgw\"\npassword = \"env:NOBODY\"\nresponse_timeout = \"1s\"\n", freePort(t))
		t.Setenv("NOBODY", "secret1")
	})
	shop := secure(t)
	prom := startPrometheus(t, p, shop)

	pending := expressions(t)
	for _, r := range prom.rules() {
		for _, s := range selector.FindAllStringSubmatch(r.Query, -1) {
			pending[s[1]] = r.Name
		}
	}
	for name := range unfound {
		before := len(pending)
		maps.DeleteFunc(pending, func(expr, _ string) bool { return strings.Contains(expr, name) })
		if len(pending) == before {
			t.Errorf("%s is in no expression: take it off the list", name)
		}
	}
	var group sync.WaitGroup
	defer group.Wait()
	for _, b := range smsc.Behaviours() {
		if slices.Contains(faults, b.Name) {
			group.Go(func() {
				_, _ = p.call(http.MethodPost, "/send-code", sendBody(number(0)[:8]+b.Suffix), nil) // how it ends is another test's matter
			})
		}
	}
	deadline := time.Now().Add(2 * patience)
	for i := 0; len(pending) > 0 && time.Now().Before(deadline); i++ {
		if a := p.post("/send-code", sendBody(number(i+1)), nil); a.status == http.StatusOK { // not all are: the SMSC throttles
			code := p.read(number(i+1), 1)
			p.validate(a.id, wrongFor(code))
			p.validate(a.id, code)
		}
		if i%50 > 0 {
			continue
		}
		for range 3 {
			p.post("/send-code", sendBody(number(0)), nil) // the limit ends it
		}
		maps.DeleteFunc(pending, func(expr, _ string) bool { return prom.finds(expr) })
	}
	for name := range unfound {
		if prom.finds(name) || prom.finds(name+"_count") {
			t.Errorf("%s is there: take it off the list", name)
		}
	}
	for expr, where := range pending {
		t.Errorf("%s: no data: %s", where, expr)
	}

	headings := regexp.MustCompile(`(?m)^### (Otpgw\S+)$`).FindAllStringSubmatch(read(t, operations), -1)
	var documented, alerts []string
	for _, h := range headings {
		documented = append(documented, h[1])
	}
	for _, r := range prom.rules() {
		if r.Health == "err" || r.LastError != "" {
			t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
		}
		if r.Type != "alerting" {
			continue
		}
		alerts = append(alerts, r.Name)
		if r.Labels["severity"] != "critical" && r.Labels["severity"] != "warning" || r.Annotations["summary"] == "" {
			t.Errorf("%s: severity %q, summary %q", r.Name, r.Labels["severity"], r.Annotations["summary"])
		}
		if want := "file:///usr/share/doc/otpgw/operations.md#" + strings.ToLower(r.Name); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Name, r.Annotations["runbook_url"], want)
		}
	}
	slices.Sort(documented)
	slices.Sort(alerts)
	if !slices.Equal(documented, alerts) {
		t.Errorf("the paragraphs of %s are of %v, the alerts are %v", operations, documented, alerts)
	}

	check := counterpart.Command(t.Context(), "promtool", "check", "metrics")
	check.Stdin = strings.NewReader(p.metrics())
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// secure is a plant with a certificate and without traffic, for the metrics that only such a one has.
func secure(t *testing.T) *plant {
	t.Helper()
	p := newPlant(t, func(c *plantConfig) { c.smsc = "enquire_link_interval = \"1s\"" })
	p.kill()
	p.certify(t)
	p.start()
	return p
}
