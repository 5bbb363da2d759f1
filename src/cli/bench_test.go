package cli

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

func TestPercentilesAreAtMostAThirtySecondTooHigh(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h, other histogram
		all := make([]time.Duration, 1+r.IntN(500))
		for i := range all {
			all[i] = time.Duration(r.Uint64() >> (2 + r.IntN(62)))
			if i%2 == 0 {
				h.add(all[i])
			} else {
				other.add(all[i])
			}
		}
		h.join(&other)
		slices.Sort(all)
		for _, p := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
			exact := all[max(0, int(float64(len(all))*p+0.999999999)-1)]
			got := h.percentile(p)
			require.GreaterOrEqual(t, got, exact, "p%v of %d", p, len(all))
			require.LessOrEqual(t, got, exact+exact/steps+1, "p%v of %d", p, len(all))
		}
		require.Equal(t, all[len(all)-1], h.percentile(1))
	}
	require.Zero(t, new(histogram).percentile(0.5))
}

func TestBenchCountsEveryFrameAndTellsAllLast(t *testing.T) {
	s := newSession(t, nil, nil)
	require.Equal(t, ExitOK, s.run(t, "bench --clients 3 --rate 300 --topics 7 --duration 1s -o ndjson"), s.err.String())
	lines := strings.Split(strings.TrimSpace(s.out.String()), "\n")
	require.Len(t, lines, 4)
	for i, line := range lines {
		var r benchRow
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		require.Equal(t, []string{"1", "2", "3", "all"}[i], r.Client)
		require.Equal(t, uint64([]int{300, 300, 300, 900}[i]), r.Frames)
		require.Zero(t, r.Lost)
		require.Positive(t, r.P50)
		require.LessOrEqual(t, r.P999, r.Max)
	}
	for _, bad := range []string{"--clients 0", "--clients 5001", "--rate 0", "--size 31", "--size 40000", "--topics 0", "--duration 1ms", "--duration 11m"} {
		require.Equal(t, ExitUsage, newSession(t, nil, nil).run(t, "bench "+bad), bad)
	}
}

func TestTopTellsTheBusiestTopicsAndWhoLags(t *testing.T) {
	next := uint64(1)
	b := serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) {
		next += 100
		_ = c.Reply(f, wire.Make(wire.TypeRespStatus, wire.Status{
			Process: "broker", Peers: []wire.Peer{{Name: "core", State: "up"}},
			Topics:      map[quote.Topic]wire.TopicInfo{"quotes.A": {Epoch: 7, First: 1, Next: 9, Bytes: 10}, "quotes.B": {Epoch: 7, First: 1, Next: next, Bytes: 20}, "trades.C": {Epoch: 7, Next: 3}},
			Subscribers: []wire.SubscriberStatus{{Addr: "10.0.0.1:1", Topics: 3, Lag: 5}, {Addr: "10.0.0.2:1", Topics: 1, Lag: 500, Skipped: 2}},
		}))
	})
	s := newSession(t, b, nil)
	require.Equal(t, ExitOK, s.run(t, "top --count 2 --interval 100ms --rows 1 -o ndjson"))
	for line := range strings.Lines(s.out.String()) {
		var l look
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		require.Equal(t, 3, l.Topics)
		require.Equal(t, 30, l.LogBytes)
		require.Equal(t, uint64(500), l.MaxLag)
		require.Equal(t, uint64(2), l.Skipped)
		require.Len(t, l.Busiest, 1)
		require.Equal(t, quote.Topic("quotes.B"), l.Busiest[0].Topic)
		require.Positive(t, l.Busiest[0].Frames)
		require.InDelta(t, l.Frames, l.Busiest[0].Frames, 1e-9, "the others stood still")
		require.Len(t, l.Lagging, 1)
		require.Equal(t, "10.0.0.2:1", l.Lagging[0].Addr)
	}
	s = newSession(t, b, nil)
	require.Equal(t, ExitOK, s.run(t, "top --count 3 --interval 100ms"))
	require.Equal(t, 3, strings.Count(s.out.String(), "\n"), "plain lines where there is no terminal")
	require.NotContains(t, s.out.String(), "\x1b")
	s = newSession(t, b, nil)
	s.cfg.Terminal = true
	require.Equal(t, ExitOK, s.run(t, "top --count 2 --interval 100ms"))
	require.Equal(t, 2, strings.Count(s.out.String(), again))
	require.Contains(t, s.out.String(), "10.0.0.2:1")
	require.Equal(t, ExitUsage, newSession(t, b, nil).run(t, "top --interval 1ms"))
	require.Equal(t, ExitUsage, newSession(t, b, nil).run(t, "top --rows 0"))
}

// A topic that is new, of another epoch or of another broker has published what it has now; nothing is ever negative.
func TestRatesAreNeverNegative(t *testing.T) {
	at := func(epoch, next uint64) *wire.Status {
		return &wire.Status{Topics: map[quote.Topic]wire.TopicInfo{"quotes.A": {Epoch: epoch, Next: next}}}
	}
	for name, c := range map[string]struct {
		before, now *wire.Status
		want        float64
	}{
		"same": {at(1, 10), at(1, 15), 5}, "epoch": {at(1, 10), at(2, 4), 3}, "back": {at(1, 10), at(1, 4), 0}, "new": {&wire.Status{}, at(1, 4), 3}, "empty": {at(1, 0), at(1, 0), 0},
	} {
		require.InDelta(t, c.want, compare(c.before, c.now, time.Second, 5).Frames, 1e-9, name)
	}
}
