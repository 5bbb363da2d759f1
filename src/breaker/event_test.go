package breaker_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

func TestTransitionTellsTheWholeStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := guard(t, breaker.Config{MinCalls: 100, SlowCall: 90 * time.Millisecond})
		timed := func(took time.Duration, o breaker.Outcome) {
			p := acquire(t, b, 1)[0]
			time.Sleep(took)
			p.Done(o)
		}
		call(t, b, no)
		for i := range 50 {
			timed(time.Duration(i+1)*time.Millisecond, ok)
		}
		began := time.Now()
		for range 49 {
			timed(time.Millisecond, bad)
		}
		timed(100*time.Millisecond, bad)
		tr := l.list()[0]
		require.Equal(t, breaker.Counts{Calls: 100, Failures: 50, Slow: 1, ConsecutiveFailures: 50, Ignored: 1}, tr.Counts)
		require.Equal(t, "failure_rate", tr.Rule)
		require.Equal(t, began.Add(149*time.Millisecond), tr.At)
		require.Greater(t, tr.P50, time.Millisecond)
		require.Less(t, tr.P50, 50*time.Millisecond)
		require.Equal(t, 100*time.Millisecond, tr.P99, "the hundredth call is one of the four")
		for range 5 {
			refused(t, b)
		}
		time.Sleep(passed)
		call(t, b, ok)
		require.EqualValues(t, 5, l.list()[1].Counts.Refused)
		require.Zero(t, l.list()[1].P99, "none was made")
		require.Equal(t, l.list(), b.Snapshot().Transitions)
	})
}

func TestSnapshotKeepsTheLatestTransitions(t *testing.T) {
	b, l := guard(t, breaker.Config{})
	for range 20 {
		b.Trip()
		b.Reset()
	}
	require.Equal(t, l.list()[24:], b.Snapshot().Transitions)
	require.EqualValues(t, 40, b.Snapshot().Generation)
}

func TestListenerMayCallBack(t *testing.T) {
	var b *breaker.Breaker
	var states []breaker.State
	b, _ = guard(t, breaker.Config{ConsecutiveFailures: 1, OnTransition: func(tr breaker.Transition) {
		states = append(states, b.State())
		_ = b.Snapshot()
		if tr.To == breaker.Open {
			b.Reset()
		}
	}})
	call(t, b, bad)
	require.Equal(t, []breaker.State{breaker.Open, breaker.Closed}, states)
}

func TestListenerThatPanicsBreaksNothing(t *testing.T) {
	var told []breaker.State
	b, _ := guard(t, breaker.Config{OnTransition: func(tr breaker.Transition) {
		if told = append(told, tr.To); len(told) == 1 {
			panic("listener")
		}
	}})
	require.PanicsWithValue(t, "listener", b.Trip)
	b.Reset()
	call(t, b, ok)
	require.Equal(t, []breaker.State{breaker.ForcedOpen, breaker.Closed}, told)
}

func TestJSON(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 0, 0, 1000, time.FixedZone("", 3600))
	tr := breaker.Transition{
		Breaker: "exchange", From: breaker.Closed, To: breaker.Open, Rule: "failure_rate", At: at, Generation: 1,
		Counts: breaker.Counts{Calls: 3, Failures: 2}, OpenFor: time.Second,
	}
	const short = `{"breaker":"exchange","from":"closed","to":"open","rule":"failure_rate","at":"2026-11-23T13:00:00.000001Z",
		"counts":{"calls":3,"failures":2,"slow":0,"consecutive_failures":0},"generation":1,"open_for_ms":1000}`
	got, err := json.Marshal(tr)
	require.NoError(t, err)
	require.JSONEq(t, short, string(got))

	s := breaker.Snapshot{Name: "exchange", State: breaker.HalfOpen, Since: at, Generation: 2, Limit: 1, ProbeError: "down", Transitions: []breaker.Transition{tr}}
	got, err = json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"exchange","state":"half-open","since":"2026-11-23T13:00:00.000001Z","generation":2,
		"counts":{"calls":0,"failures":0,"slow":0,"consecutive_failures":0},
		"totals":{"successes":0,"failures":0,"slow":0,"ignored":0,"late":0,"expired":0,"refused":0,"probes":0,"probe_failures":0,"opened":0},
		"limit":1,"probe_error":"down","transitions":[`+short+`]}`, string(got))

	tr.P50, tr.P99 = 1500*time.Microsecond, 20*time.Millisecond
	got, err = json.Marshal(tr)
	require.NoError(t, err)
	require.Contains(t, string(got), `"p50_ms":1.5,"p99_ms":20`)
}

func TestOpenErrorSaysWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := guard(t, breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Second})
		acquire(t, b, 1)[0].DoneAfter(bad, 3*time.Second)
		time.Sleep(1500 * time.Millisecond)
		why := refusal(t, b)
		require.EqualError(t, why, "breaker b is open, retry in 1.5s")
		time.Sleep(time.Second)
		require.EqualError(t, why, "breaker b is open, retry in 500ms")
		time.Sleep(time.Second)
		require.EqualError(t, why, "breaker b is open")
		acquire(t, b, 1)
		require.EqualError(t, refusal(t, b), "breaker b is half-open")
	})
}
