package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An audit is where it is written down who did what and what the limits against abuse refused: the file log.audit as JSON lines, or the
// log where there is none, at whatever level that is. Nobody waits for it: what finds no room in its queue is dropped and counted.
type audit struct {
	log   *slog.Logger
	queue *logQueue
	fault *slog.Logger // is told that the file cannot be written
	filed atomic.Bool  // there is a file

	mu     sync.Mutex // guards the rest, and the writing
	file   *os.File   // nil: the log
	failed bool       // the last line could not be written
}

// openAudit opens the file at path, if there is to be one; else what is audited goes to plain. It must be closed.
func openAudit(path string, plain slog.Handler, reg prometheus.Registerer, fault *slog.Logger) (*audit, error) {
	file, err := openAuditFile(path)
	if err != nil {
		return nil, err
	}
	a := &audit{file: file, fault: fault}
	a.filed.Store(file != nil)
	a.queue = newLogQueue(a, func(n int64) []byte {
		return fmt.Appendf(nil, "{\"time\":%q,\"level\":\"WARN\",\"msg\":\"lines of the audit log were dropped\",\"lines\":%d}\n", time.Now().Format(time.RFC3339Nano), n)
	})
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "otpgw_audit_dropped_lines_total",
		Help: "Lines of the audit log that were dropped, since its file was not written fast enough or could not be written.",
	}, func() float64 { return float64(a.queue.dropped.Load()) }))
	a.log = slog.New(auditHandler{audit: a, log: plain.WithAttrs([]slog.Attr{slog.String("component", "audit")}), file: slog.NewJSONHandler(a.queue, nil)})
	return a, nil
}

// openAuditFile opens a file that is appended to and that others cannot read; "" is none.
func openAuditFile(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.Mode().Perm()&0o007 != 0:
		err = fmt.Errorf("%s: has mode %04o, must be closed to others: 0600 or 0640", path, info.Mode().Perm())
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s: %w: not a regular file", path, fs.ErrInvalid)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// swap has what comes next written to file, be it the same under a new inode, and closes the one before.
func (a *audit) swap(file *os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		_ = a.file.Close() // each line of it was written
	}
	a.file = file
	a.filed.Store(file != nil)
}

// Write writes one line to the file. It is the queue's.
func (a *audit) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil { // since this line was queued
		return len(line), nil
	}
	n, err := a.file.Write(line)
	if err != nil && !a.failed { // once, until it can be written again
		a.fault.Error("the audit log cannot be written", "error", err)
	}
	a.failed = err != nil
	return n, err
}

func (a *audit) close() error {
	err := a.queue.Close()
	a.swap(nil)
	return err
}

// An auditHandler writes to the file where there is one, else to the log.
type auditHandler struct {
	audit     *audit
	log, file slog.Handler
}

func (h auditHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h auditHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.audit.filed.Load() {
		return h.file.Handle(ctx, r)
	}
	return h.log.Handle(ctx, r)
}

func (h auditHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return auditHandler{h.audit, h.log.WithAttrs(attrs), h.file.WithAttrs(attrs)}
}

func (h auditHandler) WithGroup(name string) slog.Handler {
	return auditHandler{h.audit, h.log.WithGroup(name), h.file.WithGroup(name)}
}
