package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"

	"quotes/src/exchange"
	"quotes/src/quote"
)

// book is one symbol's state. Prices are in ticks, half-spreads too, and sizes in lots.
type book struct {
	symbol           quote.Symbol
	rng              *rand.Rand
	tick             int64 // in units of 0.01
	low, high        int64 // where the walk turns back
	pair             bool  // BTC-USD: sizes are fractions
	mid, half        int64
	bidSize, askSize int64
	last             quote.Decimal
	trades           uint64
}

// start returns a price of old acquaintances, in units of 0.01, or one from 10.00 to 100.00.
func start(s quote.Symbol, rng *rand.Rand) int64 {
	switch s {
	case "PETR4":
		return 38_20
	case "VALE3":
		return 61_50
	case "ITUB4":
		return 34_80
	case "BBDC4":
		return 14_90
	case "ABEV3":
		return 12_60
	case "BTC-USD":
		return 64_000_00
	case "ETH-USD":
		return 3_200_00
	}
	return 1_000 + rng.Int64N(9_000)
}

func newBook(symbol quote.Symbol, seed uint64) *book {
	h := fnv.New64a()
	_, _ = h.Write([]byte(symbol))
	b := &book{symbol: symbol, rng: rand.New(rand.NewPCG(seed, h.Sum64())), tick: 1, pair: strings.ContainsAny(string(symbol), "-/")}
	price := start(symbol, b.rng)
	for price/b.tick >= 100_000 { // so that a step is seen, whatever the price
		b.tick *= 10
	}
	b.mid = price / b.tick
	b.low, b.high = b.mid/2, b.mid*2
	b.step()
	return b
}

// step moves the market by one quote.
func (b *book) step() {
	move := b.rng.Int64N(5) - 2
	if next := b.mid + move; next < b.low || next > b.high {
		move = -move
	}
	b.mid += move
	b.half = 1 + b.rng.Int64N(3)
	lots := int64(50)
	if b.pair {
		lots = 50_000
	}
	b.bidSize, b.askSize = 1+b.rng.Int64N(lots), 1+b.rng.Int64N(lots)
}

// advance adds one quote, and in one of five cases the trade that came before it: at the old bid or ask.
func (b *book) advance(out []exchange.Record, now quote.Time, run string) []exchange.Record {
	if b.rng.IntN(5) == 0 {
		out = b.trade(out, now, run)
	}
	b.step()
	return b.quote(out, now)
}

func (b *book) trade(out []exchange.Record, now quote.Time, run string) []exchange.Record {
	side, ticks, most := quote.Buy, b.mid+b.half, b.askSize
	if b.rng.IntN(2) == 0 {
		side, ticks, most = quote.Sell, b.mid-b.half, b.bidSize
	}
	b.last = b.price(ticks)
	b.trades++
	return append(out, exchange.Record{Trade: &quote.Trade{
		ID: run + "-" + strconv.FormatUint(b.trades, 10), Symbol: b.symbol, Price: b.last,
		Quantity: b.size(1 + b.rng.Int64N(most)), Side: side, Timestamp: now,
	}})
}

func (b *book) quote(out []exchange.Record, now quote.Time) []exchange.Record {
	price := b.last
	if price.IsZero() {
		price = b.price(b.mid)
	}
	return append(out, exchange.Record{Quote: &quote.Quote{
		Symbol: b.symbol, Price: price, Bid: b.price(b.mid - b.half), Ask: b.price(b.mid + b.half),
		BidSize: b.size(b.bidSize), AskSize: b.size(b.askSize), Timestamp: now,
	}})
}

func (b *book) price(ticks int64) quote.Decimal { return decimal(ticks*b.tick, 2) }

// size turns lots into units: of 100 shares, of 0.0001 for pairs.
func (b *book) size(lots int64) quote.Decimal {
	if b.pair {
		return decimal(lots, 4)
	}
	return decimal(100*lots, 0)
}

// decimal never fails: the walk stays far within 19 digits.
func decimal(coef int64, scale int) quote.Decimal {
	d, err := quote.NewDecimal(coef, scale)
	if err != nil {
		panic(err)
	}
	return d
}
