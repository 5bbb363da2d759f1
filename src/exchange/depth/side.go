package depth

import (
	"slices"
	"sort"

	"quotes/src/quote"
)

// Level is one price of one side. The zero value is none.
type Level struct{ Price, Size quote.Decimal }

// Side is one side of a book. Make it with [Bids] or [Asks].
type Side struct {
	levels []Level // best price last, so that changes near the top move little
	sign   int     // 1 for bids (the highest is best), -1 for asks
}

// Bids returns an empty side whose best price is the highest.
func Bids() Side { return Side{sign: 1} }

// Asks returns an empty side whose best price is the lowest.
func Asks() Side { return Side{sign: -1} }

// Clear removes all levels.
func (s *Side) Clear() { s.levels = nil }

// Set puts a level's size; a size of zero removes it. It costs least near the best price.
func (s *Side) Set(price, size quote.Decimal) {
	i := sort.Search(len(s.levels), func(i int) bool { return s.sign*s.levels[i].Price.Cmp(price) >= 0 })
	found := i < len(s.levels) && s.levels[i].Price.Cmp(price) == 0
	switch {
	case size.Sign() == 0 && found:
		s.levels = slices.Delete(s.levels, i, i+1)
	case size.Sign() == 0:
	case found:
		s.levels[i] = Level{price, size}
	default:
		s.levels = slices.Insert(s.levels, i, Level{price, size})
	}
}

// Best returns the best level, none where the side is empty.
func (s *Side) Best() Level {
	if len(s.levels) == 0 {
		return Level{}
	}
	return s.levels[len(s.levels)-1]
}

// Quote makes the quote of a book's top: its price is the last trade's, or the mid where there was none. Without either
// the quote has no price. Errors: a mid that can't be kept exactly.
func Quote(symbol quote.Symbol, bid, ask Level, last quote.Decimal) (q quote.Quote, err error) {
	q = quote.Quote{Symbol: symbol, Price: last, Bid: bid.Price, BidSize: bid.Size, Ask: ask.Price, AskSize: ask.Size}
	if q.Price.IsZero() && !q.Bid.IsZero() && !q.Ask.IsZero() {
		q.Price, err = quote.Mid(q.Bid, q.Ask)
	}
	return q, err
}
