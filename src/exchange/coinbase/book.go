package coinbase

import (
	"slices"
	"sort"

	"quotes/src/quote"
)

// level is one price of one side.
type level struct{ price, size quote.Decimal }

// side is one side of a book, best price last, so that changes near the top move little.
type side struct {
	levels []level
	sign   int // 1 for bids (the highest is best), -1 for asks
}

// set puts a level's size; a size of zero removes it.
func (s *side) set(price, size quote.Decimal) {
	i := sort.Search(len(s.levels), func(i int) bool { return s.sign*s.levels[i].price.Cmp(price) >= 0 })
	found := i < len(s.levels) && s.levels[i].price.Cmp(price) == 0
	switch {
	case size.Sign() == 0 && found:
		s.levels = slices.Delete(s.levels, i, i+1)
	case size.Sign() == 0:
	case found:
		s.levels[i] = level{price, size}
	default:
		s.levels = slices.Insert(s.levels, i, level{price, size})
	}
}

// best returns the best level, absent where the side is empty.
func (s *side) best() level {
	if len(s.levels) == 0 {
		return level{}
	}
	return s.levels[len(s.levels)-1]
}

// product is one instrument: its book and what was last said of it.
type product struct {
	symbol     quote.Symbol
	bids, asks side
	booked     bool // a snapshot has come
	last       quote.Decimal
	dated      quote.Time // newest venue time of the book; 0 where none was given since its snapshot
	said       quote.Quote
	traded     bool // a trade was said in this pass
}

// top returns the quote of now; ok is false where there is nothing to say, or nothing new.
func (p *product) top() (q quote.Quote, ok bool, err error) {
	bid, ask := p.bids.best(), p.asks.best()
	q = quote.Quote{Symbol: p.symbol, Price: p.last, Bid: bid.price, BidSize: bid.size, Ask: ask.price, AskSize: ask.size}
	if q.Price.IsZero() && !q.Bid.IsZero() && !q.Ask.IsZero() {
		if q.Price, err = quote.Mid(q.Bid, q.Ask); err != nil {
			return q, false, err
		}
	}
	same := q
	same.Timestamp = p.said.Timestamp
	return q, p.booked && !q.Price.IsZero() && same != p.said, nil
}
