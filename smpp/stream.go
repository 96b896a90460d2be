package smpp

import (
	"net"
	"time"

	"otpgw/smpp/pdu"
)

// A stream is the connection as the reader of PDUs sees it: one may begin whenever it likes, but must then end in time.
type stream struct {
	conn         net.Conn
	timeout      time.Duration // for a PDU that has begun to be all there
	begun, armed bool
}

func (s *stream) next(r *pdu.Reader) (pdu.Frame, error) {
	s.begun = false
	if s.armed {
		s.armed = false
		if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
			return pdu.Frame{}, err
		}
	}
	if err := r.Wait(); err != nil {
		return pdu.Frame{}, err
	}
	s.begun = true
	return r.Next()
}

// Read sets a deadline only when a PDU has not come in one piece, which is rare.
func (s *stream) Read(p []byte) (int, error) {
	if s.begun && !s.armed {
		s.armed = true
		if err := s.conn.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
			return 0, err
		}
	}
	return s.conn.Read(p)
}
