package shard

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// What twins ask each other is in the protocol's schema, field by field.
func TestTheSchemaKnowsWhatTwinsSay(t *testing.T) {
	const file, topic = "../../docs/schemas/wire.json", quote.Topic("quotes.A")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var doc struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	schema, err := jsonschema.NewCompiler().Compile(file)
	require.NoError(t, err)
	valid := func(f wire.Frame) {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.Append(nil)))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(v), string(f.Append(nil)))
	}
	point := quote.Point{Epoch: 5, Seq: 7}
	for name, full := range map[string]any{
		typeReqSums:    reqSums{Topic: topic, After: point, Before: point, Blocks: maxBlocks},
		typeRespSums:   respSums{Sums: []blockSum{{Epoch: 5, Block: 1, Count: 2, Sum: "0123456789abcdef"}}, More: true, Next: point, Floor: point},
		typeReqChunks:  reqChunks{Runs: []wire.LostRange{{Topic: topic, Epoch: 5, First: 1, Last: 1024}}},
		typeRespChunks: respChunks{Chunks: []sentChunk{{Topic: topic, Epoch: 5, Block: 1, Data: []byte("x")}}, More: true},
	} {
		f := wire.Make(name, full)
		valid(f)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(f.Payload, &fields))
		require.ElementsMatch(t, slices.Collect(maps.Keys(doc.Defs[name].Properties)), slices.Collect(maps.Keys(fields)), name)
	}

	r := newRig(t) // of an empty shard, all arrays are empty ones
	own := quote.TopicOf(quote.Quotes, r.symbolsOf(0, 1, 1)[0])
	f, err := r.up[0].onSums(t.Context(), wire.Make(typeReqSums, reqSums{Topic: own}))
	require.NoError(t, err)
	valid(f)
	f, err = r.up[0].onChunks(t.Context(), wire.Make(typeReqChunks, reqChunks{Runs: []wire.LostRange{{Topic: own, Epoch: 5, First: 1, Last: 1024}}}))
	require.NoError(t, err)
	valid(f)
}
