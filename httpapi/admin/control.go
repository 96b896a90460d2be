package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Verbs are what the operator can ask of a running daemon. They are called concurrently. An error is told to the operator as it
// is; one that wraps ErrRefused is the asker's fault.
type Verbs interface {
	Status(ctx context.Context) Status
	Reload(ctx context.Context) (Reloaded, error)
	// StopSMSC drains the binds of an account and leaves them down until StartSMSC or the end of the process.
	StopSMSC(name string) error
	StartSMSC(name string) error
	// Pause refuses new codes, until it is called with false; codes that were sent can still be checked.
	Pause(paused bool)
	// LogLevel sets the level of the log, for a time or, with 0, until the next reload.
	LogLevel(level string, during time.Duration) error
	// Trace gives what is known of messages: by authenticationId, x-correlator, message id of an SMSC, or number. With reveal the
	// number is shown whole, where it was asked for by the number; nothing else knows it.
	Trace(ctx context.Context, query string, reveal bool) ([]Trace, error)
	// Forget erases what is known of a number, but for what limits further codes to it.
	Forget(ctx context.Context, number string) (Forgotten, error)
	// Backup writes the store's file, as it is at one moment.
	Backup(ctx context.Context, w io.Writer) error
	// SendTest sends a code to number on behalf of a client, or with "" of the first, the way that an application's goes.
	SendTest(ctx context.Context, client, number string) (Sent, error)
	// Running is the configuration in force as a file, or only what is not the default; Pending what a reload would change of it.
	Running(changed bool) string
	Pending(ctx context.Context) (Pending, error)
	// Inspect gives what those look at who mend the daemon: "metrics", "goroutines", "store" or "heap".
	Inspect(what string) ([]byte, error)
}

// ErrRefused says that what was asked for cannot be had: there is no such thing, or it is not valid.
var ErrRefused = errors.New("refused")

// ListenControl listens on a unix socket that the owner and the group of this process may use. A socket that a process that has
// ended left behind is replaced.
func ListenControl(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		conn, alive := net.DialTimeout("unix", path, time.Second)
		if alive == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%s: another process listens there", path)
		}
		if info, stat := os.Lstat(path); stat != nil || info.Mode()&fs.ModeSocket == 0 {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		if l, err = net.Listen("unix", path); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// A Control takes verbs over a unix socket, from root and from the user that it runs as.
type Control struct {
	verbs      Verbs
	log, audit *slog.Logger
}

// NewControl makes the control of verbs. It starts nothing. audit is where it is written down who asked for what.
func NewControl(verbs Verbs, log, audit *slog.Logger) *Control {
	return &Control{verbs: verbs, log: log, audit: audit}
}

// peerKey is the key of a connection's user in its context.
type peerKey struct{}

// Run serves on l, a unix listener, until ctx ends or l fails. It closes l.
func (c *Control) Run(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, &http.Server{
		Handler:     c.Handler(),
		ConnContext: withPeer,
	}, c.log)
}

// A peer is the process at the other end of a socket.
type peer struct {
	uid int
	err error
}

// withPeer adds to the context of conn whose process is at its other end.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if encrypted, is := conn.(*tls.Conn); is {
		conn = encrypted.NetConn()
	}
	return context.WithValue(ctx, peerKey{}, peerOf(conn))
}

