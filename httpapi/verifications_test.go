package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
)

const sidePath = "/otpgw/v1/verifications"

// sided lets acme use the side API.
func sided(p *plant) {
	p.live.Authenticate = tokens.File([]tokens.Token{
		token(theToken, "acme", time.Hour, "otpgw:verifications"),
		token("sender", "acme", time.Hour, scope),
	})
}

func (p *plant) ask(method, path string, pairs ...string) answer {
	p.t.Helper()
	r := request(path, "", append([]string{"Content-Type", "-"}, pairs...)...)
	r.Method = method
	return p.do(r)
}

var when = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

func TestReadAVerification(t *testing.T) {
	v := otpstore.Verification{
		ID: authID, Client: "acme", State: "used", Masked: "+34*******01", Attempts: 1, MaxAttempts: 3, IssuedAt: when, SentAt: when.Add(time.Second),
		ExpiresAt: when.Add(5 * time.Minute), FinishedAt: when.Add(time.Minute), SMSC: "main", Receipt: "DELIVRD", ReceiptError: "000", DeliveredAt: when.Add(2 * time.Second),
	}
	p := newPlant(t, sided, func(p *plant) {
		p.codes.lookup = func(_ context.Context, id string) (otpstore.Verification, error) {
			if id != authID {
				return otpstore.Verification{}, otpstore.ErrNotFound
			}
			return v, nil
		}
	})
	const want = `{"authenticationId":"` + authID + `","state":"used","phoneNumber":"+34*******01","attempts":1,"attemptsLeft":0,` +
		`"issuedAt":"2026-11-23T12:00:00.123456Z","sentAt":"2026-11-23T12:00:01.123456Z","expiresAt":"2026-11-23T12:05:00.123456Z","finishedAt":"2026-11-23T12:01:00.123456Z",` +
		`"delivery":{"state":"DELIVRD","smsc":"main","error":"000","deliveredAt":"2026-11-23T12:00:02.123456Z"}}`
	if a := p.ask("GET", sidePath+"/"+authID); a.status != 200 || a.body != want {
		t.Errorf("%d %s", a.status, a.body)
	}
	if told, err := httpapi.Describe(v, time.Now()); err != nil || string(told) != strings.Replace(want, `"phoneNumber":"+34*******01",`, "", 1) {
		t.Errorf("callback: %s, %v", told, err)
	}
	v.State, v.ExpiresAt, v.FinishedAt, v.Receipt, v.ReceiptError, v.DeliveredAt = "live", time.Now().Add(100*time.Second), time.Time{}, "", "", time.Time{}
	a := p.ask("GET", sidePath+"/"+authID)
	var told map[string]any
	if err := json.Unmarshal([]byte(a.body), &told); err != nil {
		t.Fatal(err)
	}
	if told["attemptsLeft"] != 2.0 || told["secondsLeft"] != 100.0 || !reflect.DeepEqual(told["delivery"], map[string]any{"smsc": "main"}) || told["finishedAt"] != nil {
		t.Errorf("live: %s", a.body)
	}
	v.Client = "other"
	if a := p.ask("GET", sidePath+"/"+authID); !a.is(404, "NOT_FOUND") {
		t.Errorf("another client's: %d %s", a.status, a.code)
	}
	for _, id := range []string{"x", strings.Repeat("a", 200), "%00", authID + "x"} {
		if a := p.ask("GET", sidePath+"/"+id); !a.is(404, "NOT_FOUND") {
			t.Errorf("%q: %d %s", id, a.status, a.code)
		}
	}
}

func TestCancel(t *testing.T) {
	var asked []string
	result := struct {
		changed bool
		err     error
	}{changed: true}
	p := newPlant(t, sided, func(p *plant) {
		p.codes.cancel = func(_ context.Context, client, id string) (bool, error) {
			asked = append(asked, client+" "+id)
			return result.changed, result.err
		}
	})
	path := sidePath + "/" + authID + "/cancel"
	if a := p.ask("POST", path); a.status != 204 || len(asked) != 1 || asked[0] != "acme "+authID {
		t.Errorf("%d %s, asked %q", a.status, a.body, asked)
	}
	if len(p.sender.canceled) != 1 {
		t.Errorf("smsc asked %q", p.sender.canceled)
	}
	result.changed = false
	if a := p.ask("POST", path); a.status != 204 || len(p.sender.canceled) != 1 {
		t.Errorf("again: %d, smsc asked %q", a.status, p.sender.canceled)
	}
	for err, want := range map[error]int{otpstore.ErrFinished: 409, otpstore.ErrNotFound: 404, otpstore.ErrUnavailable: 503, errBroken: 500} {
		result.err = err
		if a := p.ask("POST", path); a.status != want {
			t.Errorf("%v: %d", err, a.status)
		}
	}
}

func TestList(t *testing.T) {
	var asked otpstore.ListOptions
	p := newPlant(t, sided, func(p *plant) {
		p.codes.list = func(_ context.Context, client string, o otpstore.ListOptions) (otpstore.List, error) {
			if asked = o; client != "acme" {
				return otpstore.List{}, errors.New("whose?")
			}
			if o.After == "end" {
				return otpstore.List{}, nil
			}
			return otpstore.List{Verifications: []otpstore.Verification{{ID: authID, State: "locked", IssuedAt: when, ExpiresAt: when}}, Next: "end"}, nil
		}
	})
	if a := p.ask("GET", sidePath); a.status != 200 || asked != (otpstore.ListOptions{Limit: 20}) ||
		!strings.HasPrefix(a.body, `{"verifications":[{"authenticationId":"`+authID+`"`) || !strings.HasSuffix(a.body, `],"next":"end"}`) {
		t.Errorf("%d %s %+v", a.status, a.body, asked)
	}
	if a := p.ask("GET", sidePath+"?after=end&limit=100&state=used&x=1"); a.body != `{"verifications":[]}` || asked != (otpstore.ListOptions{Limit: 100, After: "end", State: "used"}) {
		t.Errorf("%d %s %+v", a.status, a.body, asked)
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "limit=1&limit=2", "limit=", "state=", "state=gone", "after=1&after=2", "limit=%zz"} {
		if a := p.ask("GET", sidePath+"?"+query); !a.is(400, "INVALID_ARGUMENT") {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

func TestSideAPIHasItsOwnScopeAndMethods(t *testing.T) {
	p := newPlant(t, sided)
	a := p.ask("GET", sidePath, "Authorization", "Bearer sender")
	if !a.is(403, "PERMISSION_DENIED") || !strings.Contains(a.header.Get("WWW-Authenticate"), `scope="otpgw:verifications"`) {
		t.Errorf("%d %s %q", a.status, a.code, a.header.Get("WWW-Authenticate"))
	}
	if a := p.post(sendPath, sendBody); !a.is(403, "PERMISSION_DENIED") {
		t.Errorf("send-code with the side API's scope: %d", a.status)
	}
	for path, allow := range map[string]string{sidePath: "GET", sidePath + "/" + authID: "GET", sidePath + "/" + authID + "/cancel": "POST"} {
		for _, method := range []string{"PUT", "DELETE", "OPTIONS", "HEAD", "X"} {
			if a := p.ask(method, path); a.status != 405 || a.header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
		}
	}
	for _, path := range []string{sidePath + "/", sidePath + "/x/y", "/otpgw/v1", "/otpgw/v2/verifications"} {
		if a := p.ask("GET", path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := p.ask("GET", sidePath, "x-correlator", "a b"); !a.is(400, "INVALID_ARGUMENT") {
		t.Errorf("x-correlator: %d", a.status)
	}
}
