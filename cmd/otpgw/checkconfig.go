package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"otpgw/config"
	"otpgw/httpapi/numbers"
	"otpgw/httpapi/tokens"
	"otpgw/smpp"
)

// A report is all that check-config has to say, as --format json prints it.
type report struct {
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Errors   int              `json:"errors"`
	Warnings int              `json:"warnings"`
	Problems []config.Problem `json:"problems"`
	Checks   []check          `json:"checks,omitempty"` // of --online
}

// A check is one look at what the configuration speaks of.
type check struct {
	Of     string  `json:"of"` // the key, or the smsc
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Detail string  `json:"detail,omitempty"`
	Advice string  `json:"advice,omitempty"`
	Took   float64 `json:"seconds,omitempty"`
}

func newCheckConfigCommand() *cobra.Command {
	var strict, online bool
	var format string
	cmd := &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Check a configuration: exit code 0 when it is valid, 2 when it is not",
		Long: `Read a configuration with all that it refers to and say everything that is wrong with it, each with its line. With --online certificates and
their dates, the directory of the store and the files of numbers are looked at too, every issuer is asked, and every SMSC is bound to, beside
a daemon that may be running: it must allow one more bind. Exit code 0: valid. 1: valid, but with --strict there are warnings, or with --online something
is not as it should be. 2: not valid.`,
		Args: usage(cobra.MaximumNArgs(1)),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings make the exit code 1")
	cmd.Flags().BoolVar(&online, "online", false, "look at what the configuration speaks of, ask every issuer, bind to every SMSC")
	cmd.Flags().StringVar(&format, "format", "text", "`form` of the output: text or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "text" && format != "json" {
			return invalidError{fmt.Errorf("--format %q: must be text or json", format)}
		}
		out := cmd.OutOrStdout()
		cfg, problems := config.Check(fileOf(args))
		problems = append(problems, checkNumbers(cfg, problems)...)
		r := report{File: fileOf(args), Problems: problems, Errors: len(faultsOf(problems))}
		r.Warnings, r.Valid = len(problems)-r.Errors, r.Errors == 0
		summary := fmt.Sprintf("%s, %s", count(r.Errors, "error"), count(r.Warnings, "warning"))
		failing := error(nil)
		switch {
		case !r.Valid:
			failing = invalidError{errors.New(summary)}
		case strict && r.Warnings > 0:
			failing = errors.New(summary)
		}
		asText := format == "text"
		if asText {
			for _, p := range problems {
				if _, err := fmt.Fprintln(out, p); err != nil {
					return err
				}
			}
			if r.Valid {
				fmt.Fprintf(out, "%s: valid (%s)\n", r.File, summary)
			}
		}
		if online && r.Valid {
			var of string
			checkOnline(cmd.Context(), cfg, func(c check) {
				r.Checks = append(r.Checks, c)
				if asText {
					if c.Of != of {
						of = c.Of
						fmt.Fprintln(out, of)
					}
					printStep(out, smpp.ProbeStep{Name: c.Name, OK: c.OK, Detail: c.Detail, Advice: c.Advice, Took: time.Duration(c.Took * float64(time.Second))})
				}
			})
			if bad := badOf(r.Checks); len(bad) > 0 && failing == nil {
				failing = fmt.Errorf("%s: not as it should be", strings.Join(bad, ", "))
			}
		}
		if !asText {
			if r.Problems == nil {
				r.Problems = []config.Problem{}
			}
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
		}
		return failing
	}
	return cmd
}

// badOf names what of checks is not as it should be, each once.
func badOf(checks []check) (bad []string) {
	for _, c := range checks {
		if !c.OK && !slices.Contains(bad, c.Of) {
			bad = append(bad, c.Of)
		}
	}
	return bad
}

// checkNumbers reads the files of numbers, which may be large, where nothing else is wrong.
func checkNumbers(cfg config.Config, problems []config.Problem) []config.Problem {
	if len(faultsOf(problems)) > 0 {
		return nil
	}
	if _, err := numbers.Load(cfg.Numbers, nil); err != nil {
		return []config.Problem{{Key: "numbers", Message: "numbers: " + err.Error()}}
	}
	return nil
}

// checkOnline looks at what a valid configuration speaks of.
func checkOnline(ctx context.Context, cfg config.Config, say func(check)) {
	now := time.Now()
	say(checkStore(cfg.Store.Dir))
	if cfg.Log.Audit != "" {
		say(checkAudit(cfg.Log))
	}
	for _, c := range []struct{ of, file string }{
		{"http.tls_cert", cfg.HTTP.TLSCert}, {"http.tls_client_ca", cfg.HTTP.TLSClientCA},
		{"admin.tls_cert", cfg.Admin.TLSCert}, {"admin.tls_client_ca", cfg.Admin.TLSClientCA},
		{"numbers.lookup_ca", cfg.Numbers.LookupCA},
	} {
		if c.file != "" {
			say(checkCertificates(c.of, c.file, now))
		}
	}
	for _, c := range []struct{ of, cert, key string }{
		{"http.tls_key", cfg.HTTP.TLSCert, cfg.HTTP.TLSKey}, {"admin.tls_key", cfg.Admin.TLSCert, cfg.Admin.TLSKey},
	} {
		if c.cert != "" {
			say(checkKey(c.of, c.cert, c.key))
		}
	}
	for _, f := range numberFiles(cfg.Numbers) {
		say(checkFile(f.of, f.path, now))
	}
	checkIssuers(ctx, cfg, now, say)
	for _, account := range cfg.SMSC {
		of := "smsc " + account.Name
		for _, f := range []struct{ name, file string }{{"tls_ca", account.TLSCA}, {"tls_cert", account.TLSCert}} {
			if f.file != "" {
				c := checkCertificates(of, f.file, now)
				c.Name = f.name
				say(c)
			}
		}
		if account.TLSCert != "" {
			say(checkKey(of, account.TLSCert, account.TLSKey))
		}
		err := smpp.Probe(ctx, account, nil, func(s smpp.ProbeStep) {
			say(check{Of: of, Name: s.Name, OK: s.OK, Detail: s.Detail, Advice: s.Advice, Took: s.Took.Seconds()})
		})
		if err != nil {
			say(check{Of: of, Name: "probe", Detail: err.Error()})
		}
	}
}

