package admin

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peerOf finds out whose process is at the other end: unix(7), SO_PEERCRED.
func peerOf(conn net.Conn) peer {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{uid: -1, err: errors.New("not a unix socket")}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{uid: -1, err: err}
	}
	var found *unix.Ucred
	var failure error
	if err := raw.Control(func(fd uintptr) { found, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return peer{uid: -1, err: err}
	}
	if failure != nil {
		return peer{uid: -1, err: failure}
	}
	return peer{uid: int(found.Uid)}
}
