package admin

import (
	"context"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
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

// A Page is what the status page shows and does. Verbs that change something need Password to be set, and given.
type Page struct {
	Verbs        Verbs
	History      *History
	Password     Password
	ViewPassword Password     // for those who only look
	Audit        *slog.Logger // is told who did what

	mu     sync.Mutex // guards the rest
	shared frames
}

// frames are what all viewers who have seen as much are told.
type frames struct {
	from, to int64 // times of points
	content  []byte
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
		}{status, p.role(r) == acting})
	}))
	mux.HandleFunc("GET /status/events", p.guarded(p.events))
	mux.HandleFunc("GET /status/trace", p.guarded(func(w http.ResponseWriter, r *http.Request) {
		traces, err := p.Verbs.Trace(r.Context(), r.URL.Query().Get("query"), false)
		reply(w, traces, err)
	}))
	for action, do := range map[string]func(*http.Request) error{
		"stop":   func(r *http.Request) error { return p.Verbs.StopSMSC(r.FormValue("smsc")) },
		"start":  func(r *http.Request) error { return p.Verbs.StartSMSC(r.FormValue("smsc")) },
		"pause":  func(*http.Request) error { p.Verbs.Pause(true); return nil },
		"resume": func(*http.Request) error { p.Verbs.Pause(false); return nil },
	} {
		mux.HandleFunc("POST /status/"+action, p.guarded(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case p.Password.Text == "":
				p.Audit.Warn("page refused", "action", action, "reason", "admin.password is not set", from(r))
				http.Error(w, "admin.password is not set: nothing can be changed from here", http.StatusForbidden)
				return
			case p.role(r) != acting:
				p.Audit.Warn("page refused", "action", action, "reason", "for looking only", from(r))
				http.Error(w, "this password is for looking only", http.StatusForbidden)
				return
			}
			err := do(r)
			user, _, _ := r.BasicAuth()
			who := from(r)
			record(p.Audit, "page", err, []any{"action", action, "user", user, who.Key, who.Value.Any(), "smsc", r.FormValue("smsc")})
			if err != nil {
				reply(w, nil, err)
				return
			}
			http.Redirect(w, r, "/status", http.StatusSeeOther)
		}))
	}
}

// formOctets bounds what a form may be.
const formOctets = 4 << 10

// from says who asks: the user of the process at the other end of a unix socket, else an address.
func from(r *http.Request) slog.Attr {
	if p, known := r.Context().Value(peerKey{}).(peer); known && p.err == nil {
		return slog.Int("uid", p.uid)
	}
	return slog.String("peer", r.RemoteAddr)
}

// guarded asks for the password, if there is one, and keeps other sites out.
func (p *Page) guarded(h http.HandlerFunc) http.HandlerFunc {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Audit.Warn("page refused", "path", r.URL.Path, "reason", "another origin", "origin", short(r.Header.Get("Origin"), factOctets), from(r))
		http.Error(w, "not from another origin", http.StatusForbidden)
	}))
	inner := origins.Handler(h)
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, formOctets)
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		switch {
		case p.role(r) != nobody:
		case len(p.Password.Text)+len(p.ViewPassword.Text) == 0:
			http.Error(w, "without admin.view_password or admin.tls_client_ca the page is shown on the daemon's own host only", http.StatusForbidden)
			return
		default:
			if _, _, tried := r.BasicAuth(); tried { // not who: a password may have been typed there
				p.Audit.Warn("page refused", "reason", "wrong password", from(r))
			}
			header.Set("WWW-Authenticate", `Basic realm="otpgw status", charset="UTF-8"`)
			http.Error(w, "the password of admin.password or admin.view_password is needed", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}
}

// What somebody may do on the page.
const (
	nobody = iota
	viewing
	acting
)

// role is what the password of r allows. Where no password is set those may look who are on this host or have shown a certificate.
func (p *Page) role(r *http.Request) int {
	_, given, _ := r.BasicAuth()
	is := func(password Password) bool {
		return password.Text != "" && subtle.ConstantTimeCompare([]byte(given), []byte(password.Text)) == 1
	}
	switch {
	case is(p.Password):
		return acting
	case is(p.ViewPassword), len(p.Password.Text)+len(p.ViewPassword.Text) == 0 && known(r):
		return viewing
	}
	return nobody
}

// known says that r comes from this host, or with a certificate that was verified.
func known(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if r.RemoteAddr == "" || r.RemoteAddr == "@" { // over a unix socket
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// A frame is what the page is told once a second.
type frame struct {
	Status Status  `json:"status"`
	Points []Point `json:"points"`
	Tables Tables  `json:"tables"`
}

// frameTimeout bounds the time that a viewer may take to read one frame.
const frameTimeout = 10 * time.Second

// frame is what is told to one who has seen the points until last, and the time of the newest in it. It is made once for all who
// have seen as much.
func (p *Page) frame(ctx context.Context, last int64) (content []byte, newest int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	points, tables := p.History.since(last)
	if len(points) == 0 { // before the first second
		points, newest = []Point{}, last
	} else {
		newest = points[len(points)-1].At
		if p.shared.from == last && p.shared.to == newest {
			return p.shared.content, newest, nil
		}
	}
	status := p.Verbs.Status(ctx)
	status.Tables = nil // they stand beside it
	if content, err = json.Marshal(frame{Status: status, Points: points, Tables: tables}); err == nil && len(points) > 0 {
		p.shared = frames{last, newest, content}
	}
	return content, newest, err
}

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
		content, newest, err := p.frame(r.Context(), last)
		if err != nil {
			return
		}
		last = newest
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
