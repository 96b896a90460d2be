package smpp

import (
	"errors"
	"testing"
	"time"

	"otpgw/smpp/pdu"
)

func TestSequenceNumbersStayInTheirRange(t *testing.T) {
	for n, want := range map[uint32]uint32{0: 1, 1: 2, 0x7FFFFFFE: 0x7FFFFFFF, 0x7FFFFFFF: 1} {
		if got := nextSequence(n); got != want {
			t.Errorf("after %#x comes %#x, want %#x", n, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	lost := errors.New("lost")
	b := backoff{min: time.Second, max: 30 * time.Second}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		if got := b.next(lost, 29*time.Second, 0.5); got != want*time.Second/2 {
			t.Errorf("attempt %d after %v, want %v", i, got, want*time.Second/2)
		}
	}
	for range 100 {
		if got := b.next(lost, 0, 0.5); got != 15*time.Second {
			t.Fatalf("later attempt after %v, want 15s", got)
		}
	}
	if got := b.next(lost, 30*time.Second, 0.5); got != time.Second/2 {
		t.Errorf("after a steady session %v, want 0.5s", got)
	}
	for status, want := range map[pdu.Status]time.Duration{
		pdu.StatusInvPaswd: time.Minute, pdu.StatusInvSysID: time.Minute, pdu.StatusInvSysTyp: time.Minute,
		pdu.StatusBindFail: time.Minute, pdu.StatusAlyBnd: 5 * time.Second, pdu.StatusSysErr: 0, pdu.StatusThrottled: 0,
	} {
		if got := b.next(&bindError{status: status}, 0, 0); got != want {
			t.Errorf("after %v %v, want %v", status, got, want)
		}
	}
	if got := b.next(errPeerUnbind, time.Hour, 0); got != time.Second {
		t.Errorf("after the peer's unbind %v, want 1s", got)
	}
}

func TestSeatRemembersSlowAnswers(t *testing.T) {
	now := time.Unix(0, 0)
	s := seat{sampled: now}
	s.sample(1, now)
	if s.latency != 1 {
		t.Errorf("latency %v after the first answer, want 1", s.latency)
	}
	s.sample(0.1, now.Add(time.Second))
	if s.latency < 0.9 || s.latency >= 1 {
		t.Errorf("latency %v a second later, want a little less than 1", s.latency)
	}
	s.sample(0.1, now.Add(time.Minute))
	if s.latency > 0.11 {
		t.Errorf("latency %v a minute later, want 0.1", s.latency)
	}
	s.sample(5, now.Add(time.Minute))
	if s.latency != 5 {
		t.Errorf("latency %v after a slow answer, want 5", s.latency)
	}
}
