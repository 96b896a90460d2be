package httpapi_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi"
	"otpgw/smpp"
)

// run serves on loopback until the test ends, or stop is called, which waits for the drain.
func (p *plant) run(l net.Listener) (stop func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("Run: %v", err)
		}
	})
	p.t.Cleanup(stop)
	return stop
}

func loopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// over is a request as a client sends it to address.
func over(t testing.TB, address, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = request(path, "").Header
	return r
}

func newClient(t testing.TB, cfg *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: cfg != nil}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestOverTheWire(t *testing.T) {
	p := newPlant(t)
	l := loopback(t)
	p.run(l)
	client, address := newClient(t, nil), "http://"+l.Addr().String()
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{sendPath, sendBody, 200},
		{verifyPath, verifyBody, 204},
		{verifyPath, "{}", 400},
		{base, "", 404},
		{sendPath, strings.Repeat(" ", 64<<10), 400},
	} {
		resp, err := client.Do(over(t, address, c.path, c.body))
		if err != nil {
			t.Fatal(err)
		}
		if a := check(t, resp); a.status != c.status {
			t.Errorf("%s: %d %s", c.path, a.status, a.body)
		}
	}
	for _, method := range []string{http.MethodHead, http.MethodOptions} {
		r := over(t, address, sendPath, "")
		r.Method = method
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if a := check(t, resp); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
}

// Requests as no client library would send them.
func TestRawRequests(t *testing.T) {
	p := newPlant(t)
	l := loopback(t)
	p.run(l)
	for _, c := range []struct {
		name, raw string
		status    int
	}{
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
		{"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
		{"absolute path", "POST http://x" + sendPath + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 401},
		{"HTTP/1.0", "POST " + sendPath + " HTTP/1.0\r\n\r\n", 401},
		{"two tokens", "POST " + sendPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + theToken + "\r\nauthorization: Bearer " + theToken + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 401},
		{"two correlators", "POST " + sendPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + theToken + "\r\nX-CORRELATOR: a\r\nx-correlator: a\r\nContent-Type: application/json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 400},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, c.raw); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if a := check(t, resp); a.status != c.status {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	// Headers beyond the bound are net/http's to refuse.
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	huge := "POST " + sendPath + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n"
	if _, err := io.WriteString(conn, huge); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("huge headers: %v, %v", resp, err)
	}
}

// A memoryListener hands out connections in memory, for bubbles of synctest.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *memoryListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

func rawRequest(path, body string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, theToken, length, body)
}

// A body that does not come is given up, with an answer, and its connection too.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		l := newMemoryListener()
		stop := p.run(l)
		defer stop()
		conn := l.dial()
		defer conn.Close()
		began := time.Now()
		if _, err := io.WriteString(conn, rawRequest(sendPath, sendBody[:10], len(sendBody))); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := check(t, resp); !a.is(400, "INVALID_ARGUMENT") || time.Since(began) != 10*time.Second {
			t.Errorf("%d after %v", a.status, time.Since(began))
		}
		if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection goes on: %v", err)
		}
	})
}

// Headers that do not come cost their connection.
func TestSlowHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t)
		l := newMemoryListener()
		stop := p.run(l)
		defer stop()
		conn := l.dial()
		defer conn.Close()
		began := time.Now()
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost:"); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(conn); err != nil || time.Since(began) > 6*time.Second {
			t.Errorf("%q, %v after %v", rest, err, time.Since(began))
		}
	})
}

// The SMSC may answer with the last of the request's time: the client gets its answer all the same.
func TestSlowSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, func(p *plant) {
			p.sender.send = func(ctx context.Context, _ smpp.Message) (smpp.Accepted, error) {
				<-ctx.Done()
				return smpp.Accepted{}, nil
			}
		})
		l := newMemoryListener()
		stop := p.run(l)
		defer stop()
		conn := l.dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, rawRequest(sendPath, sendBody, len(sendBody))); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := check(t, resp); a.status != 200 {
			t.Errorf("%d", a.status)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.cfg.MaxConnections = 1 })
	l := loopback(t)
	p.run(l)
	first, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answered := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, rawRequest(verifyPath, verifyBody, len(verifyBody))); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := answered(first); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := answered(second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second connection: %v", err)
	}
	first.Close()
	if err := second.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

// When the end is asked for, nothing more is accepted and what is in work is finished.
func TestDrain(t *testing.T) {
	inWork, release := make(chan struct{}), make(chan struct{})
	p := newPlant(t, func(p *plant) {
		p.sender.send = func(context.Context, smpp.Message) (smpp.Accepted, error) {
			close(inWork)
			<-release
			return smpp.Accepted{}, nil
		}
	})
	l := loopback(t)
	stop := p.run(l)
	client := newClient(t, nil)
	answered := make(chan answer, 1)
	go func() {
		resp, err := client.Do(over(t, "http://"+l.Addr().String(), sendPath, sendBody))
		if err != nil {
			t.Errorf("the request in work: %v", err)
			close(answered)
			return
		}
		answered <- check(t, resp)
	}()
	<-inWork
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case <-stopped:
		t.Error("Run left a request behind")
	default:
	}
	close(release)
	if a := <-answered; a.status != 200 {
		t.Errorf("the request in work: %d", a.status)
	}
	<-stopped
}

