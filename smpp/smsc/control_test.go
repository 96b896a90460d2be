package smsc_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

func TestConfigureAppliesAtOnce(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c := bound(t, address)
	c.submit(7, "34600009902", "hello")
	c.answer(7, pdu.StatusOK)
	s.Configure(func(c *smsc.Config) {
		c.ThrottledShare, c.BindStatus, c.BindRefusals, c.FirstID = 1, pdu.StatusAlyBnd, 1, 500
	})
	c.submit(8, "34600009902", "hello")
	c.answer(8, pdu.StatusThrottled)
	dial(t, address).bind(pdu.BindTransceiver, "otpgw", "", pdu.StatusAlyBnd)
	s.Configure(func(c *smsc.Config) { c.ThrottledShare = 0 }) // neither counts refusals nor numbers messages anew
	c.submit(9, "34600009902", "hello")
	if id := c.answer(9, pdu.StatusOK); id != "0000000500" {
		t.Errorf("id %s", id)
	}
	bound(t, address)
}

func TestDropClosesTheConnectionsOfAnAccount(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	first, second := bound(t, address), bound(t, address)
	other := dial(t, address)
	other.bind(pdu.BindTransceiver, "other", "", pdu.StatusOK)
	if n := s.Drop("nobody"); n != 0 {
		t.Errorf("%d dropped", n)
	}
	if n := s.Drop("otpgw"); n != 2 {
		t.Errorf("%d dropped", n)
	}
	first.closed()
	second.closed()
	other.enquire()
	if n := s.Drop(""); n < 1 {
		t.Errorf("%d dropped", n)
	}
	other.closed()
}

func TestFrozenSMSCSaysNothingAndLosesNothing(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c, fresh := bound(t, address), dial(t, address)
	s.Freeze(true)
	s.Freeze(true) // twice is once
	c.submit(7, "34600009902", "hello")
	fresh.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw"})
	c.silent()
	fresh.silent()
	if stats := s.Stats(); stats.Submits != 0 {
		t.Errorf("%+v", stats)
	}
	s.Freeze(false)
	s.Freeze(false)
	c.answer(7, pdu.StatusOK)
	fresh.expect(pdu.BindTransceiverResp, 0, 1)
}

func TestFreezeOutlivesTimeouts(t *testing.T) {
	s := make(chan *smsc.Server, 1)
	inBubbleOf(t, smsc.Config{}, s, func(t *testing.T, c *client) {
		server := <-s
		server.Freeze(true)
		c.write(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
		time.Sleep(61 * time.Minute)
		server.Freeze(false)
		c.expect(pdu.EnquireLinkResp, 0, 9)
	})
}

func TestFrozenSMSCCanEnd(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	bound(t, address).submit(7, "34600000001", "hello")
	s.Freeze(true) // and serve ends it
}

func TestProfilesAreDistinctAndKeepWhoMayBind(t *testing.T) {
	seen := map[string]bool{}
	kept := smsc.Config{SystemID: "otpgw", Password: "secret", FirstID: 7, KeepMessages: 9, Rate: 3}
	for _, p := range smsc.Profiles() {
		if seen[p.Name] || p.Description == "" || p.Config.ReceiptDelay == 0 {
			t.Errorf("%+v", p)
		}
		seen[p.Name] = true
		c, known := kept.WithProfile(p.Name)
		if !known || c.SystemID != "otpgw" || c.Password != "secret" || c.FirstID != 7 || c.KeepMessages != 9 || c.Rate != p.Config.Rate {
			t.Errorf("%s: %+v", p.Name, c)
		}
	}
	if c, known := kept.WithProfile("nonesuch"); known || c.Rate != 3 {
		t.Errorf("%+v", c)
	}
}

// events collects what a Server tells.
type events struct {
	mu  sync.Mutex
	all []smsc.Event
}

func (e *events) observe(event smsc.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// of is what happened of that kind.
func (e *events) of(kind smsc.EventKind) []smsc.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.all), func(event smsc.Event) bool { return event.Kind != kind })
}

