package admin_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"otpgw/httpapi/admin"
)

func TestEventsAreTheChangesOfState(t *testing.T) {
	var logged strings.Builder
	events := new(admin.Events)
	log := slog.New(events.Handler(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}), "request"))
	smpp := log.With("component", "smpp").With("smsc", "main")
	smpp.Info("bound", "bind", "1")
	smpp.Debug("pdu")
	log.Info("request", "status", 200)
	smpp.Warn("bind down", "error", "connection refused\nby  all")
	got := events.Latest()
	if len(got) != 2 || got[0].Text != "bind down  smsc main  error connection refused by all" || got[0].Level != "warn" || got[1].Text != "bound  smsc main  bind 1" {
		t.Errorf("%+v", got)
	}
	if s := logged.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "bind down") {
		t.Errorf("logged %q: the level is that of the log", s)
	}

	for i := range 100 {
		log.Error(fmt.Sprint("fault ", i), "error", strings.Repeat("x", 1000))
	}
	got = events.Latest()
	if len(got) != 50 || !strings.HasPrefix(got[0].Text, "fault 99 ") || len(got[0].Text) > 310 {
		t.Errorf("%d events, the newest %q", len(got), got[0].Text)
	}
}