func TestListenerFails(t *testing.T) {
	p := newPlant(t)
	l := loopback(t)
	l.Close()
	if err := p.Run(t.Context(), l); err == nil {
		t.Error("served on a closed listener")
	}
}

// writePair writes a certificate for 127.0.0.1 with this serial number that is valid between these times from now.
func writePair(t *testing.T, serial int64, from, to time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: now.Add(from), NotAfter: now.Add(to), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
}

func TestTLS(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.cfg.TLSCert, p.cfg.TLSKey = writePair(t, 1, -time.Hour, 48*time.Hour) })
	l := loopback(t)
	p.run(l)
	// presented makes a request on a new connection and returns the serial number of the server's certificate.
	presented := func(cfg *tls.Config) (int64, string) {
		t.Helper()
		cfg.InsecureSkipVerify = true // it is the certificate itself that is looked at
		resp, err := newClient(t, cfg).Do(over(t, "https://"+l.Addr().String(), sendPath, sendBody))
		if err != nil {
			t.Fatal(err)
		}
		if a := check(t, resp); a.status != 200 {
			t.Errorf("%d", a.status)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.Proto
	}
	if serial, proto := presented(&tls.Config{}); serial != 1 || proto != "HTTP/2.0" {
		t.Errorf("certificate %d over %s", serial, proto)
	}
	if serial, _ := presented(&tls.Config{MaxVersion: tls.VersionTLS12}); serial != 1 {
		t.Errorf("certificate %d", serial)
	}
	if conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}

	before := p.metric("otpgw_http_certificate_expiry_timestamp_seconds")
	next := p.cfg
	next.TLSCert, next.TLSKey = writePair(t, 2, -time.Hour, 72*time.Hour)
	pair, err := httpapi.LoadIdentity(next)
	if err != nil {
		t.Fatal(err)
	}
	p.SetIdentity(pair)
	if serial, _ := presented(&tls.Config{}); serial != 2 {
		t.Errorf("certificate %d after the change", serial)
	}
	if after := p.metric("otpgw_http_certificate_expiry_timestamp_seconds"); after-before < 23*3600 {
		t.Errorf("expiry %v, before %v", after, before)
	}
}

func TestCertificateRefused(t *testing.T) {
	cert, key := writePair(t, 1, -time.Hour, 48*time.Hour)
	_, otherKey := writePair(t, 2, -time.Hour, time.Hour)
	oldCert, oldKey := writePair(t, 3, -time.Hour, -time.Minute)
	futureCert, futureKey := writePair(t, 4, time.Minute, time.Hour)
	for name, pair := range map[string][2]string{
		"other key":     {cert, otherKey},
		"no file":       {cert + ".no", key},
		"no key":        {cert, key + ".no"},
		"not a pair":    {key, cert},
		"expired":       {oldCert, oldKey},
		"not valid yet": {futureCert, futureKey},
		"directory":     {filepath.Dir(cert), key},
		"key in itself": {key, key},
	} {
		cfg := httpapi.DefaultConfig()
		cfg.TLSCert, cfg.TLSKey = pair[0], pair[1]
		if _, err := httpapi.LoadIdentity(cfg); err == nil || !strings.Contains(err.Error(), pair[0]) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := httpapi.New(cfg, httpapi.Live{}, httpapi.Parts{Codes: &codes{}, Sender: &sender{}}, nil, nil); err == nil {
			t.Errorf("%s: a server with it", name)
		}
	}
}

// A flakyListener fails once, in the way in which the kernel does when it is out of files.
type flakyListener struct {
	net.Listener
	failed bool
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// What a stranger does is no warning; what befalls the server is.
func TestServerLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, func(p *plant) { p.cfg.TLSCert, p.cfg.TLSKey = writePair(t, 1, -time.Hour, time.Hour) })
		l := newMemoryListener()
		stop := p.run(&flakyListener{Listener: l})
		defer stop()
		conn := l.dial()
		defer conn.Close()
		var wg sync.WaitGroup
		wg.Go(func() { io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n") })
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		synctest.Wait()
		log := p.logged.String()
		if !strings.Contains(log, `"level":"DEBUG","msg":"http server","said":"http: TLS handshake error`) {
			t.Errorf("log: %s", log)
		}
		if !strings.Contains(log, `"level":"WARN","msg":"http server","said":"http: Accept error`) || strings.Count(log, "WARN") != 1 {
			t.Errorf("log: %s", log)
		}
	})
}

// A refusal that needs no body does not wait long for one, and keeps the connection where the body is there.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	p := newPlant(t)
	l := loopback(t)
	p.run(l)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	_ = conn.SetDeadline(began.Add(8 * time.Second)) // the body may take 10
	head := "POST " + sendPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: 5\r\n\r\n"
	reader := bufio.NewReader(conn)
	for _, sent := range []string{head + "12345", head + "12345", head} {
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		if a := check(t, resp); a.status != 401 {
			t.Errorf("%d", a.status)
		}
	}
}
