package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Client asks a daemon on this host over its control socket.
type Client struct {
	path string
	http *http.Client
}

// askTimeout bounds one verb; a reload that reads ten million numbers is the slowest.
const askTimeout = 2 * time.Minute

// NewClient makes a client of the daemon whose socket is at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Timeout: askTimeout, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Get reads what is at path into result.
func (c *Client) Get(ctx context.Context, path string, query url.Values, result any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://control"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	return c.do(r, result)
}

// Do asks for an action. result may be nil.
func (c *Client) Do(ctx context.Context, action string, values url.Values, result any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/"+action, strings.NewReader(values.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r, result)
}

// streamTimeout bounds what is sent as it is read.
const streamTimeout = time.Hour

// Stream asks for an action whose result is copied to w. What was written after an error is of no use.
func (c *Client) Stream(ctx context.Context, action string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/"+action, nil)
	if err != nil {
		return err
	}
	patient := *c.http
	patient.Timeout = 0 // ctx ends
	resp, err := patient.Do(r)
	if err != nil {
		return c.silent(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what there is of it
		return errors.New(strings.TrimSpace(string(body)))
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("%s was cut off: %w", action, err)
	}
	return nil
}

// silent says that no daemon answered.
func (c *Client) silent(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("no daemon answers at %s: %w", c.path, err)
}

func (c *Client) do(r *http.Request, result any) error {
	resp, err := c.http.Do(r)
	if err != nil {
		return c.silent(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w%s", ErrRefused, strings.TrimPrefix(strings.TrimSpace(string(body)), ErrRefused.Error()))
	case resp.StatusCode != http.StatusOK:
		return errors.New(strings.TrimSpace(string(body)))
	case result == nil:
		return nil
	}
	return json.Unmarshal(body, result)
}
