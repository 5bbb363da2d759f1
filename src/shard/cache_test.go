package shard

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
)

// Who asks for the newest finds the chunk decoded that the one before had decoded, and the new one where it was sealed again.
func TestTheNewestChunksAreDecodedOnce(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	c := newCache(1 << 20)
	newest := func() (seqs []uint64) {
		v := d.engine.View()
		defer func() { require.NoError(t, v.Close()) }()
		q := query{topics: []quote.Topic{"quotes.A"}, held: map[quote.Topic][]*holding{"quotes.A": d.state.holdings("quotes.A")}, desc: true, limit: 8, cache: c, reach: d.state.reach}
		rows, _, err := q.find(t.Context(), newReader(v, d.committer.size), 1<<20)
		require.NoError(t, err)
		for i := range rows {
			require.Equal(t, payloadOf("quotes.A", 7, rows[i].point.Seq), string(rows[i].payload))
			seqs = append(seqs, rows[i].point.Seq)
		}
		return seqs
	}
	for _, seq := range []uint64{1, 2, 3, 4, 5, 6, 8} { // a block of eight, of an older epoch, but for one
		d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, seq)}})
	}
	d.write(t, &write{rows: []row{rowOf(t, "quotes.B", 9, 1)}})
	require.Positive(t, d.seal(t))
	all := []uint64{1, 2, 3, 4, 5, 6, 8}
	require.ElementsMatch(t, all, newest())
	require.Len(t, c.known, 1)
	had := c.used.Front().Value
	require.ElementsMatch(t, all, newest())
	require.Same(t, had, c.used.Front().Value)
	d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, 7)}})
	d.seal(t)
	require.ElementsMatch(t, append(all, 7), newest(), "of the chunk that is there now")
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache(10_000)
	data := make([]byte, 8)
	at := func(block int) chunk.Address { return chunk.Address{Topic: "quotes.A", Epoch: 1, Block: uint64(block)} }
	for block := range 100 {
		c.put(at(block), data, make([]chunk.Record, 1), 1000-recordBytes)
		require.NotNil(t, c.get(at(0), data), "what is used stays")
	}
	require.Equal(t, 10_000, c.bytes)
	require.Len(t, c.known, 10)
	require.Nil(t, c.get(at(50), data))
	require.NotNil(t, c.get(at(99), data))
	require.Nil(t, c.get(at(99), []byte{1, 2, 3, 4, 5, 6, 7, 8}), "another sum")
	c.put(at(99), data, make([]chunk.Record, 2), 1)
	require.Len(t, c.get(at(99), data), 2)
	c.put(at(100), data, nil, 20_000)
	require.Zero(t, c.bytes)
}

// Blocks stay in memory though memtables are as large as all of the cache: pebble would take theirs out of it.
func TestMemtablesLeaveTheCacheItsSize(t *testing.T) {
	d := openDiskOf(t, vfs.NewMem(), "data", 1<<20, 4<<20)
	for seq := uint64(1); seq <= 400; seq++ {
		d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, seq)}})
	}
	db := d.engine.(*pebbleEngine).db
	require.NoError(t, db.Flush())
	for range 2 {
		require.Len(t, d.contents(t), 400)
	}
	require.Positive(t, db.Metrics().BlockCache.Count)
}
