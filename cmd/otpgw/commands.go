package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"otpgw/httpapi"
)

// defaultConfigFile is where the package puts the configuration.
const defaultConfigFile = "/etc/otpgw/otpgw.toml"

// scopeSendValidate is the one scope of both operations (CAMARA One Time Password SMS, securitySchemes).
const scopeSendValidate = "one-time-password-sms:send-validate"

// scopeVerifications is that of the side API.
const scopeVerifications = "otpgw:verifications"

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
		newQuickstartCommand(),
		newCheckConfigCommand(),
		newConfigCommand(),
		newTokenCommand(),
		newSMPPCommand(),
		newCallbackCommand(),
		newStoreCommand(),
		newKeysCommand(),
		newVersionCommand(),
	)
	root.AddCommand(operateCommands()...)
	root.AddCommand(newManCommand(root))
	root.InitDefaultHelpCmd()
	strictHelp(root)
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
	var name string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Send, deliver and validate a code with a built-in SMSC simulator",
		Long: `Run the daemon with a built-in configuration, an SMSC simulator and a temporary store in one process on loopback,
and the main job, or another story, through it over HTTP and SMPP. The exit code is 0 only if every step was seen.

` + scenarioList(),
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			story, err := scenarioNamed(name)
			if err != nil {
				return invalidError{err}
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), story, keep)
		},
	}
	cmd.Flags().StringVar(&name, "scenario", scenarios[0].name, "the `story` that is told")
	cmd.Flags().BoolVar(&keep, "keep", false, "stay up afterwards and print what to try next")
	return cmd
}

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make access tokens for the token file, and check tokens", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	var client string
	var life time.Duration
	var scopes []string
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
			for _, scope := range scopes {
				if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
					return invalidError{fmt.Errorf("--scope %q: must be printable ASCII without spaces, quotes and backslashes", scope)}
				}
			}
			if life <= 0 {
				return invalidError{fmt.Errorf("--expires-in %v: must be more than 0", life)}
			}
			token := rand.Text() + rand.Text()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "# token: %s\n%s", token, tokenStanza(token, client, time.Now().Add(life), scopes...))
			return err
		},
	}
	issue.Flags().StringVar(&client, "client", "", "`id` of the [[client]] that the token stands for")
	issue.Flags().DurationVar(&life, "expires-in", 90*24*time.Hour, "how long the token is valid")
	issue.Flags().StringSliceVar(&scopes, "scope", []string{scopeSendValidate}, "`scopes` that it has; "+scopeVerifications+" lets its client see its verifications")
	cmd.AddCommand(issue, newVerifyCommand())
	return cmd
}

// tokenStanza is the entry of a token file that admits token for client until expires.
func tokenStanza(token, client string, expires time.Time, scopes ...string) string {
	if len(scopes) == 0 {
		scopes = []string{scopeSendValidate}
	}
	return fmt.Sprintf("[[token]]\nsha256 = \"%x\"\nclient = %q\nscopes = [\"%s\"]\nexpires = %s\n",
		sha256.Sum256([]byte(token)), client, strings.Join(scopes, `", "`), expires.UTC().Format(time.RFC3339))
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{
					"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newManCommand writes the manual of root and all its commands.
func newManCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a directory",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Source: "otpgw", Manual: "otpgw", Date: &time.Time{}}
			return doc.GenManTree(root, header, args[0])
		},
	}
}

// strictHelp makes help on a command that does not exist the wrong usage that it is.
func strictHelp(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.RunE = func(_ *cobra.Command, args []string) error {
				found, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 {
					return invalidError{fmt.Errorf("unknown command %q (see otpgw --help)", strings.Join(args, " "))}
				}
				return found.Help()
			}
			cmd.Run = nil
		}
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
	return unknownCommand(cmd, args[0])
}

// unknownCommand says that cmd has none of that name, and which was probably meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return invalidError{fmt.Errorf("unknown command %q (did you mean %q?)", name, near[0])}
	}
	return invalidError{fmt.Errorf("unknown command %q (see %s --help)", name, cmd.CommandPath())}
}

// count is "1 error", "2 errors".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
