package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"otpgw/httpapi/numbers"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// recordTimeout is how long the store may take to record the outcome of a send, whatever is left of the request's time.
const recordTimeout = 5 * time.Second

// pauseRetry is what a client is told to wait while no new codes are sent.
const pauseRetry = 30 * time.Second

// sendCode issues a code for a number and sends it (CAMARA OTP 1.1.1, sendCode).
func (s *Server) sendCode(ctx context.Context, x *exchange) error {
	given, template, err := x.readPair("phoneNumber", "message")
	if err != nil {
		return err
	}
	number, ok := x.version.number(given)
	switch {
	case !ok:
		return invalidNumber
	case !between(template, 1, maxMessage) || !strings.Contains(template, placeholder):
		return invalidMessage
	}
	return s.sendTo(ctx, x, number, template)
}

// sendTo issues a code for a number of the right form and sends it in the text that template makes.
func (s *Server) sendTo(ctx context.Context, x *exchange, number, template string) error {
	x.number = phone(number)
	request, err := s.newRequest(x, number, template)
	if err != nil {
		return err
	}
	if p := x.client.text.judge(template); p != nil {
		return p
	}
	if test, is := x.live.sandbox.find(x.client.ID, number); is {
		return s.pretend(ctx, x, test)
	}
	if err := s.judgeNumber(ctx, x, number); err != nil {
		return err
	}
	if s.paused.Load() {
		return &waitError{paused, pauseRetry}
	}
	template += x.client.text.lastLine
	message := smpp.Message{
		From: x.client.Sender, To: number, Text: render(template, x.client.anyCode),
		Client: x.client.ID, Replace: x.client.Replace,
	}
	if err := s.sender.Check(message); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	issued, err := s.codes.Issue(ctx, request)
	if err != nil {
		x.refusedBy(err)
		return fmt.Errorf("issue: %w", err)
	}
	x.id = issued.ID
	if issued.Replayed {
		x.unsent = true
		s.trace.Add(x.id, time.Time{}, "repeated", "Idempotency-Key", x.correlator)
		x.replyID()
		return nil
	}
	s.trace.Begin(x.id, x.clientID, number, x.number.masked(), x.correlator, x.parent())
	terms := x.client.terms
	s.trace.Add(x.id, time.Time{}, "accepted", fmt.Sprintf("%s  quota %d/%d in %s", x.name, issued.Used, terms.SendLimit, span(terms.SendWindow)))
	message.Ref = issued.ID
	message.Text = render(template, issued.Code)
	message.Validity = issued.ExpiresAt.Sub(s.codes.Now())
	sending, cancel := context.WithTimeout(ctx, message.Validity) // nothing is submitted after its code has expired
	defer cancel()
	accepted, err := s.sender.Send(sending, message)
	if err := s.record(ctx, x, accepted, err); err != nil {
		return err
	}
	x.replyID()
	return nil
}

// newRequest is what the store is asked for.
func (s *Server) newRequest(x *exchange, number, template string) (otpstore.Request, error) {
	r := otpstore.Request{
		Client: x.client.ID, Number: number, Masked: phone(number).masked(), Terms: x.client.terms,
		Budgets: x.live.budgetsFor(x.client, number), Tell: x.client.tell,
	}
	if x.client.Idempotency {
		key, p := idempotencyKey(x.request.Header)
		if p != nil {
			return otpstore.Request{}, p
		}
		r.Key, r.Digest = key, sha256.Sum256([]byte(template))
	}
	return r, nil
}

// judgeNumber is nil when a message may be sent to number.
func (s *Server) judgeNumber(ctx context.Context, x *exchange, number string) error {
	if number[1] == '0' { // of version 0 only: no country's numbers begin so
		return x.version.foreign
	}
	verdict, err := s.numbers.Judge(ctx, number)
	if err != nil {
		return fmt.Errorf("judge number: %w", err)
	}
	switch verdict {
	case numbers.Served:
		return nil
	case numbers.Foreign:
		return x.version.foreign
	case numbers.Landline:
		return numberLandline
	case numbers.Blocked:
		return numberBlocked
	case numbers.Refused:
		return numberRefusedBefore
	default:
		return numberNotAllowed
	}
}

// refusedBy takes down which limit refused.
func (x *exchange) refusedBy(err error) {
	var limit *otpstore.LimitError
	if errors.As(err, &limit) {
		x.limit = limit.Limit
	}
}

