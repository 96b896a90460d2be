package smpp

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout makes a connection fail when what was sent stays unacknowledged for so long: a write into a dead
// connection would else succeed for many minutes (tcp(7), TCP_USER_TIMEOUT).
func userTimeout(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failure error
		err := c.Control(func(fd uintptr) {
			failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failure
	}
}
