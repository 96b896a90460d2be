package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
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
		newLogLevelCommand(), newDebugCommand(),
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

func newStatusCommand() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print what the daemon is at; the exit code is 1 when it is not ready",
		Args:  usage(cobra.NoArgs),
	}
	at := socket(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every second until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for {
			var s admin.Status
			if err := at.client().Get(cmd.Context(), "/status", nil, &s); err != nil {
				return told(err)
			}
			if err := printStatus(cmd.OutOrStdout(), s, asJSON); err != nil {
				return err
			}
			if !watch {
				if !s.Ready {
					return errors.New("the daemon is not ready")
				}
				return nil
			}
			select {
			case <-cmd.Context().Done():
				return nil
			case <-time.After(time.Second):
				fmt.Fprintln(cmd.OutOrStdout())
			}
		}
	}
	return cmd
}

func printStatus(out io.Writer, s admin.Status, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	ready := "ready"
	if !s.Ready {
		ready = "NOT READY"
	}
	fmt.Fprintf(out, "otpgw %s  %s, %s, up %v  log level %s\n", s.Version, s.State, ready, age(s.Started), strings.ToLower(s.Level))
	for _, f := range s.Failing {
		for line := range strings.Lines(f.Reason) {
			fmt.Fprintf(out, "  not ready: %s: %s\n", f.Name, strings.TrimSpace(line))
		}
	}
	if s.Config.File != "" {
		fmt.Fprintf(out, "configuration %s, in force for %v\n", s.Config.File, age(s.Config.At))
	}
	if len(s.Config.Restart) > 0 {
		fmt.Fprintf(out, "  needs a restart: %s\n", strings.Join(s.Config.Restart, ", "))
	}
	if s.Config.Error != "" {
		fmt.Fprintf(out, "  the last reload was refused:\n")
		for line := range strings.Lines(s.Config.Error) {
			fmt.Fprintf(out, "    %s\n", strings.TrimSpace(line))
		}
	}
	return printBinds(out, s)
}

func printBinds(out io.Writer, s admin.Status) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SMSC\tBIND\tKIND\tSTATE\tSINCE\tWINDOW\tPEER\tLAST ERROR")
	for _, b := range s.Binds {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%v\t%d/%d\t%s\t%s\n", b.SMSC, b.Name, b.Kind, b.State, age(b.Since), b.InFlight, b.Window, b.Peer, b.LastError)
	}
	for _, name := range s.Stopped {
		fmt.Fprintf(table, "%s\t-\t-\tstopped\t-\t-\t-\t-\n", name)
	}
	return table.Flush()
}

// age is how long ago t was, to the second.
func age(t time.Time) time.Duration { return time.Since(t).Round(time.Second) }

func newTraceCommand() *cobra.Command {
	var asJSON, follow bool
	cmd := &cobra.Command{
		Use:   "trace QUERY",
		Short: "Print what happened to a message, step by step",
		Long: `Print what happened to a message: QUERY is an authenticationId, an x-correlator, the SMSC's message id, or a number as +E.164. The steps of the
latest 5,000 verifications since the start are in memory; of an older one the store tells, by its authenticationId. Neither code
nor text is ever shown, and the number masked.`,
		Args: usage(cobra.ExactArgs(1)),
	}
	at := socket(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on printing steps as they come, until the verification has ended or is interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		shown := map[string]int{}
		for {
			var traces []admin.Trace
			if err := at.client().Get(cmd.Context(), "/trace", url.Values{"query": {args[0]}}, &traces); err != nil {
				return told(err)
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(traces); err != nil {
					return err
				}
			} else {
				printTraces(cmd.OutOrStdout(), traces, shown)
			}
			if !follow || cmd.Context().Err() != nil || ended(traces) {
				return nil
			}
			select {
			case <-cmd.Context().Done():
				return nil
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return cmd
}

// ended says that nothing more is going to happen to any of traces but receipts.
func ended(traces []admin.Trace) bool {
	for _, t := range traces {
		if t.State == "live" || t.State == "pending" {
			return false
		}
	}
	return true
}

// printTraces prints what was not shown yet.
func printTraces(out io.Writer, traces []admin.Trace, shown map[string]int) {
	for _, t := range traces {
		done, again := shown[t.ID]
		if !again {
			fmt.Fprintf(out, "%s  client %s  to %s  %s  x-correlator %s\n", t.ID, t.Client, t.Number, strings.ToUpper(t.State), t.Correlator)
		}
		for _, s := range t.Steps[min(done, len(t.Steps)):] {
			fmt.Fprintf(out, "  %s  %-12s  %s\n", s.At.UTC().Format("15:04:05.000"), s.What, s.Detail)
		}
		shown[t.ID] = len(t.Steps)
	}
}