// replyID is the success of send-code.
func (x *exchange) replyID() {
	x.reply = append(x.reply, `{"authenticationId":`...)
	x.reply, _ = jsontext.AppendQuote(x.reply, x.id) // fails on invalid UTF-8 only
	x.reply = append(x.reply, '}')
}

// pretend answers for a test number.
func (s *Server) pretend(ctx context.Context, x *exchange, n TestNumber) error {
	s.log.LogAttrs(ctx, slog.LevelWarn, "test number answered, nothing was sent",
		slog.String("client", x.clientID), slog.Any("number", x.number), slog.String("outcome", n.Outcome))
	id, err := s.tests.issue(x.client.ID, n)
	if err != nil {
		if errors.Is(err, numberNotOwn) {
			return x.version.foreign
		}
		return err
	}
	x.id, x.unsent = id, true
	x.replyID()
	return nil
}

func render(template, code string) string { return strings.ReplaceAll(template, placeholder, code) }

// record tells the store how the send ended and returns what the client is to be told: nil only when the SMSC accepted
// the message and the store knows. What cannot be said to be certainly not sent counts as sent and never verifies.
func (s *Server) record(ctx context.Context, x *exchange, accepted smpp.Accepted, failure error) error {
	// The request's time may be up, but the outcome is a fact by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	s.traceSend(x.id, accepted, failure)
	if status := (*smpp.StatusError)(nil); errors.As(failure, &status) && status.Class == smpp.ClassDestination {
		s.numbers.Refused(string(x.number))
	}
	var err error
	switch {
	case failure == nil:
		err = s.codes.Sent(ctx, x.id, otpstore.SendResult{
			SMSC:        accepted.SMSC,
			MessageIDs:  accepted.MessageIDs,
			SubmittedAt: accepted.SubmittedAt,
			AnsweredAt:  accepted.AnsweredAt,
		})
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "message accepted but not recorded",
				slog.String("client", x.clientID),
				slog.String("id", x.id),
				slog.String("smsc", accepted.SMSC),
				slog.Any("message_ids", accepted.MessageIDs),
				slog.String("error", err.Error()))
			return notRecorded
		}
		return nil
	case notSent(failure):
		err = s.codes.Discard(ctx, x.id)
	default:
		err = s.codes.Unknown(ctx, x.id)
	}
	if err != nil { // the reservation stays: it counts, and nobody knows its id
		s.log.LogAttrs(ctx, slog.LevelWarn, "outcome of a send not recorded",
			slog.String("client", x.clientID),
			slog.String("id", x.id),
			slog.String("error", err.Error()))
	}
	return fmt.Errorf("send: %w", failure)
}

// traceSend writes down what the SMSC said.
func (s *Server) traceSend(id string, a smpp.Accepted, failure error) {
	if failure != nil {
		detail := failure.Error()
		if refused := (*smpp.StatusError)(nil); errors.As(failure, &refused) {
			detail = fmt.Sprintf("%s (0x%08X)", detail, refused.Status)
		}
		s.trace.Add(id, time.Time{}, "not accepted", detail)
		return
	}
	segments := "1 segment"
	if a.Segments != 1 {
		segments = fmt.Sprintf("%d segments", a.Segments)
	}
	s.trace.Add(id, a.SubmittedAt, "encoded", a.Encoding+", "+segments)
	s.trace.Add(id, a.SubmittedAt, "submitted", fmt.Sprintf("%s bind %s  seq %d  window %d/%d  try %d", a.SMSC, a.Bind, a.Sequence, a.InFlight, a.Window, a.Tries))
	took := a.AnsweredAt.Sub(a.SubmittedAt).Round(10 * time.Microsecond)
	s.trace.Add(id, a.AnsweredAt, "submit_resp", fmt.Sprintf("ESME_ROK (0x00000000)  id %s  in %v", strings.Join(a.MessageIDs, " "), took), a.MessageIDs...)
}

// span is d without the zeros that its String has at the end: 1h for 1h0m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// notSent says whether the SMSC certainly has no message.
func notSent(err error) bool {
	var (
		refused *smpp.StatusError
		address *smpp.AddressError
		text    *smpp.TextError
	)
	return errors.Is(err, smpp.ErrUnavailable) || errors.As(err, &refused) || errors.As(err, &address) || errors.As(err, &text)
}
