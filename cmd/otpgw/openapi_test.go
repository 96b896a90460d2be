package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/getkin/kin-openapi/openapi3"
)

// fill types text into the first element of that kind, which a click elsewhere may have made appear.
func fill(selector, text string) chromedp.Action {
	return chromedp.Tasks{chromedp.WaitVisible(selector, chromedp.ByQuery), chromedp.SendKeys(selector, text, chromedp.ByQuery)}
}

// press clicks on the first element of that kind once it is there.
func press(selector string) chromedp.Action {
	return chromedp.Tasks{chromedp.WaitVisible(selector, chromedp.ByQuery), chromedp.Click(selector, chromedp.ByQuery)}
}

// A watch sees what a page asks for and what its browser has to say of it.
type watch struct {
	mu    sync.Mutex // guards the rest
	asked []string
	said  []string
}

func watched(ctx context.Context) *watch {
	w := new(watch)
	chromedp.ListenTarget(ctx, func(event any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			w.asked = append(w.asked, e.Request.URL)
		case *log.EventEntryAdded:
			w.said = append(w.said, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			w.said = append(w.said, e.ExceptionDetails.Error())
		}
	})
	return w
}

// elsewhere are the requests that went neither to one of these origins nor into the page itself.
func (w *watch) elsewhere(origins ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var others []string
requests:
	for _, url := range w.asked {
		for _, o := range append(origins, "data:", "blob:") {
			if strings.HasPrefix(url, o) {
				continue requests
			}
		}
		others = append(others, url)
	}
	return others
}

func TestTryPageInABrowser(t *testing.T) {
	p := newPlant(t)
	here := "http://" + p.admin
	p.stop()
	p.replace("[http]\n", fmt.Sprintf("[http]\norigins = [%q]\n", here))
	p.start()

	ctx := browse(t)
	w := watched(ctx)
	const send = "#operations-Codes-sendCode "
	if err := chromedp.Run(ctx,
		network.Enable(), log.Enable(),
		chromedp.Navigate(here+"/openapi/#v1"),
		seen("#api", "/send-code"),
		seen("#api", "/validate-code"),
		seen("nav", "v0 v1 v2 verifications"),
		press(".auth-wrapper .authorize"),
		fill(".auth-container input", p.token),
		press(".auth-container button[type=submit]"),
		press(".auth-btn-wrapper .btn-done"),
		press(send+".opblock-summary-control"),
		chromedp.Poll(`document.querySelector("#operations-Codes-sendCode textarea")?.value.includes("phoneNumber")`, nil, chromedp.WithPollingTimeout(patience)),
		press(send+".execute"),
		seen(send+".live-responses-table", "authenticationId"),
		seen(send+".live-responses-table", "x-correlator"),
		seen(send+".curl-command", "curl -X 'POST'"),
		picture(t, "openapi.png"),
	); err != nil {
		t.Error(err)
	}
	if n := len(p.smsc.Messages("+34600000001")); n != 1 { // the number of the example
		t.Errorf("%d messages", n)
	}
	var warned bool
	if err := chromedp.Run(ctx,
		chromedp.Navigate(here+"/openapi/#v2"), seen("#api", "2.0.0-rc.2"),
		chromedp.Navigate(here+"/openapi/#verifications"), seen("#api", "/verifications/{authenticationId}/cancel"),
		chromedp.Evaluate(`document.querySelector("#refused").offsetParent !== null`, &warned)); err != nil || warned {
		t.Errorf("%v, warned of http.origins: %v", err, warned)
	}
	if others := w.elsewhere(here, "http://"+p.http); others != nil {
		t.Errorf("the page asks elsewhere: %q", others)
	}
	w.mu.Lock()
	if len(w.said) > 0 {
		t.Errorf("the browser says: %q", w.said)
	}
	w.mu.Unlock()

	// Where the origin is not allowed, the page says what to do, and shows the request as a curl line.
	p.kill() // the browser has connections open that a drain waits for
	p.replace(fmt.Sprintf("origins = [%q]\n", here), "")
	p.start()
	if err := chromedp.Run(ctx,
		chromedp.Navigate("about:blank"),
		chromedp.Navigate(here+"/openapi/#v1"),
		seen("#refused", "http.origins has no "+here),
		press(send+".opblock-summary-control"),
		chromedp.Poll(`document.querySelector("#operations-Codes-sendCode textarea")?.value.includes("phoneNumber")`, nil, chromedp.WithPollingTimeout(patience)),
		press(send+".execute"),
		seen(send+".curl-command", "curl -X 'POST'"),
		seen(send+".live-responses-table", "Failed to fetch"),
	); err != nil {
		t.Error(err)
	}
}

// The daemon's own documents say where it is and what it serves, and the admin listener has nothing else below the path.
func TestDocumentsAreServed(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) { c.http = `versions = ["v1", "v2rc2"]` })
	for path, status := range map[string]int{
		"": 200, "v1.yaml": 200, "v1.json": 200, "v2rc2.yaml": 200, "v2rc2.json": 200, "verifications.yaml": 200, "verifications.json": 200,
		"swagger-ui.css": 200, "swagger-ui-bundle.js": 200, "try.js": 200, "try.css": 200, "favicon-32x32.png": 200,
		"v0.yaml": 404, "v2.json": 404, "x": 404, "common.yaml": 404, "oauth2-redirect.html": 404, "embed.go": 404,
	} {
		resp, err := p.client.Get("http://" + p.admin + "/openapi/" + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %d, want %d, %v", path, resp.StatusCode, status, err)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; ") || !strings.Contains(policy, "connect-src 'self' http://"+p.http+";") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if name, _, is := strings.Cut(path, "."); status == http.StatusOK && is && (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".json")) {
			doc, err := openapi3.NewLoader().LoadFromData(text)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			url, variable := doc.Servers[0].URL, doc.Servers[0].Variables["apiRoot"]
			if variable == nil || variable.Default != "http://"+p.http || name != "verifications" && url != "{apiRoot}/one-time-password-sms/"+name {
				t.Errorf("%s: %s, %v", path, url, variable)
			}
		}
	}
}
