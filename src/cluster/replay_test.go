package cluster_test

import (
	"os"
	"path/filepath"
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
	var r wire.Report // the one that had it: the next may come from the other owner, which core may not have told yet
	eventually(t, "a report with a trade", func() bool {
		r, err = report(t, c, "AB", 1)
		return err == nil && len(r.History) > 0 && r.CurrentPrice.Quality.State == quote.Live
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
