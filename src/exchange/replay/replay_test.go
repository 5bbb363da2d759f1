package replay_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
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
		var began time.Time
		done := make(chan error, 1)
		go func() {
			done <- r.Run(ctx, listened, func(records []exchange.Record) {
				for _, rec := range records {
					out = append(out, heard{time.Since(began), rec})
				}
			})
		}()
		time.Sleep(time.Minute) // nobody listens: the clock stands still
		require.Empty(t, out)
		began = time.Now()
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
		"": "line 1", "hello\n": "line 1", "wss://ws.kraken.com <-> 1618677816.5\n": "kraken",
	} {
		path := write(t, text)
		_, err := replay.New(replay.Config{File: path})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := replay.New(replay.Config{File: "/no/such/file"})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = replay.New(replay.Config{File: write(t, fixture), Speed: -1})
	require.ErrorContains(t, err, "speed")
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
