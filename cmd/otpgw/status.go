package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"otpgw/httpapi/admin"
)

// parts are what otpgw status can be asked for alone.
var parts = map[string]func(io.Writer, admin.Status) error{
	"binds":   printBinds,
	"clients": printClients,
	"store":   printStore,
	"auth":    printAuth,
}

func newStatusCommand() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:       "status [binds|clients|store|auth]",
		Short:     "Print what the daemon is at; the exit code is 1 when it is not ready",
		ValidArgs: []string{"binds", "clients", "store", "auth"},
		Args:      usage(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)),
	}
	at := socket(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, always all of it")
	cmd.Flags().BoolVar(&watch, "watch", false, "draw it again every second until interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		out := cmd.OutOrStdout()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for first := true; ; first = false {
			var s admin.Status
			if err := at.client().Get(cmd.Context(), "/status", nil, &s); err != nil {
				return told(err)
			}
			var screen strings.Builder
			if err := printStatus(&screen, s, args, asJSON); err != nil {
				return err
			}
			text := screen.String()
			if watch && !asJSON {
				text = redraw(text, first, out == io.Writer(os.Stdout) && terminal(os.Stdout))
			}
			if _, err := io.WriteString(out, text); err != nil {
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
			case <-tick.C:
			}
		}
	}
	return cmd
}

// redraw is what puts screen in the place of the one before: on a terminal over it (ECMA-48: cursor home, each line erased to its end,
// the rest erased), elsewhere behind an empty line.
func redraw(screen string, first, overwrite bool) string {
	switch {
	case overwrite && first:
		return "\x1b[2J\x1b[H" + screen
	case overwrite:
		return "\x1b[H" + strings.ReplaceAll(screen, "\n", "\x1b[K\n") + "\x1b[J"
	case first:
		return screen
	}
	return "\n" + screen
}

func printStatus(out io.Writer, s admin.Status, part []string, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	if len(part) == 1 {
		return parts[part[0]](out, s)
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
	for _, line := range s.Trouble {
		fmt.Fprintf(out, "  trouble: %s\n", line)
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
	printPartners(out, s)
	return printBinds(out, s)
}

// printPartners tells of issuers and sinks, a line each.
func printPartners(out io.Writer, s admin.Status) {
	for _, i := range s.Auth.Issuers {
		fmt.Fprintf(out, "issuer %s  %s\n", i.Name, strings.Join(issuerWords(i), ", "))
	}
	for _, k := range s.Sinks {
		fmt.Fprintf(out, "sink %s  %s\n", k.Name, strings.Join(sinkWords(k), ", "))
	}
}

func issuerWords(i admin.Issuer) (words []string) {
	if !i.Away.IsZero() {
		words = append(words, fmt.Sprintf("away for %v: %s", age(i.Away), i.Error))
	}
	switch {
	case i.Kind == "opaque" && i.Away.IsZero():
		words = append(words, "answers questions")
	case i.Kind == "opaque":
	case i.Fetched.IsZero():
		words = append(words, "no keys yet")
	case i.Usable:
		words = append(words, fmt.Sprintf("keys: %d, fetched %v ago", i.Keys, age(i.Fetched)))
	default:
		words = append(words, fmt.Sprintf("keys: %d, fetched %v ago, too old", i.Keys, age(i.Fetched)))
	}
	return words
}

func sinkWords(k admin.Sink) (words []string) {
	switch {
	case k.Stopped:
		words = append(words, fmt.Sprintf("stopped for %v: it answered 410; a reload starts it again", age(k.Away)))
	case !k.Away.IsZero():
		words = append(words, fmt.Sprintf("away for %v, %d calls in a row failed", age(k.Away), k.Failing))
	}
	words = append(words, fmt.Sprintf("callbacks waiting: %d", k.Waiting))
	if !k.Oldest.IsZero() {
		words = append(words, fmt.Sprintf("the oldest for %v", age(k.Oldest)))
	}
	return words
}

func printBinds(out io.Writer, s admin.Status) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SMSC\tBIND\tKIND\tSTATE\tSINCE\tWINDOW\tP99\tENDED\tPEER\tLAST ERROR")
	for _, b := range s.Binds {
		p99, ended := "-", "-"
		if s.Tables != nil {
			i := slices.IndexFunc(s.Tables.Binds, func(f admin.BindFigures) bool { return f.SMSC == b.SMSC && f.Name == b.Name })
			if i >= 0 {
				p99, ended = inMilliseconds(s.Tables.Binds[i].AnswerP99), fmt.Sprint(s.Tables.Binds[i].Ended)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%v\t%d/%d\t%s\t%s\t%s\t%s\n", b.SMSC, b.Name, b.Kind, b.State, age(b.Since), b.InFlight, b.Window, p99, ended, b.Peer, b.LastError)
	}
	for _, name := range s.Stopped {
		fmt.Fprintf(table, "%s\t-\t-\tstopped\t-\t-\t-\t-\t-\t-\n", name)
	}
	return table.Flush()
}

func printClients(out io.Writer, s admin.Status) error {
	counted := map[string]admin.ClientFigures{}
	if s.Tables != nil {
		for _, c := range s.Tables.Clients {
			counted[c.ID] = c
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tSTATE\tRATE\tSENT/S\tSENT\tVERIFIED\tSHARE\tREFUSED")
	for _, c := range s.Clients {
		state, rate, share := "enabled", "-", "-"
		if !c.Enabled {
			state = "disabled"
		}
		if c.Rate > 0 {
			rate = fmt.Sprint(c.Rate)
		}
		f := counted[c.ID]
		if f.Sent > 0 {
			share = fmt.Sprintf("%.0f %%", 100*f.Verified/f.Sent)
		}
		refused := make([]string, len(f.Refused))
		for i, r := range f.Refused {
			refused[i] = fmt.Sprintf("%s %v", r.Name, r.Count)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%v\t%v\t%s\t%s\n", c.ID, state, rate, f.PerS, f.Sent, f.Verified, share, strings.Join(refused, ", "))
	}
	return table.Flush()
}

func printStore(out io.Writer, s admin.Status) error {
	var counted admin.StoreFigures
	if s.Tables != nil {
		counted = s.Tables.Store
	}
	left := "unknown"
	if s.Store.Disk > 0 {
		left = fmt.Sprintf("%s, %.0f %%", octets(s.Store.Free), 100*float64(s.Store.Free)/float64(s.Store.Disk))
	}
	_, err := fmt.Fprintf(out, "directory  %s\nsize       %s\ndisk left  %s\nnumbers    %v\ncommit p99 %s\n",
		s.Store.Dir, octets(s.Store.Size), left, counted.Records, inMilliseconds(counted.CommitP99))
	return err
}

func printAuth(out io.Writer, s admin.Status) error {
	until := func(t time.Time, none string) string {
		if t.IsZero() {
			return none
		}
		return fmt.Sprintf("%s, in %.1f days", t.UTC().Format(time.RFC3339), time.Until(t).Hours()/24)
	}
	fmt.Fprintf(out, "tokens       %d, %d of them expired\nnext expires %s\ncertificate  %s\n",
		s.Auth.Tokens, s.Auth.Expired, until(s.Auth.NextExpiry, "none"), until(s.Auth.Identity, "none: plain HTTP"))
	printPartners(out, s)
	return nil
}

// octets is n in a unit that reads well.
func octets(n int64) string {
	const unit = 1024
	value, name := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	if name == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, name)
}

// inMilliseconds is a time in seconds; "-" for none.
func inMilliseconds(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds)
}

// age is how long ago t was, to the second.
func age(t time.Time) time.Duration { return time.Since(t).Round(time.Second) }
