package replay_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange"
	"quotes/src/exchange/replay"
	"quotes/src/quote"
)

const fixture = `wss://ws-feed.pro.coinbase.com <-> 1618677816.5
wss://ws-feed.pro.coinbase.com <- 1618677817.0: {"type":"subscribe"}
1618677817.000001: {"type":"snapshot","product_id":"A-B","asks":[["10.10","1"]],"bids":[["10.00","3"]]}
1618677817.1: {"type":"last_match","trade_id":7,"side":"sell","size":"0.5","price":"10.05","product_id":"A-B","time":"2021-04-17T16:43:30Z"}
1618677818.1: {"type":"match","trade_id":8,"side":"sell","size":"0.5","price":"10.06","product_id":"A-B","time":"2021-04-17T16:43:38Z"}
1618677818.2: not a frame

`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// heard is what a replay said and when, since its first listener.
type heard struct {
	after  time.Duration
	record exchange.Record
}

// listen runs a replay in fake time for d.
func listen(t *testing.T, cfg replay.Config, d time.Duration) (out []heard) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := replay.New(cfg)
		require.NoError(t, err)
		listened := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now().Add(time.Minute)
		done := make(chan error, 1)
		go func() {
			done <- r.Run(ctx, listened, func(records []exchange.Record) {
				for _, rec := range records {
					out = append(out, heard{time.Since(began), rec})
				}
			})
		}()
		time.Sleep(time.Minute) // nobody listens: the clock stands still
		synctest.Wait()
		require.Len(t, out, 1, "but there is an answer to requests")
		out[0].after = 0
		close(listened)
		time.Sleep(d)
		cancel()
		require.NoError(t, <-done)
	})
	return out
}

func TestReplayKeepsTheRecordedPace(t *testing.T) {
	for speed, want := range map[float64]time.Duration{1: 1099999 * time.Microsecond, 10: 109999900 * time.Nanosecond} {
		got := listen(t, replay.Config{File: write(t, fixture), Speed: speed}, time.Minute)
		var trades []string
		for _, h := range got {
			if h.record.Trade != nil {
				trades = append(trades, h.record.Trade.ID)
				if h.record.Trade.ID == "8" {
					require.InDelta(t, want, h.after, float64(2*time.Millisecond))
				}
			}
		}
		require.Equal(t, []string{"7", "8"}, trades)
	}
}

func TestEachPassBeginsWithSnapshotsAndNewIDs(t *testing.T) {
	got := listen(t, replay.Config{File: write(t, fixture), Loop: true}, 2500*time.Millisecond)
	var trades []string
	snapshots := 0
	for _, h := range got {
		if h.record.Trade != nil {
			trades = append(trades, h.record.Trade.ID)
			require.Contains(t, h.record.Trade.Timestamp.String(), "2021-04-17T16:43:3", "the recorded time stays")
		} else if h.record.Snapshot {
			snapshots++
		}
	}
	require.Equal(t, []string{"7", "8", "7-2", "8-2", "7-3"}, trades)
	require.Equal(t, 3, snapshots)
}

