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
	"otpgw/config"
)

// A logForm is how lines look.
type logForm struct {
	json     bool
	priority bool // each line begins with its priority, as the journal reads it
	native   bool // no lines, but entries of the journal
}

// openLog is where a log of that format goes and how it looks: "auto" is text where somebody reads along, the journal where f leads there,
// else JSON. Where the journal does not listen at socket, err says why, and lines go to f.
func openLog(f *os.File, format, socket string) (out io.Writer, form logForm, err error) {
	if format == "journal" || format == "auto" && journal(f) {
		s, err := dialJournal(socket)
		if err == nil {
			return s, logForm{native: true}, nil
		}
		return f, logForm{json: true, priority: journal(f)}, err
	}
	return f, logForm{json: format == "json" || format == "auto" && !terminal(f), priority: journal(f)}, nil
}

// newLogger writes to w; its level follows level, which may change while it is used.
func newLogger(w io.Writer, form logForm, level *slog.LevelVar) *slog.Logger {
	if form.native {
		return slog.New(&journalHandler{out: w, level: level})
	}
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

// lost is the line that says how many are missing.
func (f logForm) lost(n int64) []byte {
	if f.native {
		return journalLost(n)
	}
	return linesLost(n)
}

// terminal says whether somebody reads along.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
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

// priority is that of syslog(3).
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// prioritized is a handler for the journal.
type prioritized struct {
	slog.Handler
	out *levelWriter
}

func (p prioritized) Handle(ctx context.Context, r slog.Record) error {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	p.out.prefix = fmt.Sprintf("<%d>", priority(r.Level))
	return p.Handler.Handle(ctx, r)
}

func (p prioritized) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prioritized{p.Handler.WithAttrs(attrs), p.out}
}
func (p prioritized) WithGroup(name string) slog.Handler {
	return prioritized{p.Handler.WithGroup(name), p.out}
}

// A logQueue stands between the daemon and where its log goes, so that a log that is not read holds up no request: lines that find no
// room, and those that cannot be written, are dropped and counted. It must be closed.
type logQueue struct {
	lines   chan []byte
	dropped atomic.Int64
	done    chan struct{}
	closing sync.RWMutex // held to write lines, and to close it
	closed  bool
}

const (
	logQueued = 4096 // lines
	logLinger = 2 * time.Second
)

// newLogQueue writes to out until it is closed; missing is the line that says how many are missing.
func newLogQueue(out io.Writer, missing func(n int64) []byte) *logQueue {
	q := &logQueue{lines: make(chan []byte, logQueued), done: make(chan struct{})}
	go func() { // ends when lines is closed; Close waits, but not for a writer that hangs
		defer close(q.done)
		told := int64(0)
		for line := range q.lines {
			if _, err := out.Write(line); err != nil { // there is nowhere else to say so
				q.dropped.Add(1)
				continue
			}
			if n := q.dropped.Load(); n > told {
				if _, err := out.Write(missing(n - told)); err == nil {
					told = n
				}
			}
		}
	}()
	return q
}

// linesLost is that line in a log of lines.
func linesLost(n int64) []byte {
	return fmt.Appendf(nil, "%d lines of the log were dropped: it is not read fast enough\n", n)
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
		Help: "Lines of the log that were dropped, since it was not read fast enough or could not be written.",
	}, func() float64 { return float64(q.dropped.Load()) }))
}
