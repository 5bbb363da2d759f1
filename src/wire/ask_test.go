package wire

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

func TestQuestionsAsTheyAreWrittenGoTheQuickWay(t *testing.T) {
	ten, at := 10, quote.Time(1_795_470_602_937_001)
	for _, in := range []ReqHist{
		{},
		{Symbols: []quote.Symbol{"PETR4"}, Kinds: []quote.Kind{quote.Trades}, Order: Desc, Limit: &ten},
		{Symbols: []quote.Symbol{"A", "B", "C"}, From: at, To: at + 1},
	} {
		f := Make(TypeReqHist, in)
		long, err := json.Marshal(in)
		require.NoError(t, err)
		require.Equal(t, string(long), string(f.Payload))
		var got ReqHist
		require.True(t, got.quick(f.Payload))
		require.Equal(t, in, got)
	}
	from := map[quote.Topic]quote.Point{"trades.A": {Epoch: 1, Seq: 2}}
	for _, in := range []ReqHist{{After: from}, {Before: from}, {Symbols: []quote.Symbol{"\"<\n"}}} {
		f := Make(TypeReqHist, in)
		var got ReqHist
		require.False(t, got.quick(f.Payload), "%s", f.Payload)
		require.Zero(t, got, "nothing has changed")
		require.NoError(t, f.Decode(&got))
		require.Equal(t, in, got)
	}
	age := int64(500)
	in := ReqReport{Symbol: "PETR4", From: at, To: at + 1, Limit: &ten, MaxAgeMS: &age}
	text, err := json.Marshal(in)
	require.NoError(t, err)
	var got ReqReport
	require.True(t, got.quick(text))
	require.Equal(t, in, got)
}

func FuzzQuickQuestionsReadWhatEncodingJSONReads(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "symbols" : [ "A" , "B" ] , "limit" : 1 } `, `{"symbols":[],"kinds":["trades"],"order":"desc","limit":100}`,
		`{"from":"2026-11-23T18:00:00Z","to":"2026-11-23T18:00:00.000001Z"}`, `{"symbol":"A","limit":0,"max_age_ms":9}`,
		`{"limit":1,"limit":2}`, `{"symbols":["A"],"symbols":["B","C"]}`, `{"limit":null}`, `{"Limit":1}`, `{"from":""}`, `{"limit":-1}`,
		`{"min_coverage":0.5}`, `{"symbols":["A",]}`, `{"symbol":"\u0041"}`, `{"limit":1e2}`, `{"after":{}}`, `{"limit":1}x`, `{"limit":01}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return
		}
		var hist, wantHist ReqHist
		if hist.quick(b) {
			require.NoError(t, json.Unmarshal(b, &wantHist), "%q", b)
			require.Equal(t, wantHist, hist, "%q", b)
			again, text := ReqHist{}, hist.append(nil)
			require.NoError(t, json.Unmarshal(text, &again), "%s", text)
			long, err := json.Marshal(hist)
			require.NoError(t, err)
			require.JSONEq(t, string(long), string(text))
		}
		var report, wantReport ReqReport
		if report.quick(b) {
			require.NoError(t, json.Unmarshal(b, &wantReport), "%q", b)
			require.Equal(t, wantReport, report, "%q", b)
		}
	})
}