// Handler is the control without its listener.
func (c *Control) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { reply(w, c.verbs.Status(r.Context()), nil) })
	mux.HandleFunc("GET /trace", func(w http.ResponseWriter, r *http.Request) {
		query, reveal := r.URL.Query().Get("query"), r.URL.Query().Get("reveal") == "true"
		traces, err := c.verbs.Trace(r.Context(), query, reveal)
		if reveal {
			c.asked(r, "reveal", err, "number", masked(query))
		}
		reply(w, traces, err)
	})
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, r *http.Request) {
		reply(w, c.verbs.Running(r.URL.Query().Get("changed") == "true"), nil)
	})
	mux.HandleFunc("GET /pending", func(w http.ResponseWriter, r *http.Request) {
		pending, err := c.verbs.Pending(r.Context())
		reply(w, pending, err)
	})
	mux.HandleFunc("GET /inspect", func(w http.ResponseWriter, r *http.Request) {
		content, err := c.verbs.Inspect(r.URL.Query().Get("what"))
		reply(w, content, err)
	})
	mux.HandleFunc("POST /send", func(w http.ResponseWriter, r *http.Request) {
		sent, err := c.verbs.SendTest(r.Context(), r.FormValue("client"), r.FormValue("number"))
		c.asked(r, "send", err, "number", masked(r.FormValue("number")), "client", r.FormValue("client"), "id", sent.ID, "status", sent.Status)
		reply(w, sent, err)
	})
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), streamTimeout)
		defer cancel()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(streamTimeout)) // of every real connection
		w.Header().Set("Content-Type", "application/octet-stream")
		err := c.verbs.Backup(ctx, w)
		c.asked(r, "backup", err)
		if err != nil { // some of it may have been sent
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, r *http.Request) {
		done, err := c.verbs.Forget(r.Context(), r.FormValue("number"))
		c.asked(r, "forget", err, "number", masked(r.FormValue("number")))
		reply(w, done, err)
	})
	c.action(mux, "reload", func(r *http.Request) (any, error) { return c.verbs.Reload(r.Context()) })
	c.action(mux, "stop", func(r *http.Request) (any, error) { return nil, c.verbs.StopSMSC(r.FormValue("smsc")) })
	c.action(mux, "start", func(r *http.Request) (any, error) { return nil, c.verbs.StartSMSC(r.FormValue("smsc")) })
	c.action(mux, "pause", func(*http.Request) (any, error) { c.verbs.Pause(true); return nil, nil })
	c.action(mux, "resume", func(*http.Request) (any, error) { c.verbs.Pause(false); return nil, nil })
	c.action(mux, "log-level", func(r *http.Request) (any, error) {
		during, err := time.ParseDuration(r.FormValue("for"))
		if err != nil || during < 0 {
			return nil, fmt.Errorf("%w: for = %q: must be a duration", ErrRefused, r.FormValue("for"))
		}
		return nil, c.verbs.LogLevel(r.FormValue("level"), during)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, known := r.Context().Value(peerKey{}).(peer)
		if !known || p.err != nil || p.uid != 0 && p.uid != os.Getuid() {
			c.audit.Warn("control refused", "uid", p.uid, "path", r.URL.Path, "err", p.err)
			http.Error(w, "only root and the user of the daemon may do that", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// action is a verb that changes something: it is written down with who asked.
func (c *Control) action(mux *http.ServeMux, name string, do func(*http.Request) (any, error)) {
	mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		result, err := do(r)
		c.asked(r, name, err, "smsc", r.FormValue("smsc"), "level", r.FormValue("level"), "for", r.FormValue("for"))
		reply(w, result, err)
	})
}

// asked writes down who asked for what, and why it was refused if it was. Of facts, names and values, those that are "" are left out.
func (c *Control) asked(r *http.Request, action string, err error, facts ...any) {
	p, _ := r.Context().Value(peerKey{}).(peer)
	record(c.audit, "control", err, append([]any{"action", action, "uid", p.uid}, facts...))
}

// record writes one line of who did what.
func record(audit *slog.Logger, message string, err error, facts []any) {
	var attrs []any
	for i := 0; i+1 < len(facts); i += 2 {
		value := facts[i+1]
		if text, is := value.(string); is {
			value = short(text, factOctets)
		}
		if value != "" {
			attrs = append(attrs, facts[i], value)
		}
	}
	if err != nil {
		attrs = append(attrs, "error", short(err.Error(), errorOctets))
	}
	audit.Info(message, attrs...)
}

// How much is written down of what somebody sent, and of an error, which may hold it.
const (
	factOctets  = 64
	errorOctets = 1000
)

// short is s, or its beginning.
func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// masked is a number that may be written down.
func masked(number string) string {
	if len(number) < 8 {
		return "***"
	}
	return number[:3] + strings.Repeat("*", len(number)-5) + number[len(number)-2:]
}

func reply(w http.ResponseWriter, result any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, ErrRefused) {
			status = http.StatusUnprocessableEntity
		}
		http.Error(w, err.Error(), status)
		return
	}
	body, err := json.Marshal(result)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the asker hung up
}
