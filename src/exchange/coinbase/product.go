package coinbase

import (
	"quotes/src/exchange/depth"
	"quotes/src/quote"
)

// product is one instrument: its book and what was last said of it.
type product struct {
	symbol     quote.Symbol
	bids, asks depth.Side
	booked     bool // a snapshot has come
	last       quote.Decimal
	dated      quote.Time // newest venue time of the book; 0 where none was given since its snapshot
	said       quote.Quote
	traded     bool // a trade was said in this pass
}

// top returns the quote of now; ok is false where there is nothing to say, or nothing new.
func (p *product) top() (q quote.Quote, ok bool, err error) {
	if q, err = depth.Quote(p.symbol, p.bids.Best(), p.asks.Best(), p.last); err != nil {
		return q, false, err
	}
	same := q
	same.Timestamp = p.said.Timestamp
	return q, p.booked && !q.Price.IsZero() && same != p.said, nil
}
