package coinbase

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"quotes/src/exchange"
	"quotes/src/exchange/depth"
	"quotes/src/quote"
)

// ErrBadFrame says that a frame, or a tick in it, is not what the venue documents or can't be kept exactly.
var ErrBadFrame = errors.New("bad coinbase frame")

// frame is the union of the frames that matter here.
type frame struct {
	Type      string          `json:"type"`
	ProductID string          `json:"product_id"`
	Bids      [][2]string     `json:"bids"`
	Asks      [][2]string     `json:"asks"`
	Changes   [][3]string     `json:"changes"`
	TradeID   json.Number     `json:"trade_id"`
	Side      string          `json:"side"`
	Size      string          `json:"size"`
	Price     json.RawMessage `json:"price"`
	Time      string          `json:"time"`
}

// Decoder turns one pass of frames into records.
type Decoder struct {
	pass     int
	products map[string]*product
}

// NewDecoder begins a pass; from the second on trades get ids of their own.
func NewDecoder(pass int) *Decoder { return &Decoder{pass: pass, products: map[string]*product{}} }

// Apply takes the frame that was received at a time. What does not parse or fit is a refusal that wraps [ErrBadFrame];
// what can be understood is taken. Unknown types are nothing.
func (d *Decoder) Apply(at quote.Time, raw []byte) []exchange.Record {
	var f frame
	if err := json.Unmarshal(raw, &f); err != nil {
		return []exchange.Record{refusal(err)}
	}
	switch f.Type {
	case "snapshot", "l2update", "ticker", "match", "last_match":
	default:
		return nil
	}
	p, err := d.product(f.ProductID)
	if err != nil {
		return []exchange.Record{refusal(err)}
	}
	s := &said{product: p, frame: &f, at: at}
	if s.venue, err = venueTime(f.Time); err != nil {
		s.refuse(err)
		return s.out
	}
	d.apply(s)
	s.quote()
	return s.out
}

func (d *Decoder) product(id string) (*product, error) {
	if p := d.products[id]; p != nil {
		return p, nil
	}
	symbol, err := quote.ParseSymbol(id)
	if err != nil {
		return nil, fmt.Errorf("product: %w", err)
	}
	p := &product{symbol: symbol, bids: depth.Bids(), asks: depth.Asks()}
	d.products[id] = p
	return p, nil
}

// apply changes the product by the frame.
func (d *Decoder) apply(s *said) {
	p, f := s.product, s.frame
	switch f.Type {
	case "snapshot":
		p.bids.Clear()
		p.asks.Clear()
		p.booked = true
		// The best come first there and stand last here: backwards, each level is the next.
		for _, l := range slices.Backward(f.Bids) {
			s.level("buy", l[0], l[1])
		}
		for _, l := range slices.Backward(f.Asks) {
			s.level("sell", l[0], l[1])
		}
	case "l2update":
		for _, c := range f.Changes {
			s.level(c[0], c[1], c[2])
		}
	case "ticker":
		last, err := price(f.Price)
		if err != nil {
			s.refuse(err)
			return
		}
		p.last = last
	default:
		t, err := d.trade(s)
		if err != nil {
			s.refuse(err)
			return
		}
		s.trade(t)
		p.last = t.Price
	}
}

// level sets one level of the book.
func (s *said) level(side, price, size string) {
	pr, err := quote.ParseDecimal(price)
	if err != nil {
		s.refuse(err)
		return
	}
	sz, err := quote.ParseDecimal(size)
	if err != nil {
		s.refuse(err)
		return
	}
	switch {
	case sz.Sign() < 0:
		s.refuse(fmt.Errorf("size %.20q", size))
	case side == "buy":
		s.product.bids.Set(pr, sz)
	case side == "sell":
		s.product.asks.Set(pr, sz)
	default:
		s.refuse(fmt.Errorf("side %.20q", side))
	}
}

// trade reads a match. The venue names the maker's side; a trade has the taker's.
func (d *Decoder) trade(s *said) (*quote.Trade, error) {
	f := s.frame
	t := &quote.Trade{ID: f.TradeID.String(), Symbol: s.product.symbol, Timestamp: s.venue}
	if t.ID == "" {
		return nil, errors.New("no trade_id")
	}
	if d.pass > 1 {
		t.ID += "-" + strconv.Itoa(d.pass)
	}
	var err error
	if t.Price, err = price(f.Price); err != nil {
		return nil, err
	}
	if t.Quantity, err = quote.ParseDecimal(f.Size); err != nil {
		return nil, err
	}
	switch f.Side {
	case "buy":
		t.Side = quote.Sell
	case "sell":
		t.Side = quote.Buy
	default:
		return nil, fmt.Errorf("side %.20q", f.Side)
	}
	return t, nil
}

func price(raw json.RawMessage) (d quote.Decimal, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return d, errors.New("no price")
	}
	err = d.UnmarshalJSON(raw)
	return d, err
}

// venueTime reads the venue's time; 0 where it gives none.
func venueTime(s string) (quote.Time, error) {
	if s == "" {
		return 0, nil
	}
	return quote.ParseTime(s)
}
