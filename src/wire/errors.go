package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quotes/src/quote"
)

// Code says what went wrong, for programs.
type Code string

// The error codes.
const (
	BadRequest       Code = "bad_request"
	BadSymbol        Code = "bad_symbol" // malformed or unknown
	TooLarge         Code = "too_large"
	DeadlineExceeded Code = "deadline_exceeded"
	BreakerOpen      Code = "breaker_open"
	Unavailable      Code = "unavailable"
	Moved            Code = "moved"
	StaleEpoch       Code = "stale_epoch"
	LowCoverage      Code = "low_coverage"
	TooStale         Code = "too_stale"
	NotAuthorized    Code = "not_authorized"
	Internal         Code = "internal"
)

// Error is the payload of an ERROR frame. RetryAfterMS, where not 0, says when it is worth trying again.
// Report is the incomplete report behind low_coverage and too_stale.
type Error struct {
	Code         Code            `json:"code"`
	Message      string          `json:"message"`
	RetryAfterMS int64           `json:"retry_after_ms,omitempty"`
	Report       json.RawMessage `json:"report,omitempty"`
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// RetryAfter is RetryAfterMS as breakers ask for it, 0 where unknown.
func (e *Error) RetryAfter() time.Duration {
	return time.Duration(min(max(e.RetryAfterMS, 0), maxRetry.Milliseconds())) * time.Millisecond
}

// Is reports whether target is an [*Error] of the same code without a message: errors.Is(err, &Error{Code: Moved}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Code == e.Code
}

// Errorf returns an [*Error] with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError finds the [*Error] that err stands for: itself where it is one, deadline_exceeded for a passed deadline,
// bad_symbol and bad_request for what package quote refuses, else internal.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	code := Internal
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = DeadlineExceeded
	case errors.Is(err, context.Canceled), errors.Is(err, ErrClosed), errors.Is(err, ErrDown):
		code = Unavailable
	case errors.Is(err, quote.ErrBadSymbol), errors.Is(err, quote.ErrBadTopic):
		code = BadSymbol
	case errors.Is(err, quote.ErrBadDecimal), errors.Is(err, quote.ErrBadTime), errors.Is(err, quote.ErrBadRecord):
		code = BadRequest
	}
	return &Error{Code: code, Message: err.Error()}
}

// CodeOf returns the code that err stands for, as [AsError] finds it; it is empty for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

// maxMessage bounds the message of an ERROR frame, in bytes: it may repeat what a client sent.
const maxMessage = 1 << 10

// ErrorFrame returns the ERROR frame for err. A message of more than 1 KiB is cut.
func ErrorFrame(err error) Frame {
	e := *AsError(err)
	e.Message = clip(e.Message, maxMessage)
	return Make(TypeError, e)
}
