package main

import (
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var restarts = flag.Int("restarts", 6, "restarts and reloads under load")

// holdSocket listens as a service manager does, until the end of the test.
func holdSocket(t *testing.T, address string) (*os.File, net.Addr) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket, l.Addr()
}

// startBySocket starts the process as a service manager does that holds its listening socket.
func (p *plant) startBySocket(socket *os.File) {
	p.t.Helper()
	// $$ is the pid that exec keeps: sd_listen_fds(3) wants it in LISTEN_PID.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec "$0" serve --config "$1"`, program, p.config)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()
	p.mu.Lock()
	p.proc, p.exit = cmd, exit
	p.mu.Unlock()
}

// load sends codes and asks for the check of codes, each over a connection of its own, until it is stopped; it gives the number of
// requests and the errors.
func (p *plant) load(clients int) (stop func() (int64, []string)) {
	var (
		answered atomic.Int64
		mu       sync.Mutex
		failures []string
		group    sync.WaitGroup
		done     = make(chan struct{})
	)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path, body string, want int) {
		r, err := http.NewRequest(http.MethodPost, "http://"+p.http+apiPath+path, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + p.token}}
		resp, err := client.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		if err != nil || resp.StatusCode != want {
			mu.Lock()
			failures = append(failures, time.Now().Format("15:04:05.000 ")+path+" "+errorOr(err, resp))
			mu.Unlock()
		}
		answered.Add(1)
	}
	for c := range clients {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				ask("/send-code", sendBody(number(c*100_000+i)), http.StatusOK)
				ask("/validate-code", validateBody("019a7c2e-1111-7222-8333-444455556666", "123456"), http.StatusNotFound)
			}
		})
	}
	return func() (int64, []string) {
		close(done)
		group.Wait()
		return answered.Load(), failures
	}
}

func errorOr(err error, resp *http.Response) string {
	if err != nil {
		return err.Error()
	}
	return resp.Status
}

func TestRestartsBySocketRefuseNothing(t *testing.T) {
	p := newPlant(t)
	p.kill()
	socket, _ := holdSocket(t, p.http)
	p.startBySocket(socket)
	p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })
	stop := p.load(4)
	for range *restarts {
		p.signal(syscall.SIGTERM)
		if err := <-p.exit; err != nil {
			t.Fatalf("drain: %v\n%s", err, tail(p.logged()))
		}
		p.startBySocket(socket)
		p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })
	}
	answered, failures := stop()
	if len(failures) > 0 || answered < int64(*restarts) {
		t.Errorf("%d requests over %d restarts, %d failed: %q", answered, *restarts, len(failures), failures[:min(5, len(failures))])
	}
	t.Logf("%d requests over %d restarts, %d failed", answered, *restarts, len(failures))
}

func TestReloadsUnderLoadFailNothing(t *testing.T) {
	p := newPlant(t)
	stop := p.load(4)
	for i := range *restarts {
		broken := i%2 == 1
		if broken {
			p.replace(`sender = "ACME"`, `sender = "12345678901234567890"`)
			p.expectOutput(2, "otpgw.toml:", "reload")
			p.replace(`sender = "12345678901234567890"`, `sender = "ACME"`)
		} else {
			p.expectOutput(0, "in force", "reload")
		}
	}
	answered, failures := stop()
	if len(failures) > 0 || answered == 0 {
		t.Errorf("%d requests over %d reloads, %d failed: %q", answered, *restarts, len(failures), failures[:min(5, len(failures))])
	}
	t.Logf("%d requests over %d reloads, %d failed", answered, *restarts, len(failures))
}

// A manager is told what systemd would be.
func TestSystemdIsTold(t *testing.T) {
	p := newPlant(t)
	p.kill()
	path := filepath.Join(filepath.Dir(p.socket), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "600000")
	p.start()
	heard := map[string]int{}
	listen := func(until string, times int) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(patience))
		for buffer := make([]byte, 4096); heard[until] < times; {
			n, err := manager.Read(buffer)
			if err != nil {
				t.Fatalf("%s was not heard: %v, but %v", until, err, heard)
			}
			for line := range strings.Lines(string(buffer[:n])) {
				heard[strings.TrimSpace(line)]++
			}
		}
	}
	listen("READY=1", 1)
	listen("STATUS=running, 2 of 2 binds bound", 1)
	listen("WATCHDOG=1", 3)
	p.signal(syscall.SIGHUP)
	listen("RELOADING=1", 1)
	listen("READY=1", 2)
	p.signal(syscall.SIGTERM)
	listen("STOPPING=1", 1)
	if err := <-p.exit; err != nil {
		t.Errorf("drain: %v", err)
	}
	p.exit <- nil
}
