package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/smpp/smsc"
)

func TestListNamesEverything(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--list"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, p := range smsc.Profiles() {
		if !strings.Contains(out.String(), p.Name) {
			t.Errorf("profile %s is not listed", p.Name)
		}
	}
	for _, b := range smsc.Behaviours() {
		if !strings.Contains(out.String(), b.Suffix+" ") || !strings.Contains(out.String(), b.Description) {
			t.Errorf("behaviour %s is not listed", b.Name)
		}
	}
}

func TestDocumentHasTheTables(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--list"}, &out); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	for table := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n\n") {
		if !strings.Contains(string(document), table) {
			t.Errorf("docs/simulator.md lacks this table of --list:\n%s", table)
		}
	}
}

func TestFlagsChangeTheProfile(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	change := configFlags(flags)
	if err := flags.Parse([]string{
		"--system-id", "otpgw", "--password", "secret", "--bind-status", "RALYBND", "--bind-refusals", "2", "--max-binds", "3",
		"--outbind", "127.0.0.1:2776", "--latency", "300ms", "--rate", "5.5", "--throttled-share", "0.5", "--drop-every", "7",
		"--unbind-every", "8", "--receipt-delay", "0s", "--lost-receipts", "1",
	}); err != nil {
		t.Fatal(err)
	}
	got, _ := smsc.Config{}.WithProfile("slow")
	got.InterfaceVersion = 0x50 // no flag says otherwise
	change(&got)
	want := smsc.Config{
		SystemID: "otpgw", Password: "secret", BindStatus: 5, BindRefusals: 2, MaxBinds: 3, Outbind: "127.0.0.1:2776",
		InterfaceVersion: 0x50, Latency: 300 * time.Millisecond, Rate: 5.5, ThrottledShare: 0.5, DropEvery: 7, UnbindEvery: 8, LostReceipts: 1,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--profile", "nonesuch"}, {"--frobnicate"}, {"surplus"}, {"--bind-status", "ESME_NONESUCH"}, {"--latency", "-1s"}, {"--latency", "5"},
		{"--rate", "NaN"}, {"--throttled-share", "1.5"}, {"--lost-receipts", "-1"}, {"--max-binds", "-1"}, {"--drop-every", "x"},
	} {
		if err := run(t.Context(), args, io.Discard); !errors.As(err, new(usageError)) {
			t.Errorf("%q: %v", args, err)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-profile") {
		t.Errorf("--help: %v, %s", err, out.String())
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &out); err != nil || !strings.HasPrefix(out.String(), "smscsim unversioned (go") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, args := range [][]string{
		{"--listen", l.Addr().String()},
		{"--listen", "127.0.0.1:0", "--http", l.Addr().String()},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// lines hands out what is written to it, a line at a time.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	c    chan string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	for {
		line, rest, found := strings.Cut(l.text.String(), "\n")
		if !found {
			return len(b), nil
		}
		l.text.Reset()
		l.text.WriteString(rest)
		l.c <- line
	}
}

func TestServesUntilItIsTold(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	out := &lines{c: make(chan string, 10)}
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}, out) }()
	if line := <-out.c; !strings.HasPrefix(line, "SMPP  127.0.0.1:") || !strings.HasSuffix(line, "(profile normal)") {
		t.Errorf("first line %q", line)
	}
	inbox, found := strings.CutPrefix(<-out.c, "inbox ")
	if !found {
		t.Fatal("no inbox")
	}
	resp, err := http.Get(inbox + "messages?to=+34600000001")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || strings.TrimSpace(string(body)) != "[]" {
		t.Errorf("%s, %v", body, err)
	}
	if resp, err := http.Post(inbox+"control?action=profile&name=busy", "", nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("control: %+v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}
