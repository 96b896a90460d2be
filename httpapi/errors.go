package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"otpgw/httpapi/numbers"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// A problem is one row of the table of errors: what a client is told, as an ErrorInfo (CAMARA OTP 1.1.1), and under
// which reason it is counted and logged. A problem is an error that has no more to say than that.
type problem struct {
	status  int
	code    string
	message string // the specification's text; for INVALID_ARGUMENT with what is wrong
	reason  string
}

func (p *problem) Error() string { return p.reason }

// abuse says that p is what those are told who try numbers or codes, or send more than they may.
func (p *problem) abuse() bool {
	if p == nil {
		return false
	}
	switch p.reason {
	case tooManyCodes.reason, numberLimit.reason, dayLimit.reason, numberDayLimit.reason, tooSoon.reason, tooManyFailures.reason,
		failureShare.reason, quotaExceeded.reason, failedCode.reason, numberBlocked.reason:
		return true
	}
	return false
}

const otpPrefix = "ONE_TIME_PASSWORD_SMS."

// The table. Each answer that is not a success is one of these rows.
var (
	invalidBody       = invalid("body", "the body is not one JSON object with the required members, each a string")
	undeclared        = invalid("undeclared", "the body has a member that is not declared")
	invalidNumber     = invalid("phone_number", "phoneNumber must be + and 5 to 15 digits, the first not 0")
	invalidMessage    = invalid("message", "message must have 1 to 160 characters, {{code}} among them")
	invalidText       = invalid("message_text", "message cannot be sent, or takes more SMS segments than are allowed")
	invalidID         = invalid("authentication_id", "authenticationId must have 1 to 36 characters (in version 2 letters, digits and -)")
	invalidCode       = invalid("code", "code must have 1 to 10 characters")
	invalidKey        = invalid("idempotency_key", "Idempotency-Key must be one value of 1 to 255 printable ASCII characters, in quotes or without quotes and spaces")
	invalidList       = invalid("list", "limit must be 1 to 100, state one of the states, after the next of a page, each at most once")
	invalidCorrelator = invalid("correlator", "x-correlator must be one value of at most 256 letters, digits and - _ : ; . / < > { }")
	bodyTooLong       = invalid("body_too_long", "the body is longer than 16384 octets")
	bodyUnread        = invalid("body_unread", "the body did not arrive whole and in time")

	wrongCode    = &problem{http.StatusBadRequest, otpPrefix + "INVALID_OTP", "The provided OTP is not valid for this authenticationId", "wrong_code"}
	expiredCode  = &problem{http.StatusBadRequest, otpPrefix + "VERIFICATION_EXPIRED", "The authenticationId is no longer valid", "expired"}
	failedCode   = &problem{http.StatusBadRequest, otpPrefix + "VERIFICATION_FAILED", "The maximum number of attempts for this authenticationId was exceeded without providing a valid OTP", "failed"}
	unknownID    = &problem{http.StatusNotFound, "NOT_FOUND", "The specified resource is not found.", "unknown_id"}
	unknownPath  = &problem{http.StatusNotFound, "NOT_FOUND", "The specified resource is not found.", "unknown_path"}
	numberNotOwn = &problem{http.StatusNotFound, "NOT_FOUND", "The specified resource is not found.", "not_own"}

	identifierNotOwn = &problem{http.StatusNotFound, "IDENTIFIER_NOT_FOUND", "Device identifier not found.", "not_own"}

	unauthenticated = &problem{http.StatusUnauthorized, "UNAUTHENTICATED", "Request not authenticated due to missing, invalid, or expired credentials.", "unauthenticated"}
	noScope         = &problem{http.StatusForbidden, "PERMISSION_DENIED", "Client does not have sufficient permissions to perform this action.", "no_scope"}
	noVersion       = &problem{http.StatusForbidden, "PERMISSION_DENIED", "Client does not have sufficient permissions to perform this action.", "no_version"}
	noCertificate   = &problem{http.StatusForbidden, "PERMISSION_DENIED", "Client does not have sufficient permissions to perform this action.", "no_certificate"}
	noClient        = &problem{http.StatusForbidden, "PERMISSION_DENIED", "Client does not have sufficient permissions to perform this action.", "no_client"}

	tooManyCodes        = &problem{http.StatusForbidden, otpPrefix + "MAX_OTP_CODES_EXCEEDED", "Too many OTPs have been requested for this MSISDN. Try later.", "send_limit"}
	numberLimit         = &problem{tooManyCodes.status, tooManyCodes.code, tooManyCodes.message, "number_limit"}
	dayLimit            = &problem{tooManyCodes.status, tooManyCodes.code, tooManyCodes.message, "day_limit"}
	numberDayLimit      = &problem{tooManyCodes.status, tooManyCodes.code, tooManyCodes.message, "number_day_limit"}
	tooSoon             = &problem{tooManyCodes.status, tooManyCodes.code, tooManyCodes.message, "resend_after"}
	tooManyFailures     = &problem{tooManyCodes.status, tooManyCodes.code, tooManyCodes.message, "max_failures"}
	numberNotAllowed    = &problem{http.StatusForbidden, otpPrefix + "PHONE_NUMBER_NOT_ALLOWED", "Phone_number can't receive an SMS due to business reasons in the operator.", "not_allowed"}
	numberLandline      = &problem{numberNotAllowed.status, numberNotAllowed.code, numberNotAllowed.message, "landline"}
	numberRefused       = &problem{numberNotAllowed.status, numberNotAllowed.code, numberNotAllowed.message, "smsc_refused"}
	numberRefusedBefore = &problem{numberNotAllowed.status, numberNotAllowed.code, numberNotAllowed.message, "smsc_refused_before"}
	numberBlocked       = &problem{http.StatusForbidden, otpPrefix + "PHONE_NUMBER_BLOCKED", "Phone_number is blocked to receive SMS due to any blocking business reason in the operator.", "blocked"}

	methodNotAllowed = &problem{http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "The requested method is not allowed/supported on the target resource", "method"}
	notAcceptable    = &problem{http.StatusNotAcceptable, "NOT_ACCEPTABLE", "The server can't produce a response matching the content requested by the client through Accept-* headers", "accept"}
	unsupportedMedia = &problem{http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "The server refuses to accept the request because the payload format is in an unsupported format", "media_type"}
	finishedBefore   = &problem{http.StatusConflict, "CONFLICT", "The verification has ended in another way.", "finished"}
	keyInWork        = &problem{http.StatusConflict, "CONFLICT", "The request with this Idempotency-Key is still in work.", "key_in_work"}
	keyReused        = &problem{http.StatusUnprocessableEntity, "IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key was used for another message to this number.", "key_reused"}
	tooManyRequests  = &problem{http.StatusTooManyRequests, "TOO_MANY_REQUESTS", "Rate limit reached.", "client_rate"}
	clientReading    = &problem{tooManyRequests.status, tooManyRequests.code, tooManyRequests.message, "client_reading"}
	failureShare     = &problem{tooManyRequests.status, tooManyRequests.code, tooManyRequests.message, "failure_share"}
	quotaExceeded    = &problem{http.StatusTooManyRequests, "QUOTA_EXCEEDED", "Out of resource quota.", "quota"}
	quotaAsRate      = &problem{tooManyRequests.status, tooManyRequests.code, tooManyRequests.message, quotaExceeded.reason}

	internal          = &problem{http.StatusInternalServerError, "INTERNAL", "Unknown server error. Typically a server bug.", "internal"}
	requestRefused    = &problem{internal.status, internal.code, internal.message, "request_refused"} // by the SMSC, through our fault
	notRecorded       = &problem{internal.status, internal.code, internal.message, "not_recorded"}    // accepted by the SMSC, not by the store
	overloaded        = &problem{http.StatusServiceUnavailable, "UNAVAILABLE", "Service Unavailable.", "overloaded"}
	paused            = &problem{overloaded.status, overloaded.code, overloaded.message, "paused"}
	authUnavailable   = &problem{overloaded.status, overloaded.code, overloaded.message, "auth_unavailable"}
	lookupUnavailable = &problem{overloaded.status, overloaded.code, overloaded.message, "lookup_unavailable"}
	storeUnavailable  = &problem{overloaded.status, overloaded.code, overloaded.message, "store_unavailable"}
	smscUnavailable   = &problem{overloaded.status, overloaded.code, overloaded.message, "smsc_unavailable"}
	smscBusy          = &problem{overloaded.status, overloaded.code, overloaded.message, "smsc_busy"}
	timeout           = &problem{http.StatusGatewayTimeout, "TIMEOUT", "Request timeout exceeded.", "timeout"}
	outcomeUnknown    = &problem{timeout.status, timeout.code, timeout.message, "outcome_unknown"}
)

