package history_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
	"quotes/src/wire"
)

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	at := time.Date(2026, 11, 23, 15, 0, 0, 123456000, time.UTC)
	prev, age := uint64(0), int64(0)
	events := []history.Event{
		{Kind: history.Report, At: at, Path: "tcp-new", Symbol: "PETR4", LatencyMS: 1.5, Coverage: 1, State: quote.Live, AgeMS: &age},
		{Kind: history.Report, At: at, Class: history.Timeout, Text: "no answer", Missing: []wire.Missing{{Slot: 3, Symbols: []quote.Symbol{"A"}}}},
		{Kind: history.Frame, At: at, Topic: "quotes.PETR4", Epoch: 2, Seq: 1, Prev: &prev, PrevEpoch: 1},
		{Kind: history.Lost, At: at, Gap: &wire.Lost{Topic: "trades.A", After: quote.Point{Epoch: 1, Seq: 2}, Before: quote.Point{Epoch: 1, Seq: 4}}},
	}
	var out bytes.Buffer
	r := history.NewRecorder(&out, 0)
	for _, e := range events {
		r.Add(e)
	}
	require.NoError(t, r.Err())
	require.Equal(t, events, r.Events())
	require.Equal(t, len(events), strings.Count(out.String(), "\n"))
	back, err := history.Read(&out)
	require.NoError(t, err)
	require.Equal(t, events, back)
}

func TestABrokenLineIsNamed(t *testing.T) {
	back, err := history.Read(strings.NewReader(`{"kind":"mark"}` + "\n{"))
	require.ErrorContains(t, err, "behind event 1")
	require.Len(t, back, 1)
}

func TestTheBoundHoldsAndIsTold(t *testing.T) {
	r := history.NewRecorder(nil, 2)
	for range 2 {
		r.Add(history.Event{})
	}
	require.NoError(t, r.Err())
	r.Add(history.Event{})
	require.ErrorIs(t, r.Err(), history.ErrFull)
	require.Len(t, r.Events(), 2)
}

type fullDisk struct{}

var errDisk = errors.New("disk full")

func (fullDisk) Write([]byte) (int, error) { return 0, errDisk }

func TestAFailedWriteIsTold(t *testing.T) {
	r := history.NewRecorder(fullDisk{}, 0)
	r.Add(history.Event{})
	require.ErrorIs(t, r.Err(), errDisk)
}

func TestAWindowIsHalfOpen(t *testing.T) {
	from := time.Unix(100, 0)
	w := history.Window{From: from, To: from.Add(time.Second)}
	require.True(t, w.Has(from))
	require.False(t, w.Has(w.To))
	require.False(t, w.Has(from.Add(-1)))
	require.True(t, history.Window{From: from}.Has(from.Add(time.Hour)), "without end")
}
