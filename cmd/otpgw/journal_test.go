package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otpgw/smpp/counterpart"
)

// A journalStand stands for the socket of the journal.
type journalStand struct {
	t    testing.TB
	path string
	conn *net.UnixConn
	room []byte // for one datagram
}

func newJournalStand(t testing.TB) *journalStand {
	t.Helper()
	dir, err := os.MkdirTemp("", "jrn") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	j := &journalStand{t: t, path: filepath.Join(dir, "socket"), room: make([]byte, 1<<20)}
	j.listen()
	t.Cleanup(func() { j.conn.Close() })
	return j
}

func (j *journalStand) listen() {
	j.t.Helper()
	var err error
	if j.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.path, Net: "unixgram"}); err != nil {
		j.t.Fatal(err)
	}
}

// next is the next entry, read as the protocol has it.
func (j *journalStand) next() map[string]string {
	j.t.Helper()
	_ = j.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := j.conn.Read(j.room)
	if err != nil {
		j.t.Fatal(err)
	}
	fields, err := parseEntry(j.room[:n])
	if err != nil {
		j.t.Fatalf("%v: %q", err, j.room[:n])
	}
	return fields
}

func parseEntry(b []byte) (map[string]string, error) {
	fields := map[string]string{}
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil, errors.New("the last line has no end")
		}
		line := string(b[:end])
		b = b[end+1:]
		name, value, short := strings.Cut(line, "=")
		if !short {
			if len(b) < 8 {
				return nil, fmt.Errorf("%s has no length", name)
			}
			length := binary.LittleEndian.Uint64(b)
			if b = b[8:]; uint64(len(b)) <= length || b[length] != '\n' {
				return nil, fmt.Errorf("%s does not end where its length says", name)
			}
			value, b = string(b[:length]), b[length+1:]
		}
		if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || name == "" || name[0] == '_' || len(name) > 64 {
			return nil, fmt.Errorf("the journal takes no field %q", name)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s comes twice", name)
		}
		fields[name] = value
	}
	return fields, nil
}

func expectFields(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if v, has := got[name]; !has || v != value {
			t.Errorf("%s=%q, want %q", name, v, value)
		}
	}
}

func TestJournalEntries(t *testing.T) {
	j := newJournalStand(t)
	t.Setenv("JOURNAL_STREAM", streamOf(t, os.Stderr))
	out, form, err := openLog(os.Stderr, "auto", j.path)
	if err != nil || !form.native {
		t.Fatalf("%+v, %v", form, err)
	}
	defer out.(io.Closer).Close()
	level := new(slog.LevelVar)
	log := newLogger(out, form, level).With("component", "httpapi")

	log.Info("request", "client", "acme", "status", 200, "duration", 3*time.Millisecond, "correlator", "a b", "message_id", "7", "_uid", "0", "9to5", "x", "time", "late")
	got := j.next()
	expectFields(t, got, map[string]string{
		"MESSAGE":  `request component=httpapi client=acme status=200 duration=3ms correlator="a b" message_id=7 _uid=0 9to5=x time=late`,
		"PRIORITY": "6", "SYSLOG_IDENTIFIER": "otpgw", "MSG": "request", "COMPONENT": "httpapi", "CLIENT": "acme", "STATUS": "200", "DURATION": "0.003",
		"CORRELATOR": "a b", "OTPGW_MESSAGE_ID": "7", "OTPGW__UID": "0", "OTPGW_9TO5": "x", "OTPGW_TIME": "late",
	})
	if at, err := time.Parse(time.RFC3339Nano, got["TIME"]); err != nil || time.Since(at) > patience {
		t.Errorf("TIME=%s", got["TIME"])
	}

	// What came from outside stays one value, whatever is in it.
	nasty := "one\nPRIORITY=0\n_UID=0\n"
	log.WithGroup("peer").With("a", 1).Error("fault", "error", errors.New(nasty), "é.x", slog.GroupValue(slog.Any("number", masks{})), "", slog.GroupValue(slog.Bool("b", true)))
	expectFields(t, j.next(), map[string]string{
		"MESSAGE":  `fault component=httpapi peer.a=1 peer.error="one\nPRIORITY=0\n_UID=0\n" peer.é.x.number=*** peer.b=true`,
		"PRIORITY": "3", "PEER_A": "1", "PEER_ERROR": nasty, "PEER___X_NUMBER": "***", "PEER_B": "true",
	})
	log.Warn("w")
	expectFields(t, j.next(), map[string]string{"PRIORITY": "4"})
	log.Debug("not to be seen")
	level.Set(slog.LevelDebug)
	log.Debug("d")
	expectFields(t, j.next(), map[string]string{"PRIORITY": "7", "MSG": "d"})

	// No entry is longer than a datagram.
	long := strings.Repeat("ä", journalValue)
	log.Info("long", "a", long, "b", long, "c", long, "d", long, "client", "acme")
	got = j.next()
	expectFields(t, got, map[string]string{"MSG": "long", "A": long[:journalValue] + "…", "CLIENT": "acme"})
	if _, has := got["D"]; has || len(got["MESSAGE"]) > journalValue+len("…") {
		t.Errorf("D is there: %v; MESSAGE has %d octets", has, len(got["MESSAGE"]))
	}
}

