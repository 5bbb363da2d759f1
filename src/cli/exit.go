package cli

import (
	"context"
	"errors"
	"fmt"
	"net"

	"quotes/src/wire"
)

// The exit codes of quotectl. Partial goes before Stale.
const (
	ExitOK      = 0
	ExitError   = 1
	ExitUsage   = 2
	ExitPartial = 3 // coverage below 1, or below what was asked
	ExitStale   = 4 // a price is not live, or older than what was asked
)

// coded is an error with an exit code of its own.
type coded struct {
	code int
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// usagef returns an error of wrong usage.
func usagef(format string, args ...any) error { return &coded{ExitUsage, fmt.Errorf(format, args...)} }

// codeOf returns the exit code that err stands for.
func codeOf(err error) int {
	if err == nil {
		return ExitOK
	}
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code
	}
	switch wire.CodeOf(err) {
	case wire.LowCoverage:
		return ExitPartial
	case wire.TooStale:
		return ExitStale
	}
	return ExitError
}

// peer is one of the two processes that quotectl speaks to.
type peer struct{ name, addr string }

// explain turns what went wrong with a request into what the user can do about it.
func (a *app) explain(p peer, err error) error {
	e, answered := errors.AsType[*wire.Error](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, wire.ErrDown):
		return fmt.Errorf("no answer from %s (%w): is the %s running? try: make run-all, or --%s HOST:PORT", p.addr, innermost(err), p.name, p.name)
	case answered && e.Code == wire.DeadlineExceeded:
		return fmt.Errorf("no answer from the %s at %s within %v: try: quotectl status, or a longer --timeout", p.name, p.addr, a.timeout)
	case errors.Is(err, wire.ErrClosed):
		return fmt.Errorf("%s did not answer as the %s does (%w): check --%s", p.addr, p.name, err, p.name)
	case answered && e.Code == wire.BadSymbol:
		return fmt.Errorf("%w; which there are: quotectl get '*'", err)
	case answered && (e.Code == wire.Unavailable || e.Code == wire.BreakerOpen):
		return fmt.Errorf("%w; what is down: quotectl status", err)
	}
	return err
}

// innermost returns the short end of a network error: "connection refused".
func innermost(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err
	}
	for err = op.Err; ; {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
