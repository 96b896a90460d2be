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
	for _, c := range []struct{ name, path, body, token string }{
		{"send-code", sendPath, sendBody, theToken},
		{"validate-code", verifyPath, verifyBody, theToken},
		{"bad-body", sendPath, sendBody[:20], theToken},
		{"bad-token", sendPath, sendBody, "bad"},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := newPlant(b)
			s, err := httpapi.New(p.cfg, p.live, httpapi.Parts{Codes: p.codes, Sender: p.sender}, nil, slog.New(slog.DiscardHandler))
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