func TestEveryMessageAndReceiptIsObserved(t *testing.T) {
	var told events
	_, address := serve(t, smsc.Config{HexIDs: true, FirstID: 255, Observe: told.observe})
	c := bound(t, address)
	c.submit(7, "34600000001", "hello €")
	id := c.answer(7, pdu.StatusOK)
	c.receipt(pdu.StatusRxTAppn)
	c.receipt(pdu.StatusOK)
	c.submit(8, numberFor(t, "bad-destination"), "hello")
	c.answer(8, pdu.StatusInvDstAdr)
	c.submit(9, numberFor(t, "drop-before"), "hello")
	c.closed()

	check := func(kind smsc.EventKind, want ...string) {
		t.Helper()
		var got []string
		for _, e := range told.of(kind) {
			if e.At.IsZero() || e.SystemID != "otpgw" {
				t.Errorf("%+v", e)
			}
			got = append(got, fmt.Sprintf("%d %q/%q %s %q %v %v %d", e.Sequence, e.MessageID, e.ReceiptID, e.Destination, e.Text, e.Status, e.State, e.Attempt))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	if id != "FF" {
		t.Errorf("id %s", id)
	}
	check(smsc.Submitted,
		`7 ""/"" +34600000001 "hello €" ESME_ROK SCHEDULED 0`,
		`8 ""/"" +34600009911 "hello" ESME_ROK SCHEDULED 0`,
		`9 ""/"" +34600009915 "hello" ESME_ROK SCHEDULED 0`)
	check(smsc.Accepted, `7 "FF"/"" +34600000001 "hello €" ESME_ROK SCHEDULED 0`)
	check(smsc.Refused, `8 ""/"" +34600009911 "hello" ESME_RINVDSTADR SCHEDULED 0`)
	check(smsc.Answered,
		`7 "FF"/"" +34600000001 "hello €" ESME_ROK SCHEDULED 0`,
		`8 ""/"" +34600009911 "hello" ESME_RINVDSTADR SCHEDULED 0`)
	check(smsc.ReceiptWritten,
		`1 "FF"/"255" +34600000001 "" ESME_ROK DELIVRD 1`,
		`2 "FF"/"255" +34600000001 "" ESME_ROK DELIVRD 2`)
	check(smsc.ReceiptAcknowledged,
		`1 "FF"/"255" +34600000001 "" ESME_RX_T_APPN DELIVRD 1`,
		`2 "FF"/"255" +34600000001 "" ESME_ROK DELIVRD 2`)
}

func TestControlOverHTTP(t *testing.T) {
	s, address := serve(t, smsc.Config{SystemID: "otpgw"})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	defer http.DefaultClient.CloseIdleConnections()
	post := func(query string, change func(r *http.Request)) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, web.URL+"/control?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(body))
	}
	ok := func(query, want string) {
		t.Helper()
		if status, body := post(query, nil); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	c := bound(t, address)
	ok("action=freeze", "frozen")
	c.write(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
	c.silent()
	ok("action=thaw", "thawed")
	c.expect(pdu.EnquireLinkResp, 0, 9)
	ok("action=profile&name=big-ids", "profile big-ids")
	c.submit(7, "34600009902", "hello")
	if id := c.answer(7, 0); id != "9223372036854775809" {
		t.Errorf("id %s", id)
	}
	dial(t, address).bind(pdu.BindTransceiver, "other", "", pdu.StatusInvSysID)

	for name, change := range map[string]func(r *http.Request){
		"another origin": func(r *http.Request) { r.Header.Set("Origin", "http://example.org") },
		"another site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another name":   func(r *http.Request) { r.Host = "example.org" },
	} {
		if status, _ := post("action=drop", change); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	away := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/control?action=drop", nil) // from 192.0.2.1
	if s.Handler().ServeHTTP(away, r); away.Code != http.StatusForbidden {
		t.Errorf("another machine: %d", away.Code)
	}
	for query, want := range map[string]int{"": http.StatusBadRequest, "action=x": http.StatusBadRequest, "action=profile&name=x": http.StatusNotFound} {
		if status, _ := post(query, nil); status != want {
			t.Errorf("%q: %d", query, status)
		}
	}
	if resp, err := http.Get(web.URL + "/control?action=drop"); err != nil || resp.StatusCode == http.StatusOK {
		t.Errorf("GET: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	c.enquire() // nobody dropped it
	ok("action=drop&name=otpgw", "1 dropped")
	c.closed()
}

func TestPageShowsBindsAndFindsPartsOfNumbers(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c := bound(t, address)
	c.submit(7, "34600000001", "text one")
	c.submit(8, "34600000002", "text two")
	wait(t, s, "", 2)
	get := func(query string) string {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+query, nil))
		return w.Body.String()
	}
	if page := get("?to=00002"); strings.Contains(page, "text one") || !strings.Contains(page, "text two") {
		t.Errorf("page %s", page)
	}
	page := get("")
	for _, want := range []string{"text one", "text two", "<b>otpgw</b> transceiver from " + c.conn.LocalAddr().String(), "2 submits, 2 accepted"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	s.Drop("")
	c.conn.Close()
}
