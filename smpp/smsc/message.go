package smsc

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

// A Message is a text as the phone shows it, put together from its segments.
type Message struct {
	To         string    `json:"to"` // with + for an international number
	From       string    `json:"from"`
	Text       string    `json:"text"`
	Encoding   string    `json:"encoding"` // "GSM-7", "UCS-2", "Latin-1" or "ASCII"
	Segments   int       `json:"segments"`
	ReceivedAt time.Time `json:"receivedAt"`
	MessageID  string    `json:"messageId"` // of the first segment, as in submit_sm_resp
	Receipt    string    `json:"receipt"`   // the final state that the receipt tells; "" when none is sent
	Validity   string    `json:"validityPeriod"`
	ProtocolID byte      `json:"protocolId"`

	serviceType string
}

// replaceType says whether m replaces older messages of the same type from the same sender (3GPP TS 23.040 §9.2.3.9).
func (m *Message) replaceType() bool { return 0x41 <= m.ProtocolID && m.ProtocolID <= 0x47 }

// replaces says whether the phone shows m in place of an older message, because of its type or because the client asked
// for it (SMPP 3.4 §5.2.18), for which every message here counts as not delivered yet.
func (m *Message) replaces(older *Message, ifPresent bool) bool {
	return m.From == older.From &&
		(m.replaceType() && m.ProtocolID == older.ProtocolID || ifPresent && m.serviceType == older.serviceType)
}

// An inbox keeps the messages of all phones, the newest keep of them. It is safe for concurrent use.
type inbox struct {
	mu      sync.Mutex // guards what follows
	keep    int
	order   []string // numbers, in the order in which their messages came
	byPhone map[string][]Message
	changed chan struct{} // closed and replaced at each message
}

func newInbox(keep int) *inbox {
	return &inbox{keep: keep, byPhone: map[string][]Message{}, changed: make(chan struct{})}
}

// setKeep changes how many messages are kept from the next one on.
func (b *inbox) setKeep(keep int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep = keep
}

// add puts a message on its phone, in place of the newest one that it replaces.
func (b *inbox) add(m Message, ifPresent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ifPresent || m.replaceType() {
		on := b.byPhone[m.To]
		for i := len(on) - 1; i >= 0; i-- {
			if m.replaces(&on[i], ifPresent) {
				b.byPhone[m.To] = slices.Delete(on, i, i+1)
				b.forget(m.To, i)
				break
			}
		}
	}
	b.order = append(b.order, m.To)
	b.byPhone[m.To] = append(b.byPhone[m.To], m)
	for len(b.order) > b.keep {
		oldest := b.order[0]
		b.order = b.order[1:]
		if b.byPhone[oldest] = b.byPhone[oldest][1:]; len(b.byPhone[oldest]) == 0 {
			delete(b.byPhone, oldest)
		}
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// forget takes the nth message to a number, from 0, out of the order. The caller holds mu.
func (b *inbox) forget(number string, nth int) {
	for at, other := range b.order {
		if other != number {
			continue
		}
		if nth == 0 {
			b.order = slices.Delete(b.order, at, at+1)
			return
		}
		nth--
	}
}

// deleted marks the message of that id as one that was cancelled.
func (b *inbox) deleted(to, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.byPhone[to] {
		if m := &b.byPhone[to][i]; m.MessageID == id {
			m.Receipt = pdu.Deleted.String()
		}
	}
}

// to is the messages to a number, newest last; to all of them for "".
func (b *inbox) to(number string) []Message {
	if number == "" {
		return b.matching("")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.byPhone[number])
}

// matching is the messages to numbers that contain part, newest last.
func (b *inbox) matching(part string) []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []Message{}
	for number, messages := range b.byPhone {
		if strings.Contains(number, part) {
			all = append(all, messages...)
		}
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
