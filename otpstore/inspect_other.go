//go:build !linux

package otpstore

import "os/exec"

// endWithParent cannot be had here.
func endWithParent(*exec.Cmd) {}

// boundMemory cannot be had here.
func boundMemory(uint64) {}
