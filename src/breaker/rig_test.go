package breaker_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

var errDown = errors.New("down")

// log collects a breaker's transitions.
type log struct {
	mu  sync.Mutex
	all []breaker.Transition
}

func (l *log) add(t breaker.Transition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, t)
}

// list returns the transitions so far.
func (l *log) list() []breaker.Transition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]breaker.Transition(nil), l.all...)
}

// words returns each transition as "from>to rule".
func (l *log) words() (all []string) {
	for _, t := range l.list() {
		all = append(all, t.From.String()+">"+t.To.String()+" "+t.Rule)
	}
	return all
}

// guard makes a breaker and collects its transitions, where the Config has no listener of its own.
func guard(t *testing.T, cfg breaker.Config) (*breaker.Breaker, *log) {
	t.Helper()
	l := &log{}
	cfg.Name = "b"
	if cfg.OnTransition == nil {
		cfg.OnTransition = l.add
	}
	b, err := breaker.New(cfg)
	require.NoError(t, err)
	return b, l
}

// acquire gets n permits.
func acquire(t *testing.T, b *breaker.Breaker, n int) (all []breaker.Permit) {
	t.Helper()
	for range n {
		p, err := b.Acquire()
		require.NoError(t, err)
		all = append(all, p)
	}
	return all
}

// call makes a call that takes no time for each outcome.
func call(t *testing.T, b *breaker.Breaker, outcomes ...breaker.Outcome) {
	t.Helper()
	for _, o := range outcomes {
		require.Equal(t, breaker.Counted, acquire(t, b, 1)[0].Done(o))
	}
}

// refused asks for a call that must be refused.
func refused(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	_ = refusal(t, b)
}

// refusal asks for a call that must be refused, and returns why.
func refusal(t *testing.T, b *breaker.Breaker) *breaker.OpenError {
	t.Helper()
	p, err := b.Acquire()
	require.ErrorIs(t, err, breaker.ErrOpen)
	require.Equal(t, breaker.Late, p.Done(breaker.Failure), "the permit of a refusal does nothing")
	var open *breaker.OpenError
	require.ErrorAs(t, err, &open)
	return open
}

// passed is longer than an open time of one second with its jitter.
const passed = 1300 * time.Millisecond
