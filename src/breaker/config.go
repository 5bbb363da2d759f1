package breaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of a Config.
const (
	maxWindow     = 10_000
	minWindowTime = time.Second
	maxWindowTime = time.Hour
)

// Config says when a breaker opens and how it comes back. The zero value of a field is the default that its comment names.
type Config struct {
	// Name stands in events and errors. Required.
	Name string

	// Window is how many of the latest calls are judged; 100, at most 10,000.
	Window int
	// WindowTime judges the calls of the latest such time instead, to a tenth of it; 1 s to 1 h. 0: Window holds.
	WindowTime time.Duration
	// MinCalls is how many calls the window must hold before rates are judged; 10, or the whole of a smaller Window.
	MinCalls int
	// FailureRate opens when this share of the window failed; 0.5. Above 1 it never does.
	FailureRate float64
	// ConsecutiveFailures opens after so many failures in a row; 0: never.
	ConsecutiveFailures int
	// SlowCall is what makes a call slow, at most Lease; Lease.
	SlowCall time.Duration
	// SlowRate opens when this share of the window was slow; 0.5. Above 1 it never does.
	SlowRate float64

	// OpenFor is the first open time; 1 s. It doubles with every failed return, up to OpenMax; 30 s. Each is jittered by 20 %.
	OpenFor, OpenMax time.Duration
	// RetryAfterMax bounds what a server may ask for; 5 min. What it asks for lengthens the open time, beyond OpenMax too.
	RetryAfterMax time.Duration
	// Lease is how long a permit is valid; 30 s. Set it above the longest time that a call may take.
	Lease time.Duration
	// Trials is how many calls a half-open breaker lets through at the same time at first, and how many must succeed; 1.
	Trials int
	// NoRamp closes when the first trials have succeeded, whatever the concurrency was when the breaker opened.
	NoRamp bool

	// Probe tests the guarded thing while the breaker is open; nil: callers are the trials after the open time. It is given
	// its own deadline and must heed it. Run must run where it is set.
	Probe func(context.Context) error
	// ProbeTimeout bounds one probe; 1 s. ProbeEvery is the pause after a failed one, where it is more than the open time.
	ProbeTimeout, ProbeEvery time.Duration
	// IdleAfter ends probing when no call was asked for in that time; the next one refused starts it again; 1 min.
	IdleAfter time.Duration

	// OnTransition gets every transition, in order, outside any lock, on the goroutine that caused it or on one that is
	// telling an earlier one. It may call the breaker. May be nil.
	OnTransition func(Transition)
	// Clock is the time since any start, for simulations; nil: the monotonic clock. Run waits by the real one.
	Clock func() time.Duration
}

func (c *Config) defaults() error {
	c.Window = cmp.Or(c.Window, 100)
	least := 10
	if c.WindowTime == 0 {
		least = min(least, c.Window)
	}
	c.MinCalls = cmp.Or(c.MinCalls, least)
	c.FailureRate = cmp.Or(c.FailureRate, 0.5)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.SlowCall = cmp.Or(c.SlowCall, c.Lease)
	c.SlowRate = cmp.Or(c.SlowRate, 0.5)
	c.OpenFor = cmp.Or(c.OpenFor, time.Second)
	c.OpenMax = cmp.Or(c.OpenMax, max(30*time.Second, c.OpenFor))
	c.RetryAfterMax = cmp.Or(c.RetryAfterMax, 5*time.Minute)
	c.Trials = cmp.Or(c.Trials, 1)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, time.Second)
	c.IdleAfter = cmp.Or(c.IdleAfter, time.Minute)
	switch {
	case c.Name == "":
		return errors.New("breaker needs a name")
	case c.Window < 1 || c.Window > maxWindow:
		return fmt.Errorf("breaker %s: window of %d calls: want 1 to %d", c.Name, c.Window, maxWindow)
	case c.MinCalls < 1 || c.WindowTime == 0 && c.MinCalls > c.Window:
		return fmt.Errorf("breaker %s: minimum of %d calls: want 1 or more, and within the window of %d", c.Name, c.MinCalls, c.Window)
	case c.WindowTime != 0 && (c.WindowTime < minWindowTime || c.WindowTime > maxWindowTime):
		return fmt.Errorf("breaker %s: window of %v: want %v to %v", c.Name, c.WindowTime, minWindowTime, maxWindowTime)
	case c.FailureRate < 0 || c.SlowRate < 0 || c.ConsecutiveFailures < 0 || c.Trials < 1:
		return fmt.Errorf("breaker %s: counts and rates must not be negative", c.Name)
	case c.Lease < 0 || c.SlowCall < 0 || c.SlowCall > c.Lease:
		return fmt.Errorf("breaker %s: slow from %v, lease %v: want positive, and calls to be slow within their lease", c.Name, c.SlowCall, c.Lease)
	case c.OpenFor < 0 || c.OpenMax < c.OpenFor || c.RetryAfterMax < 0:
		return fmt.Errorf("breaker %s: open for %v to %v: want positive, and the cap not below the start", c.Name, c.OpenFor, c.OpenMax)
	case c.ProbeTimeout < 0 || c.ProbeEvery < 0 || c.IdleAfter < 0:
		return fmt.Errorf("breaker %s: the probe's times must not be negative", c.Name)
	}
	return nil
}

// rule returns the rule that the counts break, or "". Rates are shares of so many calls; they are judged from least on.
func (c *Config) rule(n Counts, least, of uint64) string {
	switch {
	case c.ConsecutiveFailures > 0 && n.ConsecutiveFailures >= uint64(c.ConsecutiveFailures):
		return "consecutive_failures"
	case n.Calls < least:
		return ""
	case n.Failures > 0 && float64(n.Failures) >= c.FailureRate*float64(of):
		return "failure_rate"
	case n.Slow > 0 && float64(n.Slow) >= c.SlowRate*float64(of):
		return "slow_rate"
	}
	return ""
}
