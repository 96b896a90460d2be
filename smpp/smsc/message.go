package smsc

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A Message is a text as the phone shows it, put together from its segments.
type Message struct {
	To         string    `json:"to"` // with + for an international number
	From       string    `json:"from"`
	Text       string    `json:"text"`
	Encoding   string    `json:"encoding"` // "GSM-7" or "UCS-2"
	Segments   int       `json:"segments"`
	ReceivedAt time.Time `json:"receivedAt"`
	MessageID  string    `json:"messageId"` // of the first segment, as in submit_sm_resp
	Receipt    string    `json:"receipt"`   // the state that the receipt tells; "" when none is sent
	Validity   string    `json:"validityPeriod"`
}

// An inbox keeps the messages of all phones, the newest keep of them. It is safe for concurrent use.
type inbox struct {
	keep int

	mu      sync.Mutex // guards what follows
	order   []string   // numbers, in the order in which their messages came
	byPhone map[string][]Message
	changed chan struct{} // closed and replaced at each message
}

func newInbox(keep int) *inbox {
	return &inbox{keep: keep, byPhone: map[string][]Message{}, changed: make(chan struct{})}
}

func (b *inbox) add(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(b.order, m.To)
	b.byPhone[m.To] = append(b.byPhone[m.To], m)
	if len(b.order) > b.keep {
		oldest := b.order[0]
		b.order = b.order[1:]
		if b.byPhone[oldest] = b.byPhone[oldest][1:]; len(b.byPhone[oldest]) == 0 {
			delete(b.byPhone, oldest)
		}
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// to is the messages to a number, newest last; to all of them for "".
func (b *inbox) to(number string) []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number != "" {
		return slices.Clone(b.byPhone[number])
	}
	all := make([]Message, 0, len(b.order))
	for _, messages := range b.byPhone {
		all = append(all, messages...)
	}
	slices.SortStableFunc(all, func(a, b Message) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
	return all
}

// wait blocks until there are n messages to a number; in all for "".
func (b *inbox) wait(ctx context.Context, number string, n int) ([]Message, error) {
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		messages := b.to(number) // what comes in between has closed changed
		if len(messages) >= n {
			return messages, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return messages, ctx.Err()
		}
	}
}
