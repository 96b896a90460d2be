package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi/admin"
)

// The commands about the configuration file.

// fileOf is the one argument, or the file that the package installs.
func fileOf(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return defaultConfigFile
}

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Print what can be configured, and what is", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	cmd.AddCommand(newConfigShowCommand(), newConfigDiffCommand(), &cobra.Command{
		Use:   "default",
		Short: "Print every key with its default, without a word",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Defaults())
			return err
		},
	}, &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the file, for editors that check and complete TOML by one",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := config.JSONSchema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", schema)
			return err
		},
	}, &cobra.Command{
		Use:   "reference",
		Short: "Print every key with its meaning, range and default, as a file to start from",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Reference())
			return err
		},
	})
	return cmd
}

func newConfigShowCommand() *cobra.Command {
	var changed, running bool
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print every key with its value and where that is from: a line of the file, the environment or the default",
		Long: `Print every key with its value and where that is from: a line of the file, the environment or the default. Of secrets only the place is
shown. With --running what the daemon has in force is printed, with the defaults beside it, whatever the file says by now.`,
		Args: usage(cobra.MaximumNArgs(1)),
	}
	at := socket(cmd)
	cmd.Flags().BoolVar(&changed, "changed", false, "only what is not the default")
	cmd.Flags().BoolVar(&running, "running", false, "what the daemon has in force")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var text string
		switch {
		case running && len(args) > 0:
			return invalidError{errors.New("FILE and --running: one or the other")}
		case running:
			if err := at.client().Get(cmd.Context(), "/config", url.Values{"changed": {strconv.FormatBool(changed)}}, &text); err != nil {
				return told(err)
			}
		default:
			var problems []config.Problem
			text, problems = config.Show(fileOf(args), changed)
			if faults := faultsOf(problems); text == "" && len(faults) > 0 {
				return invalidError{faults}
			}
		}
		_, err := io.WriteString(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

func newConfigDiffCommand() *cobra.Command {
	var running, asJSON bool
	cmd := &cobra.Command{
		Use:   "diff [FILE]",
		Short: "Print what differs from the defaults, or what a reload would change; the exit code is 1 when anything does",
		Long: `Print each key of the file whose value is not the default. With --running the daemon reads its file again and says what a reload would change
and what would need a restart; nothing is put in force. Exit code 0: nothing differs. 1: something does. 2: the file is not valid.`,
		Args: usage(cobra.MaximumNArgs(1)),
	}
	at := socket(cmd)
	cmd.Flags().BoolVar(&running, "running", false, "against what the daemon has in force, not the defaults")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var p admin.Pending
		switch {
		case running && len(args) > 0:
			return invalidError{errors.New("FILE and --running: the daemon compares its own file")}
		case running:
			if err := at.client().Get(cmd.Context(), "/pending", nil, &p); err != nil {
				return told(err)
			}
		default:
			cfg, _, err := config.Load(fileOf(args))
			if err != nil {
				return invalidError{err}
			}
			for _, c := range config.Changes(config.Default(), cfg) {
				p.Changes = append(p.Changes, admin.Change(c))
			}
		}
		if err := printChanges(cmd.OutOrStdout(), p, running, asJSON); err != nil {
			return err
		}
		if len(p.Changes) > 0 {
			return errDiffers
		}
		return nil
	}
	return cmd
}

// errDiffers makes the exit code that diff(1) has; there is no more to say.
var errDiffers = errors.New("")

func printChanges(out io.Writer, p admin.Pending, running, asJSON bool) error {
	if asJSON {
		if p.Changes == nil {
			p.Changes = []admin.Change{}
		}
		return json.NewEncoder(out).Encode(p.Changes)
	}
	if len(p.Changes) == 0 {
		_, err := fmt.Fprintln(out, "nothing differs")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range p.Changes {
		when := ""
		if running {
			when = map[string]string{"hot": "\tat a reload", "restart": "\tat a restart"}[c.Reload]
		}
		fmt.Fprintf(table, "%s\t%s\t-> %s%s\n", c.Key, orNone(c.Old), orNone(c.New), when)
	}
	return table.Flush()
}

// orNone is a value, or that there is none.
func orNone(value string) string { return cmp.Or(value, "(none)") }

// faultsOf are those of problems that are no warnings.
func faultsOf(problems []config.Problem) (faults config.Problems) {
	for _, p := range problems {
		if !p.Warning {
			faults = append(faults, p)
		}
	}
	return faults
}
