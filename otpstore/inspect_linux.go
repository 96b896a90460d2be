package otpstore

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// endWithParent has a process that is not yet begun end with the thread that begins it.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// boundMemory bounds what this process may take from now on, in octets. Who wants more ends. Where /proc is not to be had there is no bound.
func boundMemory(more uint64) {
	var size, resident, shared, text, library, data uint64 // in pages, as proc(5) has them
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return
	}
	if _, err := fmt.Sscan(string(status), &size, &resident, &shared, &text, &library, &data); err != nil {
		return
	}
	most := data*uint64(os.Getpagesize()) + more
	_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most}) // it fails where there is a lower one
}
