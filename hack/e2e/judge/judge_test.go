package judge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/src/quote"
	"quotes/src/wire"
)

var t0 = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

// steady is a second of good reports of A and B, one each 10 ms.
func steady(change ...func(i int, e *history.Event)) (out []history.Event) {
	for i := range 100 {
		e := history.Event{
			Kind: history.Report, At: at(10 * i), Path: []string{"tcp-new", "tcp-kept"}[i/2%2], Symbol: []quote.Symbol{"A", "B"}[i%2],
			Coverage: 1, State: quote.Live, AgeMS: new(int64(3)),
		}
		for _, c := range change {
			c(i, &e)
		}
		out = append(out, e)
	}
	return out
}

func window(from, to int) history.Window { return history.Window{From: at(from), To: at(to)} }

func failing(from, to int) func(int, *history.Event) {
	return func(i int, e *history.Event) {
		if i >= from && i < to {
			e.Class, e.Text, e.Coverage = history.Dial, "connection refused", 0
		}
	}
}

func TestAnswered(t *testing.T) {
	require.NoError(t, judge.Answered(steady(), window(0, 1000), 100))
	require.ErrorIs(t, judge.Answered(steady(), window(0, 1000), 101), judge.ErrTooFew)
	require.ErrorIs(t, judge.Answered(nil, window(0, 1000), 0), judge.ErrTooFew, "nothing passes empty")
	err := judge.Answered(steady(failing(40, 44)), window(0, 1000), 10)
	require.ErrorContains(t, err, "4 of 100")
	require.ErrorContains(t, err, "+0.400s to +0.410s, 2 times: tcp-new failed, dial: connection refused")
	require.NoError(t, judge.Answered(steady(failing(40, 44)), window(440, 1000), 10), "before the window")
	require.NoError(t, judge.Answered(steady(failing(40, 44)), window(0, 400), 10), "at its end, exclusive")
	require.Error(t, judge.Answered(steady(failing(40, 42)), window(0, 1000), 10, "tcp-new"))
	require.NoError(t, judge.Answered(steady(failing(40, 42)), window(0, 1000), 10, "tcp-kept"), "another path")
}

func TestAnsweredBut(t *testing.T) {
	broken := steady(failing(40, 60))
	require.NoError(t, judge.AnsweredBut(broken, window(0, 1000), 220*time.Millisecond, 10))
	require.ErrorContains(t, judge.AnsweredBut(broken, window(0, 1000), 150*time.Millisecond, 10), "20 of 100")
	require.Error(t, judge.AnsweredBut(steady(failing(40, 100)), window(0, 1000), 220*time.Millisecond, 10), "never again")
	twice := steady(failing(10, 20), failing(60, 70))
	require.NoError(t, judge.AnsweredBut(twice, window(0, 1000), 120*time.Millisecond, 10), "each span counts for itself")
	require.ErrorIs(t, judge.AnsweredBut(steady(), window(0, 1000), time.Second, 101), judge.ErrTooFew)
}

func lacking(i int, e *history.Event) {
	if e.Symbol == "B" {
		e.Coverage, e.Missing = 0, []wire.Missing{{Slot: 7, Symbols: []quote.Symbol{"B"}}}
	}
}

