package cli

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// placed is a frame at a position; prev is left out where nil.
func placed(epoch, seq uint64, prev *quote.Point, skipped uint64) wire.Frame {
	f := wire.Frame{Type: wire.TypePublish, Epoch: epoch, Seq: seq, Skipped: skipped, Why: "lag"}
	if prev != nil {
		f.Prev = &prev.Seq
		if prev.Epoch != epoch {
			f.PrevEpoch = prev.Epoch
		}
	}
	return f
}

func TestTrackerJudgesFramesByTheirPositions(t *testing.T) {
	const topic = quote.Topic("quotes.PETR4")
	pt := func(epoch, seq uint64) *quote.Point { return &quote.Point{Epoch: epoch, Seq: seq} }
	lost := func(tr *tracker) { tr.loss(wire.Lost{Topic: topic, After: *pt(1, 5), Before: *pt(1, 9)}) }
	for _, tt := range []struct {
		name  string
		event func(*tracker) // between 1/5 and the frame
		f     wire.Frame
		want  verdict
	}{
		{"the next one", nil, placed(1, 6, pt(1, 5), 0), fresh},
		{"the next one without prev", nil, placed(1, 6, nil, 0), fresh},
		{"the same again", nil, placed(1, 5, pt(1, 4), 0), duplicate},
		{"an older one", nil, placed(1, 4, pt(1, 3), 0), duplicate},
		{"one of an older epoch", nil, placed(0, 9, nil, 0), duplicate},
		{"one too far", nil, placed(1, 7, pt(1, 6), 0), gap},
		{"one too far, prev denies it", nil, placed(1, 7, pt(1, 5), 0), gap},
		{"what was skipped is named", nil, placed(1, 9, pt(1, 5), 3), fresh},
		{"too little was named as skipped", nil, placed(1, 9, pt(1, 5), 2), gap},
		{"too much was named as skipped", nil, placed(1, 9, pt(1, 5), 4), gap},
		{"prev names what never came", nil, placed(1, 6, pt(1, 4), 0), gap},
		{"the first of a new epoch", nil, placed(2, 1, pt(1, 5), 0), fresh},
		{"a new epoch behind more of the old", nil, placed(2, 1, pt(1, 7), 0), gap},
		{"a new epoch that says nothing of the old", nil, placed(2, 1, pt(2, 0), 0), gap},
		{"a new epoch, not from its start", nil, placed(2, 3, pt(1, 5), 0), gap},
		{"a new epoch, its start skipped", nil, placed(2, 3, pt(1, 5), 2), fresh},
		{"behind a LOST", lost, placed(1, 9, pt(1, 8), 0), fresh},
		{"behind a LOST, later than it ended", lost, placed(1, 10, pt(1, 9), 0), gap},
		{"behind a LOST, conflated", lost, placed(1, 12, pt(1, 11), 3), fresh},
		{"within a LOST", lost, placed(1, 7, pt(1, 6), 0), duplicate},
		{"a LOST of what is long here", func(tr *tracker) { tr.loss(wire.Lost{Topic: topic, Before: *pt(1, 3)}) }, placed(1, 6, pt(1, 5), 0), fresh},
		{"on a new connection", func(tr *tracker) { tr.loosen() }, placed(1, 6, pt(1, 5), 0), fresh},
		{"on a new connection, too far", func(tr *tracker) { tr.loosen() }, placed(1, 7, pt(1, 6), 0), gap},
		{"on a new connection, new epoch", func(tr *tracker) { tr.loosen() }, placed(2, 1, pt(2, 0), 0), fresh},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTracker()
			v, _ := tr.frame(topic, placed(1, 5, pt(1, 4), 0))
			require.Equal(t, fresh, v, "the first of a topic")
			if tt.event != nil {
				tt.event(tr)
			}
			v, _ = tr.frame(topic, tt.f)
			require.Equal(t, tt.want, v)
			if v != duplicate {
				require.Equal(t, map[quote.Topic]quote.Point{topic: tt.f.Point()}, tr.positions("quotes.*"))
			}
		})
	}
}

func TestTrackerKeepsTopicsApart(t *testing.T) {
	tr := newTracker()
	tr.frame("quotes.PETR4", placed(1, 5, nil, 0))
	v, _ := tr.frame("trades.PETR4", placed(1, 90, nil, 0))
	require.Equal(t, fresh, v)
	require.Equal(t, map[quote.Topic]quote.Point{"trades.PETR4": {Epoch: 1, Seq: 90}}, tr.positions("trades.*"))
	require.Len(t, tr.positions("*"), 2)
}

// A sender that accounts for everything is never accused, and one that drops a single frame always is.
func TestTrackerAccusesExactlyTheGuilty(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		honest, robbed := newTracker(), newTracker()
		var last *quote.Point
		p := quote.Point{Epoch: 1, Seq: 1}
		robAt := 1 + rng.IntN(48)
		for i := range 50 {
			f := placed(p.Epoch, p.Seq, last, 0)
			if last == nil {
				f.Prev = new(p.Seq - 1)
			} else if p.Epoch == last.Epoch {
				f.Skipped = p.Seq - last.Seq - 1
			} else {
				f.Skipped = p.Seq - 1
			}
			v, _ := honest.frame("quotes.PETR4", f)
			require.Equal(t, fresh, v, "seed %d frame %d", seed, i)
			if i != robAt {
				robbed.frame("quotes.PETR4", f)
			}
			here := p
			last = &here
			if rng.IntN(10) == 0 {
				p = quote.Point{Epoch: p.Epoch + 1}
			}
			p.Seq += 1 + rng.Uint64N(3)
		}
		require.Zero(t, honest.gaps, "seed %d", seed)
		require.EqualValues(t, 1, robbed.gaps, "seed %d", seed)
	}
}