// checkIssuers asks every issuer.
func checkIssuers(ctx context.Context, cfg config.Config, now time.Time, say func(check)) {
	verifier, err := tokens.New(nil, cfg.Issuers, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		say(check{Of: "issuer", Name: "issuers", Detail: err.Error()})
		return
	}
	for _, issuer := range cfg.Issuers {
		of := "issuer " + issuer.Name
		if issuer.CA != "" {
			say(checkCertificates(of, issuer.CA, now))
		}
		step := verifier.Set().Probe(ctx, issuer.Name)
		say(check{Of: of, Name: step.Name, OK: step.OK, Detail: step.Detail})
	}
}

// How near an end may be, and how little of a disk left, until somebody should act.
const (
	expirySoon = 14 * 24 * time.Hour
	leastFree  = 0.10
)

// checkStore says whether the store can be kept in dir, or in a directory made there.
func checkStore(dir string) check {
	c := check{Of: "store.dir", Name: "directory"}
	at, missing := dir, false
	for {
		info, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			at, missing = filepath.Dir(at), true
			continue
		}
		switch {
		case err != nil:
			c.Detail = err.Error()
			return c
		case !info.IsDir():
			c.Detail = at + ": not a directory"
			return c
		}
		break
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		c.Detail = fmt.Sprintf("%s: cannot be written by the user of this command: %v", at, err)
		return c
	}
	left := storeStatus(at)
	share := float64(left.Free) / float64(max(left.Disk, 1))
	c.OK = share >= leastFree
	c.Detail = fmt.Sprintf("%s, disk left %s, %.0f %%", dir, octets(left.Free), 100*share)
	if missing {
		c.Detail += ", will be made"
	}
	if !c.OK {
		c.Advice = "less than a tenth of the disk is left: a full one stops the daemon"
	}
	return c
}

// checkAudit says whether the audit log can be written.
func checkAudit(log config.Log) check {
	c := check{Of: "log.audit", Name: "file", Detail: log.Audit}
	if fault, _ := log.AuditFault(); fault != nil {
		c.Detail = fmt.Sprintf("%s: %v", log.Audit, fault)
		return c
	}
	c.OK = true
	return c
}

// checkCertificates says until when the certificates in a PEM file are valid: the first that ends decides.
func checkCertificates(of, file string, now time.Time) check {
	c := check{Of: of, Name: "certificate"}
	text, err := os.ReadFile(file)
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	var ends time.Time
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			c.Detail = fmt.Sprintf("%s: %v", file, err)
			return c
		case now.Before(cert.NotBefore):
			c.Detail = fmt.Sprintf("%s: %s is not valid before %s", file, cert.Subject, cert.NotBefore.UTC().Format(time.RFC3339))
			return c
		case ends.IsZero() || cert.NotAfter.Before(ends):
			ends = cert.NotAfter
		}
	}
	if ends.IsZero() {
		c.Detail = file + ": holds no certificate in PEM"
		return c
	}
	left := ends.Sub(now)
	c.OK = left >= expirySoon
	c.Detail = fmt.Sprintf("%s, valid until %s", file, ends.UTC().Format(time.RFC3339))
	switch {
	case left <= 0:
		c.Advice = "it has expired: nobody connects"
	case !c.OK:
		c.Advice = fmt.Sprintf("it expires in %.1f days", left.Hours()/24)
	}
	return c
}

// checkKey says whether a key is that of a certificate.
func checkKey(of, cert, key string) check {
	c := check{Of: of, Name: "key", Detail: key}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		c.Detail = fmt.Sprintf("%s: %v", key, err)
		return c
	}
	c.OK = true
	return c
}

// A numberFile is one of [numbers].
type numberFile struct{ of, path string }

func numberFiles(n numbers.Config) (files []numberFile) {
	for _, f := range []numberFile{
		{"numbers.own_file", n.OwnFile}, {"numbers.not_allowed_file", n.NotAllowedFile}, {"numbers.landline_file", n.LandlineFile},
		{"numbers.blocked_file", n.BlockedFile}, {"numbers.ported_out_file", n.PortedOutFile}, {"numbers.ported_in_file", n.PortedInFile},
	} {
		if f.path != "" {
			files = append(files, f)
		}
	}
	return files
}

// checkFile says how large and how old a file is, which has been read already.
func checkFile(of, path string, now time.Time) check {
	c := check{Of: of, Name: "file"}
	info, err := os.Stat(path)
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	c.OK = true
	c.Detail = fmt.Sprintf("%s, %s, of %s (%.1f days old)", path, octets(info.Size()), info.ModTime().UTC().Format(time.RFC3339), now.Sub(info.ModTime()).Hours()/24)
	return c
}
