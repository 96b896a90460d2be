package admin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Event is a change of state that the log told of.
type Event struct {
	At    time.Time `json:"at"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

const (
	eventsKept  = 50
	longestText = 300 // octets of an event
)

// Events keeps the latest changes of state in memory. Its methods may be called concurrently.
type Events struct {
	mu   sync.Mutex // guards all
	list []Event    // oldest first
}

// Latest gives them, the newest first.
func (e *Events) Latest() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	latest := slices.Clone(e.list)
	slices.Reverse(latest)
	return latest
}

func (e *Events) add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) >= eventsKept {
		e.list = slices.Delete(e.list, 0, 1)
	}
	e.list = append(e.list, event)
}

// Handler is h that also writes down, as events, the lines from level info on whose message is none of ordinary: those about single
// requests. It writes them down at whatever level h is.
func (e *Events) Handler(h slog.Handler, ordinary ...string) slog.Handler {
	return eventful{Handler: h, events: e, ordinary: ordinary}
}

type eventful struct {
	slog.Handler
	events   *Events
	ordinary []string
	known    string // attributes of the logger, in words
}

// Enabled wants what may be an event, besides what the handler within wants.
func (h eventful) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.Handler.Enabled(ctx, level)
}

func (h eventful) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !slices.Contains(h.ordinary, r.Message) {
		var text strings.Builder
		text.WriteString(r.Message + h.known)
		r.Attrs(func(a slog.Attr) bool {
			text.WriteString(inWords(a))
			return text.Len() < longestText
		})
		said := text.String()
		if len(said) > longestText {
			said = strings.ToValidUTF8(said[:longestText], "") + "…"
		}
		h.events.add(Event{At: r.Time, Level: strings.ToLower(r.Level.String()), Text: said})
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// inWords is an attribute as an event shows it; "" for what says nothing.
func inWords(a slog.Attr) string {
	value := strings.Join(strings.Fields(a.Value.Resolve().String()), " ")
	if value == "" || a.Key == "component" {
		return ""
	}
	return fmt.Sprintf("  %s %s", a.Key, value)
}

func (h eventful) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	for _, a := range attrs {
		h.known += inWords(a)
	}
	return h
}

func (h eventful) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
