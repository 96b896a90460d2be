package httpapi

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxBody  = 16 << 10 // octets
	maxDepth = 32       // of nested objects and arrays
)

// A bodyReader reads and decodes one body after the other, without giving away memory in between.
type bodyReader struct {
	octets  [maxBody + 1]byte
	buffer  bytes.Buffer // of octets: the decoder reads it in place
	decoder jsontext.Decoder
}

var bodyReaders = sync.Pool{New: func() any { return new(bodyReader) }}

// readPair reads the two members that an operation has.
func (x *exchange) readPair(first, second string) (string, string, error) {
	own := x.client.reading[x.kind]
	if !own.take() {
		return "", "", &waitError{clientReading, time.Second}
	}
	defer own.giveBack()
	x.bodyRead = true
	return readPair(x.request.Body, x.request.ContentLength, x.version.closed, first, second)
}

// readPair reads a body that is a JSON object and returns two of its members by their exact names. A member that is not
// there is ""; one that is no string is an error, as are duplicate names, invalid UTF-8, nesting deeper than maxDepth,
// anything after the object, and more than maxBody octets. Other members are passed over, or an error where the body is closed.
func readPair(body io.Reader, length int64, closed bool, first, second string) (string, string, error) {
	if length > maxBody {
		return "", "", bodyTooLong
	}
	b := bodyReaders.Get().(*bodyReader)
	n := 0
	var err error
	for n < len(b.octets) && err == nil {
		var more int
		more, err = body.Read(b.octets[n:])
		n += more
	}
	defer b.release(n)
	switch {
	case n == len(b.octets):
		return "", "", bodyTooLong
	case err != io.EOF: // io.ErrUnexpectedEOF above all: a client that hung up in the middle asked for nothing yet
		return "", "", bodyUnread
	}
	return b.decode(b.octets[:n], closed, first, second)
}

// release wipes what the next reader has no business with: the octets held a code or a text.
func (b *bodyReader) release(n int) {
	clear(b.octets[:n])
	bodyReaders.Put(b)
}

func (b *bodyReader) decode(octets []byte, closed bool, first, second string) (firstValue, secondValue string, err error) {
	b.buffer = *bytes.NewBuffer(octets)
	d := &b.decoder
	d.Reset(&b.buffer) // refuses duplicate names and invalid UTF-8 by default
	token, err := d.ReadToken()
	if err != nil || token.Kind() != jsontext.KindBeginObject {
		return "", "", invalidBody
	}
	for {
		name, err := d.ReadToken()
		if err != nil {
			return "", "", invalidBody
		}
		if name.Kind() == jsontext.KindEndObject {
			break
		}
		var value *string
		switch name.String() {
		case first:
			value = &firstValue
		case second:
			value = &secondValue
		default:
			if !skip(d) {
				return "", "", invalidBody
			}
			if closed {
				return "", "", undeclared
			}
			continue
		}
		token, err := d.ReadToken()
		if err != nil || token.Kind() != jsontext.KindString {
			return "", "", invalidBody
		}
		*value = token.String()
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return "", "", invalidBody
	}
	return firstValue, secondValue, nil
}

// skip passes over one value and says whether it was sound and not too deep.
func skip(d *jsontext.Decoder) bool {
	for outside := d.StackDepth(); ; {
		if _, err := d.ReadToken(); err != nil || d.StackDepth() > maxDepth {
			return false
		}
		if d.StackDepth() == outside {
			return true
		}
	}
}
