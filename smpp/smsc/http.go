package smsc

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed page
var pages embed.FS

// Handler serves what the phones received: GET /messages?to=+34600000001 as JSON, newest last, of all phones without
// to; GET / as a page that follows along, also of all phones whose number contains to. POST /control?action=…&name=… is
// [Server.Drop], [Server.Freeze] and [Config.WithProfile] for whoever is on this machine.
func (s *Server) Handler() http.Handler {
	page := template.Must(template.ParseFS(pages, "page/inbox.html")) // it is part of the program
	mux := http.NewServeMux()
	mux.HandleFunc("GET /messages", s.serveMessages)
	mux.HandleFunc("POST /control", s.serveControl)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		to, err := recipient(r.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		messages := s.inbox.matching(strings.TrimSpace(to))
		slices.Reverse(messages) // a phone shows the newest first
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		if err := page.Execute(w, struct {
			To         string
			Messages   []Message
			Found      int
			Binds      []boundSession
			Stats      Stats
			Frozen     bool
			Behaviours []Behaviour
			Profiles   []Profile
		}{to, messages[:min(len(messages), shownMessages)], len(messages), s.binds(), s.Stats(), s.frozen(), Behaviours(), Profiles()}); err != nil {
			s.log.Info("page not written", "error", err)
		}
	})
	for _, asset := range []string{"inbox.js", "inbox.css"} {
		mux.HandleFunc("GET /"+asset, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, pages, "page/"+asset)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store") // texts are codes
		mux.ServeHTTP(w, r)
	})
}

// shownMessages is how many messages the page shows.
const shownMessages = 200

func (s *Server) serveMessages(w http.ResponseWriter, r *http.Request) {
	to, err := recipient(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	messages := s.Messages(to)
	if messages == nil {
		messages = []Message{} // an empty list, not null
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(messages); err != nil {
		s.log.Info("messages not written", "error", err)
	}
}

// recipient is the parameter to of a query. A + in it is a + and no space: it stands in front of phone numbers.
func recipient(query string) (string, error) {
	for pair := range strings.SplitSeq(query, "&") {
		if value, found := strings.CutPrefix(pair, "to="); found {
			number, err := url.PathUnescape(value)
			if err != nil {
				return "", fmt.Errorf("to: %w", err)
			}
			return number, nil
		}
	}
	return "", nil
}
