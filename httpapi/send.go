package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"otpgw/otpstore"
	"otpgw/smpp"
)

// recordTimeout is how long the store may take to record the outcome of a send, whatever is left of the request's time.
const recordTimeout = 5 * time.Second

// sendCode issues a code for a number and sends it (CAMARA OTP 1.1.1, sendCode).
func (s *Server) sendCode(ctx context.Context, x *exchange) error {
	given, template, err := readPair(x.request.Body, x.request.ContentLength, x.version.closed, "phoneNumber", "message")
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
	x.number = phone(number)
	if number[1] == '0' { // of version 0 only: no country's numbers begin so
		return x.version.foreign
	}
	if p := x.live.numbers.judge(number, x.version.foreign); p != nil {
		return p
	}
	message := smpp.Message{
		From: x.client.Sender, To: number, Text: render(template, x.live.anyCode),
		Client: x.client.ID, Replace: x.client.Replace,
	}
	if err := s.sender.Check(message); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	issued, err := s.codes.Issue(ctx, x.client.ID, number)
	if err != nil {
		return fmt.Errorf("issue: %w", err)
	}
	x.id = issued.ID
	message.Ref = issued.ID
	message.Text = render(template, issued.Code)
	message.Validity = time.Until(issued.ExpiresAt)
	sending, cancel := context.WithDeadline(ctx, issued.ExpiresAt) // nothing is submitted after its code has expired
	defer cancel()
	accepted, err := s.sender.Send(sending, message)
	if err := s.record(ctx, x, accepted, err); err != nil {
		return err
	}
	x.reply = append(x.reply, `{"authenticationId":`...)
	x.reply, _ = jsontext.AppendQuote(x.reply, issued.ID) // fails on invalid UTF-8 only
	x.reply = append(x.reply, '}')
	return nil
}

func render(template, code string) string { return strings.ReplaceAll(template, placeholder, code) }

// record tells the store how the send ended and returns what the client is to be told: nil only when the SMSC accepted
// the message and the store knows. What cannot be said to be certainly not sent counts as sent and never verifies.
func (s *Server) record(ctx context.Context, x *exchange, accepted smpp.Accepted, failure error) error {
	// The request's time may be up, but the outcome is a fact by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
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

// notSent says whether the SMSC certainly has no message.
func notSent(err error) bool {
	var (
		refused *smpp.StatusError
		address *smpp.AddressError
		text    *smpp.TextError
	)
	return errors.Is(err, smpp.ErrUnavailable) || errors.As(err, &refused) || errors.As(err, &address) || errors.As(err, &text)
}
