package coinbase

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"quotes/src/exchange"
	"quotes/src/quote"
)

// ErrBadFrame says that a frame is not what the venue documents.
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

// Apply takes the frame that was received at a time. Errors wrap [ErrBadFrame]; what could be understood is returned.
// Unknown types are nothing.
func (d *Decoder) Apply(at quote.Time, raw []byte) ([]exchange.Record, error) {
	var f frame
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	switch f.Type {
	case "snapshot", "l2update", "ticker", "match", "last_match":
	default:
		return nil, nil
	}
	p, err := d.product(f.ProductID)
	if err != nil {
		return nil, err
	}
	out, err := d.apply(p, &f, at)
	if err != nil {
		err = fmt.Errorf("%w: %s of %s: %w", ErrBadFrame, f.Type, p.symbol, err)
	}
	return out, err
}

func (d *Decoder) product(id string) (*product, error) {
	if p := d.products[id]; p != nil {
		return p, nil
	}
	symbol, err := quote.ParseSymbol(id)
	if err != nil {
		return nil, fmt.Errorf("%w: product: %w", ErrBadFrame, err)
	}
	p := &product{symbol: symbol, bids: side{sign: 1}, asks: side{sign: -1}}
	d.products[id] = p
	return p, nil
}

// apply changes the product by the frame and says what is new.
func (d *Decoder) apply(p *product, f *frame, at quote.Time) (out []exchange.Record, err error) {
	venue, err := venueTime(f.Time)
	if err != nil {
		return nil, err
	}
	switch f.Type {
	case "snapshot":
		err = p.snapshot(f)
	case "l2update":
		err = p.update(f)
	case "ticker":
		p.last, err = price(f.Price)
	default:
		var t *quote.Trade
		if t, err = d.trade(p, f, venue); err != nil {
			return nil, err
		}
		if t.Timestamp == 0 {
			t.Timestamp = at
		}
		out = append(out, exchange.Record{Trade: t, Snapshot: !p.traded, Untimed: venue == 0})
		p.traded, p.last = true, t.Price
	}
	q, changed, midErr := p.top()
	if changed {
		out = append(out, p.say(q, venue, at))
	}
	return out, errors.Join(err, midErr)
}

// say gives the quote its time and remembers it.
func (p *product) say(q quote.Quote, venue, at quote.Time) exchange.Record {
	first := p.said.Symbol == ""
	p.newest = max(p.newest, venue)
	q.Timestamp = p.newest
	untimed := venue == 0
	if untimed {
		q.Timestamp = at
	}
	p.said = q
	return exchange.Record{Quote: &q, Snapshot: first, Untimed: untimed}
}

func (p *product) snapshot(f *frame) error {
	p.bids.levels, p.asks.levels, p.booked = nil, nil, true
	var errs []error
	for _, l := range f.Bids {
		errs = append(errs, p.set(&p.bids, l[0], l[1]))
	}
	for _, l := range f.Asks {
		errs = append(errs, p.set(&p.asks, l[0], l[1]))
	}
	return errors.Join(errs...)
}

func (p *product) update(f *frame) error {
	var errs []error
	for _, c := range f.Changes {
		switch c[0] {
		case "buy":
			errs = append(errs, p.set(&p.bids, c[1], c[2]))
		case "sell":
			errs = append(errs, p.set(&p.asks, c[1], c[2]))
		default:
			errs = append(errs, fmt.Errorf("side %.20q", c[0]))
		}
	}
	return errors.Join(errs...)
}

func (p *product) set(s *side, price, size string) error {
	pr, err := quote.ParseDecimal(price)
	if err != nil {
		return err
	}
	sz, err := quote.ParseDecimal(size)
	if err != nil {
		return err
	}
	s.set(pr, sz)
	return nil
}

// trade reads a match. The venue names the maker's side; a trade has the taker's.
func (d *Decoder) trade(p *product, f *frame, venue quote.Time) (*quote.Trade, error) {
	t := &quote.Trade{ID: f.TradeID.String(), Symbol: p.symbol, Timestamp: venue}
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
	if f.TradeID == "" {
		return nil, errors.New("no trade_id")
	}
	return t, nil
}

func price(raw json.RawMessage) (d quote.Decimal, err error) {
	if len(raw) == 0 {
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