func TestWholeAndCovered(t *testing.T) {
	w := window(0, 1000)
	require.NoError(t, judge.Whole(steady(), w, 100))
	require.ErrorIs(t, judge.Whole(steady(), w, 101), judge.ErrTooFew)
	require.Error(t, judge.Whole(steady(failing(1, 2)), w, 10), "no answer is not whole")
	require.ErrorContains(t, judge.Whole(steady(lacking), w, 10), "50 of 100")
	require.Error(t, judge.Whole(steady(func(i int, e *history.Event) { e.Coverage = 0.5 }), w, 10))
	require.Error(t, judge.Whole(steady(func(i int, e *history.Event) { e.Missing = []wire.Missing{{Slot: 1}} }), w, 10))

	lack := map[quote.Symbol]int{"B": 7}
	require.NoError(t, judge.Covered(steady(lacking), w, lack, 100))
	require.Error(t, judge.Covered(steady(), w, lack, 10), "whole, and should not be")
	require.Error(t, judge.Covered(steady(lacking), w, map[quote.Symbol]int{"A": 7}, 10), "the wrong one")
	require.Error(t, judge.Covered(steady(lacking), w, map[quote.Symbol]int{"B": 8}, 10), "another slot")
	wrong := func(i int, e *history.Event) {
		if i == 51 {
			e.Missing = nil
		}
	}
	require.ErrorContains(t, judge.Covered(steady(lacking, wrong), w, lack, 10), "1 of 100")
	extra := func(i int, e *history.Event) {
		if i == 51 {
			e.Missing = append(e.Missing, wire.Missing{Slot: 9})
		}
	}
	require.ErrorContains(t, judge.Covered(steady(lacking, extra), w, lack, 10), "1 of 100")
	require.ErrorIs(t, judge.Covered(steady(lacking), w, map[quote.Symbol]int{"B": 7, "C": 1}, 10), judge.ErrTooFew, "C was not asked for")
}

// frames is the feed of A and B: state by state, one frame of each 10 ms apart.
func frames(states ...quote.Quality) (out []history.Event) {
	for i, q := range states {
		for _, s := range []quote.Symbol{"A", "B"} {
			out = append(out, history.Event{Kind: history.Frame, At: at(10 * i), Topic: quote.TopicOf(quote.Quotes, s), Symbol: s, State: q.State, Reason: q.Reason})
		}
	}
	return out
}

func stale(from int) func(int, *history.Event) {
	return func(i int, e *history.Event) {
		if i >= from {
			e.State, e.Reason = quote.Stale, quote.FeedSilent
		}
	}
}

func TestTurned(t *testing.T) {
	live, silent := quote.Quality{State: quote.Live}, quote.Quality{State: quote.Stale, Reason: quote.FeedSilent}
	want := judge.Turn{
		Since: at(100), Bound: 200 * time.Millisecond, Until: at(1000), State: quote.Stale,
		Reasons: []quote.Reason{quote.FeedSilent}, Symbols: []quote.Symbol{"A", "B"}, Least: 70,
	}
	require.NoError(t, judge.Turned(steady(stale(30)), want), "what was due before the bound may be either")
	require.ErrorContains(t, judge.Turned(steady(stale(31)), want), "1 of 70")
	require.Error(t, judge.Turned(steady(), want))
	require.Error(t, judge.Turned(steady(stale(10), failing(50, 51)), want), "reports go on")
	require.ErrorContains(t, judge.Turned(steady(stale(10), func(i int, e *history.Event) { e.AgeMS = nil }), want), "how old")
	require.ErrorContains(t, judge.Turned(steady(stale(10), func(i int, e *history.Event) { e.State = "" }), want), "no price")
	other := want
	other.Reasons = []quote.Reason{quote.BreakerOpen}
	require.Error(t, judge.Turned(steady(stale(10)), other), "another reason")
	other = want
	other.Least = 71
	require.ErrorIs(t, judge.Turned(steady(stale(10)), other), judge.ErrTooFew)
	other = want
	other.Symbols = []quote.Symbol{"A", "B", "C"}
	require.ErrorIs(t, judge.Turned(steady(stale(10)), other), judge.ErrTooFew, "C was not asked for")

	fed := want
	fed.Feed = true
	feed := func(n int) (out []quote.Quality) { // live for n frames, then stale
		for i := range 40 {
			if i < n {
				out = append(out, live)
			} else {
				out = append(out, silent)
			}
		}
		return out
	}
	require.NoError(t, judge.Turned(append(steady(stale(30)), frames(feed(30)...)...), fed))
	require.NoError(t, judge.Turned(append(steady(stale(30)), frames(feed(5)...)...), fed), "told before it happened: a drain")
	require.ErrorContains(t, judge.Turned(append(steady(stale(30)), frames(feed(32)...)...), fed), "late")
	require.NoError(t, judge.Turned(append(steady(stale(30)), frames(append(append(feed(20)[:25], live), feed(0)...)...)...), fed), "to and fro before the bound")
	require.ErrorContains(t, judge.Turned(append(steady(stale(30)), frames(feed(40)...)...), fed), "never")
	require.ErrorContains(t, judge.Turned(append(steady(stale(30)), frames(append(feed(20), live)...)...), fed), "the feed says A is live")

	back := judge.Turn{Since: at(0), Bound: 0, Until: at(1000), State: quote.Live, Symbols: []quote.Symbol{"A", "B"}, Least: 100}
	require.NoError(t, judge.Turned(steady(), back))
	require.Error(t, judge.Turned(steady(stale(99)), back))
}

