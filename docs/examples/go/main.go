// Command go is an example client of otpgw: it has a code sent to a phone number, asks for it, and checks what was typed. It needs
// nothing but the standard library, so that it can be taken as it is.
//
//	OTPGW_URL=https://otp.example.com OTPGW_TOKEN=… go run . +34600000001
//
// In place of OTPGW_TOKEN it takes OTPGW_TOKEN_URL, OTPGW_CLIENT_ID and OTPGW_CLIENT_SECRET, and gets a token by the client
// credentials grant of OAuth 2.0.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run verifies the number of args with the person who sits at in and out.
func run(ctx context.Context, args []string, env func(string) string, in io.Reader, out io.Writer) error {
	if len(args) != 1 || env("OTPGW_URL") == "" {
		return errors.New("usage: OTPGW_URL=https://… OTPGW_TOKEN=… go run . +34600000001")
	}
	client := newClient(env("OTPGW_URL"), env("OTPGW_TOKEN"))
	if url := env("OTPGW_TOKEN_URL"); url != "" {
		if err := client.authenticate(ctx, url, env("OTPGW_CLIENT_ID"), env("OTPGW_CLIENT_SECRET")); err != nil {
			return err
		}
	}

	// The key names this message, whatever becomes of the connection: it is sent once.
	id, err := client.SendCode(ctx, rand.Text(), args[0], "{{code}} is your code for Example Bank")
	if err != nil {
		return explain(err)
	}
	for typed := bufio.NewScanner(in); ; {
		fmt.Fprint(out, "code: ")
		if !typed.Scan() {
			return errors.Join(errors.New("no code was typed"), typed.Err())
		}
		err := client.ValidateCode(ctx, id, strings.TrimSpace(typed.Text()))
		if codeOf(err) == "ONE_TIME_PASSWORD_SMS.INVALID_OTP" || codeOf(err) == "INVALID_ARGUMENT" { // neither ends the verification
			fmt.Fprintln(out, "that is not it")
			continue
		}
		if err != nil {
			return explain(err)
		}
		fmt.Fprintln(out, "verified")
		return nil
	}
}

// explain says what a person can do about err; the codes are those of the table of errors in the description of the API.
func explain(err error) error {
	switch codeOf(err) {
	case "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED", "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED", "TIMEOUT":
		return fmt.Errorf("ask for a new code: %w", err)
	case "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_NOT_ALLOWED", "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_BLOCKED", "IDENTIFIER_NOT_FOUND", "NOT_FOUND":
		return fmt.Errorf("this number gets no code: %w", err)
	case "ONE_TIME_PASSWORD_SMS.MAX_OTP_CODES_EXCEEDED", "TOO_MANY_REQUESTS", "QUOTA_EXCEEDED", "UNAVAILABLE", "CONFLICT":
		return fmt.Errorf("try again later: %w", err)
	case "UNAUTHENTICATED", "PERMISSION_DENIED":
		return fmt.Errorf("the token is not good for this: %w", err)
	}
	return err
}
