package main

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"

	"quotes/src/breaker"
)

var errDown = errors.New("down")

const never = time.Hour // longer than any round

// side is one breaker in one state: a call, and whether it was let through.
type side struct {
	name string
	call func() bool
}

// ours, with its defaults: window, slow-call accounting, leases and latency percentiles are on.
func ours(cfg breaker.Config, outcomes ...error) side {
	cfg.Name = "bench"
	b, err := breaker.New(cfg)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, e := range outcomes {
		_ = breaker.Do(ctx, b, func(context.Context) error { return e })
	}
	ok := func(context.Context) error { return nil }
	return side{"ours", func() bool { return breaker.Do(ctx, b, ok) == nil }}
}

// oursHalfOpen has its one trial out, which never comes back.
func oursHalfOpen() side {
	b, err := breaker.New(breaker.Config{Name: "bench", ConsecutiveFailures: 1, OpenFor: 1, Lease: never})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	_ = breaker.Do(ctx, b, func(context.Context) error { return errDown })
	for b.State() != breaker.HalfOpen {
		_, _ = b.Acquire()
	}
	ok := func(context.Context) error { return nil }
	return side{"ours", func() bool { return breaker.Do(ctx, b, ok) == nil }}
}

// sony is gobreaker, with its defaults but for what the state needs.
func sony(s gobreaker.Settings, outcomes ...error) side {
	b := gobreaker.NewCircuitBreaker[any](s)
	for _, e := range outcomes {
		_, _ = b.Execute(func() (any, error) { return nil, e })
	}
	ok := func() (any, error) { return nil, nil } //nolint:nilnil // nothing is the result of nothing
	return side{"gobreaker", func() bool { _, err := b.Execute(ok); return err == nil }}
}

// sonyHalfOpen has its one request out, which never comes back.
func sonyHalfOpen() side {
	b := gobreaker.NewCircuitBreaker[any](gobreaker.Settings{Timeout: 1, ReadyToTrip: func(c gobreaker.Counts) bool { return c.TotalFailures > 0 }})
	_, _ = b.Execute(func() (any, error) { return nil, errDown })
	in := make(chan struct{})
	go func() {
		_, _ = b.Execute(func() (any, error) { close(in); select {} })
	}()
	<-in
	ok := func() (any, error) { return nil, nil } //nolint:nilnil // nothing is the result of nothing
	return side{"gobreaker", func() bool { _, err := b.Execute(ok); return err == nil }}
}

// failsafeGo is failsafe-go's, with its defaults but for what the state needs.
func failsafeGo(b circuitbreaker.CircuitBreaker[any], outcomes ...error) side {
	e := failsafe.With[any](b)
	for _, err := range outcomes {
		_ = e.Run(func() error { return err })
	}
	ok := func() error { return nil }
	return side{"failsafe-go", func() bool { return e.Run(ok) == nil }}
}

// failsafeHalfOpen has its one permit out, which never comes back.
func failsafeHalfOpen() side {
	b := circuitbreaker.NewBuilder[any]().WithDelay(never).Build()
	b.HalfOpen()
	for b.TryAcquirePermit() { // all of them
	}
	return failsafeGo(b)
}