func TestForeignFilesAreRefusedAtOnce(t *testing.T) {
	for text, want := range map[string]string{
		"": "line 1", "hello\n": "line 1", "wss://ws.kraken.com <-> 1618677816.5\n": "kraken", strings.Repeat("x", 1<<20): "line 1",
		"wss://example.com/binance <-> 1618677816.5\n":                "example.com",
		"https://api.pro.coinbase.com/products -> 1618677816.5: []\n": "line 1",
	} {
		path := write(t, text)
		_, err := replay.New(replay.Config{File: path})
		require.ErrorIs(t, err, replay.ErrForeign)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := replay.New(replay.Config{File: "/no/such/file"})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = replay.New(replay.Config{File: t.TempDir()})
	require.ErrorContains(t, err, "directory")
	_, err = replay.New(replay.Config{})
	require.ErrorContains(t, err, "--file")
	for _, speed := range []float64{-1, 1e-9, 1e9} {
		_, err = replay.New(replay.Config{File: write(t, fixture), Speed: speed})
		require.ErrorContains(t, err, "speed")
	}
}

func TestACaptureThatSaysNothingIsAnError(t *testing.T) {
	for _, text := range []string{"", "\n\n", "1618677818.2: not a frame\n", `1618677817.0: {"type":"subscriptions"}` + "\n"} {
		path := write(t, "wss://ws-feed.pro.coinbase.com <-> 1618677816.5\n"+text)
		r, err := replay.New(replay.Config{File: path})
		require.NoError(t, err)
		err = r.Run(t.Context(), nil, func([]exchange.Record) {})
		require.ErrorIs(t, err, replay.ErrForeign)
		require.ErrorContains(t, err, path)
	}
}

func TestBadLinesAreRefusedByNumber(t *testing.T) {
	got := listen(t, replay.Config{File: write(t, fixture+"no line at all\n12x.5: {}\n")}, time.Minute)
	var refused []string
	for _, h := range got {
		if h.record.Refused != nil {
			refused = append(refused, h.record.Refused.Error())
		}
	}
	require.Len(t, refused, 3)
	for i, want := range []string{"line 6: bad coinbase frame", "line 8: not a known capture", "line 9: not a known capture"} {
		require.Contains(t, refused[i], want)
	}
}

func TestAReplayEndsWithItsLastLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := replay.New(replay.Config{File: write(t, fixture)})
		require.NoError(t, err)
		listened := make(chan struct{})
		close(listened)
		var n atomic.Int32
		began := time.Now()
		require.NoError(t, r.Run(t.Context(), listened, func(records []exchange.Record) { n.Add(int32(len(records))) }))
		require.InDelta(t, 1199999*time.Microsecond, time.Since(began), float64(2*time.Millisecond))
		require.EqualValues(t, 5, n.Load(), "quote, trade, trade, quote, refusal")
	})
}

// venues finds the real captures, which are not part of the repository.
func venues(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("QUOTES_VENUES")
	if dir == "" {
		dir = "../../../../shared/data/venues"
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no real capture here: %v", err)
	}
	return path
}

func TestARealSessionNeverCrosses(t *testing.T) {
	got := listen(t, replay.Config{File: venues(t, "COINBASE.ws.28.0")}, time.Minute)
	symbols := map[quote.Symbol]quote.Time{}
	trades := map[string]string{}
	for _, h := range got {
		require.NoError(t, h.record.Refused)
		if tr := h.record.Trade; tr != nil {
			require.NoError(t, tr.Validate())
			trades[tr.ID] = strings.Join([]string{string(tr.Symbol), tr.Price.String(), string(tr.Side)}, " ")
			continue
		}
		q := h.record.Quote
		require.NoError(t, q.Validate())
		require.Negative(t, q.Bid.Cmp(q.Ask), "%s: bid %s, ask %s at %s", q.Symbol, q.Bid, q.Ask, q.Timestamp)
		if !h.record.Untimed {
			require.GreaterOrEqual(t, q.Timestamp, symbols[q.Symbol], "quotes of %s go back in time", q.Symbol)
			symbols[q.Symbol] = q.Timestamp
		}
	}
	require.Len(t, symbols, 10)
	require.Len(t, trades, 97+10, "each match and last_match is a trade")
	require.Equal(t, "BAND-GBP 14.7775 buy", trades["881613"])
}

const binanceFixture = `wss://stream.binance.com:9443/stream?streams=ab@depth@100ms/ab@aggTrade <-> 1633998511.1
1633998512.0: {"stream":"ab@depth@100ms","data":{"e":"depthUpdate","E":1633998512000,"s":"AB","U":9,"u":11,"b":[["10.00","3"]],"a":[]}}
1633998512.6: {"stream":"ab@kline_1m","data":{"e":"kline","E":1633998512600,"s":"AB","k":{}}}
1633998513.0: {"stream":"ab@depth@100ms","data":{"e":"depthUpdate","E":1633998513000,"s":"AB","U":12,"u":12,"b":[],"a":[["10.10","7"]]}}
`

