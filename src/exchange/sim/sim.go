package sim

import (
	"context"
	"fmt"
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
	Symbols []string // at least one; their order is the market's
	Rate    float64  // quotes a second and symbol; 5. Times the symbols at most MaxRate
	Seed    uint64
}

// Flags binds the fields that a user sets; the seed is the exchange's.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&c.Symbols, "symbols", []string{"PETR4", "VALE3", "ITUB4", "BBDC4", "ABEV3", "BTC-USD", "ETH-USD"}, "symbols to trade, the default one first")
	fs.Float64Var(&c.Rate, "rate", 5, fmt.Sprintf("quotes a second and symbol, at most %d over all; a trade for every fifth", MaxRate))
}

// Sim is an [exchange.Generator].
type Sim struct {
	books []*book
	total float64 // quotes a second over all
	run   string  // begins every trade id
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

// Bounds of the clock. Timers finer than a few milliseconds cost more than they give; at low rates each quote has its own.
// What a machine that stood still for longer than maxDebt has missed is not made up for: that would be a burst.
const (
	minTick = 2 * time.Millisecond
	maxTick = time.Second
	maxDebt = 100 * time.Millisecond
)

// Run implements [exchange.Generator].
func (s *Sim) Run(ctx context.Context, _ <-chan struct{}, put func([]exchange.Record)) error {
	began, done := time.Now(), 0 // quotes since began
	var all []exchange.Record
	for _, b := range s.books {
		all = b.quote(all, quote.TimeOf(began))
	}
	put(all)
	tick := time.NewTicker(min(max(time.Duration(float64(time.Second)/s.total), minTick), maxTick))
	defer tick.Stop()
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		due := int(now.Sub(began).Seconds()*s.total) - done
		if most := max(int(maxDebt.Seconds()*s.total), len(s.books)); due > most {
			began, done, due = now, 0, most
		} else {
			done += due
		}
		if due > 0 {
			put(s.burst(due, &next, quote.TimeOf(now)))
		}
	}
}

// burst makes n quotes, each symbol in turn, and the trades among them.
func (s *Sim) burst(n int, next *int, now quote.Time) []exchange.Record {
	out := make([]exchange.Record, 0, n+n/4+1)
	for range n {
		out = s.books[*next].advance(out, now, s.run)
		*next = (*next + 1) % len(s.books)
	}
	return out
}
