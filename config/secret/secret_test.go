package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"otpgw/config/secret"
)

func TestTextHidesItself(t *testing.T) {
	var s secret.Text
	if err := s.UnmarshalSecret([]byte("s3cret")); err != nil || s != "s3cret" {
		t.Fatalf("%v", err)
	}
	setting := struct{ S secret.Text }{s}
	encoded, err := json.Marshal(setting)
	if err != nil {
		t.Fatal(err)
	}
	var lines, objects strings.Builder
	slog.New(slog.NewTextHandler(&lines, nil)).Info("x", "s", s, "setting", setting)
	slog.New(slog.NewJSONHandler(&objects, nil)).Info("x", "s", s, "setting", setting)
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), fmt.Sprintf("%s %q", s, s),
		fmt.Sprintf("%+v %#v", setting, setting), string(encoded), lines.String(), objects.String(),
	} {
		if strings.Contains(shown, "s3cret") || !strings.Contains(shown, "***") {
			t.Errorf("shown as %s", shown)
		}
	}
	if shown := secret.Text("").String(); shown != "" {
		t.Errorf("an empty one is shown as %q", shown)
	}
}
