package pdu_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"otpgw/smpp/pdu"
)

func TestFramesComeWholeHoweverTheyArrive(t *testing.T) {
	var stream []byte
	for _, e := range emitted() {
		stream = append(stream, encode(t, e.header, e.body)...)
	}
	for name, r := range map[string]io.Reader{
		"at once": bytes.NewReader(stream), "octet by octet": iotest.OneByteReader(bytes.NewReader(stream)),
		"end with the last octet": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			reader := pdu.NewReader(r)
			for _, e := range emitted() {
				f, err := reader.Next()
				if err != nil || f.Header != e.header {
					t.Fatalf("%+v, %v; want %+v", f.Header, err, e.header)
				}
				if got, err := pdu.Append(nil, f.Header, (*pdu.Raw)(&f.Body)); err != nil || !bytes.Equal(got, encode(t, e.header, e.body)) {
					t.Fatalf("%s: % x, %v", e.name, got, err)
				}
			}
			if _, err := reader.Next(); err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
		})
	}
}

func TestErrorsOfTheStreamArePassedOn(t *testing.T) {
	whole := encode(t, pdu.Header{Command: pdu.Outbind, Sequence: 1}, &pdu.OutbindBody{SystemID: "smsc"})
	for n := range whole {
		reader := pdu.NewReader(bytes.NewReader(whole[:n]))
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := reader.Next(); err != want {
			t.Errorf("%d of %d octets: %v, want %v", n, len(whole), err, want)
		}
	}
	timeout := errors.New("timeout")
	reader := pdu.NewReader(io.MultiReader(bytes.NewReader(whole[:20]), iotest.ErrReader(timeout)))
	if _, err := reader.Next(); !errors.Is(err, timeout) {
		t.Errorf("error %v", err)
	}
}

// TestWaitEndsWithTheFirstOctet lets a connection tell a quiet peer from one that stops in the middle of a PDU.
func TestWaitEndsWithTheFirstOctet(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	reader := pdu.NewReader(ours)
	octets := encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 3}, nil)
	sent := make(chan error, 1)
	proceed := make(chan struct{})
	go func() {
		defer theirs.Close()
		_, err := theirs.Write(octets[:1])
		<-proceed
		if err == nil {
			_, err = theirs.Write(octets[1:])
		}
		sent <- err
	}()
	if err := reader.Wait(); err != nil || reader.Buffered() != 1 {
		t.Fatalf("Wait: %v, %d octets held", err, reader.Buffered())
	}
	close(proceed)
	if f, err := reader.Next(); err != nil || f.Sequence != 3 || reader.Buffered() != 0 {
		t.Fatalf("%+v, %v, %d octets held", f, err, reader.Buffered())
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := reader.Wait(); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}
