package faults

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"

	"quotes/src/breaker"
)

// The times of all scenarios: real ones, since the peers know no other.
const (
	openFor  = 20 * time.Millisecond
	lease    = 200 * time.Millisecond
	slow     = 20 * time.Millisecond
	patience = 3 * time.Second
)

var errDown = errors.New("down")

// Setup is what a scenario needs of its breaker; the zero value of the rest is the library's default.
type Setup struct {
	Failures int // in a row that open it
	Trials   int // at the same time, when half-open; 1
	Changed  func(to string)
}

// Subject is one breaker, as its library is used.
type Subject struct {
	// Do makes a call through the breaker; it tells whether fn was let through.
	Do func(ctx context.Context, fn func(context.Context) error) bool
	// State is closed, open or half-open.
	State func() string
}

// Library makes breakers.
type Library struct {
	Name string
	New  func(Setup) Subject
}

// Ours is src/breaker.
func Ours() Library {
	return Library{"quotes/src/breaker", func(s Setup) Subject {
		b, err := breaker.New(breaker.Config{
			Name: "b", ConsecutiveFailures: s.Failures, Trials: max(s.Trials, 1), OpenFor: openFor, OpenMax: openFor, Lease: lease, SlowCall: slow,
			OnTransition: func(t breaker.Transition) {
				if s.Changed != nil {
					s.Changed(t.To.String())
				}
			},
		})
		if err != nil {
			panic(err)
		}
		return Subject{
			Do: func(ctx context.Context, fn func(context.Context) error) bool {
				return !errors.Is(breaker.Do(ctx, b, fn), breaker.ErrOpen)
			},
			State: func() string { return b.State().String() },
		}
	}}
}

// Gobreaker is github.com/sony/gobreaker/v2.
func Gobreaker() Library {
	return Library{"gobreaker", func(s Setup) Subject {
		set := gobreaker.Settings{MaxRequests: uint32(max(s.Trials, 1)), Timeout: openFor}
		if s.Failures > 0 {
			set.ReadyToTrip = func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(s.Failures) }
		}
		if s.Changed != nil {
			set.OnStateChange = func(_ string, _, to gobreaker.State) { s.Changed(to.String()) }
		}
		b := gobreaker.NewCircuitBreaker[any](set)
		return Subject{
			Do: func(ctx context.Context, fn func(context.Context) error) bool {
				_, err := b.Execute(func() (any, error) { return nil, fn(ctx) })
				return !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests)
			},
			State: func() string { return b.State().String() },
		}
	}}
}

// Failsafe is github.com/failsafe-go/failsafe-go.
func Failsafe() Library {
	return Library{"failsafe-go", func(s Setup) Subject {
		set := circuitbreaker.NewBuilder[any]().WithDelay(openFor).WithSuccessThreshold(uint(max(s.Trials, 1)))
		if s.Failures > 0 {
			set = set.WithFailureThreshold(uint(s.Failures))
		}
		if s.Changed != nil {
			set = set.OnStateChanged(func(e circuitbreaker.StateChangedEvent) { s.Changed(e.NewState.String()) })
		}
		b := set.Build()
		e := failsafe.With[any](b)
		return Subject{
			Do: func(ctx context.Context, fn func(context.Context) error) bool {
				return !errors.Is(e.WithContext(ctx).Run(func() error { return fn(ctx) }), circuitbreaker.ErrOpen)
			},
			State: func() string { return b.State().String() },
		}
	}}
}
