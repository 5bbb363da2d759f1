package bench

import (
	"math"
	"slices"
)

// Series is what one side measured, a value a round, in the order of the rounds.
type Series []float64

// Interleave measures the sides one after the other, A B A B, rounds times, so that what disturbs the machine disturbs all. What a
// side returns is its value of the round.
func Interleave(rounds int, sides ...func() float64) []Series {
	out := make([]Series, len(sides))
	for range rounds {
		for i, side := range sides {
			out[i] = append(out[i], side())
		}
	}
	return out
}

// Median returns the middle value, the mean of the two middle ones where their number is even, NaN where there is none.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// Spread returns the distance of the extremes as a share of the median.
func (s Series) Spread() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return (slices.Max(s) - slices.Min(s)) / s.Median()
}

// Percentile returns the smallest value that at least the share p, above 0 to 1, of all does not exceed; NaN where there is none.
func (s Series) Percentile(p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	at := int(math.Ceil(p*float64(len(s)))) - 1
	return sorted[min(max(at, 0), len(s)-1)]
}
