package httpapi_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"otpgw/httpapi"
)

// nobody takes a response as cheaply as can be.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}

// BenchmarkHandler is the cost of one request here: all but net/http's own, the store and the SMSC.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name, path, body, token, logged string
		status                          int
	}{
		{"send-code", sendPath, sendBody, theToken, "none", 200},
		{"send-code-logged", sendPath, sendBody, theToken, httpapi.LoggedAll, 200},
		{"validate-code", verifyPath, verifyBody, theToken, "none", 204},
		{"validate-code-logged", verifyPath, verifyBody, theToken, httpapi.LoggedAll, 204},
		{"bad-body", sendPath, sendBody[:20], theToken, "none", 400},
		{"bad-token", sendPath, sendBody, "bad", "none", 401},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPlant(b)
			p.live.Logged = c.logged
			s, err := httpapi.New(p.cfg, p.live, httpapi.Parts{Codes: p.codes, Sender: p.sender, Numbers: p.directory}, nil, slog.New(slog.NewJSONHandler(io.Discard, nil)))
			if err != nil {
				b.Fatal(err)
			}
			if a := p.post(c.path, c.body, "Authorization", "Bearer "+c.token); a.status != c.status {
				b.Fatalf("%d %s", a.status, a.body)
			}
			r := request(c.path, "", "Authorization", "Bearer "+c.token)
			reader := strings.NewReader(c.body)
			r.Body, r.ContentLength = io.NopCloser(reader), int64(len(c.body))
			w := &nobody{header: http.Header{}}
			h := s.Handler()
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(c.body)
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}
