package callbacks_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/callbacks"
)

func TestDefaultsNeedWhatNobodyCanGuess(t *testing.T) {
	for _, key := range []string{"name", "url", "namespace", "secret"} {
		if err := callbacks.DefaultConfig().Validate(); err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("nothing is said of %s: %v", key, err)
		}
	}
	if err := sinkOf("main", "https://sink.example/x?y=z", "acme").Validate(); err != nil {
		t.Error(err)
	}
}

func TestWhereEventsMayBePosted(t *testing.T) {
	for url, good := range map[string]bool{
		"https://sink.example/": true, "https://10.0.0.1:8443/x": true, "http://127.0.0.1:9/": true, "http://[::1]/": true, "http://localhost/": true,
		"http://sink.example/": false, "http://10.0.0.1/": false, "http://127.0.0.1.example/": false, "ftp://sink.example/": false, "https://": false,
		"https://me:secret@sink.example/": false, "https://sink.example/#x": false, "": false, "https://sink.example/" + strings.Repeat("x", 2048): false,
	} {
		if err := sinkOf("main", url, "acme").Validate(); (err == nil) != good {
			t.Errorf("%.60q: %v", url, err)
		} else if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("the error repeats the URL: %v", err)
		}
	}
}

func TestEveryKeyHasItsBounds(t *testing.T) {
	for key, change := range map[string]func(*callbacks.Config){
		"name": func(c *callbacks.Config) { c.Name = "a b" }, "events": func(c *callbacks.Config) { c.Events = nil },
		"namespace": func(c *callbacks.Config) { c.Namespace = "com" }, "source": func(c *callbacks.Config) { c.Source = "" },
		"secret": func(c *callbacks.Config) { c.Secret.Text = "short" }, "old_secret": func(c *callbacks.Config) { c.OldSecret.Text = "short" },
		"ca": func(c *callbacks.Config) { c.CA = "ca.pem" }, "timeout": func(c *callbacks.Config) { c.Timeout = time.Minute },
		"retry_for": func(c *callbacks.Config) { c.RetryFor = 25 * time.Hour }, "max_in_flight": func(c *callbacks.Config) { c.MaxInFlight = 65 },
	} {
		c := sinkOf("main", "https://sink.example/", "acme")
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestSecretHidesItself(t *testing.T) {
	text, key := secret('s')
	var s callbacks.Secret
	if err := s.UnmarshalSecret([]byte(text)); err != nil || s != key {
		t.Fatalf("%v", err)
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%#v", s), fmt.Sprintf("%+v", callbacks.Config{Secret: s}), string(encoded), s.LogValue().String()} {
		if strings.Contains(shown, "sss") || !strings.Contains(shown, "***") {
			t.Errorf("shown as %s", shown)
		}
	}
	for _, bad := range []string{"", "whsec_", "whsec_!", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_AAEC AwQF"} {
		if err := s.UnmarshalSecret([]byte(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) && bad != "whsec_" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
