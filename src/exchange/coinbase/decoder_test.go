package coinbase_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange"
	"quotes/src/exchange/coinbase"
	"quotes/src/quote"
)

const at = quote.Time(1_618_677_817_000_000)

// say applies frames and writes what comes out, a record a line.
func say(t *testing.T, d *coinbase.Decoder, frames ...string) string {
	t.Helper()
	var out []string
	for _, f := range frames {
		for _, r := range d.Apply(at, []byte(f)) {
			require.NoError(t, r.Refused, f)
			out = append(out, line(r))
		}
	}
	return strings.Join(out, "\n")
}

func line(r exchange.Record) string {
	mark := ""
	if r.Snapshot {
		mark += " snapshot"
	}
	if r.Untimed {
		mark += " untimed"
	}
	if r.Trade != nil {
		t := r.Trade
		return strings.Join([]string{"trade", t.ID, t.Price.String(), t.Quantity.String(), string(t.Side), t.Timestamp.String()}, " ") + mark
	}
	q := r.Quote
	return strings.Join([]string{"quote", q.Price.String(), q.Bid.String() + "x" + q.BidSize.String(), q.Ask.String() + "x" + q.AskSize.String(), q.Timestamp.String()}, " ") + mark
}

const (
	snapshot = `{"type":"snapshot","product_id":"A-B","asks":[["10.10","1"],["10.20","2"]],"bids":[["10.00","3"],["9.90","4"]]}`
	lastOne  = `{"type":"last_match","trade_id":7,"side":"sell","size":"0.5","price":"10.05","product_id":"A-B","time":"2021-04-17T16:43:30.000000Z"}`
)

func change(side, price, size, time string) string {
	return `{"type":"l2update","product_id":"A-B","changes":[["` + side + `","` + price + `","` + size + `"]],"time":"2021-04-17T16:43:` + time + `Z"}`
}

func TestQuotesFollowTheTopOfTheBook(t *testing.T) {
	got := say(t, coinbase.NewDecoder(1),
		snapshot,
		change("buy", "9.95", "1", "37.1"),        // below the best: nothing
		change("buy", "10.05", "2", "37.2"),       // a better bid
		change("buy", "10.05", "0.00", "37.3"),    // gone again
		change("sell", "10.10", "1.5", "37.4"),    // another size
		change("sell", "10.1", "0", "37.5"),       // the same price in other digits
		change("sell", "99", "0", "37.6"),         // what was never there
		`{"type":"heartbeat","product_id":"A-B"}`, // unknown here
	)
	require.Equal(t, strings.TrimSpace(`
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z snapshot untimed
quote 10.075 10.05x2 10.10x1 2021-04-17T16:43:37.200000Z
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.300000Z
quote 10.05 10.00x3 10.10x1.5 2021-04-17T16:43:37.400000Z
quote 10.10 10.00x3 10.20x2 2021-04-17T16:43:37.500000Z`), got)
}

func TestTradesHaveTheTakersSideAndMoveThePrice(t *testing.T) {
	match := strings.NewReplacer("last_match", "match", `:7,`, `:8,`, "10.05", "10.10", "sell", "buy", "30.0", "38.0").Replace(lastOne)
	require.Equal(t, strings.TrimSpace(`
trade 7 10.05 0.5 buy 2021-04-17T16:43:30.000000Z snapshot
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z snapshot untimed
trade 8 10.10 0.5 sell 2021-04-17T16:43:38.000000Z
quote 10.10 10.00x3 10.10x1 2021-04-17T16:43:38.000000Z`), say(t, coinbase.NewDecoder(1), lastOne, snapshot, match))
}

func TestATickersPriceCounts(t *testing.T) {
	ticker := `{"type":"ticker","sequence":5,"product_id":"A-B","price":"10.09","best_bid":"1","best_ask":"2","time":"2021-04-17T16:43:39Z"}`
	require.Equal(t, strings.TrimSpace(`
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z snapshot untimed
quote 10.05 10.00x3.5 10.10x1 2021-04-17T16:43:37.100000Z
quote 10.09 10.00x3.5 10.10x1 2021-04-17T16:43:39.000000Z`), say(t, coinbase.NewDecoder(1), snapshot, change("buy", "10.00", "3.5", "37.1"), ticker))
}

// The ticker and last_match that open a session tell of a trade from before the book: its time is not the book's.
func TestAnOldTradeDoesNotDateTheBook(t *testing.T) {
	require.Equal(t, strings.TrimSpace(`
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z snapshot untimed
quote 10.06 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z untimed
trade 7 10.05 0.5 buy 2021-04-17T16:43:30.000000Z snapshot
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z untimed`), say(t, coinbase.NewDecoder(1), snapshot,
		`{"type":"ticker","product_id":"A-B","price":"10.06","time":"2021-04-17T16:43:29Z"}`, lastOne))
}

// A feed that is in the venue's order must not produce late quotes because two of its channels differ by some milliseconds.
func TestAQuotesTimeNeverGoesBack(t *testing.T) {
	got := say(t, coinbase.NewDecoder(1), snapshot, change("buy", "10.05", "2", "37.3"), change("buy", "10.06", "2", "37.2"))
	require.Contains(t, got, "10.06x2 10.10x1 2021-04-17T16:43:37.300000Z")
}

