package main

import (
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/config"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const (
	metricsDocument = "../../docs/metrics.md"
	metricsHead     = `# Metrics

What ` + "`/metrics`" + ` of the admin listener tells. Written by the program's own test (` + "`go test ./cmd/otpgw -run TestMetrics -update`" + `) from what the parts register.
Beside these there are ` + "`go_…` and `process_…`" + ` of the Prometheus client. Counters count from the start of the process. A series with a label appears
with its first event, where its values are not known before. ` + "`packaging/prometheus`" + ` has alerts, ` + "`packaging/grafana`" + ` a dashboard; both are tested against a
running daemon. What to do when an alert fires is in [operations.md](operations.md#alerts).

`
)

// A documented metric is a row of the document.
type documented struct{ name, kind, labels, help string }

// The form that a prometheus.Desc prints itself in.
var describedMetric = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// registered are the metrics of a daemon, each once, whether it has been counted or not.
func registered(t *testing.T, cfg config.Config) map[string]documented {
	t.Helper()
	d, err := newDaemon(cfg, slog.New(slog.DiscardHandler), new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	queue := newLogQueue(os.Stderr, linesLost)
	defer queue.Close()
	queue.register(d.registry)

	descriptions := make(chan *prometheus.Desc)
	go func() { // ends with the last description
		d.registry.Describe(descriptions)
		close(descriptions)
	}()
	all := map[string]documented{}
	for desc := range descriptions {
		part := describedMetric.FindStringSubmatch(desc.String())
		if part == nil {
			t.Fatalf("%v is describedMetric in a way that is not known", desc)
		}
		name := part[1]
		if !strings.HasPrefix(name, "otpgw_") {
			continue
		}
		labels := strings.FieldsFunc(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(part[3], "")+","+part[4], func(r rune) bool { return r == ',' })
		slices.Sort(labels)
		row := documented{name: name, labels: strings.Join(labels, ", "), help: strings.ReplaceAll(part[2], `\"`, `"`)}
		if before, again := all[name]; again && before != row {
			t.Errorf("%s is describedMetric as %v and as %v", name, before, row)
		}
		all[name] = row
	}
	return all
}

// unseen are the types of those that come with a certificate or an issuer only; the plant has neither.
var unseen = map[string]string{
	"otpgw_http_certificate_expiry_timestamp_seconds": "gauge",
	"otpgw_callback_seconds":                          "histogram",
	"otpgw_callbacks_oldest_seconds":                  "gauge",
	"otpgw_callbacks_pending":                         "gauge",
	"otpgw_callbacks_stopped":                         "gauge",
	"otpgw_token_cached":                              "gauge",
	"otpgw_token_introspection_seconds":               "histogram",
	"otpgw_token_issuer_ready":                        "gauge",
	"otpgw_token_key_age_seconds":                     "gauge",
}

// TestMetricsAreDocumented holds docs/metrics.md to what the parts register. The types are those of a scrape.
func TestMetricsAreDocumented(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) {
		c.smsc = "enquire_link_interval = \"1s\""
		c.numbers = fmt.Sprintf("own_file = %q", writeNumbers(t))
	})
	p.send(number(1))
	p.smsc.Drop("otpgw") // a bind that comes back has waited
	kinds := map[string]string{}
	look := func() {
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(p.metrics(), -1) {
			kinds[m[1]] = m[2]
		}
	}
	p.await("every metric that is no counter", func() bool {
		look()
		return kinds["otpgw_smpp_enquire_link_rtt_seconds"] != "" && kinds["otpgw_smpp_reconnect_delay_seconds"] != ""
	})
	p.stop()
	p.certify(t)
	cfg, _, err := config.Load(p.config)
	if err != nil {
		t.Fatal(err)
	}
	var rows []documented
	for name, row := range registered(t, cfg) {
		if row.kind = cmp.Or(kinds[name], unseen[name]); row.kind == "" && strings.HasSuffix(name, "_total") {
			row.kind = "counter"
		}
		if row.kind == "" || row.help == "" {
			t.Errorf("%s: type %q, help %q", name, row.kind, row.help)
		}
		rows = append(rows, row)
	}
	for name := range kinds {
		if strings.HasPrefix(name, "otpgw_") && !slices.ContainsFunc(rows, func(r documented) bool { return r.name == name }) {
			t.Errorf("%s is scraped and was not registered", name)
		}
	}
	slices.SortFunc(rows, func(a, b documented) int { return cmp.Compare(a.name, b.name) })

	text, part := metricsHead, ""
	for _, row := range rows {
		if of := strings.SplitN(row.name, "_", 3)[1]; of != part {
			part = of
			text += fmt.Sprintf("## otpgw_%s\n\n| metric | type | labels | |\n|---|---|---|---|\n", part)
		}
		text += fmt.Sprintf("| `%s` | %s | %s | %s |\n", row.name, row.kind, row.labels, strings.ReplaceAll(row.help, "|", `\|`))
	}
	text = regexp.MustCompile(`(?m)^(\|.*\n)(##)`).ReplaceAllString(text, "$1\n$2")
	if *update {
		writeFile(t, metricsDocument, text)
	}
	if read(t, metricsDocument) != text {
		t.Errorf("%s is out of date: go test ./cmd/otpgw -run TestMetrics -update", metricsDocument)
	}
}

// writeNumbers is a file of numbers that admits all of the tests.
func writeNumbers(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/own"
	writeFile(t, path, "+346*\n")
	return path
}
