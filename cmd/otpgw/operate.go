package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi/admin"
)

// The commands that ask a running daemon, over its control socket.

// operateCommands are all of them.
func operateCommands() []*cobra.Command {
	return []*cobra.Command{
		newStatusCommand(), newReloadCommand(), newTraceCommand(), newBindCommand(),
		newSwitchCommand("drain", "pause", "Refuse new codes with 503; codes that were sent can still be checked",
			"new codes are refused until \"otpgw resume\" or a restart"),
		newSwitchCommand("resume", "resume", "Send new codes again", "new codes are sent"),
		newLogLevelCommand(), newSendCommand(), newDebugCommand(),
	}
}

// A socketFlag is where a command finds the daemon.
type socketFlag struct{ path string }

// socket adds the flag that says where the daemon listens.
func socket(cmd *cobra.Command) *socketFlag {
	f := new(socketFlag)
	cmd.Flags().StringVar(&f.path, "socket", config.Default().Admin.Control, "control `socket` of the daemon")
	return f
}

func (f *socketFlag) client() *admin.Client { return admin.NewClient(f.path) }

// told makes what the daemon refused the usage error that it is.
func told(err error) error {
	if errors.Is(err, admin.ErrRefused) {
		return invalidError{err}
	}
	return err
}

func newReloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its configuration again, and say what changed",
		Long: `Make the daemon read its configuration, tokens, numbers and certificates again, and wait until they are in force. Either all of it
takes effect, or nothing does: then the exit code is 2 and the error names the lines.`,
		Args: usage(cobra.NoArgs),
	}
	at := socket(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var done admin.Reloaded
		if err := at.client().Do(cmd.Context(), "reload", nil, &done); err != nil {
			return told(err)
		}
		out := cmd.OutOrStdout()
		for _, w := range done.Warnings {
			fmt.Fprintln(out, w)
		}
		if len(done.Changed) == 0 {
			fmt.Fprintln(out, "in force: nothing changed")
		} else {
			fmt.Fprintf(out, "in force: %s\n", strings.Join(done.Changed, ", "))
		}
		if len(done.Restart) > 0 {
			fmt.Fprintf(out, "needs a restart: %s\n", strings.Join(done.Restart, ", "))
		}
		return nil
	}
	return cmd
}

func newSwitchCommand(name, action, short, says string) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: usage(cobra.NoArgs)}
	at := socket(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := at.client().Do(cmd.Context(), action, nil, nil); err != nil {
			return told(err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), says)
		return nil
	}
	return cmd
}

func newLogLevelCommand() *cobra.Command {
	var during time.Duration
	cmd := &cobra.Command{
		Use:   "log-level LEVEL",
		Short: "Log from another level on: debug, info, warn or error",
		Args:  usage(cobra.ExactArgs(1)),
	}
	at := socket(cmd)
	cmd.Flags().DurationVar(&during, "for", 10*time.Minute, "how long, until the configured level comes back; 0s: until the next reload")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		values := url.Values{"level": {args[0]}, "for": {during.String()}}
		if err := at.client().Do(cmd.Context(), "log-level", values, nil); err != nil {
			return told(err)
		}
		until := "until the next reload"
		if during > 0 {
			until = "for " + during.String()
		}
		fmt.Fprintf(cmd.OutOrStdout(), "logging from level %s on %s\n", args[0], until)
		return nil
	}
	return cmd
}

func newBindCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bind", Short: "Look at the binds to SMSCs, stop and start them", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	list := &cobra.Command{Use: "list", Short: "Print what every bind is at", Args: usage(cobra.NoArgs)}
	at := socket(list)
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		var s admin.Status
		if err := at.client().Get(cmd.Context(), "/status", nil, &s); err != nil {
			return told(err)
		}
		return printBinds(cmd.OutOrStdout(), s)
	}
	cmd.AddCommand(list,
		newAccountCommand("stop", "Drain the binds of [[smsc]] NAME and leave them down", "%s drains and stays down until \"otpgw bind start %[1]s\" or a restart\n"),
		newAccountCommand("start", "Bring the binds of [[smsc]] NAME up again", "%s comes up\n"))
	return cmd
}

func newAccountCommand(action, short, says string) *cobra.Command {
	cmd := &cobra.Command{Use: action + " NAME", Short: short, Args: usage(cobra.ExactArgs(1))}
	at := socket(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := at.client().Do(cmd.Context(), action, url.Values{"smsc": {args[0]}}, nil); err != nil {
			return told(err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), says, args[0])
		return nil
	}
	return cmd
}
