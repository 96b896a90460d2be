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
	for _, c := range []struct{ name, path, body, token, logged string }{
		{"send-code", sendPath, sendBody, theToken, "none"},
		{"send-code-logged", sendPath, sendBody, theToken, httpapi.LoggedAll},
		{"validate-code", verifyPath, verifyBody, theToken, "none"},
		{"validate-code-logged", verifyPath, verifyBody, theToken, httpapi.LoggedAll},
		{"bad-body", sendPath, sendBody[:20], theToken, "none"},
		{"bad-token", sendPath, sendBody, "bad", "none"},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPlant(b)
			p.live.Logged = c.logged
			s, err := httpapi.New(p.cfg, p.live, httpapi.Parts{Codes: p.codes, Sender: p.sender, Numbers: p.directory}, nil, slog.New(slog.NewJSONHandler(io.Discard, nil)))
			if err != nil {
				b.Fatal(err)
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
