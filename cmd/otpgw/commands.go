package main

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi"
)

// defaultConfigFile is where the package puts the configuration.
const defaultConfigFile = "/etc/otpgw/otpgw.toml"

// scopeSendValidate is the one scope of both operations (CAMARA One Time Password SMS, securitySchemes).
const scopeSendValidate = "one-time-password-sms:send-validate"

func newRootCommand(reload <-chan os.Signal) *cobra.Command {
	root := &cobra.Command{
		Use:           "otpgw",
		Short:         "One-time codes by SMS: CAMARA One Time Password SMS beside an operator's SMSC",
		Args:          cobra.ArbitraryArgs,
		RunE:          chooseCommand,
		SilenceErrors: true, // exitCode prints them
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return invalidError{err} })
	root.AddCommand(
		newServeCommand(reload),
		newDemoCommand(),
		newCheckConfigCommand(),
		newConfigCommand(),
		newTokenCommand(),
		newSMPPCommand(),
		newVersionCommand(),
	)
	return root
}

func newServeCommand(reload <-chan os.Signal) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: `Run the daemon in the foreground. SIGTERM drains: readiness goes away, requests in flight and answers of the
SMSC are waited for, the binds are unbound, the store is closed; a second signal ends at once. SIGHUP reads
the configuration again: all of it takes effect, or, with an error in the log, nothing of it.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path, reload) },
	}
	cmd.Flags().StringVar(&path, "config", defaultConfigFile, "configuration `file`")
	return cmd
}

func newDemoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Send, deliver and validate a code with a built-in SMSC simulator",
		Long: `Run the daemon with a built-in configuration, an SMSC simulator and a temporary store in one process on loopback,
and the main job through it over HTTP and SMPP. The exit code is 0 only if every step was seen.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), cmd.OutOrStdout(), keep) },
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up afterwards and print what to try next")
	return cmd
}

func newCheckConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Check a configuration: exit code 0 when it is valid, 2 when it is not",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := defaultConfigFile
			if len(args) == 1 {
				path = args[0]
			}
			_, problems := config.Check(path)
			failures := 0
			for _, p := range problems {
				fmt.Fprintln(cmd.OutOrStdout(), p)
				if !p.Warning {
					failures++
				}
			}
			summary := fmt.Sprintf("%s, %s", count(failures, "error"), count(len(problems)-failures, "warning"))
			if failures > 0 {
				return invalidError{errors.New(summary)}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid (%s)\n", path, summary)
			return nil
		},
	}
}

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Print what can be configured", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	cmd.AddCommand(&cobra.Command{
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

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make access tokens for the token file", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	var client string
	var life time.Duration
	issue := &cobra.Command{
		Use:   "new",
		Short: "Print a new access token and the stanza of the token file that admits it",
		Long: `Print a new access token of 256 random bits, and the stanza to add to the file that tokens.file names. The stanza
holds only the SHA-256 of the token: give the token to the client, it cannot be had from the file.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			named := httpapi.DefaultClient()
			named.ID, named.Sender = client, "ANY"
			if err := named.Validate(); err != nil {
				return invalidError{fmt.Errorf("--client: %w", err)}
			}
			if life <= 0 {
				return invalidError{fmt.Errorf("--expires-in %v: must be more than 0", life)}
			}
			token := rand.Text() + rand.Text()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "# token: %s\n%s", token, tokenStanza(token, client, time.Now().Add(life)))
			return err
		},
	}
	issue.Flags().StringVar(&client, "client", "", "`id` of the [[client]] that the token stands for")
	issue.Flags().DurationVar(&life, "expires-in", 90*24*time.Hour, "how long the token is valid")
	cmd.AddCommand(issue)
	return cmd
}

// tokenStanza is the entry of a token file that admits token for client until expires.
func tokenStanza(token, client string, expires time.Time) string {
	return fmt.Sprintf("[[token]]\nsha256 = \"%x\"\nclient = %q\nscopes = [%q]\nexpires = %s\n",
		sha256.Sum256([]byte(token)), client, scopeSendValidate, expires.UTC().Format(time.RFC3339))
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
}

func versionLine() string {
	return fmt.Sprintf("otpgw %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// usage makes a violation of check the wrong usage that it is.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return invalidError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
		}
		return nil
	}
}

// chooseCommand is what a command does that only groups others.
func chooseCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return invalidError{fmt.Errorf("unknown command %q (see %s --help)", args[0], cmd.CommandPath())}
}

// count is "1 error", "2 errors".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
