package callbacks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer = 4 << 10  // octets of an answer that are read
	maxHeader = 16 << 10 // octets of its header
	maxCA     = 1 << 20  // octets of the file
	longest   = time.Hour
)

// An envelope is an event as it is posted: CloudEvents 1.0.2, JSON format §3.
type envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// A caller posts events to the URL of one sink.
type caller struct {
	cfg    Config
	client *http.Client
}

// pool reads the certificates at path, or gives nil for the system's.
func pool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	all := x509.NewCertPool()
	if !all.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca = %q: holds no certificate in PEM", path)
	}
	return all, nil
}

func newCaller(cfg Config, roots *x509.CertPool) *caller {
	transport := &http.Transport{ // HTTP/1.1, where a connection that hangs holds up one call; and nobody's proxy
		DialContext:            (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    cfg.Timeout,
		MaxConnsPerHost:        cfg.MaxInFlight,
		MaxIdleConnsPerHost:    cfg.MaxInFlight,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // nobody's few octets become a gigabyte
	}
	return &caller{cfg: cfg, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// An Answer is what a receiver said.
type Answer struct {
	Status     string        // such as "204 No Content"
	Code       int           // of it
	RetryAfter time.Duration // 0: not said
	Body       string        // its first 4 KiB
	Took       time.Duration
}

// post makes one call and waits for its answer, no longer than the timeout of the sink. The error does not show the URL.
func (c *caller) post(ctx context.Context, e Event, data []byte) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	begun := time.Now()
	body, err := json.Marshal(envelope{
		SpecVersion: "1.0", ID: e.key(), Source: c.cfg.Source, Type: c.cfg.Namespace + ".v1." + e.Name,
		Time: e.At.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", Data: data,
	})
	if err != nil {
		return Answer{}, fmt.Errorf("write event: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("no request can be made of url")
	}
	r.Header.Set("Content-Type", "application/cloudevents+json") // CloudEvents 1.0.2, HTTP binding §3.2
	r.Header.Set("User-Agent", "otpgw")
	r.Header["Idempotency-Key"] = nil // not sent: tells http.Transport that it may ask again on a new connection
	sign(r.Header, e.key(), begun, body, c.cfg.Secret, c.cfg.OldSecret)
	resp, err := c.client.Do(r)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return Answer{}, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status says it all, be the body cut off or not
	return Answer{
		Status: resp.Status, Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), begun),
		Body: string(text), Took: time.Since(begun),
	}, nil
}

// sign puts the headers of Standard Webhooks in place: one signature for each secret that is not empty.
func sign(h http.Header, id string, at time.Time, body []byte, secrets ...Secret) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, s := range secrets {
		if s.Text == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(s.Text))
		fmt.Fprintf(mac, "%s.%s.", id, stamp)
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3): at most an hour, 0 for what cannot be read.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longest)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), longest))
	}
	return 0
}

// Test posts one event of type test to a sink and gives the answer, whatever its status.
func Test(ctx context.Context, cfg Config) (Answer, error) {
	if err := cfg.Validate(); err != nil {
		return Answer{}, err
	}
	roots, err := pool(cfg.CA)
	if err != nil {
		return Answer{}, err
	}
	c := newCaller(cfg, roots)
	defer c.client.CloseIdleConnections()
	now := time.Now()
	return c.post(ctx, Event{ID: "test-" + strconv.FormatInt(now.UnixMicro(), 36), Name: "test", At: now}, []byte("{}"))
}
