package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi/numbers"
	"otpgw/httpapi/tokens"
	"otpgw/smpp"
)

// The commands about the configuration file.

// fileOf is the one argument, or the file that the package installs.
func fileOf(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return defaultConfigFile
}

func newCheckConfigCommand() *cobra.Command {
	var strict, online bool
	var format string
	cmd := &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Check a configuration: exit code 0 when it is valid, 2 when it is not",
		Long: `Read a configuration with all that it refers to and say everything that is wrong with it, each with its line. With --online every
SMSC is bound to as well, beside a daemon that may be running: it must allow one more bind; and every issuer is asked. Exit code 0: valid. 1: valid, but
with --strict there are warnings, or with --online an SMSC or an issuer does not answer as it should. 2: not valid.`,
		Args: usage(cobra.MaximumNArgs(1)),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings make the exit code 1")
	cmd.Flags().BoolVar(&online, "online", false, "bind to every SMSC, ask every issuer")
	cmd.Flags().StringVar(&format, "format", "text", "`form` of the output: text or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "text" && format != "json" {
			return invalidError{fmt.Errorf("--format %q: must be text or json", format)}
		}
		out := cmd.OutOrStdout()
		cfg, problems := config.Check(fileOf(args))
		problems = append(problems, checkNumbers(cfg, problems)...)
		failures := 0
		for _, p := range problems {
			if !p.Warning {
				failures++
			}
		}
		summary := fmt.Sprintf("%s, %s", count(failures, "error"), count(len(problems)-failures, "warning"))
		if err := printProblems(out, problems, format); err != nil {
			return err
		}
		switch {
		case failures > 0:
			return invalidError{errors.New(summary)}
		case format == "text":
			fmt.Fprintf(out, "%s: valid (%s)\n", fileOf(args), summary)
		}
		if online {
			if err := checkOnline(cmd.Context(), out, cfg, format); err != nil {
				return err
			}
		}
		if strict && len(problems) > 0 {
			return errors.New(summary)
		}
		return nil
	}
	return cmd
}

// checkNumbers reads the files of numbers, which may be large, where nothing else is wrong.
func checkNumbers(cfg config.Config, problems []config.Problem) []config.Problem {
	for _, p := range problems {
		if !p.Warning {
			return nil
		}
	}
	if _, err := numbers.Load(cfg.Numbers, nil); err != nil {
		return []config.Problem{{Key: "numbers", Message: "numbers: " + err.Error()}}
	}
	return nil
}

func printProblems(out io.Writer, problems []config.Problem, format string) error {
	if format == "json" {
		if problems == nil {
			problems = []config.Problem{}
		}
		return json.NewEncoder(out).Encode(problems)
	}
	for _, p := range problems {
		if _, err := fmt.Fprintln(out, p); err != nil {
			return err
		}
	}
	return nil
}

// checkOnline binds to every SMSC and asks every issuer.
func checkOnline(ctx context.Context, out io.Writer, cfg config.Config, format string) error {
	var bad []string
	for _, account := range cfg.SMSC {
		if format == "text" {
			fmt.Fprintf(out, "smsc %s\n", account.Name)
		}
		err := smpp.Probe(ctx, account, nil, func(s smpp.ProbeStep) {
			if format == "text" {
				printStep(out, s)
			}
		})
		if err != nil {
			bad = append(bad, "smsc "+account.Name)
		}
	}
	verifier, err := tokens.New(nil, cfg.Issuers, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, issuer := range cfg.Issuers {
		if format == "text" {
			fmt.Fprintf(out, "issuer %s\n", issuer.Name)
		}
		step := verifier.Set().Probe(ctx, issuer.Name)
		if format == "text" {
			printStep(out, smpp.ProbeStep{Name: step.Name, OK: step.OK, Detail: step.Detail})
		}
		if !step.OK {
			bad = append(bad, "issuer "+issuer.Name)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s: not as it should be", strings.Join(bad, ", "))
	}
	return nil
}

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Print what can be configured, and what is", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	cmd.AddCommand(&cobra.Command{
		Use:   "reference",
		Short: "Print every key with its meaning, range and default, as a file to start from",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Reference())
			return err
		},
	})
	var changed bool
	show := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print every key with its value and where that is from: a line of the file, the environment or the default",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, problems := config.Show(fileOf(args), changed)
			if text == "" {
				var faults config.Problems
				for _, p := range problems {
					if !p.Warning {
						faults = append(faults, p)
					}
				}
				if len(faults) > 0 {
					return invalidError{faults}
				}
			}
			_, err := io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	show.Flags().BoolVar(&changed, "changed", false, "only what is not the default")
	cmd.AddCommand(show)
	return cmd
}
