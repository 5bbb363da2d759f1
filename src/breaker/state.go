package breaker

import (
	"errors"
	"fmt"
	"time"
)

// State is what a breaker does with calls.
type State uint8

// The states. Their numbers are those of the metrics.
const (
	Closed     State = iota // lets all through
	Open                    // refuses all
	HalfOpen                // lets trials through
	ForcedOpen              // refuses all until Reset
	Disabled                // lets all through and counts, but never opens, until Reset
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"closed", "open", "half-open", "forced-open", "disabled"}[s]
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ErrOpen says that a call was refused.
var ErrOpen = errors.New("breaker open")

// OpenError is why a call was refused; it is an [ErrOpen]. Callers share it: it must not be changed.
type OpenError struct {
	Name  string
	State State

	clock       func() time.Duration // the breaker's, where until is when to ask again
	from, until time.Duration        // the open time, or until a half-open breaker's next slot is free
}

// RetryAfter is how long it is from now until it may be worth asking again; 0 where unknown: a trial or a probe is awaited,
// or an operator.
func (e *OpenError) RetryAfter() time.Duration {
	if e.clock == nil {
		return 0
	}
	now := e.clock()
	if now < e.from { // the clock has gone back, and ended the open time
		return 0
	}
	return max(e.until-now, 0)
}

// Error names the breaker and its state.
func (e *OpenError) Error() string {
	if after := e.RetryAfter(); after > 0 {
		return fmt.Sprintf("breaker %s is %s, retry in %v", e.Name, e.State, after.Round(time.Millisecond))
	}
	return fmt.Sprintf("breaker %s is %s", e.Name, e.State)
}

// Is makes every OpenError an [ErrOpen].
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// Outcome is how a call ended.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota
	Failure
	Ignored // neither: the caller gave up
)

// Verdict is what became of an outcome.
type Verdict uint8

// The verdicts.
const (
	Counted Verdict = iota
	Late            // the breaker has changed its state since: it moved nothing
	Expired         // the lease had ended: a trial's result moved nothing, another's counted as a slow call
)
