package exchange

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

func newTestMarket(log *bytes.Buffer) *market {
	return newMarket(nil, newMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(log, nil)))
}

func decimal(t *testing.T, s string) quote.Decimal {
	t.Helper()
	d, err := quote.ParseDecimal(s)
	require.NoError(t, err)
	return d
}

// numbered is a quote whose bid size is a number.
func numbered(t *testing.T, symbol quote.Symbol, n int) Record {
	t.Helper()
	return Record{Quote: &quote.Quote{
		Symbol: symbol, Price: decimal(t, "1.5"), Bid: decimal(t, "1"), Ask: decimal(t, "2"),
		BidSize: decimal(t, strconv.Itoa(n)), Timestamp: 1,
	}}
}

func number(t *testing.T, e Event) int {
	t.Helper()
	_, size, _ := strings.Cut(string(e.Payload), `"bid_size":"`)
	size, _, _ = strings.Cut(size, `"`)
	n, err := strconv.Atoi(size)
	require.NoError(t, err)
	return n
}

// Whenever a session joins, the snapshot and what follows are one unbroken row of each symbol.
func TestSnapshotAndJoinAreOneInstant(t *testing.T) {
	m := newTestMarket(&bytes.Buffer{})
	const most = 20_000
	symbols := []quote.Symbol{"A", "B"}
	for _, s := range symbols {
		m.put([]Record{numbered(t, s, 0)})
	}
	var wg sync.WaitGroup
	done := errors.New("all seen")
	for range 8 {
		wg.Go(func() {
			next := map[quote.Symbol]int{}
			err := m.Stream(t.Context(), func(events []Event) error {
				for _, e := range events {
					n, s := number(t, e), e.Topic.Symbol()
					if want, known := next[s]; known && want != n {
						return errors.New("a hole")
					}
					if _, known := next[s]; known == e.Snapshot {
						return errors.New("a snapshot in the wrong place")
					}
					if next[s] = n + 1; next["A"] > most && next["B"] > most {
						return done
					}
				}
				return nil
			})
			require.ErrorIs(t, err, done)
		})
	}
	for n := 1; n <= most; n++ {
		m.put([]Record{numbered(t, "A", n), numbered(t, "B", n)})
		if n%1000 == 0 {
			wait(m) // readers must not lag: that is another test
		}
	}
	wg.Wait()
}

// wait returns when every session has read everything.
func wait(m *market) {
	for behind := true; behind; {
		m.mu.Lock()
		behind = false
		for s := range m.subs {
			behind = behind || s.place < m.tape.next
		}
		m.mu.Unlock()
	}
}

func TestAReaderThatLagsIsCutOff(t *testing.T) {
	m := newTestMarket(&bytes.Buffer{})
	m.put([]Record{numbered(t, "A", 0)})
	joined, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		first := true
		ended <- m.Stream(t.Context(), func([]Event) error {
			if first {
				first = false
				close(joined)
				<-release
			}
			return nil
		})
	}()
	<-joined
	for n := range tapeLength + 1 {
		m.put([]Record{numbered(t, "A", n)})
	}
	close(release)
	require.ErrorIs(t, <-ended, ErrSlow)
	require.Len(t, m.tape.ring, tapeLength, "memory is bounded")
}

func TestWhatIsRefusedIsCountedAndNamed(t *testing.T) {
	var log bytes.Buffer
	m := newTestMarket(&log)
	crossed := numbered(t, "A", 1)
	crossed.Quote.Ask = crossed.Quote.Bid
	bare := numbered(t, "A", 1)
	bare.Quote.Timestamp = 0
	m.put([]Record{crossed, {Refused: errors.New("line 7: too many digits")}, {Trade: &quote.Trade{Symbol: "A"}}, bare})
	require.InDelta(t, 4, testutil.ToFloat64(m.met.refused), 0)
	require.Zero(t, testutil.ToFloat64(m.met.events))
	require.Contains(t, log.String(), "bid is not below ask")
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "one line a second")
	_, err := m.Quotes(t.Context(), nil)
	require.ErrorContains(t, err, "nothing yet")
}

// A trade from before core's session must reach its history: the snapshot has it, though no quote came yet.
func TestTheSnapshotHasTheLastTrade(t *testing.T) {
	m := newTestMarket(&bytes.Buffer{})
	m.put([]Record{{Trade: &quote.Trade{ID: "881613", Symbol: "BAND-GBP", Price: decimal(t, "14.7775"), Quantity: decimal(t, "0.04"), Timestamp: 1}}})
	ctx, cancel := context.WithCancel(t.Context())
	var got []Event
	err := m.Stream(ctx, func(events []Event) error {
		got = events
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, got, 1)
	require.True(t, got[0].Snapshot)
	require.Equal(t, quote.Topic("trades.BAND-GBP"), got[0].Topic)
	require.Contains(t, string(got[0].Payload), "881613")
}

// A quote behind which the book was broken, or a crossed one came, may be wrong by now: no session begins with it.
func TestNoSessionBeginsWithADoubtfulQuote(t *testing.T) {
	m := newTestMarket(&bytes.Buffer{})
	begins := func() (symbols []quote.Symbol) {
		s := &sub{}
		for _, e := range m.join(s) {
			symbols = append(symbols, e.Topic.Symbol())
		}
		m.leave(s)
		return symbols
	}
	m.put([]Record{numbered(t, "A", 1), numbered(t, "B", 1)})
	require.Equal(t, []quote.Symbol{"A", "B"}, begins())
	m.put([]Record{{Refused: errors.New("updates are missing"), Unsure: "A"}, {Refused: errors.New("of nobody")}})
	require.Equal(t, []quote.Symbol{"B"}, begins())
	crossed := numbered(t, "B", 2)
	crossed.Quote.Bid = decimal(t, "3")
	m.put([]Record{crossed})
	require.Empty(t, begins())
	m.put([]Record{numbered(t, "A", 2)})
	require.Equal(t, []quote.Symbol{"A"}, begins())
}
