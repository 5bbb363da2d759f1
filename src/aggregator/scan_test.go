package aggregator

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// What is read by hand is what encoding/json reads, whatever valid JSON comes.
func FuzzHistIsReadAsEncodingJSONReadsIt(f *testing.F) {
	for _, s := range []string{
		`{"records":[{"topic":"trades.A","epoch":1,"seq":2,"payload":{"id":"7","symbol":"A","timestamp":"2026-01-01T00:00:00.000000Z"}}],"more":true,"ranges":{"trades.A":[{"epoch":1,"first":1,"last":2}]},"in_sync":{"17":true,"3":false}}`,
		`{"records":[],"more":false,"in_sync":{}}`, ` { "records" : [ ] , "lost":[{"x":"}\"]"}] }`, `{"records":[{"topic":"trades.\u0041","payload":{}}]}`,
		`{"records":null,"more":null}`, `{"records":[{"payload":{"x":{"timestamp":"2026-01-01T00:00:00.000000Z"},"timestamp":"2026-01-02T00:00:00.000000Z"}}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := scanHist(b, true) // must not panic, whatever it is
		var want wire.RespHist
		if !ok || !json.Valid(b) || json.Unmarshal(b, &want) != nil || len(want.Records) != len(got.records) {
			return // it goes the long way; a name twice, or in other letters, is read the other way by encoding/json
		}
		if len(want.Ranges) == len(got.ranges) && want.More == got.more {
			for i, r := range want.Records {
				if r.Topic == got.records[i].Topic && r.Point() == got.records[i].Point() {
					require.JSONEq(t, string(r.Payload), string(got.records[i].Payload))
				}
			}
		}
	})
}

func TestHistIsReadByHand(t *testing.T) {
	raw := []byte(`{"records":[{"topic":"trades.A","epoch":1,"seq":2,"payload":{"id":"\"timestamp\":\"x\"","v":{"timestamp":"1999-01-01T00:00:00Z"},"timestamp":"2026-01-01T00:00:00.000000Z"}},{"topic":"quotes.B","epoch":3,"seq":4,"payload":{}}],` +
		`"more":true,"ranges":{"trades.A":[{"epoch":1,"first":1,"last":2}]},"lost":[{"topic":"x"}],"in_sync":{"17":true,"3":false}}`)
	got, ok := scanHist(raw, true)
	require.True(t, ok)
	var want wire.RespHist
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Len(t, got.records, 2)
	for i, r := range got.records {
		require.Equal(t, want.Records[i], r.Record)
	}
	at, err := quote.ParseTime("2026-01-01T00:00:00.000000Z")
	require.NoError(t, err)
	require.Equal(t, at, got.records[0].at)
	require.Zero(t, got.records[1].at)
	require.Equal(t, want.More, got.more)
	require.Equal(t, want.Ranges, got.ranges)
	require.Equal(t, want.InSync, got.inSync)
	for n := range raw {
		_, ok := scanHist(raw[:n], true)
		require.False(t, ok, "cut off at %d", n)
	}
}

// A report written by hand is what encoding/json makes of it.
func TestAReportIsWrittenAsItsTypeSays(t *testing.T) {
	age := int64(40)
	for _, r := range []report{
		{Report: wire.Report{History: []quote.Trade{}, Sources: []wire.Source{}}},
		{Report: wire.Report{
			History: []quote.Trade{}, Coverage: 0.5, Errors: []string{"x\"<y>"}, Missing: []wire.Missing{{Slot: 3, Symbols: []quote.Symbol{"A"}}}, TookMS: 1.25, More: true,
			CurrentPrice: &quote.Quote{Symbol: "A", Quality: quote.Quality{State: quote.Live, AgeMS: &age}},
			Sources:      []wire.Source{{Name: "shard-0", State: "ok", MS: 0.004, Hedged: true}, {Name: "core", State: "failed", Reason: "bad_symbol"}}, Total: 2, OK: 1, Failed: 1,
		}},
	} {
		if r.CurrentPrice != nil {
			r.price = r.CurrentPrice.AppendJSON(nil)
		}
		want, err := json.Marshal(r.Report)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(encode([]report{r}, true)))
		require.JSONEq(t, "["+string(want)+"]", string(encode([]report{r}, false)))
	}
}
