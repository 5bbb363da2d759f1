package breaker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

func TestAClockThatJumpsLocksNothing(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": 1000 * time.Hour, "back": -1000 * time.Hour, "back a little": -time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			now := 2000 * time.Hour
			b, _ := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Minute, Lease: time.Minute, Clock: func() time.Duration { return now }})
			call(t, b, bad)
			refused(t, b)
			now += jump
			hung := acquire(t, b, 1) // the open time is over, whichever way the clock went
			refused(t, b)
			now += jump
			if jump == -time.Millisecond {
				now -= time.Minute // its lease is longer than any lease only when it went back by more
			}
			trial := acquire(t, b, 1) // and so is the lease of a trial that never comes back
			require.Equal(t, breaker.Counted, trial[0].Done(ok))
			require.Equal(t, breaker.Closed, b.State())
			require.NotEqual(t, breaker.Counted, hung[0].Done(bad))
			require.Equal(t, breaker.Closed, b.State())
		})
	}
}

func TestATimeWindowOutlivesAClockThatJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": 1000 * time.Hour, "back": -1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			now := 2000 * time.Hour
			b, _ := guard(t, breaker.Config{WindowTime: 10 * time.Second, MinCalls: 10, Clock: func() time.Duration { return now }})
			for range 9 {
				call(t, b, bad)
			}
			now += jump
			call(t, b, ok)
			require.Equal(t, breaker.Closed, b.State(), "what is of another time does not count")
			for range 9 {
				call(t, b, bad)
			}
			require.Equal(t, breaker.Open, b.State(), "what is of now does")
		})
	}
}
