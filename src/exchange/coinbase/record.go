package coinbase

import (
	"fmt"

	"quotes/src/exchange"
	"quotes/src/quote"
)

// said collects what one frame says.
type said struct {
	product *product
	frame   *frame
	at      quote.Time // the line's
	venue   quote.Time // the venue's; 0 where it gave none
	out     []exchange.Record
}

// refuse says that a part of the frame is not taken.
func (s *said) refuse(err error) {
	s.out = append(s.out, refusal(fmt.Errorf("%s of %s: %w", s.frame.Type, s.product.symbol, err)))
}

// trade says a trade, and whether it begins the product's trades in this pass.
func (s *said) trade(t *quote.Trade) {
	untimed := t.Timestamp == 0
	if untimed {
		t.Timestamp = s.at
	}
	s.out = append(s.out, exchange.Record{Trade: t, Snapshot: !s.product.traded, Untimed: untimed})
	s.product.traded = true
}

// quote says the top of the book where it is new.
func (s *said) quote() {
	p := s.product
	q, changed, err := p.top()
	if err != nil {
		s.refuse(err)
		return
	}
	s.date()
	if !changed {
		return
	}
	first, untimed := p.said.Symbol == "", p.dated == 0 || s.venue == 0
	q.Timestamp = p.dated
	if untimed {
		q.Timestamp = s.at
	}
	p.said = q
	s.out = append(s.out, exchange.Record{Quote: &q, Snapshot: first, Untimed: untimed})
}

// date keeps the newest time that the venue gave the book: two of its channels may differ by some milliseconds, while the
// order of its frames is right. A session's first ticker and last_match have the time of a trade from before the book's
// snapshot: they date nothing.
func (s *said) date() {
	p := s.product
	switch s.frame.Type {
	case "snapshot":
		p.dated = s.venue
	case "l2update", "match":
		p.dated = max(p.dated, s.venue)
	default:
		if p.dated != 0 {
			p.dated = max(p.dated, s.venue)
		}
	}
}

func refusal(err error) exchange.Record {
	return exchange.Record{Refused: fmt.Errorf("%w: %w", ErrBadFrame, err)}
}