const binanceBooks = `https://api.binance.com/api/v3/depth?symbol=AB&limit=1000 -> 1633998512.5: {"lastUpdateId":10,"bids":[["9.00","1"]],"asks":[["10.10","2"]]}

`

func TestABinanceSessionTakesItsBooksFromAFileOfTheirOwn(t *testing.T) {
	got := listen(t, replay.Config{File: write(t, binanceFixture), Snapshots: write(t, binanceBooks), Loop: true}, 1200*time.Millisecond)
	var quotes []string
	for _, h := range got {
		require.NoError(t, h.record.Refused)
		q := h.record.Quote
		quotes = append(quotes, strings.Join([]string{q.Bid.String(), q.Ask.String(), q.AskSize.String()}, " "))
	}
	require.Equal(t, []string{"10.00 10.10 2", "10.00 10.10 7", "10.00 10.10 2", "10.00 10.10 7"}, quotes, "in each pass anew")

	r, err := replay.New(replay.Config{File: write(t, binanceFixture)})
	require.NoError(t, err)
	err = r.Run(t.Context(), nil, func([]exchange.Record) {})
	require.ErrorIs(t, err, replay.ErrForeign)
	require.ErrorContains(t, err, "--snapshots")
}

func TestSnapshotsThatCantBeTakenAreRefusedAtOnce(t *testing.T) {
	file := write(t, binanceFixture)
	for text, want := range map[string]string{
		"":      "no line is an answer to /depth",
		"hello": "line 1: bad snapshot: want <url> -> <unix time>: <body>",
		"\n" + binanceBooks + strings.Replace(binanceBooks, `"lastUpdateId":10`, `"lastUpdateId":-1`, 1): "line 4: bad snapshot: book of AB: lastUpdateId",
		strings.Replace(binanceBooks, "symbol=AB", "symbol=", 1):                                         "line 1: ",
		strings.Replace(binanceBooks, "1633998512.5", "noon", 1):                                         "noon",
		strings.Replace(binanceBooks, `"bids":[`, `"bids":{`, 1):                                         "book of AB",
	} {
		path := write(t, text)
		_, err := replay.New(replay.Config{File: file, Snapshots: path})
		require.ErrorIs(t, err, replay.ErrForeign, "%q", text)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := replay.New(replay.Config{File: file, Snapshots: "/no/such/file"})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = replay.New(replay.Config{File: write(t, binanceBooks)})
	require.ErrorContains(t, err, "--snapshots")
	_, err = replay.New(replay.Config{File: write(t, fixture), Snapshots: write(t, binanceBooks)})
	require.ErrorContains(t, err, "leave --snapshots out")
}

func TestARealBinanceSessionPlays(t *testing.T) {
	for name, c := range map[string]struct {
		cfg     replay.Config
		symbols int
	}{
		"with its snapshots": {replay.Config{File: venues(t, "BINANCE.ws.1.0"), Snapshots: venues(t, "BINANCE.http.0.0")}, 4},
		"without":            {replay.Config{File: venues(t, "BINANCE.ws.1.0")}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			symbols, trades := map[quote.Symbol]int{}, []string{}
			for _, h := range listen(t, c.cfg, time.Minute) {
				require.NoError(t, h.record.Refused)
				if tr := h.record.Trade; tr != nil {
					require.NoError(t, tr.Validate())
					trades = append(trades, strings.Join([]string{tr.ID, string(tr.Symbol), tr.Price.String(), tr.Quantity.String(), string(tr.Side)}, " "))
					continue
				}
				q := h.record.Quote
				require.NoError(t, q.Validate())
				require.Negative(t, q.Bid.Cmp(q.Ask), "%s: bid %s, ask %s at %s", q.Symbol, q.Bid, q.Ask, q.Timestamp)
				symbols[q.Symbol]++
			}
			require.Len(t, symbols, c.symbols)
			require.Equal(t, []string{"15683430 NKNUSDT 0.35280000 58.00000000 buy", "9213679 LRCBTC 0.00000638 177.00000000 buy"}, trades)
		})
	}
}
