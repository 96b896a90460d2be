package main

import (
	"os"
	"runtime"

	"otpgw/otpstore"
)

// inspectCommand is what the daemon starts this program with to have the store's file checked. It is none of an operator's commands.
const inspectCommand = "inspect-store"

// inspectStore does that and ends, in a process that was started for it. It comes before all else.
func inspectStore() {
	if len(os.Args) == 2 && os.Args[1] == inspectCommand {
		os.Exit(otpstore.Inspect())
	}
}

// inspector is the command line of such a process: of the very program that runs, though another may lie at its path by now.
func inspector() []string {
	program := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		program, _ = os.Executable() // "" cannot be started: the daemon checks the file itself
	}
	return []string{program, inspectCommand}
}
