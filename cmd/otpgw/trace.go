package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"otpgw/httpapi/admin"
)

// tracePoll is how often a trace that is followed is asked for.
const tracePoll = 300 * time.Millisecond

func newTraceCommand() *cobra.Command {
	var asJSON, follow, reveal bool
	var phone string
	cmd := &cobra.Command{
		Use:   "trace QUERY",
		Short: "Print what happened to a message, step by step",
		Long: `Print what happened to a message: QUERY is an authenticationId, an x-correlator, the SMSC's message id, or a number as +E.164. The steps of the
latest 5,000 verifications since the start are in memory; of an older one the store tells what it knows, by all but the x-correlator.
Neither code nor text is ever shown, and the number masked; with --reveal, which is audited, one that was asked for is shown whole.`,
		Args: usage(cobra.MaximumNArgs(1)),
	}
	at := socket(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on printing steps as they come, until the verification has ended or is interrupted")
	cmd.Flags().StringVar(&phone, "phone", "", "`number` to look for, in place of QUERY")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show the number that was asked for whole")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		query := phone
		switch {
		case phone != "" && !wholeNumber.MatchString(phone):
			return invalidError{fmt.Errorf("--phone %q: must be + and 5 to 15 digits, the first not 0", phone)}
		case len(args) == 1 && phone == "":
			query = args[0]
		case len(args) == 1 || phone == "":
			return invalidError{fmt.Errorf("either QUERY or --phone must be given (see %s --help)", cmd.CommandPath())}
		}
		out := cmd.OutOrStdout()
		p := tracePrinter{out: out}
		for {
			var traces []admin.Trace
			values := url.Values{"query": {query}, "reveal": {strconv.FormatBool(reveal)}}
			if err := at.client().Get(cmd.Context(), "/trace", values, &traces); err != nil {
				if cmd.Context().Err() != nil {
					return nil
				}
				return told(err)
			}
			if asJSON {
				if err := json.NewEncoder(out).Encode(traces); err != nil {
					return err
				}
			} else {
				p.print(traces)
			}
			if !follow || ended(traces) {
				return p.err
			}
			if p.err != nil || !rest(cmd.Context(), tracePoll) {
				return p.err
			}
		}
	}
	return cmd
}

// rest waits, and says whether ctx has not ended.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
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

// A tracePrinter prints each step of each trace once.
type tracePrinter struct {
	out   io.Writer
	shown map[string]map[traceStep]bool
	err   error // of the first print that failed
}

// A traceStep tells steps apart.
type traceStep struct {
	at           int64
	what, detail string
}

func (p *tracePrinter) print(traces []admin.Trace) {
	say := func(format string, args ...any) {
		if _, err := fmt.Fprintf(p.out, format, args...); err != nil && p.err == nil {
			p.err = err
		}
	}
	if p.shown == nil {
		p.shown = map[string]map[traceStep]bool{}
	}
	for _, t := range traces {
		if p.shown[t.ID] == nil {
			p.shown[t.ID] = map[traceStep]bool{}
			say("%s  client %s  to %s  %s", t.ID, t.Client, t.Number, strings.ToUpper(t.State))
			if t.Correlator != "" {
				say("  x-correlator %s", t.Correlator)
			}
			if t.Parent != "" {
				say("  traceparent %s", t.Parent)
			}
			say("\n")
		}
		for _, s := range t.Steps {
			key := traceStep{s.At.UnixNano(), s.What, s.Detail}
			if !p.shown[t.ID][key] {
				p.shown[t.ID][key] = true
				say("%s\n", strings.TrimRight(fmt.Sprintf("  %s  %-12s  %s", s.At.UTC().Format("15:04:05.000"), s.What, s.Detail), " "))
			}
		}
	}
}

func newSendCommand() *cobra.Command {
	var to, client string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Send a test code through the running daemon and follow it to its receipt",
		Long: `Send a test code to a number on behalf of a client, the way that an application's goes: by the same rules and limits, counted, logged, traced and
audited. The code is shown by the phone alone. The exit code is 0 only if the message was delivered.`,
		Args: usage(cobra.NoArgs),
	}
	at := socket(cmd)
	cmd.Flags().StringVar(&to, "to", "", "`number` to send to, as +E.164")
	cmd.Flags().StringVar(&client, "client", "", "`id` of the [[client]] on whose behalf; empty: the first")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long the receipt is waited for; 0s: not at all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !wholeNumber.MatchString(to) {
			return invalidError{fmt.Errorf("--to %q: must be + and 5 to 15 digits, the first not 0", to)}
		}
		var sent admin.Sent
		if err := at.client().Do(cmd.Context(), "send", url.Values{"number": {to}, "client": {client}}, &sent); err != nil {
			return told(err)
		}
		switch {
		case sent.Test && sent.Status == 200:
			return errors.New("no message: it is a [[test_number]], an application is answered 200")
		case sent.Test:
			return fmt.Errorf("no message: it is a [[test_number]], an application is answered %d %s", sent.Status, sent.Code)
		case sent.Status != 200:
			why := strings.TrimSuffix(fmt.Sprintf("%d %s (%s)  %s", sent.Status, sent.Code, sent.Reason, sent.Detail), "  ")
			return fmt.Errorf("not sent: %s", why)
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "sent: %s\n", sent.ID); err != nil || wait <= 0 {
			return err
		}
		return followReceipt(cmd.Context(), at.client(), cmd.OutOrStdout(), sent.ID, wait)
	}
	return cmd
}

// followReceipt prints the steps of a verification until its message is delivered, or an error says why it is not.
func followReceipt(ctx context.Context, daemon *admin.Client, out io.Writer, id string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	p := tracePrinter{out: out}
	late := fmt.Errorf("no final receipt within %v", wait)
	for {
		var traces []admin.Trace
		if err := daemon.Get(ctx, "/trace", url.Values{"query": {id}}, &traces); err != nil {
			if ctx.Err() != nil {
				return late
			}
			return told(err)
		}
		p.print(traces)
		switch state := traces[0].Delivery; {
		case p.err != nil:
			return p.err
		case state == "DELIVRD":
			return nil
		case final(state):
			return errors.New("not delivered: " + state)
		}
		if !rest(ctx, tracePoll) {
			return late
		}
	}
}

// final says that no other state follows (SMPP 3.4 §5.2.28).
func final(state string) bool {
	switch state {
	case "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD":
		return true
	}
	return false
}
