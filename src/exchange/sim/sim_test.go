package sim_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange"
	"quotes/src/exchange/sim"
	"quotes/src/quote"
)

// trade runs a market for d of fake time.
func trade(t *testing.T, cfg sim.Config, d time.Duration) (out []exchange.Record, largest int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := sim.New(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), d+time.Millisecond) // the last tick is in time
		defer cancel()
		require.NoError(t, s.Run(ctx, nil, func(r []exchange.Record) {
			out = append(out, r...)
			largest = max(largest, len(r))
		}))
	})
	return out, largest
}

func TestSameSeedSameMarket(t *testing.T) {
	cfg := sim.Config{Symbols: []string{"A", "B"}, Seed: 3}
	prices := func(seed uint64) (out []string) {
		cfg.Seed = seed
		records, _ := trade(t, cfg, 10*time.Second)
		for _, r := range records {
			if r.Quote != nil {
				out = append(out, string(r.Quote.Symbol)+r.Quote.Bid.String()+r.Quote.AskSize.String())
			}
		}
		return out
	}
	first := prices(3)
	require.Equal(t, first, prices(3))
	require.NotEqual(t, prices(3), prices(4))
}

func TestTheMarketIsPlausible(t *testing.T) {
	records, _ := trade(t, sim.Config{Symbols: []string{"A", "B", "C"}}, time.Minute)
	quotes, trades := map[string]int{}, 0
	ids := map[string]bool{}
	for _, r := range records {
		if r.Trade != nil {
			require.NoError(t, r.Trade.Validate())
			key := string(r.Trade.Symbol) + r.Trade.ID
			require.False(t, ids[key], "trade id %s twice", key)
			ids[key] = true
			trades++
			continue
		}
		require.NoError(t, r.Quote.Validate())
		require.Negative(t, r.Quote.Bid.Cmp(r.Quote.Ask))
		require.Positive(t, r.Quote.Bid.Sign())
		quotes[string(r.Quote.Symbol)]++
	}
	for s, n := range quotes {
		require.InDelta(t, 300, n, 3, "5 a second of %s", s)
	}
	require.Len(t, quotes, 3)
	require.InDelta(t, 180, trades, 60, "a trade for every fifth quote")
}

func TestATradeIsAtTheBidOrAskBeforeIt(t *testing.T) {
	records, _ := trade(t, sim.Config{Symbols: []string{"PETR4"}, Seed: 1}, 10*time.Minute)
	var before *quote.Quote
	for _, r := range records {
		if r.Quote != nil {
			before = r.Quote
			continue
		}
		price, size := before.Ask, before.AskSize
		if r.Trade.Side == quote.Sell {
			price, size = before.Bid, before.BidSize
		}
		require.Equal(t, price, r.Trade.Price)
		require.LessOrEqual(t, r.Trade.Quantity.Cmp(size), 0)
	}
}

func TestPricesAreOfTheSymbolsKind(t *testing.T) {
	records, _ := trade(t, sim.Config{Symbols: []string{"PETR4", "BTC-USD"}, Seed: 1}, time.Hour)
	for _, r := range records {
		if q := r.Quote; q != nil {
			digits := map[quote.Symbol]int{"PETR4": len("38.20"), "BTC-USD": len("64000.00")}[q.Symbol]
			require.Len(t, q.Bid.String(), digits, "%s at %s", q.Symbol, q.Bid)
			require.Equal(t, q.Symbol == "BTC-USD", strings.Contains(q.BidSize.String(), "."), "pairs trade in fractions")
		}
	}
}

func TestHighRatesComeEvenly(t *testing.T) {
	records, largest := trade(t, sim.Config{Symbols: []string{"A", "B"}, Rate: sim.MaxRate / 2}, time.Second)
	quotes := 0
	for _, r := range records {
		if r.Quote != nil {
			quotes++
		}
	}
	require.InDelta(t, sim.MaxRate, quotes, sim.MaxRate/100)
	require.Less(t, largest, sim.MaxRate/100, "a burst is a small part of a second")
}

func TestWrongMarketsAreRefused(t *testing.T) {
	for want, cfg := range map[string]sim.Config{
		"symbols": {}, "a b": {Symbols: []string{"a b"}}, "twice": {Symbols: []string{"A", "A"}},
		"rate": {Symbols: []string{"A"}, Rate: -1}, "100000": {Symbols: []string{"A", "B"}, Rate: sim.MaxRate},
	} {
		_, err := sim.New(cfg)
		require.ErrorContains(t, err, want)
	}
}
