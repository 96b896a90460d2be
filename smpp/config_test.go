package smpp_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"otpgw/smpp"
)

func TestDefaultsLackOnlyTheAccount(t *testing.T) {
	if err := testConfig().Validate(); err != nil {
		t.Errorf("Validate = %v", err)
	}
	var keys []string
	for line := range strings.Lines(fmt.Sprint(smpp.DefaultConfig().Validate())) {
		keys = append(keys, strings.Fields(line)[0])
	}
	if got := strings.Join(keys, " "); got != "name address system_id" {
		t.Errorf("defaults lack %s", got)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		change func(c *smpp.Config)
		want   string
	}{
		{func(c *smpp.Config) { c.Name = "Main" }, `name = "Main": `},
		{func(c *smpp.Config) { c.Name = strings.Repeat("x", 33) }, `name = `},
		{func(c *smpp.Config) { c.Address = "smsc" }, `address = "smsc": must be host:port`},
		{func(c *smpp.Config) { c.Address = ":2775" }, `address = ":2775": must be host:port`},
		{func(c *smpp.Config) { c.Address = "127.0.0.1:0" }, `address = "127.0.0.1:0": port`},
		{func(c *smpp.Config) { c.Address = "127.0.0.1:smpp" }, `address = "127.0.0.1:smpp": port`},
		{func(c *smpp.Config) { c.Address = "203.0.113.1:2775" }, `address = "203.0.113.1:2775": is not known to be private`},
		{func(c *smpp.Config) { c.Address = "[2001:db8::1]:2775" }, `address = "[2001:db8::1]:2775": is not known to be private`},
		{func(c *smpp.Config) { c.Address = "smsc.example.com:2775" }, `address = "smsc.example.com:2775": is not known to be private`},
		{func(c *smpp.Config) { c.Address = "203.0.113.1:2775"; c.TLS = true }, ""},
		{func(c *smpp.Config) { c.Address = "203.0.113.1:2775"; c.AllowPlaintext = true }, ""},
		{func(c *smpp.Config) { c.Address = "10.1.2.3:2775" }, ""},
		{func(c *smpp.Config) { c.Address = "[fd00::1]:2775" }, ""},
		{func(c *smpp.Config) { c.Address = "[::ffff:10.1.2.3]:2775" }, ""},
		{func(c *smpp.Config) { c.Address = "localhost:2775" }, ""},
		{func(c *smpp.Config) { c.SystemID = strings.Repeat("x", 16) }, "system_id = "},
		{func(c *smpp.Config) { c.SystemID = "a\x00b" }, "system_id = "},
		{func(c *smpp.Config) { c.Password = "secret789" }, "password: must be"},
		{func(c *smpp.Config) { c.Password = "geheim\n" }, "password: must be"},
		{func(c *smpp.Config) { c.Password = "" }, ""},
		{func(c *smpp.Config) { c.SystemType = strings.Repeat("x", 13) }, "system_type = "},
		{func(c *smpp.Config) { c.TLSCA = "/ca.pem" }, "tls_ca = "},
		{func(c *smpp.Config) { c.TLSServerName = "smsc" }, "tls_server_name = "},
		{func(c *smpp.Config) { c.Binds = 0 }, "binds = 0: must be 1..16"},
		{func(c *smpp.Config) { c.Binds = 17 }, "binds = 17: must be 1..16"},
		{func(c *smpp.Config) { c.Window = 0 }, "window = 0: must be 1..1000"},
		{func(c *smpp.Config) { c.Rate = -1 }, "rate = -1: must be 0..100000"},
		{func(c *smpp.Config) { c.Rate = math.NaN() }, "rate = NaN: must be 0..100000"},
		{func(c *smpp.Config) { c.Rate = 0.5 }, ""},
		{func(c *smpp.Config) { c.ConnectTimeout = 0 }, `connect_timeout = "0s": must be 100ms..1m0s`},
		{func(c *smpp.Config) { c.BindTimeout = time.Hour }, "bind_timeout = "},
		{func(c *smpp.Config) { c.ResponseTimeout = time.Millisecond }, "response_timeout = "},
		{func(c *smpp.Config) { c.EnquireLinkInterval = time.Millisecond }, "enquire_link_interval = "},
		{func(c *smpp.Config) { c.WriteTimeout = -time.Second }, "write_timeout = "},
		{func(c *smpp.Config) { c.DrainTimeout = 2 * time.Minute }, "drain_timeout = "},
		{func(c *smpp.Config) { c.ReconnectMin = 0 }, "reconnect_min = "},
		{func(c *smpp.Config) { c.ReconnectMin, c.ReconnectMax = 10*time.Second, 5*time.Second }, `reconnect_max = "5s": must be 10s..10m0s`},
		{func(c *smpp.Config) { c.MaxSegments = 11 }, "max_segments = 11: must be 1..10"},
		{func(c *smpp.Config) { c.SourceTON = -2 }, "source_ton = -2: must be -1..255"},
		{func(c *smpp.Config) { c.SourceNPI = 256 }, "source_npi = 256: must be -1..255"},
		{func(c *smpp.Config) { c.DestinationTON = -1 }, "destination_ton = -1: must be 0..255"},
		{func(c *smpp.Config) { c.DestinationNPI = -1 }, "destination_npi = -1: must be 0..255"},
		{func(c *smpp.Config) { c.ServiceType = "toolong" }, "service_type = "},
		{func(c *smpp.Config) { c.Priority = 4 }, "priority = 4: must be 0..3"},
		{func(c *smpp.Config) { c.ReceiptQueue = 0 }, "receipt_queue = 0: must be 1..100000"},
	} {
		cfg := testConfig()
		tc.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("Validate = %v, want %q", err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("one mistake, two errors: %v", err)
		}
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	for field := range reflect.TypeFor[smpp.Config]().Fields() {
		key, comment, reload := field.Tag.Get("toml"), field.Tag.Get("comment"), field.Tag.Get("reload")
		if key == "" || !strings.HasSuffix(comment, ".") && !strings.HasSuffix(comment, ").") || reload != "hot" && reload != "restart" {
			t.Errorf("%s: toml %q, comment %q, reload %q", field.Name, key, comment, reload)
		}
	}
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	var p smpp.Password
	if err := p.UnmarshalSecret([]byte("s3cr3t")); err != nil || string(p) != "s3cr3t" {
		t.Fatalf("UnmarshalSecret = %v", err)
	}
	cfg := testConfig()
	log := new(logBuffer)
	slog.New(slog.NewTextHandler(log, nil)).Info("config", "config", cfg, "password", cfg.Password)
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v %#v %s %q", cfg, cfg, p, p), log.String(), string(asJSON)} {
		if strings.Contains(told, "s3cr3t") || !strings.Contains(told, "***") {
			t.Errorf("printed %s", told)
		}
	}
	if empty := smpp.Password("").String(); empty != "" {
		t.Errorf("an empty password is %q", empty)
	}
}
