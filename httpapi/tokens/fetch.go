package tokens

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	maxDocument  = 1 << 20 // octets of keys or of a discovery document
	maxRedirects = 3
)

// A getter fetches a document.
type getter func(ctx context.Context, from string) ([]byte, error)

// newClient speaks to an issuer that must show a certificate of ca, in PEM; "" for the system's.
func newClient(ca string, connections int) *http.Client {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(ca))
	}
	return &http.Client{Transport: &http.Transport{
		DialContext:            (&net.Dialer{Timeout: fetchTimeout}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    fetchTimeout,
		MaxIdleConns:           connections,
		MaxIdleConnsPerHost:    connections,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
	}}
}

// fetcher gets documents through client. It follows a few redirects, none to another host.
func fetcher(client *http.Client) getter {
	own := *client
	own.CheckRedirect = func(r *http.Request, before []*http.Request) error {
		if r.URL.Host != before[0].URL.Host || r.URL.Scheme != before[0].URL.Scheme {
			return errors.New("redirected to another host")
		}
		if len(before) > maxRedirects {
			return errors.New("redirected too often")
		}
		return nil
	}
	return func(ctx context.Context, from string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
		if err != nil {
			return nil, errors.New("no request can be made of the URL")
		}
		req.Header.Set("Accept", "application/json")
		return answer(&own, req, maxDocument)
	}
}

// answer is the body of what req is answered, of at most limit octets.
func answer(client *http.Client, req *http.Request, limit int64) ([]byte, error) {
	req.Header.Set("User-Agent", "otpgw")
	resp, err := client.Do(req)
	if err != nil {
		if outer, is := errors.AsType[*url.Error](err); is {
			err = outer.Err // without the URL, which may hold a secret
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("the answer is longer than %d octets", limit)
	}
	return text, nil
}

// A statusError is an answer with another status than 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }
