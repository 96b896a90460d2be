// Smscsim is an SMSC to try clients of SMPP 3.4 against: it accepts messages, shows them on a web page, sends receipts,
// and misbehaves on demand (docs/simulator.md).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"otpgw/smpp/smsc"
)

// version is set by the linker (Makefile).
var version = "unversioned"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintf(os.Stderr, "smscsim: %v\n", err)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "smscsim: %v\n", err)
		os.Exit(1)
	}
}

// A usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("smscsim", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake is one line, which main prints
	listen := flags.String("listen", "127.0.0.1:2775", "`address` for SMPP")
	web := flags.String("http", "127.0.0.1:8025", "`address` of the phone's inbox and of POST /control; \"\" for none")
	profile := flags.String("profile", "normal", "how the SMSC behaves: `name`, see --list; other flags change what it says")
	change := configFlags(flags)
	list := flags.Bool("list", false, "print the profiles, and the numbers that make it misbehave, and end")
	showVersion := flags.Bool("version", false, "print the version, and end")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(out, "Usage of smscsim:")
			flags.SetOutput(out)
			flags.PrintDefaults()
			return err
		}
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	if *showVersion {
		fmt.Fprintf(out, "smscsim %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	}
	if *list {
		printList(out)
		return nil
	}
	cfg, known := smsc.Config{FirstID: uint64(time.Now().Unix())}.WithProfile(*profile) // no id comes again after a restart
	if !known {
		return usageError{fmt.Errorf("--profile %q: must be one of %s", *profile, names())}
	}
	change(&cfg)
	return serve(ctx, *listen, *web, *profile, cfg, out)
}

// drainTimeout is how long requests for the inbox may take when the simulator ends.
const drainTimeout = 2 * time.Second

// serve runs the simulator until ctx ends.
func serve(ctx context.Context, listen, web, profile string, cfg smsc.Config, out io.Writer) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	wl := net.Listener(nil)
	if web != "" {
		if wl, err = net.Listen("tcp", web); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	server := smsc.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	fmt.Fprintf(out, "SMPP  %s  (profile %s)\n", l.Addr(), profile) // whoever reads it may use both

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	page := make(chan error, 1)
	if wl == nil {
		page <- nil
	} else {
		fmt.Fprintf(out, "inbox http://%s/\n", wl.Addr())
		hs := &http.Server{
			Handler:           server.Handler(),
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		}
		drained := make(chan struct{})
		context.AfterFunc(ctx, func() { // Serve then says that it was closed
			defer close(drained)
			patience, stop := context.WithTimeout(context.Background(), drainTimeout)
			defer stop()
			if hs.Shutdown(patience) != nil {
				_ = hs.Close() // whoever still reads has had time
			}
		})
		go func() { // ends with ctx; awaited below
			err := hs.Serve(wl)
			cancel()
			<-drained
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			page <- err
		}()
	}
	err = server.Serve(ctx, l)
	cancel()
	return errors.Join(err, <-page)
}

func names() string {
	var all []string
	for _, p := range smsc.Profiles() {
		all = append(all, p.Name)
	}
	return strings.Join(all, ", ")
}
