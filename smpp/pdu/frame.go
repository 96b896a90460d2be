package pdu

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	headerLength = 16
	// MaxLength is the longest PDU that is read or written, in octets with its header: room for a message_payload of
	// 64 KiB and everything around it. SMPP 3.4 knows no limit.
	MaxLength = 70_000
)

// A LengthError is a command_length that cannot be: what follows it in the stream cannot be told apart any more, and
// the connection has to be closed. The header is what stood behind the length.
type LengthError struct {
	Header
	Length uint32
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("command_length %d of %v: must be %d..%d", e.Length, e.Command, headerLength, MaxLength)
}

// A Reader cuts a stream into frames (SMPP 3.4 §2.6.1). It is for one goroutine.
type Reader struct {
	buffer *bufio.Reader
	header [headerLength]byte
}

// NewReader reads from r. It may read ahead of the frames that it returned.
func NewReader(r io.Reader) *Reader {
	return &Reader{buffer: bufio.NewReaderSize(r, 16<<10)}
}

// Buffered is how many octets have been read ahead of the frame that Next returned last: more than 0 where another has
// begun to come.
func (r *Reader) Buffered() int { return r.buffer.Buffered() }

// Wait blocks until at least one octet of the next frame is there. Between Wait and Next a deadline for the rest of the
// frame can be set.
func (r *Reader) Wait() error {
	_, err := r.buffer.Peek(1)
	return err
}

// Next returns the next frame. Errors are io.EOF where the stream ends between two frames, io.ErrUnexpectedEOF where it
// ends inside of one, a *LengthError, or the error of the stream. No memory is taken for a body before its length has
// been checked. After an error the Reader is of no more use.
func (r *Reader) Next() (Frame, error) {
	if _, err := io.ReadFull(r.buffer, r.header[:]); err != nil {
		return Frame{}, err
	}
	length := binary.BigEndian.Uint32(r.header[0:])
	f := Frame{Header: Header{
		Command:  Command(binary.BigEndian.Uint32(r.header[4:])),
		Status:   Status(binary.BigEndian.Uint32(r.header[8:])),
		Sequence: binary.BigEndian.Uint32(r.header[12:]),
	}}
	if length < headerLength || length > MaxLength {
		return Frame{}, &LengthError{Header: f.Header, Length: length}
	}
	if length == headerLength {
		return f, nil
	}
	f.Body = make([]byte, length-headerLength)
	if _, err := io.ReadFull(r.buffer, f.Body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return f, nil
}
