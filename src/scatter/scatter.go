package scatter

import (
	"context"
	"errors"
	"time"

	"quotes/src/breaker"
)

// State is what became of a target.
type State uint8

// The states of a target.
const (
	OK      State = iota // it answered
	Failed               // it answered with an error, or not in time
	Skipped              // its breaker let no call through
)

// Target is one to ask. Call must end soon after its context does.
type Target[R any] struct {
	Name    string
	Breaker *breaker.Breaker // nil: always asked
	Call    func(context.Context) (R, error)
	// Fault says whether an error is the target's own fault, which counts at its breaker, rather than the request's.
	// Every error is where nil.
	Fault func(error) bool
}

// Row is a target's account.
type Row[R any] struct {
	Name   string
	State  State
	Answer R
	Err    error // why not OK
	Took   time.Duration
}

// Gather asks all targets in parallel and returns a row for each, in their order.
func Gather[R any](ctx context.Context, targets []Target[R]) []Row[R] {
	rows := make([]Row[R], len(targets))
	type done struct {
		i   int
		row Row[R]
	}
	answers := make(chan done, len(targets)) // has room for all: nobody hangs on it
	began := time.Now()
	waiting := 0
	for i, t := range targets {
		rows[i] = Row[R]{Name: t.Name, State: Failed}
		permit, err := t.acquire()
		if err != nil {
			rows[i].State, rows[i].Err = Skipped, err
			continue
		}
		waiting++
		go func() { answers <- done{i, t.ask(ctx, permit)} }()
	}
	for ; waiting > 0; waiting-- {
		select {
		case d := <-answers:
			rows[d.i] = d.row
		case <-ctx.Done():
			for ; waiting > 0; waiting-- { // what is in by now still counts
				select {
				case d := <-answers:
					rows[d.i] = d.row
				default:
				}
			}
			for i := range rows {
				if rows[i].State == Failed && rows[i].Err == nil {
					rows[i].Err, rows[i].Took = ctx.Err(), time.Since(began)
				}
			}
			return rows
		}
	}
	return rows
}

func (t *Target[R]) acquire() (*breaker.Permit, error) {
	if t.Breaker == nil {
		return nil, nil
	}
	p, err := t.Breaker.Acquire()
	return &p, err
}

// ask makes one call and tells the breaker how it went.
func (t *Target[R]) ask(ctx context.Context, permit *breaker.Permit) Row[R] {
	began := time.Now()
	answer, err := t.Call(ctx)
	row := Row[R]{Name: t.Name, Answer: answer, Err: err, Took: time.Since(began)}
	if err != nil {
		row.State = Failed
	}
	if permit != nil {
		permit.Done(t.outcome(ctx, err))
	}
	return row
}

func (t *Target[R]) outcome(ctx context.Context, err error) breaker.Outcome {
	switch {
	case err == nil:
		return breaker.Success
	case errors.Is(ctx.Err(), context.Canceled):
		return breaker.Ignored
	case t.Fault != nil && !t.Fault(err):
		return breaker.Success
	}
	return breaker.Failure
}
