// Otpgw is a daemon beside a mobile operator's SMSC: applications ask it over HTTP (CAMARA One Time Password SMS) to
// text a one-time code to a phone number, and later to check what the person typed.
//
// This package turns flags, files and signals into an ordered, reloadable set of layers (daemon.go, layers.go) and
// holds the operator's commands. It is the only place that knows every part; start reading at serve.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker (Makefile).
var version = "unversioned"

// Exit codes, as docs/operations.md lists them.
const (
	exitOK      = 0
	exitFailure = 1 // the daemon or the command failed
	exitInvalid = 2 // wrong usage or an invalid configuration; nothing was started
)

func main() {
	inspectStore()
	os.Exit(mainCode())
}

func mainCode() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	ends := make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	go func() { // ends with the process
		<-ends
		stop() // the first signal drains
		<-ends
		fmt.Fprintln(os.Stderr, "otpgw: second signal, ending at once")
		os.Exit(exitFailure)
	}()

	return exitCode(run(ctx, os.Args[1:], reload))
}

// run is the program without its process: args are the command line without the program's name, reload asks a serving
// daemon to read its configuration again.
func run(ctx context.Context, args []string, reload <-chan os.Signal) error {
	cmd := newRootCommand(reload)
	cmd.SetArgs(args)
	return cmd.ExecuteContext(ctx)
}

// An invalidError is wrong usage or an invalid configuration: nothing was started.
type invalidError struct{ err error }

func (e invalidError) Error() string { return e.err.Error() }
func (e invalidError) Unwrap() error { return e.err }

// exitCode prints err, if any, and says with which code the process ends.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if err != errDiffers { // what differs is said already
		fmt.Fprintf(os.Stderr, "otpgw: %v\n", err)
	}
	if invalid := (invalidError{}); errors.As(err, &invalid) {
		return exitInvalid
	}
	return exitFailure
}
