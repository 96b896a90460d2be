package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Client speaks version 1 of CAMARA One Time Password SMS.
type Client struct {
	base  string
	token string
	http  *http.Client
}

const (
	tries    = 3                // of one request
	patience = 10 * time.Second // between two of them; who is told to wait longer gives up
)

func newClient(root, token string) *Client {
	return &Client{strings.TrimSuffix(root, "/") + "/one-time-password-sms/v1", token, &http.Client{Timeout: 30 * time.Second}}
}

// An Error is an answer that is no success.
type Error struct {
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Correlator string `json:"-"` // by which the operator finds the request
	retryAfter time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s (x-correlator %s)", e.Status, e.Code, e.Message, e.Correlator)
}

// codeOf is the code of an Error, "" of anything else.
func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// SendCode sends message, with a code in place of its {{code}}, to number, and returns the authenticationId. A repetition with the same
// key sends nothing more, where the operator has switched that on.
func (c *Client) SendCode(ctx context.Context, key, number, message string) (string, error) {
	var answer struct {
		AuthenticationID string `json:"authenticationId"`
	}
	body := map[string]string{"phoneNumber": number, "message": message}
	err := c.post(ctx, "/send-code", http.Header{"Idempotency-Key": {key}}, body, &answer)
	return answer.AuthenticationID, err
}

// ValidateCode is nil when code is the right one.
func (c *Client) ValidateCode(ctx context.Context, id, code string) error {
	return c.post(ctx, "/validate-code", nil, map[string]string{"authenticationId": id, "code": code}, nil)
}

// post makes a request, and makes it again when the answer says that this may help, after the time that the answer names. It does not
// repeat a request without an answer: a check that was not answered may have been counted.
func (c *Client) post(ctx context.Context, path string, header http.Header, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := c.once(ctx, path, header, text, answer)
		var refused *Error
		if !errors.As(err, &refused) || refused.retryAfter == 0 || refused.retryAfter > patience || try == tries {
			return err
		}
		select {
		case <-time.After(refused.retryAfter):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (c *Client) once(ctx context.Context, path string, header http.Header, body []byte, answer any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Correlator", rand.Text())
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusOK:
		return read(resp, answer)
	}
	failure := &Error{Correlator: resp.Header.Get("X-Correlator")}
	if err := read(resp, failure); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		failure.retryAfter = time.Duration(seconds) * time.Second
	}
	return failure
}

// authenticate gets an access token by the client credentials grant (RFC 6749 §4.4).
func (c *Client) authenticate(ctx context.Context, tokenURL, id, secret string) error {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"one-time-password-sms:send-validate"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	if err := read(resp, &answer); err != nil {
		return fmt.Errorf("token: %s: %w", resp.Status, err)
	}
	if answer.Token == "" {
		return fmt.Errorf("token: %s: %s", resp.Status, answer.Error)
	}
	c.token = answer.Token
	return nil
}

// read reads a body of at most 64 KiB.
func read(resp *http.Response, into any) error {
	return json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(into)
}