func invalid(reason, detail string) *problem {
	return &problem{http.StatusBadRequest, "INVALID_ARGUMENT", "Client specified an invalid argument, request body or query param: " + detail, reason}
}

// retryAfter is what a refusal that will pass tells the client to wait when nothing better is known.
const retryAfter = 5 * time.Second

// problemOf finds the row for what a step returned, and how long the client should wait before it tries again: 0 where
// waiting does not help. An error that no row speaks of is internal.
func problemOf(err error) (*problem, time.Duration) {
	var (
		row         *problem
		wait        *waitError
		limit       *otpstore.LimitError
		unavailable *smpp.UnavailableError
		refused     *smpp.StatusError
		address     *smpp.AddressError
		text        *smpp.TextError
	)
	switch {
	case errors.As(err, &wait):
		return wait.problem, wait.wait
	case errors.As(err, &row):

	case errors.As(err, &limit):
		return limitProblem(limit.Limit), max(limit.RetryAfter, time.Second)
	case errors.Is(err, otpstore.ErrWrongCode):
		row = wrongCode
	case errors.Is(err, otpstore.ErrExpired):
		row = expiredCode
	case errors.Is(err, otpstore.ErrFailed):
		row = failedCode
	case errors.Is(err, otpstore.ErrNotFound):
		row = unknownID
	case errors.Is(err, otpstore.ErrFinished):
		row = finishedBefore
	case errors.Is(err, otpstore.ErrKeyReused):
		row = keyReused
	case errors.Is(err, otpstore.ErrNoOutcome):
		row = outcomeUnknown
	case errors.Is(err, otpstore.ErrCursor):
		row = invalidList
	case errors.Is(err, otpstore.ErrInWork):
		return keyInWork, time.Second
	case errors.Is(err, otpstore.ErrUnavailable):
		row = storeUnavailable

	case errors.As(err, &unavailable):
		return smscUnavailable, max(unavailable.RetryAfter, time.Second)
	case errors.Is(err, smpp.ErrUnavailable):
		row = smscUnavailable
	case errors.Is(err, smpp.ErrUnknown):
		row = outcomeUnknown
	case errors.As(err, &refused):
		if row = refusalProblem(refused.Class); row.status == http.StatusServiceUnavailable && refused.RetryAfter > 0 {
			return row, max(refused.RetryAfter, time.Second)
		}
	case errors.As(err, &text):
		row = invalidText
	case errors.As(err, &address):
		row = requestRefused

	case errors.Is(err, numbers.ErrUnavailable):
		row = lookupUnavailable
	case errors.Is(err, tokens.ErrUnauthenticated):
		row = unauthenticated
	case errors.Is(err, tokens.ErrAuthUnavailable):
		row = authUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		row = timeout
	case errors.Is(err, echo.ErrNotFound):
		row = unknownPath
	case errors.Is(err, echo.ErrMethodNotAllowed):
		row = methodNotAllowed
	default:
		row = internal
	}
	if row.status == http.StatusServiceUnavailable {
		return row, retryAfter
	}
	return row, 0
}

