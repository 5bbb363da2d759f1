package binance

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"quotes/src/exchange"
	"quotes/src/exchange/depth"
	"quotes/src/quote"
)

// ErrBadFrame says that a frame, or a tick in it, is not what the venue documents or can't be kept exactly.
var ErrBadFrame = errors.New("bad binance frame")

// Decoder turns one pass of frames into records.
type Decoder struct {
	pass      int
	snapshots []Snapshot // not applied yet, by their times
	products  map[quote.Symbol]*product
}

// NewDecoder begins a pass; from the second on trades get ids of their own. Each snapshot is taken when a frame comes that
// is not older; they must be in the order of their times, as [ReadSnapshots] returns them, and are not changed.
func NewDecoder(pass int, snapshots []Snapshot) *Decoder {
	d := &Decoder{pass: pass, snapshots: snapshots, products: map[quote.Symbol]*product{}}
	for _, s := range snapshots {
		d.product(s.Symbol).awaited++
	}
	return d
}

// Apply takes the frame that was received at a time. What does not parse or fit is a refusal that wraps [ErrBadFrame];
// what can be understood is taken. Other streams are nothing.
func (d *Decoder) Apply(at quote.Time, raw []byte) (out []exchange.Record) {
	for len(d.snapshots) > 0 && d.snapshots[0].At <= at {
		shot := &d.snapshots[0]
		d.snapshots = d.snapshots[1:]
		out = append(out, d.snapshot(shot)...)
	}
	e, ok, err := parse(raw)
	if err != nil {
		return append(out, refusal(err))
	}
	if !ok {
		return out
	}
	symbol, err := quote.ParseSymbol(e.Symbol)
	if err != nil {
		return append(out, refusal(fmt.Errorf("%s: %w", e.Type, err)))
	}
	s := &said{product: d.product(symbol), what: e.Type, at: at, out: out}
	if s.venue, err = moment(e.At); err == nil {
		err = d.apply(s, &e)
	}
	if err != nil {
		s.refuse(err)
	}
	return s.out
}

func (d *Decoder) product(symbol quote.Symbol) *product {
	p := d.products[symbol]
	if p == nil {
		p = &product{symbol: symbol, bids: depth.Bids(), asks: depth.Asks(), fresh: true}
		d.products[symbol] = p
	}
	return p
}

// apply changes the product by an event and says what that means.
func (d *Decoder) apply(s *said, e *event) error {
	switch e.Type {
	case bookTicker:
		return s.tick(e)
	case depthUpdate:
		return s.change(e)
	}
	t, err := d.trade(s, e)
	if t == nil || err != nil {
		return err
	}
	s.out = append(s.out, exchange.Record{Trade: t, Snapshot: !s.product.traded})
	s.product.traded = true
	s.product.last = t.Price
	s.venue = t.Timestamp
	s.quote()
	return nil
}

// trade reads a trade; nil where the symbol has its trades from the other stream.
func (d *Decoder) trade(s *said, e *event) (*quote.Trade, error) {
	if s.product.trades == "" {
		s.product.trades = e.Type
	}
	if s.product.trades != e.Type {
		return nil, nil
	}
	raw := e.TradeID
	if e.Type == aggTrade {
		raw = e.Ask
	}
	id, err := number("id", raw)
	if err != nil {
		return nil, err
	}
	t := &quote.Trade{ID: strconv.FormatUint(id, 10), Symbol: s.product.symbol, Side: quote.Buy}
	if d.pass > 1 {
		t.ID += "-" + strconv.Itoa(d.pass)
	}
	if t.Price, err = decimal("price", e.Price); err != nil {
		return nil, err
	}
	if t.Quantity, err = decimal("quantity", e.Quantity); err != nil {
		return nil, err
	}
	if t.Timestamp, err = moment(e.TradeTime); err != nil {
		return nil, err
	}
	switch {
	case t.Timestamp == 0:
		return nil, errors.New("no time of the trade")
	case e.Maker == nil:
		return nil, errors.New("does not say whether the buyer is the maker")
	case *e.Maker:
		t.Side = quote.Sell
	}
	return t, nil
}

// tick takes a bookTicker: from the first on, quotes are its.
func (s *said) tick(e *event) error {
	p := s.product
	u, err := number("update id", e.Last)
	if err != nil || u <= p.tickID || !p.ticked && p.booked && u < p.bookID {
		return err
	}
	bid, err := top("bid", e.Bid, e.BidSize)
	if err != nil {
		return err
	}
	ask, err := top("ask", e.Ask, e.AskSize)
	if err != nil {
		return err
	}
	p.tickID, p.ticked, p.bid, p.ask = u, true, bid, ask
	p.leaveBook()
	s.quote()
	return nil
}

// top reads one side of a bookTicker; an empty side has zeros.
func top(what string, price, size json.RawMessage) (l depth.Level, err error) {
	if l.Price, err = decimal(what, price); err != nil {
		return l, err
	}
	if l.Size, err = decimal(what+" size", size); err != nil {
		return l, err
	}
	if l.Price.Sign() == 0 || l.Size.Sign() == 0 {
		return depth.Level{}, nil
	}
	return l, nil
}
