package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// The journal of systemd, in its own protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. It is written here because slog-journal 0.1.0
// leaves out the newline that ends a value with newlines, and because it and go-systemd send from a socket that is not connected: as long
// as the journal does not read, such a send tries again and again and takes a whole core.
const (
	journalPath    = "/run/systemd/journal/socket"
	journalValue   = 32 << 10 // octets of a value; what is longer is cut
	journalEntry   = 96 << 10 // octets of the attributes of an entry; what is more is left out. A datagram has room for 200 KiB
	journalWait    = 5 * time.Second
	journalProgram = "otpgw"
)

// journal says whether f goes to the journal of systemd: systemd.exec(5), JOURNAL_STREAM.
func journal(f *os.File) bool {
	var s unix.Stat_t
	return unix.Fstat(int(f.Fd()), &s) == nil && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// A journalSocket writes entries to the journal, each as one datagram. One goroutine may write. It is connected, so that it is told when
// there is room again.
type journalSocket struct {
	path string
	conn net.Conn // nil after a failure, until the next entry
}

// dialJournal gives an error where nobody listens at path.
func dialJournal(path string) (*journalSocket, error) {
	s := &journalSocket{path: path}
	return s, s.dial()
}

func (s *journalSocket) dial() error {
	conn, err := net.DialTimeout("unixgram", s.path, journalWait)
	if err != nil {
		return err
	}
	s.conn = conn
	return nil
}

// Write waits for a journal that is busy, for five seconds at most.
func (s *journalSocket) Write(entry []byte) (n int, err error) {
	for range 2 { // anew after a failure: the journal may listen on another socket by now
		if s.conn == nil {
			if err = s.dial(); err != nil {
				return 0, err
			}
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(journalWait)) // fails on a closed connection only, and then Write does
		if n, err = s.conn.Write(entry); err == nil || os.IsTimeout(err) {
			return n, err
		}
		_ = s.conn.Close() // it is of no use any more
		s.conn = nil
	}
	return 0, err
}

func (s *journalSocket) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// A journalHandler writes each record as an entry: MESSAGE is what a text log would say without time and level, MSG the message alone, and
// each attribute has a field of its own.
type journalHandler struct {
	out    io.Writer // is given each entry whole, and keeps none of it
	level  slog.Leveler
	groups []string
	attrs  attributes // of WithAttrs
}

// attributes are encoded twice: as fields of the journal, and as text.
type attributes struct{ fields, text []byte }

var journalBuffers = sync.Pool{New: func() any { return new(attributes) }}

func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	a := journalBuffers.Get().(*attributes)
	defer journalBuffers.Put(a)
	a.text = append(append(a.text[:0], r.Message...), h.attrs.text...)
	a.fields = append(a.fields[:0], h.attrs.fields...)
	r.Attrs(func(attr slog.Attr) bool {
		a.add(h.groups, attr)
		return true
	})
	a.fields = appendField(a.fields, "MSG", r.Message)
	if !r.Time.IsZero() { // the journal's own is that of its receipt
		a.fields = appendField(a.fields, "TIME", r.Time.Format(time.RFC3339Nano))
	}
	a.fields = appendEntry(a.fields, priority(r.Level), cut(string(a.text)))
	_, err := h.out.Write(a.fields)
	return err
}

// appendEntry appends what every entry has.
func appendEntry(b []byte, priority int, message string) []byte {
	b = appendField(b, "MESSAGE", message)
	b = appendField(b, "PRIORITY", strconv.Itoa(priority))
	return appendField(b, "SYSLOG_IDENTIFIER", journalProgram)
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = attributes{slices.Clone(h.attrs.fields), slices.Clone(h.attrs.text)}
	for _, a := range attrs {
		with.attrs.add(h.groups, a)
	}
	return &with
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.groups = append(slices.Clip(h.groups), name)
	}
	return &with
}

// add encodes attr, in groups.
func (a *attributes) add(groups []string, attr slog.Attr) {
	attr.Value = attr.Value.Resolve()
	if attr.Equal(slog.Attr{}) {
		return
	}
	if attr.Value.Kind() == slog.KindGroup {
		if attr.Key != "" {
			groups = append(slices.Clip(groups), attr.Key)
		}
		for _, member := range attr.Value.Group() {
			a.add(groups, member)
		}
		return
	}
	var field, text string
	switch v := attr.Value; v.Kind() {
	case slog.KindDuration:
		field, text = strconv.FormatFloat(v.Duration().Seconds(), 'f', -1, 64), v.String() // as inSeconds does
	case slog.KindTime:
		field = v.Time().Format(time.RFC3339Nano)
		text = field
	default:
		field = cut(v.String())
		text = field
	}
	if len(a.fields)+len(field) > journalEntry {
		return
	}
	key := attr.Key
	if len(groups) > 0 {
		key = strings.Join(groups, ".") + "." + key
	}
	a.fields = appendField(a.fields, fieldName(key), field)
	a.text = append(append(append(a.text, ' '), key...), '=')
	if text == "" || strings.ContainsFunc(text, func(c rune) bool {
		return unicode.IsSpace(c) || c == '"' || c == '=' || c == utf8.RuneError || !unicode.IsPrint(c)
	}) {
		a.text = strconv.AppendQuote(a.text, text)
		return
	}
	a.text = append(a.text, text...)
}

// appendField appends one field: in a line where that is possible, else with its length before it.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	if strings.IndexByte(value, '\n') < 0 {
		b = append(b, '=')
	} else {
		b = append(b, '\n')
		b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	}
	return append(append(b, value...), '\n')
}

// meant are the beginnings of names that mean something to the journal or to systemd (systemd.journal-fields(7)), or to us.
var meant = []string{
	"MESSAGE", "MSG", "TIME", "PRIORITY", "CODE_", "ERRNO", "SYSLOG_", "INVOCATION_ID", "USER_", "DOCUMENTATION", "TID", "UNIT", "OBJECT_", "COREDUMP",
}

// fieldName is the name that an attribute has in the journal, which takes capital letters, digits and underscores, 64 at most. A name
// that has a meaning there, or that it would not take, is set apart by OTPGW_.
func fieldName(key string) string {
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, key)
	if name == "" || name[0] < 'A' || name[0] > 'Z' || slices.ContainsFunc(meant, func(m string) bool { return strings.HasPrefix(name, m) }) {
		name = "OTPGW_" + name
	}
	return name[:min(len(name), 64)]
}

// cut is s without what is too much of it.
func cut(s string) string {
	if len(s) <= journalValue {
		return s
	}
	return strings.ToValidUTF8(s[:journalValue], "") + "…"
}

// journalLost is the entry that says how many are missing.
func journalLost(n int64) []byte {
	return appendEntry(nil, 4, string(bytes.TrimSpace(linesLost(n))))
}