func TestOrdered(t *testing.T) {
	live, rec := quote.Quality{State: quote.Live}, quote.Quality{State: quote.Recovering}
	silent, open := quote.Quality{State: quote.Stale, Reason: quote.FeedSilent}, quote.Quality{State: quote.Stale, Reason: quote.BreakerOpen}
	w := history.Window{From: at(0)}
	require.NoError(t, judge.Ordered(frames(live, silent, open, open, rec, live), w, 12))
	require.NoError(t, judge.Ordered(frames(live, silent, live), w, 1), "the session was silent, and not cut")
	require.ErrorIs(t, judge.Ordered(frames(live), w, 3), judge.ErrTooFew)
	require.ErrorContains(t, judge.Ordered(frames(live, open, live), w, 1), "right after stale")
	require.ErrorContains(t, judge.Ordered(frames(live, silent, open, live), w, 1), "right after stale")
	require.NoError(t, judge.Ordered(frames(live, open, live, live), history.Window{From: at(21)}, 1), "before the window")
	require.ErrorIs(t, judge.Ordered(frames(live, open, live), history.Window{From: at(21)}, 1), judge.ErrTooFew, "what is before it does not count")
	require.Error(t, judge.Ordered(frames(live, open, live), history.Window{From: at(20)}, 1), "what came before it counts")
	require.Error(t, judge.Ordered(frames(quote.Quality{State: quote.Stale}), w, 1), "stale without a reason")
	require.Error(t, judge.Ordered(frames(quote.Quality{State: quote.Live, Reason: quote.FeedSilent}), w, 1))
}

func TestSource(t *testing.T) {
	beat := func(ms int, source string) history.Event {
		return history.Event{Kind: history.Heartbeat, At: at(ms), Source: source}
	}
	events := []history.Event{beat(0, "lost"), beat(1000, "live"), beat(2000, "lost")}
	require.NoError(t, judge.Source(events, at(500), 1500*time.Millisecond, "lost"))
	require.ErrorContains(t, judge.Source(events, at(500), 1499*time.Millisecond, "lost"), "late")
	require.ErrorContains(t, judge.Source(events, at(500), time.Hour, "recovering"), "none")
	require.ErrorIs(t, judge.Source(events, at(3000), time.Hour, "lost"), judge.ErrTooFew)
}

func TestPrompt(t *testing.T) {
	slow := steady(func(i int, e *history.Event) {
		if e.LatencyMS = 5; i < 10 {
			e.LatencyMS = 1001
		}
	})
	w := window(0, 1000)
	require.NoError(t, judge.Prompt(slow, w, time.Second, 0.9, 100))
	require.ErrorContains(t, judge.Prompt(slow, w, time.Second, 0.91, 100), "90 of 100")
	require.NoError(t, judge.Prompt(slow, w, 1001*time.Millisecond, 1, 100))
	require.Error(t, judge.Prompt(steady(failing(0, 11)), w, time.Second, 0.9, 100), "no answer is not prompt")
	require.ErrorIs(t, judge.Prompt(slow, w, time.Second, 0.9, 101), judge.ErrTooFew)
}

func TestLatencyInWords(t *testing.T) {
	slow := steady(func(i int, e *history.Event) { e.LatencyMS = float64(i) }, failing(0, 10))
	require.Equal(t, 100, judge.Count(slow, window(0, 1000)))
	require.Equal(t, "latency p50 55.0 ms, p99 99.0 ms, max 99.0 ms", judge.Latency(slow, window(0, 1000)))
	require.Equal(t, "no answers", judge.Latency(nil, window(0, 1000)))
}
