package depth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange/depth"
	"quotes/src/quote"
)

func dec(t *testing.T, s string) quote.Decimal {
	d, err := quote.ParseDecimal(s)
	require.NoError(t, err)
	return d
}

func TestBestIsTheBestOfWhatIsLeft(t *testing.T) {
	bids, asks := depth.Bids(), depth.Asks()
	require.Zero(t, bids.Best())
	for _, c := range []struct{ price, size, bid, ask string }{
		{"10.0", "1", "10.0", "10.0"},
		{"10.5", "2", "10.5", "10.0"},
		{"9.5", "3", "10.5", "9.5"},
		{"10.50", "0.00", "10.0", "9.5"}, // the same price in other digits is gone
		{"9.5", "0", "10.0", "10.0"},
		{"77", "0", "10.0", "10.0"}, // was never there
	} {
		bids.Set(dec(t, c.price), dec(t, c.size))
		asks.Set(dec(t, c.price), dec(t, c.size))
		require.Equal(t, []string{c.bid, c.ask}, []string{bids.Best().Price.String(), asks.Best().Price.String()})
	}
	bids.Clear()
	require.Zero(t, bids.Best())
}

func TestAQuotesPriceIsTheLastTradesElseTheMid(t *testing.T) {
	bid, ask := depth.Level{Price: dec(t, "10"), Size: dec(t, "1")}, depth.Level{Price: dec(t, "11"), Size: dec(t, "2")}
	for want, last := range map[string]quote.Decimal{"10.5": {}, "10.9": dec(t, "10.9")} {
		q, err := depth.Quote("A", bid, ask, last)
		require.NoError(t, err)
		require.Equal(t, want, q.Price.String())
	}
	q, err := depth.Quote("A", bid, depth.Level{}, quote.Decimal{})
	require.NoError(t, err)
	require.True(t, q.Price.IsZero())
}