func TestWithoutTheVenuesTimeTheLinesOwnStands(t *testing.T) {
	untimed := strings.Replace(change("buy", "10.05", "2", ""), `,"time":"2021-04-17T16:43:Z"`, "", 1)
	match := strings.Replace(lastOne, `,"time":"2021-04-17T16:43:30.000000Z"`, "", 1)
	got := say(t, coinbase.NewDecoder(1), snapshot, change("buy", "10.04", "2", "36.9"), untimed, match)
	require.Equal(t, strings.TrimSpace(`
quote 10.05 10.00x3 10.10x1 2021-04-17T16:43:37.000000Z snapshot untimed
quote 10.07 10.04x2 10.10x1 2021-04-17T16:43:36.900000Z
quote 10.075 10.05x2 10.10x1 2021-04-17T16:43:37.000000Z untimed
trade 7 10.05 0.5 buy 2021-04-17T16:43:37.000000Z snapshot untimed
quote 10.05 10.05x2 10.10x1 2021-04-17T16:43:37.000000Z untimed`), got)
}

func TestALaterPassGivesTradesNewIDs(t *testing.T) {
	require.Contains(t, say(t, coinbase.NewDecoder(3), lastOne), "trade 7-3 ")
}

func TestWhatCannotBeTakenIsRefusedByName(t *testing.T) {
	for frame, want := range map[string]string{
		`no json`:                             "bad coinbase frame",
		`{"type":"match","product_id":"a b"}`: "a b",
		`{"type":"ticker","product_id":"A-B","time":"2021-04-17T16:43:39Z"}`:              "ticker of A-B: no price",
		`{"type":"ticker","product_id":"A-B","price":null,"time":"2021-04-17T16:43:39Z"}`: "ticker of A-B: no price",
		change("buy", "12345678901234567890", "1", "37.1"):                                "more than 19 digits",
		change("buy", "10", "0.12345678901234567890", "37.1"):                             "more than 19 digits",
		change("buy", "10", "-1", "37.1"):                                                 "size",
		change("up", "1", "1", "37.1"):                                                    "up",
		strings.Replace(lastOne, `"0.5"`, `"x"`, 1):                                       "last_match of A-B",
		strings.Replace(lastOne, `"trade_id":7,`, ``, 1):                                  "trade_id",
		strings.Replace(lastOne, `"sell"`, `"both"`, 1):                                   "both",
		strings.Replace(lastOne, `2021-04-17T16:43:30.000000Z`, `noon`, 1):                "noon",
	} {
		d := coinbase.NewDecoder(1)
		say(t, d, snapshot)
		records := d.Apply(at, []byte(frame))
		require.Len(t, records, 1, frame)
		require.ErrorIs(t, records[0].Refused, coinbase.ErrBadFrame)
		require.ErrorContains(t, records[0].Refused, want)
		require.Contains(t, say(t, d, change("buy", "10.05", "2", "40.0")), "10.05x2", "the book goes on")
	}
}

// One bad level must not hide the good ones beside it.
func TestTheRestOfAFrameIsTaken(t *testing.T) {
	d := coinbase.NewDecoder(1)
	records := d.Apply(at, []byte(strings.Replace(snapshot, `"10.00"`, `"1e1"`, 1)))
	require.Len(t, records, 2)
	require.Error(t, records[0].Refused)
	require.Contains(t, line(records[1]), "9.90x4 10.10x1")
}

func TestASecondSnapshotReplacesTheBook(t *testing.T) {
	got := say(t, coinbase.NewDecoder(1), snapshot, strings.NewReplacer("10.00", "9.00", "9.90", "8.00").Replace(snapshot))
	require.Contains(t, got, "9.00x3 10.10x1")
	require.NotContains(t, got[strings.Index(got, "\n"):], "9.90")
}

func TestAnEmptySideIsLeftOut(t *testing.T) {
	d := coinbase.NewDecoder(1)
	require.Contains(t, say(t, d, `{"type":"snapshot","product_id":"A-B","asks":[],"bids":[["10.00","3"]]}`, lastOne), "quote 10.05 10.00x3 x ")
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(snapshot), []byte(lastOne))
	f.Add([]byte(change("buy", "10.05", "2", "37.2")), []byte(`{"type":"ticker","product_id":"A-B","price":1.5}`))
	f.Add([]byte(change("sell", "10.05", "0", "37.2")), []byte(`{"type":"match","trade_id":9,"side":"buy","size":"1","price":"2","product_id":"A-B"}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := coinbase.NewDecoder(1)
		for _, frame := range [][]byte{[]byte(snapshot), a, b} {
			for _, r := range d.Apply(at, frame) {
				switch {
				case r.Refused != nil:
					require.ErrorIs(t, r.Refused, coinbase.ErrBadFrame)
					require.Nil(t, r.Quote)
					require.Nil(t, r.Trade)
				case r.Trade != nil:
					require.NotEmpty(t, r.Trade.ID)
					require.NotZero(t, r.Trade.Timestamp)
				default:
					require.False(t, r.Quote.Price.IsZero())
				}
			}
		}
	})
}
