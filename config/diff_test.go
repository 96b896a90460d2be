package config_test

import (
	"fmt"
	"slices"
	"testing"

	"otpgw/config"
	"otpgw/httpapi"
)

func TestDiff(t *testing.T) {
	dir := folder(t)
	old := valid(t, dir, whole)
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		want   string // hot and restart
	}{
		{"nothing", func(*config.Config) {}, "[] []"},
		{"nil for empty", func(c *config.Config) { c.Numbers.Blocked = []string{} }, "[] []"},
		{"some", func(c *config.Config) {
			c.OTP.TTL++
			c.HTTP.Listen = "127.0.0.1:1"
			c.Numbers.Own = []string{"+34"}
			c.Log.Level, c.Log.Format = "debug", "json"
			c.SMSC[0].Window++
			c.Clients[0].Sender = "X"
		}, "[otp.ttl numbers.own log.level smsc[0].window client[0].sender] [http.listen log.format]"},
		{"secrets", func(c *config.Config) { c.SMSC[0].Password = "other"; c.Store.Key = make([]byte, 32) }, "[smsc[0].password] [store.key]"},
		{"tokens", func(c *config.Config) { c.TokenList[0].Client = "other" }, "[tokens.file] []"},
		{"tokens and their file", func(c *config.Config) { c.TokenList = nil; c.Tokens.File = "" }, "[tokens.file] []"},
		{"another client", func(c *config.Config) { c.Clients = append(c.Clients, httpapi.DefaultClient()) }, "[client[1]] []"},
		{"no client", func(c *config.Config) { c.Clients = nil }, "[client[0]] []"},
		{"no SMSC", func(c *config.Config) { c.SMSC = nil }, "[smsc[0]] []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := old
			changed.SMSC, changed.Clients = slices.Clone(old.SMSC), slices.Clone(old.Clients)
			changed.TokenList = slices.Clone(old.TokenList)
			c.change(&changed)
			hot, restart := config.Diff(old, changed)
			if got := fmt.Sprint(hot, restart); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if hot, restart := config.Diff(changed, old); fmt.Sprint(hot, restart) != c.want {
				t.Errorf("the other way round: got %s %s, want %s", hot, restart, c.want)
			}
		})
	}
}
