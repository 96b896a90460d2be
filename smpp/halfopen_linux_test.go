package smpp_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
	"otpgw/smpp/counterpart"
	"otpgw/smpp/pdu"
)

// TestHalfOpenConnectionsAreNoticed: from one moment to the next no packet arrives any more, in a network namespace of
// the test's own. A bind with messages on it and one without must both be given up within 30 s.
func TestHalfOpenConnectionsAreNoticed(t *testing.T) {
	if os.Getenv("OTPGW_TEST_NAMESPACE") != "" {
		halfOpen(t)
		return
	}
	t.Parallel()
	counterpart.Need(t, "iproute2", "ip", "tc")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestHalfOpenConnectionsAreNoticed$", "-test.v")
	cmd.Env = append(os.Environ(), "OTPGW_TEST_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 { // who is not root is it in a namespace of users
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		counterpart.Missing(t, "a kernel that allows a network namespace: half-open connections")
	}
	t.Logf("in the namespace:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// halfOpen runs in the namespace.
func halfOpen(t *testing.T) {
	must := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	must("ip", "link", "set", "lo", "up")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var peers sync.WaitGroup
	var conns sync.Map
	defer func() {
		listener.Close()
		conns.Range(func(conn, _ any) bool { return conn.(net.Conn).Close() == nil })
		peers.Wait()
	}()
	peers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Store(conn, true)
			peers.Go(func() { answerBinds(conn) })
		}
	})
	settings := func(c *smpp.Config) {
		c.Endpoints = []string{listener.Addr().String()}
		c.EnquireLinkInterval, c.ResponseTimeout = 10*time.Minute, 2*time.Minute // TCP alone has to notice
	}
	only := func(client string) func(c *smpp.Config) {
		return func(c *smpp.Config) {
			settings(c)
			c.Clients = []string{client}
		}
	}
	pool, err := smpp.NewPool([]smpp.Config{account("idle", only("nobody")), account("busy", only("busy"))}, smpp.Hooks{Deliver: ignore}, prometheus.NewRegistry(), discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	bound := func() map[string]bool {
		is := make(map[string]bool)
		for _, b := range pool.Binds() {
			is[b.SMSC] = b.State == "bound"
		}
		return is
	}
	for b := bound(); !b["idle"] || !b["busy"]; b = bound() {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)                           // the last packets are through
	must("tc", "qdisc", "add", "dev", "lo", "root", "blackhole") // and now none is
	began := time.Now()
	unknown := make(chan error, 1)
	go func() {
		_, err := pool.Send(ctx, smpp.Message{From: "ACME", To: hello.To, Text: "x", Client: "busy"})
		unknown <- err
	}()
	noticed := make(map[string]time.Duration)
	for len(noticed) < 2 && time.Since(began) < 32*time.Second {
		for name, is := range bound() {
			if _, done := noticed[name]; !is && !done {
				noticed[name] = time.Since(began)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("noticed after %v", noticed)
	for _, name := range []string{"idle", "busy"} {
		if after, is := noticed[name]; !is || after > 30*time.Second {
			t.Errorf("%s: noticed after %v (%v), want 30s at most", name, after, is)
		}
	}
	if err := <-unknown; !errors.Is(err, smpp.ErrUnknown) {
		t.Errorf("Send = %v, want ErrUnknown: nobody knows what arrived", err)
	}
}

// answerBinds answers binds and nothing else.
func answerBinds(conn net.Conn) {
	reader := pdu.NewReader(conn)
	for {
		f, err := reader.Next()
		if err != nil {
			return
		}
		if f.Command == pdu.BindTransceiver {
			octets, err := pdu.Append(nil, pdu.Header{Command: f.Command.Response(), Sequence: f.Sequence}, &pdu.BindResp{})
			if err == nil {
				_, _ = conn.Write(octets)
			}
		}
	}
}
