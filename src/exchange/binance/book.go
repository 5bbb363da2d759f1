package binance

import (
	"encoding/json"
	"fmt"
	"slices"

	"quotes/src/exchange"
	"quotes/src/exchange/depth"
	"quotes/src/quote"
)

// maxWaiting bounds the updates that wait for a snapshot, per symbol: more than a quarter of an hour at ten a second.
const maxWaiting = 10_000

// product is one symbol: its book, and what was last said of it.
type product struct {
	symbol     quote.Symbol
	bids, asks depth.Side
	booked     bool       // a snapshot has come, and nothing is missing since
	bookID     uint64     // the last update in the book
	waiting    []update   // for a snapshot
	awaited    int        // snapshots still to come
	dated      quote.Time // newest venue time of what quotes are made of; 0 where none was given

	ticked   bool // quotes are bookTicker's
	tickID   uint64
	bid, ask depth.Level

	last   quote.Decimal
	trades string // the stream that trades are taken from; empty until the first
	traded bool   // a trade was said in this pass
	fresh  bool   // the next quote is the first, or the first behind a gap
	said   quote.Quote
}

// leaveBook forgets the book: it is not asked any more.
func (p *product) leaveBook() {
	p.booked, p.waiting = false, nil
	p.bids.Clear()
	p.asks.Clear()
}

// update is one depthUpdate.
type update struct {
	first, last uint64
	venue       quote.Time
	bids, asks  [][2]string
}

// change takes a depthUpdate.
func (s *said) change(e *event) error {
	p := s.product
	if p.ticked {
		return nil
	}
	u := update{venue: s.venue}
	var err error
	if u.first, err = number("first update id", e.First); err != nil {
		return err
	}
	if u.last, err = number("last update id", e.Last); err != nil {
		return err
	}
	if u.last < u.first {
		return fmt.Errorf("updates %d to %d", u.first, u.last)
	}
	if err := json.Unmarshal(e.Bid, &u.bids); err != nil {
		return fmt.Errorf("bids: %w", err)
	}
	if err := json.Unmarshal(e.Ask, &u.asks); err != nil {
		return fmt.Errorf("asks: %w", err)
	}
	if p.booked {
		if s.follow(u); p.booked {
			s.quote()
			return nil
		}
	}
	if p.awaited > 0 {
		if len(p.waiting) >= maxWaiting {
			p.waiting = p.waiting[1:]
		}
		p.waiting = append(p.waiting, u)
	}
	return nil
}

// follow puts an update into the book. Where it does not continue the one before, the book is over.
func (s *said) follow(u update) {
	p := s.product
	switch {
	case u.last <= p.bookID:
		return // older than the snapshot
	case u.first > p.bookID+1:
		s.refuse(fmt.Errorf("updates %d to %d are missing: no quotes from its book until another snapshot", p.bookID+1, u.first-1))
		s.out[len(s.out)-1].Unsure = p.symbol
		p.booked, p.fresh = false, true
		return
	}
	s.levels(&p.bids, u.bids)
	s.levels(&p.asks, u.asks)
	p.bookID = u.last
	s.venue = u.venue
	p.dated = max(p.dated, u.venue)
}

// levels sets levels of one side. The best come first in snapshots and stand last in the book: backwards, each is the next.
func (s *said) levels(side *depth.Side, levels [][2]string) {
	for _, l := range slices.Backward(levels) {
		price, err := quote.ParseDecimal(l[0])
		if err != nil {
			s.refuse(err)
			continue
		}
		size, err := quote.ParseDecimal(l[1])
		if err == nil && size.Sign() < 0 {
			err = fmt.Errorf("size %.40q", l[1])
		}
		if err != nil {
			s.refuse(err)
			continue
		}
		side.Set(price, size)
	}
}

// snapshot begins a book, or leaves one alone that is newer.
func (d *Decoder) snapshot(shot *Snapshot) []exchange.Record {
	p := d.product(shot.Symbol)
	p.awaited--
	if p.ticked || p.booked && p.bookID >= shot.lastID {
		return nil
	}
	s := &said{product: p, what: fmt.Sprintf("snapshot (line %d of its file)", shot.line), at: shot.At}
	p.bids.Clear()
	p.asks.Clear()
	p.booked, p.bookID, p.dated = true, shot.lastID, 0
	s.levels(&p.bids, shot.bids)
	s.levels(&p.asks, shot.asks)
	waiting := p.waiting
	p.waiting = nil
	for i, u := range waiting {
		if s.follow(u); !p.booked {
			if p.awaited > 0 {
				p.waiting = waiting[i:]
			}
			return s.out
		}
	}
	s.quote()
	return s.out
}

// said collects what one frame says.
type said struct {
	product *product
	what    string
	at      quote.Time // the line's
	venue   quote.Time // the venue's; 0 where it gave none
	out     []exchange.Record
}

// refuse says that a part of the frame is not taken.
func (s *said) refuse(err error) {
	s.out = append(s.out, refusal(fmt.Errorf("%s of %s: %w", s.what, s.product.symbol, err)))
}

func refusal(err error) exchange.Record {
	return exchange.Record{Refused: fmt.Errorf("%w: %w", ErrBadFrame, err)}
}

// quote says the top of the book where it is new.
func (s *said) quote() {
	p := s.product
	bid, ask := p.bid, p.ask
	if !p.ticked {
		bid, ask = p.bids.Best(), p.asks.Best()
	}
	p.dated = max(p.dated, s.venue)
	q, err := depth.Quote(p.symbol, bid, ask, p.last)
	if err != nil {
		s.refuse(err)
		return
	}
	same := q
	same.Timestamp = p.said.Timestamp
	if !p.ticked && !p.booked || q.Price.IsZero() || same == p.said && !p.fresh {
		return
	}
	untimed := s.venue == 0
	if q.Timestamp = p.dated; untimed {
		q.Timestamp = s.at
	}
	p.said = q
	s.out = append(s.out, exchange.Record{Quote: &q, Snapshot: p.fresh, Untimed: untimed})
	p.fresh = false
}
