package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Config says when a breaker opens and how it comes back. The zero value of a field is the default that its comment names.
type Config struct {
	// Name stands in events and errors. Required.
	Name string
	// Window is how many of the latest calls are judged; 100, at most 10,000.
	Window int
	// MinCalls is how many calls the window must hold before rates are judged; 10.
	MinCalls int
	// FailureRate opens when this share of the window failed, 0 to 1; 0.5. Above 1 it never does.
	FailureRate float64
	// ConsecutiveFailures opens after so many failures in a row; 0: never.
	ConsecutiveFailures int
	// SlowCall makes longer calls slow, SlowRate opens when this share of the window was; SlowCall 0: never. SlowRate 0.5.
	SlowCall time.Duration
	SlowRate float64
	// OpenFor is the first open time; 1 s. It doubles with every failed return, up to OpenMax; 30 s. Each is jittered by 20 %.
	OpenFor, OpenMax time.Duration
	// Lease is how long a permit is valid; 30 s.
	Lease time.Duration
	// Trials is how many calls a half-open breaker lets through at the same time, and how many must succeed; 1.
	Trials int
	// Probe tests the guarded thing while the breaker is open; nil: callers are the trials after the open time.
	// Run must run where it is set.
	Probe func(context.Context) error
	// ProbeTimeout bounds one probe; 1 s. ProbeEvery is the pause after a failed one, where it is more than the open time.
	ProbeTimeout, ProbeEvery time.Duration
	// OnTransition gets every transition, in order, outside any lock. It may call the breaker. May be nil.
	OnTransition func(Transition)
}

func (c *Config) defaults() error {
	def(&c.Window, 100)
	def(&c.MinCalls, min(10, c.Window))
	def(&c.FailureRate, 0.5)
	def(&c.SlowRate, 0.5)
	def(&c.OpenFor, time.Second)
	def(&c.OpenMax, max(30*time.Second, c.OpenFor))
	def(&c.Lease, 30*time.Second)
	def(&c.Trials, 1)
	def(&c.ProbeTimeout, time.Second)
	switch {
	case c.Name == "":
		return errors.New("breaker needs a name")
	case c.Window < 1 || c.Window > 10_000 || c.MinCalls < 1 || c.MinCalls > c.Window:
		return fmt.Errorf("breaker %s: window %d, minimum of calls %d: want 1 to 10,000, and the minimum within the window", c.Name, c.Window, c.MinCalls)
	case c.FailureRate < 0 || c.SlowRate < 0 || c.ConsecutiveFailures < 0 || c.SlowCall < 0:
		return fmt.Errorf("breaker %s: rates, counts and durations must not be negative", c.Name)
	case c.OpenFor < 0 || c.OpenMax < c.OpenFor || c.Lease < 0 || c.Trials < 1 || c.ProbeTimeout < 0 || c.ProbeEvery < 0:
		return fmt.Errorf("breaker %s: open for %v to %v, lease %v, trials %d: want positive, and the cap not below the start", c.Name, c.OpenFor, c.OpenMax, c.Lease, c.Trials)
	}
	return nil
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
