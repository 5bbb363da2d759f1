package wire

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// What the quick way reads is what encoding/json reads, field by field.
func FuzzTheQuickWayReadsWhatTheLongWayReads(f *testing.F) {
	for _, s := range []string{
		`{"type":"PUBLISH","topic":"quotes.A","epoch":1795419376123,"seq":1042,"prev":1041,"payload":{"a":[1,-2.5e+3,true,null,"x\u00e9\n"]}}`,
		`{"type":"RESP_HIST","id":7,"more":true,"payload":{"records":[]}}`, `{"type":"X","payload":null}`, `{"type":"X","payload":null,"payload":[]}`,
		`{"type":"A","budget_ms":250,"held_ms":0,"prev_epoch":1,"skipped":2,"why":"lag","snapshot":true,"source":"lost","feed_seq":3,"untimed":false}`,
		` {"type" : "X" , "id" : 1 } `, `{"type":"X","ID":1}`, `{"type":"X","id":01}`, `{"type":"X","payload":{"a":"\ud800"}}`, `{"type":"X","payload":"\u12g4"}`,
		`{"type":"X",}`, `{"type":"X"}}`, `{"type":"X","id":99999999999999999999}`, `{"type":"","id":1}`, `{"type":"X","payload":[1,]}`, `{"type":"X","payload":01}`, `{"type":"X","payload":-}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		line := trim(b)
		if !utf8.Valid(line) {
			return
		}
		got, ok := quick(line)
		if !ok {
			return
		}
		var want Frame
		require.NoError(t, json.Unmarshal(line, &want), "%q", line)
		if string(want.Payload) == "null" {
			want.Payload = nil
		}
		require.Equal(t, want, got)
	})
}

func TestFramesOfOursGoTheQuickWay(t *testing.T) {
	prev, held := uint64(0), int64(5)
	for _, f := range []Frame{
		{Type: TypePublish, Topic: "quotes.PETR4", Epoch: 1, Seq: 2, Prev: &prev, PrevEpoch: 3, Skipped: 4, Why: "lag", Snapshot: true, Source: "lost", HeldMS: &held, FeedSeq: 9, Untimed: true, Payload: []byte(`{"x":"\"é\""}`)},
		{Type: TypeRespHist, ID: 7, More: true, BudgetMS: 3, Payload: []byte(`[]`)},
		{Type: "X"},
	} {
		line := f.Append(nil)
		got, ok := quick(trim(line))
		require.True(t, ok, string(line))
		require.Equal(t, f, got)
	}
}
