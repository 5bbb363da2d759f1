package cluster_test

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/exchange/replay"
	"quotes/src/quote"
	"quotes/src/wire"
)

const binanceSession = `wss://stream.binance.com:9443/stream?streams=ab@bookTicker/cd@depth@100ms/ab@trade <-> 1633998511.1
1633998512.0: {"stream":"ab@bookTicker","data":{"u":7,"s":"AB","b":"10.00","B":"3","a":"10.10","A":"4"}}
1633998512.1: {"stream":"cd@depth@100ms","data":{"e":"depthUpdate","E":1633998512000,"s":"CD","U":9,"u":11,"b":[["0.000012340","3"]],"a":[]}}
1633998512.3: {"stream":"ab@trade","data":{"e":"trade","E":1633998512300,"s":"AB","t":12345,"p":"10.04","q":"2.50","T":1633998512299,"m":true,"M":true}}
1633998512.4: {"stream":"ab@bookTicker","data":{"u":8,"s":"AB","b":"10.01","B":"3","a":"10.10","A":"4"}}
`

const binanceSnapshots = `https://api.binance.com/api/v3/depth?symbol=CD -> 1633998512.05: {"lastUpdateId":10,"bids":[["0.000012000","1"]],"asks":[["0.000013000","2"]]}
`

// A recorded session goes the whole way, with the venue's own digits: to subscribers, to the shards, into reports.
func TestABinanceSessionGoesTheWholeWay(t *testing.T) {
	dir := t.TempDir()
	file, snapshots := filepath.Join(dir, "session"), filepath.Join(dir, "snapshots")
	require.NoError(t, os.WriteFile(file, []byte(binanceSession), 0o600))
	require.NoError(t, os.WriteFile(snapshots, []byte(binanceSnapshots), 0o600))
	gen, err := replay.New(replay.Config{File: file, Snapshots: snapshots, Loop: true})
	require.NoError(t, err)
	c := start(t, cluster.Config{Generator: gen})
	var r wire.Report                                                  // the one that had it: the next may come from the other owner, which core may not have told yet
	eventually(t, "a report with a trade and its price", func() bool { // core may have been asked before the trade, and the shards after it
		r, err = report(t, c, "AB", 1)
		return err == nil && len(r.History) > 0 && r.CurrentPrice.Quality.State == quote.Live && r.CurrentPrice.Price.String() != "10.05"
	})
	require.Equal(t, "10.04", r.CurrentPrice.Price.String())
	require.Equal(t, quote.Sell, r.History[0].Side)
	require.Equal(t, "2.50", r.History[0].Quantity.String())
	eventually(t, "the book of the other", func() bool { _, err := report(t, c, "CD", 1); return err == nil })
	r, err = report(t, c, "CD", 1)
	require.NoError(t, err)
	require.Contains(t, []string{"0.000012340", "0.000012000"}, r.CurrentPrice.Bid.String())
	require.Equal(t, "0.000013000", r.CurrentPrice.Ask.String())
}

const coinbaseSession = `wss://ws-feed.pro.coinbase.com <-> 1618677816.5
wss://ws-feed.pro.coinbase.com <- 1618677817.0: {"type":"subscribe"}
1618677817.0: {"type":"snapshot","product_id":"A-B","asks":[["10.10","1"],["10.20","1"]],"bids":[["10.00","3"],["9.90","5"]]}
1618677817.1: {"type":"last_match","trade_id":7,"side":"sell","size":"0.5","price":"10.05","product_id":"A-B","time":"2021-04-17T16:43:30Z"}
1618677817.2: {"type":"l2update","product_id":"A-B","changes":[["buy","10.00","0"],["sell","10.10","2"]],"time":"2021-04-17T16:43:37.2Z"}
1618677817.3: {"type":"match","trade_id":8,"side":"sell","size":"0.5","price":"10.10","product_id":"A-B","time":"2021-04-17T16:43:37.3Z"}
1618677817.4: {"type":"l2update","product_id":"A-B","changes":[["buy","10.09","1"]],"time":"2021-04-17T16:43:37.4Z"}
`

// replayed runs a Coinbase session, ten times as fast, until a trade of it is in a report's history, and holds every quote
// that was published meanwhile to a bid below its ask.
func replayed(t *testing.T, file string, of quote.Symbol, id, price string) (quotes map[quote.Symbol]int) {
	t.Helper()
	gen, err := replay.New(replay.Config{File: file, Speed: 10, Loop: true})
	require.NoError(t, err)
	c := start(t, cluster.Config{Generator: gen})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "a whole pass of the session", func() bool { return with(w, func() int { return len(w.seen[quote.TopicOf(quote.Trades, of)]) }) > 1 })
	eventually(t, "the trade in a report", func() bool {
		var r wire.Report
		many := 2000
		err := ask(t, c.Addr(cluster.Aggregator), wire.TypeReqReport, wire.ReqReport{Symbol: of, MinCoverage: 1, Limit: &many}, &r)
		return err == nil && slices.ContainsFunc(r.History, func(tr quote.Trade) bool { return tr.ID == id && tr.Price.String() == price })
	})
	quotes = map[quote.Symbol]int{}
	for topic, records := range with(w, func() map[quote.Topic][]wire.Record { return maps.Clone(w.seen) }) {
		if topic.Kind() != quote.Quotes {
			continue
		}
		for _, rec := range records {
			var q quote.Quote
			f := wire.Frame{Payload: rec.Payload}
			require.NoError(t, f.Decode(&q))
			require.Negative(t, q.Bid.Cmp(q.Ask), "%s %s: bid %s, ask %s", topic, rec.Point(), q.Bid, q.Ask)
			quotes[q.Symbol]++
		}
	}
	return quotes
}

func TestACoinbaseSessionGoesTheWholeWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	require.NoError(t, os.WriteFile(file, []byte(coinbaseSession), 0o600))
	require.Greater(t, replayed(t, file, "A-B", "7", "10.05")["A-B"], 2)
}

func TestARealCaptureGoesTheWholeWay(t *testing.T) {
	dir := cmp.Or(os.Getenv("QUOTES_VENUES"), filepath.Join("..", "..", "..", "shared", "data", "venues"))
	file := filepath.Join(dir, "COINBASE.ws.28.0")
	if _, err := os.Stat(file); err != nil {
		t.Skip("no captures here: ", err)
	}
	quotes := replayed(t, file, "BAND-GBP", "881613", "14.7775")
	require.Len(t, quotes, 10, "every symbol of the session")
	t.Log(quotes)
}
