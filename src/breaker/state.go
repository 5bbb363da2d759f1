package breaker

import (
	"encoding/json"
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
	Disabled                // lets all through and counts nothing until Reset
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"closed", "open", "half-open", "forced-open", "disabled"}[s]
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ErrOpen says that a call was refused.
var ErrOpen = errors.New("breaker open")

// OpenError is why a call was refused; it is an [ErrOpen].
type OpenError struct {
	Name       string
	State      State
	RetryAfter time.Duration // when it may be worth asking again; 0 where unknown
}

// Error names the breaker and its state.
func (e *OpenError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("breaker %s is %s, retry in %v", e.Name, e.State, e.RetryAfter.Round(time.Millisecond))
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
	Late            // the breaker has changed its state since
	Expired         // the lease had ended
)

// Counts is what a breaker has seen since its last transition, within its window.
type Counts struct {
	Calls               uint64 `json:"calls"`
	Failures            uint64 `json:"failures"`
	Slow                uint64 `json:"slow"`
	ConsecutiveFailures uint64 `json:"consecutive_failures"`
}

// Totals count outcomes since the breaker was made; they never shrink.
type Totals struct {
	Successes uint64 `json:"successes"`
	Failures  uint64 `json:"failures"`
	Slow      uint64 `json:"slow"`
	Ignored   uint64 `json:"ignored"`
	Late      uint64 `json:"late"`
	Expired   uint64 `json:"expired"`
	Refused   uint64 `json:"refused"`
}

// Transition is one change of state: the rule that fired and the counts that it fired on.
type Transition struct {
	Breaker    string
	From, To   State
	Rule       string
	At         time.Time
	Generation uint64
	Counts     Counts
	OpenFor    time.Duration // how long it will stay open at least; 0 where it is not
}

// MarshalJSON writes the transition as it goes out on status.core.
func (t Transition) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Breaker    string `json:"breaker"`
		From       State  `json:"from"`
		To         State  `json:"to"`
		Rule       string `json:"rule"`
		Counts     Counts `json:"counts"`
		At         string `json:"at"`
		Generation uint64 `json:"generation"`
		OpenForMS  int64  `json:"open_for_ms,omitempty"`
	}{t.Breaker, t.From, t.To, t.Rule, t.Counts, stamp(t.At), t.Generation, t.OpenFor.Milliseconds()})
}

// stamp writes a time as RFC 3339 in UTC with six digits.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// Snapshot is a breaker as it is now.
type Snapshot struct {
	Name        string
	State       State
	Since       time.Time
	Counts      Counts
	Totals      Totals
	Transitions []Transition // the latest, newest last
}

// MarshalJSON writes the snapshot as status shows it.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name        string       `json:"name"`
		State       State        `json:"state"`
		Since       string       `json:"since"`
		Counts      Counts       `json:"counts"`
		Totals      Totals       `json:"totals"`
		Transitions []Transition `json:"transitions,omitempty"`
	}{s.Name, s.State, stamp(s.Since), s.Counts, s.Totals, s.Transitions})
}
