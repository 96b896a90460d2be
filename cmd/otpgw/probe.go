package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/smpp"
)

func newSMPPCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "smpp",
		Short: "Look at SMSCs",
		Args:  cobra.ArbitraryArgs,
		RunE:  chooseCommand,
	}
	cmd.AddCommand(newProbeCommand())
	return cmd
}

func newProbeCommand() *cobra.Command {
	var (
		path, to, from, text string
		wait                 time.Duration
	)
	cmd := &cobra.Command{
		Use:   "probe NAME",
		Short: "Bind to an SMSC with the settings of [[smsc]] NAME and say what it does",
		Long: `Connect to every endpoint of the account, bind, ask for signs of life and unbind, beside a daemon that may be running:
the SMSC must allow one more bind. With --to one real message is sent, and its receipt waited for: the command says which
message_id_format goes with it. The exit code is 0 only if all of it worked.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := config.Load(path) // check-config tells the warnings
			if err != nil {
				return invalidError{err}
			}
			account, err := accountNamed(cfg, args[0])
			if err != nil {
				return invalidError{err}
			}
			var message *smpp.ProbeMessage
			if to != "" {
				message = &smpp.ProbeMessage{Wait: wait, Message: smpp.Message{From: senderOf(cfg, from), To: to, Text: text, Validity: wait}}
			}
			return smpp.Probe(cmd.Context(), account, message, func(s smpp.ProbeStep) { printStep(cmd.OutOrStdout(), s) })
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfigFile, "configuration `file`")
	cmd.Flags().StringVar(&to, "to", "", "send a message to this `number`, as +E.164")
	cmd.Flags().StringVar(&from, "from", "", "its `sender`; empty: that of the first [[client]]")
	cmd.Flags().StringVar(&text, "text", "otpgw test message", "its `text`")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long its receipt is waited for")
	return cmd
}

// accountNamed finds an account of the configuration.
func accountNamed(cfg config.Config, name string) (smpp.Config, error) {
	var names []string
	for _, account := range cfg.SMSC {
		if account.Name == name {
			return account, nil
		}
		names = append(names, account.Name)
	}
	return smpp.Config{}, fmt.Errorf("there is no [[smsc]] with name = %q: there are %s", name, strings.Join(names, ", "))
}

// senderOf is what the operator's first client would send as.
func senderOf(cfg config.Config, from string) string {
	if from == "" && len(cfg.Clients) > 0 {
		return cfg.Clients[0].Sender
	}
	return from
}

func printStep(out io.Writer, s smpp.ProbeStep) {
	verdict := "ok"
	if !s.OK {
		verdict = "FAILED"
	}
	line := fmt.Sprintf("%-7s %-13s", verdict, s.Name)
	if s.Took > 0 {
		line += fmt.Sprintf(" %8s", s.Took.Round(10*time.Microsecond))
	} else {
		line += strings.Repeat(" ", 9)
	}
	fmt.Fprintln(out, strings.TrimRight(line+"  "+s.Detail, " "))
	if s.Advice != "" {
		fmt.Fprintf(out, "%30s -> %s\n", "", s.Advice)
	}
}
