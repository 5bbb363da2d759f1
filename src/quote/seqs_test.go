package quote_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

// The set must agree with a plain map after any sequence of additions.
func TestSeqsIsASet(t *testing.T) {
	const most = 40
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var s quote.Seqs
		model := map[uint64]bool{}
		for range 12 {
			first := 1 + r.Uint64N(most)
			last := min(first+r.Uint64N(8), most)
			s.Add(first, last)
			for q := first; q <= last; q++ {
				model[q] = true
			}
			compare(t, &s, model, most, seed)
		}
	}
}

func compare(t *testing.T, s *quote.Seqs, model map[uint64]bool, most, seed uint64) {
	t.Helper()
	var through uint64
	for model[through+1] {
		through++
	}
	require.Equal(t, through, s.Through(), "seed %d", seed)
	require.Equal(t, uint64(len(model)), s.Len(), "seed %d", seed)
	missing := map[uint64]bool{}
	for _, m := range s.Missing(1, most) {
		for q := m.First; q <= m.Last; q++ {
			missing[q] = true
		}
	}
	held := uint64(0)
	for q := uint64(1); q <= most; q++ {
		require.Equal(t, held, s.Count(1, q-1), "seed %d before seq %d", seed, q)
		if model[q] {
			held++
		}
		require.Equal(t, model[q], s.Has(q), "seed %d seq %d", seed, q)
		require.Equal(t, !model[q], missing[q], "seed %d seq %d", seed, q)
	}
	for i, p := range s.Spans() {
		require.LessOrEqual(t, p.First, p.Last)
		if i > 0 {
			require.Greater(t, p.First, s.Spans()[i-1].Last+1, "spans are sorted and do not touch")
		}
	}
}

func TestSeqsOfNothing(t *testing.T) {
	var s quote.Seqs
	require.Zero(t, s.Through())
	require.False(t, s.Has(1))
	require.Equal(t, []quote.Span{{First: 1, Last: 3}}, s.Missing(1, 3))
	require.Empty(t, s.Missing(3, 1))
}