// masks is a value that says itself how it is logged.
type masks struct{}

func (masks) LogValue() slog.Value { return slog.StringValue("***") }

// streamOf is what JOURNAL_STREAM says where f leads to the journal.
func streamOf(t *testing.T, f *os.File) string {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

func TestFormOfTheLog(t *testing.T) {
	j := newJournalStand(t)
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, row := range []struct {
		format, stream, socket string
		want                   logForm
		fails                  bool
	}{
		{"auto", "", j.path, logForm{json: true}, false},
		{"json", "", j.path, logForm{json: true}, false},
		{"text", "", j.path, logForm{}, false},
		{"journal", "", j.path, logForm{native: true}, false},
		{"journal", "", j.path + "x", logForm{json: true}, true},
		{"auto", "1:2", j.path, logForm{json: true}, false}, // somebody else's
		{"auto", streamOf(t, f), j.path, logForm{native: true}, false},
		{"auto", streamOf(t, f), j.path + "x", logForm{json: true, priority: true}, true},
		{"json", streamOf(t, f), j.path, logForm{json: true, priority: true}, false},
		{"text", streamOf(t, f), j.path, logForm{priority: true}, false},
	} {
		t.Setenv("JOURNAL_STREAM", row.stream)
		out, form, err := openLog(f, row.format, row.socket)
		if form != row.want || (err != nil) != row.fails || (out == io.Writer(f)) == form.native {
			t.Errorf("%s, %q, %s: %+v, %v", row.format, row.stream, row.socket, form, err)
		}
		if form.native {
			out.(io.Closer).Close()
		}
	}
}

// A journal that does not read holds nobody up, and is told what is missing.
func TestJournalThatDoesNotRead(t *testing.T) {
	j := newJournalStand(t)
	out, form, err := openLog(os.Stderr, "journal", j.path)
	if err != nil {
		t.Fatal(err)
	}
	q := newLogQueue(out, form.lost)
	log := newLogger(q, form, new(slog.LevelVar))
	began := time.Now()
	for i := range 3 * logQueued {
		log.Info("request", "i", i)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	dropped := q.dropped.Load()
	if dropped < logQueued || dropped > 2*logQueued {
		t.Errorf("%d dropped of %d", dropped, 3*logQueued)
	}
	read, told := 0, false
	for int64(read) < 3*logQueued-dropped || !told {
		switch e := j.next(); {
		case e["MSG"] == "request":
			read++
		case strings.Contains(e["MESSAGE"], fmt.Sprintf("%d lines of the log were dropped", dropped)) && e["PRIORITY"] == "4" && e["SYSLOG_IDENTIFIER"] == "otpgw":
			told = true
		default:
			t.Fatalf("read %v", e)
		}
	}
	if n := q.dropped.Load(); n != dropped {
		t.Errorf("%d dropped, of which %d are not told", n, n-dropped)
	}
	q.Close()
}

// A journal that was away is written to again, and what it missed is counted.
func TestJournalThatComesBack(t *testing.T) {
	j := newJournalStand(t)
	out, form, err := openLog(os.Stderr, "journal", j.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.conn.Close(), os.RemoveAll(j.path)); err != nil {
		t.Fatal(err)
	}
	log := newLogger(out, form, new(slog.LevelVar))
	for range 2 {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "away", 0)
		if err := log.Handler().Handle(t.Context(), r); err == nil {
			t.Error("nobody listens, and no error")
		}
	}
	j.listen()
	log.Info("back")
	expectFields(t, j.next(), map[string]string{"MSG": "back"})
	if err := os.Remove(j.path); err != nil { // another journal takes the place of one that did not end
		t.Fatal(err)
	}
	old := j.conn
	j.listen()
	old.Close()
	log.Info("new")
	expectFields(t, j.next(), map[string]string{"MSG": "new"})

	failing := newLogQueue(failingWriter{}, linesLost)
	_, _ = failing.Write([]byte("line\n"))
	failing.Close()
	if n := failing.dropped.Load(); n != 1 {
		t.Errorf("%d lines dropped, one could not be written", n)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// What journalctl finds, in a journal of the test's own.
func TestJournalctlFindsRequests(t *testing.T) {
	counterpart.Need(t, "systemd", "journalctl", "systemd-cat", "unshare")
	const journald = "/usr/lib/systemd/systemd-journald"
	if _, err := os.Stat(journald); err != nil || os.Geteuid() != 0 {
		counterpart.Missing(t, "root and "+journald)
	}
	p := newPlant(t)
	p.kill()
	p.replace(`format = "json"`, `format = "auto"`)
	// systemd sets JOURNAL_STREAM, systemd-cat does not.
	const script = `set -e
mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/journal /run/log
mount -t tmpfs none /run/log && mkdir /run/log/journal
mount --bind "$3" /run/log/journal
` + journald + ` &
until test -S /run/systemd/journal/stdout; do sleep 0.01; done
exec systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$0" serve --config "$1"' "$1" "$2"`
	kept := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-c", script, "sh", program, p.config, kept)
	cmd.Stdout, cmd.Stderr, cmd.Dir = p, p, p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }() // ends with the process, which the end of the test kills
	p.mu.Lock()
	p.proc, p.exit = cmd, exit
	p.mu.Unlock()
	p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })

	id, _ := p.send(number(1))
	find := func(args ...string) (entries []map[string]any) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, "journalctl", append([]string{"--directory=" + kept, "--output=json", "--quiet"}, args...)...).Output()
		if err != nil && len(out) > 0 {
			t.Fatalf("journalctl: %v\n%s", err, out)
		}
		for line := range bytes.Lines(out) {
			var e map[string]any
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			entries = append(entries, e)
		}
		return entries
	}
	var found []map[string]any
	p.await("the entry", func() bool {
		found = find("CLIENT=acme", "ID="+id, "MSG=request")
		return len(found) > 0
	})
	for field, want := range map[string]string{"SYSLOG_IDENTIFIER": "otpgw", "STATUS": "200", "PRIORITY": "6", "_TRANSPORT": "journal"} {
		if found[0][field] != want {
			t.Errorf("%s is %v, want %s", field, found[0][field], want)
		}
	}
	if len(found) != 1 {
		t.Errorf("%d entries for one request", len(found))
	}
	if others := find("CLIENT=nobody"); len(others) > 0 {
		t.Errorf("entries of nobody: %v", others)
	}
	p.await("the receipt", func() bool { return len(find("ID="+id, "MSG=receipt")) == 1 })
}
