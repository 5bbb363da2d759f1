package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"quotes/src/exchange"
	"quotes/src/quote"
)

// MaxRate is the most quotes a second over all symbols.
const MaxRate = 100_000

// Config says what is traded. The zero value of a field is the default that its comment names.
type Config struct {
	Symbols []string // at least one
	Rate    float64  // quotes a second and symbol; 5. Times the symbols at most MaxRate
	Seed    uint64
}

// Flags binds what a user sets; the seed is the exchange's.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&c.Symbols, "symbols", []string{"PETR4", "VALE3", "ITUB4", "BBDC4", "ABEV3", "BTC-USD", "ETH-USD"}, "symbols to trade")
	fs.Float64Var(&c.Rate, "rate", 5, "quotes a second and symbol")
}

// Sim is an [exchange.Generator].
type Sim struct {
	books []*book
	total float64 // quotes a second over all
	run   string  // begins every trade id
}

// book is one symbol's state. Prices are in ticks of 0.01.
type book struct {
	symbol           quote.Symbol
	rng              *rand.Rand
	mid, spread      int64
	bidSize, askSize int64
	last             quote.Decimal
	trades           uint64
	quotes           uint64
}

// New returns the market, or an error that names the symbol or the rate that is wrong.
func New(cfg Config) (*Sim, error) {
	if cfg.Rate == 0 {
		cfg.Rate = 5
	}
	s := &Sim{total: cfg.Rate * float64(len(cfg.Symbols)), run: strconv.FormatInt(time.Now().UnixMilli(), 36)}
	if len(cfg.Symbols) == 0 {
		return nil, fmt.Errorf("%w: no symbols to simulate", quote.ErrBadSymbol)
	}
	if !(cfg.Rate > 0) || s.total > MaxRate {
		return nil, fmt.Errorf("rate %v for %d symbols: want above 0, and at most %d a second over all", cfg.Rate, len(cfg.Symbols), MaxRate)
	}
	seen := map[quote.Symbol]bool{}
	for _, name := range cfg.Symbols {
		symbol, err := quote.ParseSymbol(name)
		if err != nil {
			return nil, err
		}
		if seen[symbol] {
			return nil, fmt.Errorf("%w: %s stands twice", quote.ErrBadSymbol, symbol)
		}
		seen[symbol] = true
		s.books = append(s.books, newBook(symbol, cfg.Seed))
	}
	return s, nil
}

func newBook(symbol quote.Symbol, seed uint64) *book {
	h := fnv.New64a()
	_, _ = h.Write([]byte(symbol))
	b := &book{symbol: symbol, rng: rand.New(rand.NewPCG(seed, h.Sum64()))}
	b.mid = 1_000 + b.rng.Int64N(9_000) // 10.00 to 100.00
	b.step()
	return b
}

// step moves the market by one quote.
func (b *book) step() {
	b.mid = min(max(b.mid+b.rng.Int64N(5)-2, 500), 1_000_000)
	b.spread = 1 + b.rng.Int64N(3)
	b.bidSize = 100 * (1 + b.rng.Int64N(50))
	b.askSize = 100 * (1 + b.rng.Int64N(50))
	b.quotes++
}

// Run implements [exchange.Generator].
func (s *Sim) Run(ctx context.Context, _ <-chan struct{}, put func([]exchange.Record)) error {
	now := time.Now()
	var all []exchange.Record
	for _, b := range s.books {
		all = b.quote(all, now)
	}
	put(all)
	// Timers finer than this cost more than they give; at low rates each quote has its own.
	every := max(time.Duration(float64(time.Second)/s.total), 2*time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	began, done := now, 0
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now = time.Now()
		due := int(now.Sub(began).Seconds()*s.total) - done
		if most := int(s.total/10) + 1; due > most { // the machine slept: no burst to make up for it
			began, done, due = now, 0, most
		} else {
			done += due
		}
		burst := make([]exchange.Record, 0, due+due/4)
		for range due {
			burst = s.books[next].advance(burst, now, s.run)
			next = (next + 1) % len(s.books)
		}
		if len(burst) > 0 {
			put(burst)
		}
	}
}

// advance adds one quote, and in one of five cases the trade that moved it.
func (b *book) advance(out []exchange.Record, now time.Time, run string) []exchange.Record {
	b.step()
	if b.rng.IntN(5) == 0 {
		out = b.trade(out, now, run)
	}
	return b.quote(out, now)
}

func (b *book) trade(out []exchange.Record, now time.Time, run string) []exchange.Record {
	side, ticks := quote.Buy, b.mid+b.spread
	if b.rng.IntN(2) == 0 {
		side, ticks = quote.Sell, b.mid-b.spread
	}
	b.last = cents(ticks)
	b.trades++
	return append(out, exchange.Record{Trade: &quote.Trade{
		ID: run + "-" + strconv.FormatUint(b.trades, 10), Symbol: b.symbol, Price: b.last,
		Quantity: whole(100 * (1 + b.rng.Int64N(20))), Side: side, Timestamp: quote.TimeOf(now),
	}})
}

func (b *book) quote(out []exchange.Record, now time.Time) []exchange.Record {
	price := b.last
	if price.IsZero() {
		price = cents(b.mid)
	}
	return append(out, exchange.Record{Quote: &quote.Quote{
		Symbol: b.symbol, Price: price, Bid: cents(b.mid - b.spread), Ask: cents(b.mid + b.spread),
		BidSize: whole(b.bidSize), AskSize: whole(b.askSize), Timestamp: quote.TimeOf(now),
	}})
}

func cents(ticks int64) quote.Decimal { return decimal(ticks, 2) }
func whole(n int64) quote.Decimal     { return decimal(n, 0) }

// decimal never fails: the walk stays far within 19 digits.
func decimal(coef int64, scale int) quote.Decimal {
	d, err := quote.NewDecimal(coef, scale)
	if err != nil {
		panic(err)
	}
	return d
}
