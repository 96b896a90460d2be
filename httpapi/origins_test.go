package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const tryPage = "https://admin.example.com:9464"

// preflight is what a browser asks before it lets a page call the API.
func preflight(p *plant, origin string) *http.Response {
	r := httptest.NewRequest(http.MethodOptions, sendPath, nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestPagesOfAnAllowedOriginMayCall(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.cfg.Origins = []string{"https://other.example.com", tryPage} })
	resp := preflight(p, tryPage)
	if h := resp.Header; resp.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != tryPage ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") ||
		h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Access-Control-Max-Age") != "600" {
		t.Errorf("preflight: %d %v", resp.StatusCode, h)
	}
	for path, body := range map[string]string{sendPath: sendBody, verifyPath: `{}`, base + "/nothing": ""} { // errors are told too
		a := p.post(path, body, "Origin", tryPage)
		if h := a.header; h.Get("Access-Control-Allow-Origin") != tryPage || h.Get("Vary") != "Origin" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") {
			t.Errorf("%s: %d %v", path, a.status, h)
		}
	}
}

// To pages of other origins, and where none is allowed, the API is as it is without CORS.
func TestOtherOriginsMayNot(t *testing.T) {
	for _, allowed := range [][]string{nil, {tryPage}} {
		p := newPlant(t, func(p *plant) { p.cfg.Origins = allowed })
		for _, origin := range []string{"", "null", "https://evil.example.com", "http://admin.example.com:9464", "https://admin.example.com", tryPage + ".evil.example.com", strings.ToUpper(tryPage)} {
			answers := map[string]answer{
				"preflight": check(t, preflight(p, origin)),
				"request":   p.post(sendPath, sendBody, "Origin", origin),
			}
			for name, a := range answers {
				for header := range a.header {
					if strings.HasPrefix(header, "Access-Control-") {
						t.Errorf("%s from %q, allowed %q: %s", name, origin, allowed, header)
					}
				}
			}
			if answers["preflight"].status != 405 || answers["request"].status != 200 {
				t.Errorf("from %q, allowed %q: %d and %d", origin, allowed, answers["preflight"].status, answers["request"].status)
			}
		}
		r := request(sendPath, "", "Origin", tryPage)
		r.Method = http.MethodOptions // no preflight
		if a := p.do(r); a.status != 405 {
			t.Errorf("OPTIONS: %d", a.status)
		}
	}
}
