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
	if got := strings.Join(keys, " "); got != "name endpoints: system_id" {
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
		{func(c *smpp.Config) { c.Endpoints = []string{"smsc"} }, `endpoints = ["smsc"]: must be host:port`},
		{func(c *smpp.Config) { c.Endpoints = []string{":2775"} }, `endpoints = [":2775"]: must be host:port`},
		{func(c *smpp.Config) { c.Endpoints = []string{"127.0.0.1:0"} }, `endpoints = ["127.0.0.1:0"]: port`},
		{func(c *smpp.Config) { c.Endpoints = []string{"127.0.0.1:smpp"} }, `endpoints = ["127.0.0.1:smpp"]: port`},
		{func(c *smpp.Config) { c.Endpoints = []string{"203.0.113.1:2775"} }, `endpoints = ["203.0.113.1:2775"]: is not known to be private`},
		{func(c *smpp.Config) { c.Endpoints = []string{"[2001:db8::1]:2775"} }, `endpoints = ["[2001:db8::1]:2775"]: is not known to be private`},
		{func(c *smpp.Config) { c.Endpoints = []string{"smsc.example.com:2775"} }, `endpoints = ["smsc.example.com:2775"]: is not known to be private`},
		{func(c *smpp.Config) { c.Endpoints = []string{"203.0.113.1:2775"}; c.TLS = true }, ""},
		{func(c *smpp.Config) { c.Endpoints = []string{"203.0.113.1:2775"}; c.AllowPlaintext = true }, ""},
		{func(c *smpp.Config) { c.Endpoints = []string{"10.1.2.3:2775"} }, ""},
		{func(c *smpp.Config) { c.Endpoints = []string{"[fd00::1]:2775"} }, ""},
		{func(c *smpp.Config) { c.Endpoints = []string{"[::ffff:10.1.2.3]:2775"} }, ""},
		{func(c *smpp.Config) { c.Endpoints = []string{"localhost:2775"} }, ""},
		{func(c *smpp.Config) { c.SystemID = strings.Repeat("x", 16) }, "system_id = "},
		{func(c *smpp.Config) { c.SystemID = "a\x00b" }, "system_id = "},
		{func(c *smpp.Config) { c.Password = "secret789" }, "password: must be"},
		{func(c *smpp.Config) { c.Password = "geheim\n" }, "password: must be"},
		{func(c *smpp.Config) { c.Password = "" }, ""},
		{func(c *smpp.Config) { c.SystemType = strings.Repeat("x", 13) }, "system_type = "},
		{func(c *smpp.Config) { c.TLSCA = "/ca.pem" }, "tls_ca = "},
		{func(c *smpp.Config) { c.TLSServerName = "smsc" }, "tls_server_name = "},
		{func(c *smpp.Config) { c.Binds = 0 }, "binds = 0: there must be binds or transmitters"},
		{func(c *smpp.Config) { c.Binds, c.Transmitters, c.Receivers = 0, 1, 1 }, ""},
		{func(c *smpp.Config) { c.Binds, c.Receivers = 0, 1 }, "binds = 0: there must be binds or transmitters"},
		{func(c *smpp.Config) { c.Endpoints = nil }, "endpoints: there are 0, must be 1..16"},
		{func(c *smpp.Config) { c.Tier = 0 }, "tier = 0: must be 1..9"},
		{func(c *smpp.Config) { c.Prefixes = []string{"346"} }, `prefixes = ["346"]: must be + and`},
		{func(c *smpp.Config) { c.TLSCert = "/cert.pem" }, "tls_cert = "},
		{func(c *smpp.Config) { c.TLS, c.TLSCert = true, "/cert.pem" }, "tls_cert = "},
		{func(c *smpp.Config) { c.InterfaceVersion = 0x40 }, "interface_version = 64: must be 51, 52 or 80"},
		{func(c *smpp.Config) { c.InterfaceVersion, c.Concatenation = 0x33, "sar" }, `concatenation = "sar": needs interface_version`},
		{func(c *smpp.Config) { c.OutbindListen = "127.0.0.1:2776" }, "outbind_password: must be given"},
		{func(c *smpp.Config) { c.OutbindListen, c.OutbindPassword = "0.0.0.0:2776", "x" }, "outbind_listen = "},
		{func(c *smpp.Config) { c.OutbindPassword = "x" }, "outbind_password: needs outbind_listen"},
		{func(c *smpp.Config) { c.OnUnknown = "again" }, `on_unknown = "again": must be one of hold, resend_once`},
		{func(c *smpp.Config) { c.StatusOverrides = []string{"0x400=throttled", "ESME_RSUBMITFAIL=rejected"} }, ""},
		{func(c *smpp.Config) { c.StatusOverrides = []string{"0x400"} }, "status_overrides = "},
		{func(c *smpp.Config) { c.StatusOverrides = []string{"ESME_RNONE=rejected"} }, "status_overrides = "},
		{func(c *smpp.Config) { c.StatusOverrides = []string{"0=rejected"} }, "status_overrides = "},
		{func(c *smpp.Config) { c.StatusOverrides = []string{"8=rejected", "ESME_RSYSERR=throttled"} }, "status_overrides = "},
		{func(c *smpp.Config) { c.MessageIDFormat = "hex" }, "message_id_format = "},
		{func(c *smpp.Config) { c.ReceiptPattern = "(" }, "receipt_pattern = "},
		{func(c *smpp.Config) { c.ReceiptPattern = "id=(?P<id>.*)" }, "receipt_pattern = "},
		{func(c *smpp.Config) { c.DefaultAlphabet = "utf8" }, `default_alphabet = "utf8": must be one of ascii, gsm7, gsm7_packed, latin1`},
		{func(c *smpp.Config) { c.NationalLanguage = "klingon" }, "national_language = "},
		{func(c *smpp.Config) { c.ValidityPeriod = "never" }, "validity_period = "},
		{func(c *smpp.Config) { c.Binds = 17 }, "binds = 17: must be 0..16"},
		{func(c *smpp.Config) { c.Window = 0 }, "window = 0: must be 1..1000"},
		{func(c *smpp.Config) { c.Rate = -1 }, "rate = -1: must be 0 or 0.01..100000"},
		{func(c *smpp.Config) { c.Rate = math.NaN() }, "rate = NaN: must be 0 or 0.01..100000"},
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
		{func(c *smpp.Config) { c.BindTON = 256 }, "bind_ton = 256: must be 0..255"},
		{func(c *smpp.Config) { c.BindNPI = -1 }, "bind_npi = -1: must be 0..255"},
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
	cfg := testConfig()
	log := new(logBuffer)
	slog.New(slog.NewTextHandler(log, nil)).Info("config", "config", cfg, "password", cfg.Password)
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v %#v", cfg, cfg), log.String(), string(asJSON)} {
		if strings.Contains(told, "s3cr3t") || !strings.Contains(told, "***") {
			t.Errorf("printed %s", told)
		}
	}
}
