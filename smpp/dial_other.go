//go:build !linux

package smpp

import (
	"syscall"
	"time"
)

// userTimeout has no counterpart here: enquire_link has to notice a dead connection.
func userTimeout(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
