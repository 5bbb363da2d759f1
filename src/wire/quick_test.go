package wire

import (
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// What the quick way reads is what encoding/json reads, field by field.
func FuzzTheQuickWayReadsWhatTheLongWayReads(f *testing.F) {
	for _, s := range []string{
		`{"type":"PUBLISH","topic":"quotes.A","epoch":1795419376123,"seq":1042,"prev":1041,"payload":{"a":[1,-2.5e+3,true,null,"x\u00e9\n"]}}`,
		`{"type":"PUBLISH","topic":"quotes.A","epoch":7,"seq":2,"prev":1,"payload":{"a":1}}`, `{"type":"PUBLISH","topic":"trades.B","epoch":7,"seq":2,"prev":1,"payload":null}`,
		`{"type":"PUBLISH","topic":"quotes.A","epoch":7,"seq":2,"prev":1,"payload":1},"x":{}}`, `{"type":"RESP_HIST","id":7,"more":true,"payload":{"records":[]}}`, `{"type":"X","payload":null}`, `{"type":"X","payload":null,"payload":[]}`,
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
		var want, got Frame
		if p := (parser{topic: "quotes.A", topics: map[string]string{"trades.B": "trades.B"}}); !p.logged(line, &got) {
			if got = (Frame{}); !p.quick(line, &got) {
				return
			}
		}
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
		var got Frame
		ok := new(parser).quick(trim(line), &got)
		require.True(t, ok, string(line))
		require.Equal(t, f, got)
	}
}

func TestAParserKeepsWhatRepeatsAndNothingOfTheLine(t *testing.T) {
	var p parser
	var frames []Frame
	line := make([]byte, 0, 256)
	for i := range uint64(5000) { // more topics than are kept
		f := Frame{Type: TypePublish, Topic: fmt.Sprintf("quotes.S%d", i%1500), Epoch: 7, Seq: i + 2, Prev: new(i + 1), Payload: []byte(fmt.Sprint(i))}
		line = f.Append(line[:0])
		var got Frame
		require.NoError(t, p.parse(line, &got))
		frames = append(frames, got)
	}
	for i, f := range frames {
		require.Equal(t, fmt.Sprintf("quotes.S%d", i%1500), f.Topic)
		require.Equal(t, uint64(i+1), *f.Prev)
		require.Equal(t, fmt.Sprint(i), string(f.Payload))
	}
	require.LessOrEqual(t, len(p.topics), keptTopics)
}

func TestABorrowedFrameCostsNoMemory(t *testing.T) {
	p := parser{borrow: true}
	f := Frame{Type: TypePublish, Topic: "quotes.PETR4", Epoch: 7, Seq: 2, Prev: new(uint64(1)), Payload: []byte(`{"price":"38.25","note":"0123456789012345678901234567890123456789"}`)}
	line := f.Append(nil)
	require.Zero(t, int(testing.AllocsPerRun(1000, func() {
		var got Frame
		if err := p.parse(line, &got); err != nil || len(got.Payload) != len(f.Payload) {
			panic(fmt.Sprint(err, got))
		}
	})))
}
