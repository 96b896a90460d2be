package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi"
	"otpgw/httpapi/tokens"
	"otpgw/smpp"
)

// verifyTimeout bounds what token verify asks of issuers.
const verifyTimeout = 15 * time.Second

func newVerifyCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "verify [TOKEN|-]",
		Short: "Say which checks an access token passes: exit code 0 when it is good, 1 when it is not",
		Long: `Look at an access token as a daemon with this configuration would, and say of each check how it went: of a JWT, a token that its
issuer is asked about, or one of the token file. Without TOKEN, or with -, the token is read from standard input, where no list of
processes shows it. The token itself is never printed. Exit code 0: it is good. 1: it is not, and the lines say why.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := config.Load(path)
			if err != nil {
				return invalidError{err}
			}
			token, err := tokenOf(args, cmd.InOrStdin())
			if err != nil {
				return invalidError{err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), verifyTimeout)
			defer cancel()
			return verify(ctx, cmd.OutOrStdout(), cfg, token)
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfigFile, "configuration `file`")
	return cmd
}

// tokenOf is the token of the arguments, or else the first line of in. A scheme before it is left out.
func tokenOf(args []string, in io.Reader) (string, error) {
	text := ""
	if len(args) == 1 && args[0] != "-" {
		text = args[0]
	} else {
		line, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("standard input: %w", err)
		}
		text = strings.TrimSpace(line)
	}
	if scheme, rest, found := strings.Cut(text, " "); found && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP")) {
		text = strings.TrimLeft(rest, " ")
	}
	if text == "" {
		return "", errors.New("there is no token")
	}
	return text, nil
}

// verify prints how each check of token goes. It is an error when one does not go well.
func verify(ctx context.Context, out io.Writer, cfg config.Config, token string) error {
	verifier, err := tokens.New(cfg.TokenList, cfg.Issuers, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	say := func(s tokens.Step) { printStep(out, smpp.ProbeStep{Name: s.Name, OK: s.OK, Detail: s.Detail}) }
	principal, good := verifier.Set().Explain(ctx, token, say)
	if principal.Client != "" {
		good = verifyPrincipal(cfg, principal, say) && good
	}
	if !good {
		return errors.New("the token is not good")
	}
	return nil
}

// verifyPrincipal says whether the client is let in and what for.
func verifyPrincipal(cfg config.Config, p tokens.Principal, say func(tokens.Step)) bool {
	scoped := slices.Contains(p.Scopes, scopeSendValidate)
	detail := fmt.Sprintf("%.200q", p.Scopes)
	if !scoped {
		detail += " does not have " + scopeSendValidate
	}
	say(tokens.Step{Name: "scope", OK: scoped, Detail: detail})

	n := slices.IndexFunc(cfg.Clients, func(c httpapi.Client) bool { return c.ID == p.Client })
	step := tokens.Step{Name: "provisioned", OK: n >= 0 && cfg.Clients[n].Enabled}
	switch {
	case n < 0:
		step.Detail = fmt.Sprintf("there is no [[client]] with id = %.100q", p.Client)
	case !cfg.Clients[n].Enabled:
		step.Detail = fmt.Sprintf("[[client]] %s is not enabled", p.Client)
	default:
		step.Detail = p.Client
	}
	say(step)
	return scoped && step.OK
}
