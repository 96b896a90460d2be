package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"otpgw/config"
)

func TestLogNeverBlocks(t *testing.T) {
	r, w := io.Pipe() // nobody reads yet
	q := newLogQueue(w, linesLost)
	began := time.Now()
	for range 3 * logQueued {
		if _, err := q.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("writing to a log that is not read took %v", took)
	}
	dropped := q.dropped.Load()
	if dropped < logQueued || dropped > 2*logQueued {
		t.Errorf("%d lines dropped of %d", dropped, 3*logQueued)
	}
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		read <- string(all)
	}()
	q.Close()
	w.Close()
	all := <-read
	if n := strings.Count(all, "line\n"); int64(n) != 3*logQueued-dropped {
		t.Errorf("%d lines written, %d dropped", n, dropped)
	}
	if !strings.Contains(all, "lines of the log were dropped") {
		t.Error("it is not said that lines are missing")
	}
	if _, err := q.Write([]byte("late")); err != nil {
		t.Error(err)
	}
}

func TestClosingALogThatHangs(t *testing.T) {
	r, w := io.Pipe()
	q := newLogQueue(w, linesLost)
	q.Write([]byte("line"))
	began := time.Now()
	q.Close()
	if took := time.Since(began); took > 2*logLinger {
		t.Errorf("took %v", took)
	}
	r.Close() // lets it go
	<-q.done
}

func TestJournalPriorities(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	level.Set(slog.LevelDebug)
	log := newLogger(&b, logForm{json: true, priority: true}, level).With("component", "x")
	log.Error("a")
	log.Warn("b")
	log.Info("c")
	log.Debug("d")
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if want := []string{"<3>{", "<4>{", "<6>{", "<7>{"}[i]; !strings.HasPrefix(line, want) || !strings.Contains(line, `"component":"x"`) {
			t.Errorf("%s, want %s", line, want)
		}
	}
}

// A warning that is in no one line of a file names none.
func TestWarningsNameTheirLine(t *testing.T) {
	var b bytes.Buffer
	warn(slog.New(slog.NewTextHandler(&b, nil)), []config.Problem{{File: "f", Line: 3, Key: "a", Message: "m"}, {File: "f", Key: "b", Message: "m"}})
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "key=a problem=m file=f line=3") || !strings.HasSuffix(lines[1], "key=b problem=m file=f") {
		t.Errorf("%q", lines)
	}
}
