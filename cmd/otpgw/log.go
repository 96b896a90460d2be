package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"otpgw/config"
)

// A logForm is how lines look.
type logForm struct {
	json     bool
	priority bool // each line begins with its priority, as the journal reads it
}

// formOf is the configured form for what is written to f: "auto" is text where somebody reads along, else JSON.
func formOf(f *os.File, format string) logForm {
	return logForm{json: format == "json" || format == "auto" && !terminal(f), priority: journal(f)}
}

// newLogger writes to w; its level follows level, which may change while it is used.
func newLogger(w io.Writer, form logForm, level *slog.LevelVar) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	out := &levelWriter{Writer: w}
	var h slog.Handler
	if form.json {
		opts.ReplaceAttr = inSeconds
		h = slog.NewJSONHandler(out, opts)
	} else {
		h = slog.NewTextHandler(out, opts)
	}
	if !form.priority {
		return slog.New(h)
	}
	return slog.New(prioritized{h, out})
}

// terminal says whether somebody reads along.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// journal says whether f goes to the journal of systemd: systemd.exec(5), JOURNAL_STREAM.
func journal(f *os.File) bool {
	var s unix.Stat_t
	return unix.Fstat(int(f.Fd()), &s) == nil && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// inSeconds gives durations in JSON the unit that metrics have, not nanoseconds.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// slogLevel is the level that a valid configuration names.
func slogLevel(l config.Log) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo // config.Load accepts only names that slog knows
	}
	return level
}

// A levelWriter puts the priority before each line that the journal is to know it by: sd-daemon(3).
type levelWriter struct {
	io.Writer
	mu     sync.Mutex // guards prefix, for one record
	prefix string
}

func (w *levelWriter) Write(line []byte) (int, error) {
	if w.prefix == "" {
		return w.Writer.Write(line)
	}
	_, err := w.Writer.Write(append([]byte(w.prefix), line...))
	return len(line), err
}

// prioritized is a handler for the journal.
type prioritized struct {
	slog.Handler
	out *levelWriter
}

func (p prioritized) Handle(ctx context.Context, r slog.Record) error {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	switch {
	case r.Level >= slog.LevelError:
		p.out.prefix = "<3>"
	case r.Level >= slog.LevelWarn:
		p.out.prefix = "<4>"
	case r.Level >= slog.LevelInfo:
		p.out.prefix = "<6>"
	default:
		p.out.prefix = "<7>"
	}
	return p.Handler.Handle(ctx, r)
}

func (p prioritized) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prioritized{p.Handler.WithAttrs(attrs), p.out}
}
func (p prioritized) WithGroup(name string) slog.Handler {
	return prioritized{p.Handler.WithGroup(name), p.out}
}

// A logQueue stands between the daemon and where its log goes, so that a log that is not read holds up no request: lines that find no
// room are dropped and counted. It must be closed.
type logQueue struct {
	lines   chan []byte
	missing func(n int64) string // the line that says how many are
	dropped atomic.Int64
	done    chan struct{}
	closing sync.RWMutex // held to write lines, and to close it
	closed  bool
}

const (
	logQueued = 4096 // lines
	logLinger = 2 * time.Second
)

// newLogQueue writes to out until it is closed.
func newLogQueue(out io.Writer) *logQueue {
	return newQueue(out, func(n int64) string {
		return fmt.Sprintf("%d lines of the log were dropped: it is not read fast enough\n", n)
	})
}

func newQueue(out io.Writer, missing func(n int64) string) *logQueue {
	q := &logQueue{lines: make(chan []byte, logQueued), missing: missing, done: make(chan struct{})}
	go func() { // ends when lines is closed; Close waits, but not for a writer that hangs
		defer close(q.done)
		told := int64(0)
		for line := range q.lines {
			_, _ = out.Write(line) // there is nowhere to say that the log cannot be written
			if n := q.dropped.Load(); n > told {
				_, _ = io.WriteString(out, q.missing(n-told)) // likewise
				told = n
			}
		}
	}()
	return q
}

// Write takes a copy of line, or drops it.
func (q *logQueue) Write(line []byte) (int, error) {
	q.closing.RLock()
	defer q.closing.RUnlock()
	if q.closed {
		return len(line), nil
	}
	select {
	case q.lines <- append([]byte(nil), line...):
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes what waits, for two seconds at most.
func (q *logQueue) Close() error {
	q.closing.Lock()
	if !q.closed {
		q.closed = true
		close(q.lines)
	}
	q.closing.Unlock()
	select {
	case <-q.done:
	case <-time.After(logLinger):
	}
	return nil
}

// register tells how many lines were dropped.
func (q *logQueue) register(reg prometheus.Registerer) {
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "otpgw_log_dropped_lines_total",
		Help: "Lines of the log that were dropped, since it was not read fast enough.",
	}, func() float64 { return float64(q.dropped.Load()) }))
}
