package admin

import (
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

//go:embed page
var pageFiles embed.FS

// pages is the status page as it is before the first second.
var pages = template.Must(template.ParseFS(pageFiles, "page/status.html"))

// watchersAllowed bounds how many look at the page at once.
const watchersAllowed = 50

// contentPolicy lets the page load nothing but its own style and script, and speak to nobody but its own server.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// A Page is what the status page shows and does. Verbs that change something need Password to be set.
type Page struct {
	Verbs    Verbs
	History  *History
	Password Password
}

// mount adds the page to mux.
func (p *Page) mount(mux *http.ServeMux) {
	file := func(name, kind string) {
		mux.HandleFunc("GET /status/"+name, p.guarded(func(w http.ResponseWriter, _ *http.Request) {
			content, err := pageFiles.ReadFile("page/" + name)
			if err != nil {
				http.Error(w, "not found", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(content) // the viewer is gone
		}))
	}
	file("status.css", "text/css; charset=utf-8")
	file("status.js", "text/javascript; charset=utf-8")
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/status", http.StatusSeeOther) })
	mux.HandleFunc("GET /status", p.guarded(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		status := p.Verbs.Status(r.Context())
		_ = pages.Execute(w, struct {
			Status
			Actions bool
		}{status, len(p.Password) > 0})
	}))
	mux.HandleFunc("GET /status/events", p.guarded(p.events))
	mux.HandleFunc("GET /status/trace", p.guarded(func(w http.ResponseWriter, r *http.Request) {
		traces, err := p.Verbs.Trace(r.Context(), r.URL.Query().Get("query"))
		reply(w, traces, err)
	}))
	for action, do := range map[string]func(*http.Request) error{
		"stop":   func(r *http.Request) error { return p.Verbs.StopSMSC(r.FormValue("smsc")) },
		"start":  func(r *http.Request) error { return p.Verbs.StartSMSC(r.FormValue("smsc")) },
		"pause":  func(*http.Request) error { p.Verbs.Pause(true); return nil },
		"resume": func(*http.Request) error { p.Verbs.Pause(false); return nil },
	} {
		mux.HandleFunc("POST /status/"+action, p.guarded(func(w http.ResponseWriter, r *http.Request) {
			if len(p.Password) == 0 {
				http.Error(w, "admin.password is not set: nothing can be changed from here", http.StatusForbidden)
				return
			}
			if err := do(r); err != nil {
				reply(w, nil, err)
				return
			}
			http.Redirect(w, r, "/status", http.StatusSeeOther)
		}))
	}
}

// guarded asks for the password, if there is one, and keeps other sites out.
func (p *Page) guarded(h http.HandlerFunc) http.HandlerFunc {
	origins := http.NewCrossOriginProtection()
	inner := origins.Handler(h)
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		if len(p.Password) > 0 {
			if _, given, ok := r.BasicAuth(); !ok || subtle.ConstantTimeCompare([]byte(given), p.Password) != 1 {
				header.Set("WWW-Authenticate", `Basic realm="otpgw status", charset="UTF-8"`)
				http.Error(w, "the password of admin.password is needed", http.StatusUnauthorized)
				return
			}
		}
		inner.ServeHTTP(w, r)
	}
}

// A frame is what the page is told once a second.
type frame struct {
	Status Status  `json:"status"`
	Points []Point `json:"points"`
	Tables Tables  `json:"tables"`
}

// frameTimeout bounds the time that a viewer may take to read one frame.
const frameTimeout = 10 * time.Second

// events tells the page what the daemon is at, first all of its history, then once a second (server-sent events, HTML 9.2).
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	news, done, ok := p.History.watch()
	if !ok {
		http.Error(w, "too many look at the page already", http.StatusServiceUnavailable)
		return
	}
	defer done()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	last := int64(0)
	for {
		points, tables := p.History.since(last)
		if len(points) > 0 {
			last = points[len(points)-1].At
		}
		if points == nil {
			points = []Point{}
		}
		content, err := json.Marshal(frame{Status: p.Verbs.Status(r.Context()), Points: points, Tables: tables})
		if err != nil {
			return
		}
		if err := control.SetWriteDeadline(time.Now().Add(frameTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", content); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}
