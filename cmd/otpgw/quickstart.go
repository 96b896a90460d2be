package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
)

func newQuickstartCommand() *cobra.Command {
	var smsc, listen, admin string
	cmd := &cobra.Command{
		Use:   "quickstart DIR",
		Short: "Write a small configuration with all its files into a new directory, to begin with",
		Long: `Write a configuration, the password of the SMSC's account and a token for one client into a new directory, for an SMSC on this host such
as smscsim with its defaults, and say what to do next. Nothing else is touched.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			token := rand.Text() + rand.Text()
			path := filepath.Join(dir, "otpgw.toml")
			if err := writeQuickstart(dir, smsc, listen, admin, token); err != nil {
				return err
			}
			if _, _, err := config.Load(path); err != nil {
				return invalidError{err}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), quickstartNext, dir, path, listen, token, admin)
			return err
		},
	}
	cmd.Flags().StringVar(&smsc, "smsc", "127.0.0.1:2775", "`host:port` of the SMSC")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "`host:port` of the API")
	cmd.Flags().StringVar(&admin, "admin", config.Default().Admin.Listen, "`host:port` of metrics and status page")
	return cmd
}

const quickstartConfig = `# Written by "otpgw quickstart". Every key there is: otpgw config reference
[store]
dir = %[1]q
[http]
listen = %[2]q
[admin]
listen = %[7]q
control = %[3]q
[tokens]
file = %[4]q

[[smsc]]
name = "smsc-a"
endpoints = [%[5]q]
system_id = "otpgw"
password = %[6]q

[[client]]
id = "shop"
sender = "SHOP"
`

const quickstartNext = `wrote %[1]s: otpgw.toml, smsc.password, tokens.toml

  otpgw check-config %[2]s
  otpgw serve --config %[2]s &

Send a code, and check it:
  TOKEN=%[4]s
  curl -i http://%[3]s/one-time-password-sms/v1/send-code -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
    -d '{"phoneNumber":"+34600000001","message":"{{code}} is your code"}'
  curl -i http://%[3]s/one-time-password-sms/v1/validate-code -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
    -d '{"authenticationId":"...","code":"..."}'
Look at it: http://%[5]s/status, and
  otpgw status --socket %[1]s/control.sock
`

// writeQuickstart writes the files into dir, which must not be there yet.
func writeQuickstart(dir, smsc, listen, admin, token string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return invalidError{fmt.Errorf("%s is there already: name a new directory", dir)}
		}
		return err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, f := range []struct{ name, content string }{
		{"smsc.password", "secret\n"},
		{"tokens.toml", "# token: " + token + "\n" + tokenStanza(token, "shop", time.Now().Add(90*24*time.Hour))},
		{"otpgw.toml", fmt.Sprintf(quickstartConfig, in("data"), listen, in("control.sock"), in("tokens.toml"), smsc, "file:"+in("smsc.password"), admin)},
	} {
		if err := os.WriteFile(in(f.name), []byte(f.content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