// A waitError is a problem that will have passed after a known time.
type waitError struct {
	problem *problem
	wait    time.Duration
}

func (e *waitError) Error() string { return fmt.Sprintf("%s for %v", e.problem.reason, e.wait) }

// limitProblem is the row of a limit of the store.
func limitProblem(limit string) *problem {
	switch limit {
	case "resend_after":
		return tooSoon
	case "max_failures":
		return tooManyFailures
	case "send_limit":
		return tooManyCodes
	case "day_limit":
		return dayLimit
	case "number_limit":
		return numberLimit
	case "number_day_limit":
		return numberDayLimit
	}
	return quotaExceeded // a budget, over many numbers
}

// refusalProblem is the row for a refusal by the SMSC: the number's fault is told to the client, a passing state of the
// SMSC asks it to come again, and our own fault stays inside. What is for good and neither, vendors' own statuses
// included, says that the number cannot be sent to.
func refusalProblem(class string) *problem {
	switch class {
	case smpp.ClassThrottled:
		return smscBusy
	case smpp.ClassTemporary, smpp.ClassUnavailable:
		return smscUnavailable
	case smpp.ClassSender, smpp.ClassRequest:
		return requestRefused
	}
	return numberRefused
}

// appendJSON appends the ErrorInfo of p, with this text.
func (p *problem) appendJSON(dst []byte, message string) []byte {
	dst = fmt.Appendf(dst, `{"status":%d,"code":"%s","message":`, p.status, p.code)
	dst, _ = jsontext.AppendQuote(dst, message) // fails on invalid UTF-8 only, and the text is ours
	return append(dst, '}')
}
