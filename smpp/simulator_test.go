package smpp_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"otpgw/smpp/pdu"
)

// A simulator answers all connections of a link: submits pairwise in the wrong order, each refuse-th with a refusal, and
// with a receipt for what it takes; it drops the connection at each drop-th. 0 means never.
type simulator struct {
	refuse, drop int64
	quiet        bool // no receipts, answers in order

	submits, sequence   atomic.Int64
	taken, acknowledged sync.Map // of message ids
	serving             sync.WaitGroup
	stop                chan struct{}
}

func newSimulator(l *link) *simulator {
	s := &simulator{stop: make(chan struct{})}
	s.serving.Go(func() {
		for {
			select {
			case conn := <-l.accepted:
				s.serving.Go(func() { s.serve(conn) })
			case <-s.stop:
				return
			}
		}
	})
	return s
}

// wait ends the simulator. All connections must have been closed by the other side.
func (s *simulator) wait() {
	close(s.stop)
	s.serving.Wait()
}

func (s *simulator) serve(conn net.Conn) {
	defer conn.Close()
	reader := pdu.NewReader(conn)
	receipts := make(map[uint32]string)
	var held, out []byte
	add := func(dst []byte, h pdu.Header, body pdu.Body) []byte {
		dst, err := pdu.Append(dst, h, body)
		if err != nil {
			panic(err)
		}
		return dst
	}
	for {
		if reader.Buffered() == 0 && len(out)+len(held) > 0 {
			out = append(out, held...)
			if _, err := conn.Write(out); err != nil {
				return
			}
			out, held = out[:0], held[:0]
		}
		f, err := reader.Next()
		if err != nil {
			return
		}
		answer := pdu.Header{Command: f.Command.Response(), Sequence: f.Sequence}
		switch f.Command {
		case pdu.BindTransceiver:
			out = add(out, answer, &pdu.BindResp{SystemID: "smsc"})
		case pdu.EnquireLink, pdu.Unbind:
			out = add(out, answer, nil)
		case pdu.DeliverSMResp:
			if f.Status == pdu.StatusOK {
				s.acknowledged.Store(receipts[f.Sequence], true)
			}
		case pdu.SubmitSM:
			n := s.submits.Add(1)
			if s.drop > 0 && n%s.drop == 0 {
				return
			}
			if s.refuse > 0 && n%s.refuse == 0 {
				answer.Status = pdu.StatusInvDstAdr
				out = add(out, answer, nil)
				continue
			}
			if s.quiet {
				out = add(out, answer, &pdu.MessageResp{MessageID: "x"})
				continue
			}
			id := fmt.Sprintf("%08x", n)
			s.taken.Store(id, true)
			sequence := uint32(s.sequence.Add(1))
			receipts[sequence] = id
			out = add(out, pdu.Header{Command: pdu.DeliverSM, Sequence: sequence}, receiptFor(id))
			own := add(nil, answer, &pdu.MessageResp{MessageID: id})
			if len(held) == 0 {
				held = append(held, own...)
			} else {
				out = append(append(out, own...), held...)
				held = held[:0]
			}
		}
	}
}
