package smpp

import (
	"encoding/binary"
	"runtime"
	"time"

	"otpgw/smpp/pdu"
)

// A chunk is a request in a write: its number, and where it ends in the octets of the write.
type chunk struct {
	sequence uint32
	end      int
}

// write puts on the wire what is queued, all of it in one go. It closes the connection at the end.
func (s *session) write() {
	defer s.conn.Close()
	var (
		octets []byte
		chunks []chunk
		more   bool
	)
	for {
		if octets, chunks, more = s.collect(octets[:0], chunks[:0]); !more {
			return
		}
		n, err := s.conn.Write(octets)
		s.wrote(chunks, n, err)
		if err != nil {
			s.end(endWriteError, err)
			return
		}
	}
}

// collect waits for something to write and appends it to octets. A request is registered here, before it is written, so
// that no answer can be early. It returns false when the session ended and nothing is left to say.
func (s *session) collect(octets []byte, chunks []chunk) ([]byte, []chunk, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.control) == 0 && len(s.submits) == 0 && !s.ended {
		s.more.Wait()
		// Others that are about to send get in, and one write does for all.
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	octets = append(octets, s.control...)
	s.control = s.control[:0]
	if s.ended {
		return octets, chunks, len(octets) > 0
	}
	now := time.Now()
	for i, r := range s.submits {
		s.sequence = nextSequence(s.sequence)
		binary.BigEndian.PutUint32(r.octets[12:], s.sequence)
		octets = append(octets, r.octets...)
		r.stage, r.at = writing, now
		s.inflight[s.sequence] = r
		chunks = append(chunks, chunk{sequence: s.sequence, end: len(octets)})
		s.submits[i] = nil
	}
	s.metrics.out[pdu.SubmitSM].Add(float64(len(s.submits)))
	s.submits = s.submits[:0]
	if err := s.conn.SetWriteDeadline(now.Add(s.account.config.WriteTimeout)); err != nil {
		s.log.Debug("write deadline not set", "error", err) // Write will say the same
	}
	return octets, chunks, true
}

// wrote takes note of how much the connection took: a PDU whose last octet it did not take cannot have been understood.
func (s *session) wrote(chunks []chunk, n int, err error) {
	var unsent, lost []*request
	s.mu.Lock()
	for _, c := range chunks {
		r, found := s.inflight[c.sequence] // it may be answered already, and at work for another message
		switch {
		case !found || r.stage != writing:
		case err != nil && c.end > n:
			delete(s.inflight, c.sequence)
			r.stage = finished
			unsent = append(unsent, r)
		case s.ended:
			delete(s.inflight, c.sequence)
			r.stage = finished
			lost = append(lost, r)
		default:
			r.stage = written
		}
	}
	s.mu.Unlock()
	s.fail(unsent, lost)
}
