package wire

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
)

func TestAppendsAsCoreWritesThemGoTheQuickWay(t *testing.T) {
	in := Append{TableEpoch: 1, Epoch: 1_795_470_602_937}
	for i := range uint64(3) {
		in.Records = append(in.Records, Record{Topic: quote.Topic([]string{"quotes.A", "trades.B", "trades.B"}[i]), Seq: i + 1, Payload: json.RawMessage(`{"symbol":"A","x":[1,{}]}`)})
		f := Make(TypeAppend, in)
		var got Append
		require.True(t, got.quick(f.Payload))
		require.Equal(t, in, got)
		got = Append{}
		require.NoError(t, f.Decode(&got))
		require.Equal(t, in, got)
	}
	in.Lost = []LostRange{{Topic: "quotes.A", First: 4, Last: 9}}
	var got Append
	f := Make(TypeAppend, in)
	require.False(t, got.quick(f.Payload))
	require.NoError(t, f.Decode(&got))
	require.Equal(t, in, got)
}

func FuzzQuickAppendReadsWhatEncodingJSONReads(f *testing.F) {
	for _, s := range []string{
		`{"table_epoch":1,"epoch":7,"records":[{"topic":"quotes.A","seq":1,"payload":{"a":"\n"}}]}`,
		`{"table_epoch":1,"epoch":7,"records":[{"topic":"quotes.A","seq":1,"payload":null},{"topic":"quotes.B","seq":2,"payload":-1.5e3}]}`,
		`{"table_epoch":1,"epoch":7,"records":[{"topic":"a","seq":01,"payload":1}]}`, `{"table_epoch":1,"epoch":7,"records":[]}`,
		`{"table_epoch":1,"epoch":7,"records":[{"topic":"a","seq":1,"payload":1},]}`, `{"table_epoch":1,"epoch":7,"records":[{"topic":"a","seq":1,"payload":1}]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want, got Append
		if !utf8.Valid(b) || !got.quick(b) {
			return
		}
		require.NoError(t, json.Unmarshal(b, &want), "%q", b)
		require.Equal(t, want, got)
	})
}
