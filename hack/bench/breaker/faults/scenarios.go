package faults

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Scenario is one thing that went wrong somewhere.
type Scenario struct {
	Name string
	Run  func(Library) error // nil: the breaker passes
}

// Scenarios are all of them.
func Scenarios() []Scenario {
	return []Scenario{
		{"a trial hangs: it recovers by itself", func(l Library) error { return strayTrial(l, func(hung chan struct{}) error { <-hung; return nil }) }},
		{"a trial ends its goroutine", func(l Library) error {
			return strayTrial(l, func(chan struct{}) error { runtime.Goexit(); return nil })
		}},
		{"a trial panics", func(l Library) error { return strayTrial(l, func(chan struct{}) error { panic("trial") }) }},
		{"ten late successes do not close it", lateSuccesses},
		{"39 late results, 60 permits: never more than 60 at once", lateResults},
		{"a listener asks for the state", listenerAsks},
		{"calls that are slow and never fail open it", slowUpstream},
		{"callers that give up do not open it", cancellations},
		{"a thousand goroutines at the moment of opening", thousand},
		{"recovery stays below 1.2 times the concurrency at the trip", recovery},
	}
}

// call makes one call that ends at once.
func call(s Subject, err error) bool {
	return s.Do(context.Background(), func(context.Context) error { return err })
}

// trip opens a breaker and waits until it would let a trial through.
func trip(s Subject, failures int) error {
	for range failures {
		call(s, errDown)
	}
	if s.State() != "open" {
		return fmt.Errorf("%d failures left it %s", failures, s.State())
	}
	time.Sleep(2 * openFor)
	return nil
}

// within runs what may hang for ever and gives up on it.
func within(d time.Duration, what string, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return errors.New(what)
	}
}

// strayTrial lets the first trial go astray; later calls must close the breaker all the same.
func strayTrial(l Library, stray func(chan struct{}) error) error {
	s := l.New(Setup{Failures: 1})
	if err := trip(s, 1); err != nil {
		return err
	}
	hung, in := make(chan struct{}), make(chan struct{})
	defer close(hung)
	go func() {
		defer func() { _ = recover() }()
		s.Do(context.Background(), func(context.Context) error { close(in); return stray(hung) })
	}()
	<-in
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(openFor / 4) {
		if call(s, nil) && s.State() == "closed" {
			return nil
		}
	}
	return fmt.Errorf("%s, and refuses all, %v later", s.State(), patience)
}

// flight starts n calls that wait for their outcome, and returns how to end them.
func flight(s Subject, n int) (end func(error)) {
	outcome, in := make(chan error), make(chan bool, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if !s.Do(context.Background(), func(context.Context) error { in <- true; return <-outcome }) {
				in <- false
			}
		})
	}
	through := 0
	for range n {
		if <-in {
			through++
		}
	}
	return func(err error) {
		for range through {
			outcome <- err
		}
		all.Wait()
	}
}

func lateSuccesses(l Library) error {
	s := l.New(Setup{Failures: 3, Trials: 5})
	end := flight(s, 10)
	if err := trip(s, 3); err != nil {
		return err
	}
	trial := flight(s, 1)
	end(nil)
	state := s.State()
	trial(nil)
	if state != "half-open" {
		return fmt.Errorf("it was %s after ten successes of calls that began before it opened", state)
	}
	return nil
}

// lateResults: successes must free no permit that is not theirs, and failures must let nobody in either.
func lateResults(l Library) error {
	return errors.Join(lateResultsOf(l, nil), lateResultsOf(l, errDown))
}

func lateResultsOf(l Library, outcome error) error {
	s := l.New(Setup{Failures: 3, Trials: 60})
	late := flight(s, 39)
	if err := trip(s, 3); err != nil {
		return err
	}
	trials := flight(s, 60)
	late(outcome)
	through := 0
	more := make(chan struct{})
	var all sync.WaitGroup
	var in atomic.Int64
	for range 60 {
		all.Go(func() { s.Do(context.Background(), func(context.Context) error { in.Add(1); <-more; return nil }) })
	}
	time.Sleep(2 * openFor)
	through = int(in.Load())
	close(more)
	all.Wait()
	trials(nil)
	if through > 0 {
		return fmt.Errorf("%d calls beside the 60 under way", through)
	}
	return nil
}

func listenerAsks(l Library) error {
	var s Subject
	var heard atomic.Int64
	s = l.New(Setup{Failures: 1, Changed: func(string) { _ = s.State(); heard.Add(1) }})
	return within(patience, "it hangs", func() error {
		call(s, errDown)
		if heard.Load() == 0 {
			return errors.New("it told nobody")
		}
		return nil
	})
}

func slowUpstream(l Library) error {
	s := l.New(Setup{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 10 {
				s.Do(context.Background(), func(context.Context) error { time.Sleep(slow + slow/4); return nil })
			}
		})
	}
	opened := make(chan struct{})
	go func() { all.Wait(); close(opened) }()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.State() != "closed" {
			<-opened
			return nil
		}
	}
	return errors.New("200 slow calls left it closed")
}

func cancellations(l Library) error {
	s := l.New(Setup{Failures: 3})
	for range 1000 {
		ctx, cancel := context.WithCancel(context.Background())
		s.Do(ctx, func(ctx context.Context) error { cancel(); return ctx.Err() })
		if s.State() != "closed" {
			return fmt.Errorf("callers gave up and it is %s", s.State())
		}
	}
	return nil
}

func thousand(l Library) error {
	var opened atomic.Int64
	s := l.New(Setup{Failures: 1, Changed: func(to string) {
		if to == "open" {
			opened.Add(1)
		}
	}})
	end := flight(s, 1000)
	end(errDown)
	if s.State() != "open" {
		return fmt.Errorf("a thousand failures left it %s", s.State())
	}
	if n := opened.Load(); n != 1 {
		return fmt.Errorf("it opened %d times", n)
	}
	if call(s, nil) {
		return errors.New("it lets calls through")
	}
	return nil
}

// recovery: 50 calls run at once when it opens, and 200 callers wait for its return.
func recovery(l Library) error {
	const at, bound = 50, 60
	s := l.New(Setup{Failures: 10})
	flight(s, at)(errDown)
	if s.State() != "open" {
		return fmt.Errorf("%d failures left it %s", at, s.State())
	}
	var now, most atomic.Int64
	var all sync.WaitGroup
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	for range 4 * at {
		all.Go(func() {
			for ctx.Err() == nil && s.State() != "closed" {
				s.Do(ctx, func(context.Context) error {
					n := now.Add(1)
					for m := most.Load(); n > m && s.State() != "closed" && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(2 * time.Millisecond)
					now.Add(-1)
					return nil
				})
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	if s.State() != "closed" {
		return fmt.Errorf("still %s", s.State())
	}
	if n := most.Load(); n > bound {
		return fmt.Errorf("%d calls at the same time, %d when it opened", n, at)
	}
	return nil
}
