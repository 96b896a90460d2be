package smpp

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDeadConnectionsAreNoticed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dial, err := newDialer(Config{Endpoints: []string{listener.Addr().String()}, ConnectTimeout: 5 * time.Second, WriteTimeout: 7 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	got, err := dial(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer got.conn.Close()
	raw, err := got.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(level, name, want int) {
		t.Helper()
		var got int
		var failure error
		if err := raw.Control(func(fd uintptr) { got, failure = unix.GetsockoptInt(int(fd), level, name) }); err != nil || failure != nil {
			t.Fatal(err, failure)
		}
		if got != want {
			t.Errorf("option %d is %d, want %d", name, got, want)
		}
	}
	option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 7000)
	option(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10)
	option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5)
	option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
}
