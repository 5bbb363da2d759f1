package shard

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// forget takes records off a running shard's disk behind its back, once all that is ripe is sealed.
func (r *rig) forget(i int, rows ...row) {
	s := r.up[i]
	require.Eventually(r.t, func() bool { return s.unsealed(r.t) == 0 }, patience, often)
	db := s.engine.(*pebbleEngine).db
	v := s.engine.View()
	defer func() { require.NoError(r.t, v.Close()) }()
	gone := map[chunk.Address]map[uint64]bool{}
	for _, row := range rows {
		require.NoError(r.t, db.Delete(keyOfRecord(row.topic, row.point), nil))
		require.NoError(r.t, db.Delete(keyOfTime(row.topic, row.timestamp, row.point), nil))
		a := newReader(v, blockSeqs).home(row.topic, row.point)
		if gone[a] == nil {
			gone[a] = map[uint64]bool{}
		}
		gone[a][row.point.Seq] = true
	}
	for a, seqs := range gone {
		reader := newReader(v, blockSeqs)
		records, err := reader.sealed(a)
		require.NoError(r.t, err)
		if len(records) == 0 {
			continue
		}
		was, err := v.Get(keyOfChunk(a.Topic, a.Epoch, a.Block))
		require.NoError(r.t, err)
		h, err := chunk.Open(a, was)
		require.NoError(r.t, err)
		e := extentOf(a, &h, len(was))
		require.NoError(r.t, db.Delete(e.key(a.Topic), nil))
		records = slices.DeleteFunc(slices.Clone(records), func(c chunk.Record) bool { return seqs[c.Seq] })
		if len(records) == 0 {
			require.NoError(r.t, db.Delete(keyOfChunk(a.Topic, a.Epoch, a.Block), nil))
			continue
		}
		var enc chunk.Encoder
		data, err := enc.Append(nil, a, records)
		require.NoError(r.t, err)
		h, err = chunk.Open(a, data)
		require.NoError(r.t, err)
		e = extentOf(a, &h, len(data))
		require.NoError(r.t, db.Set(keyOfChunk(a.Topic, a.Epoch, a.Block), data, nil))
		require.NoError(r.t, db.Set(e.key(a.Topic), e.value(), nil))
	}
}

// unsealed counts rows of blocks that are ripe.
func (s *Shard) unsealed(t *testing.T) (n int) {
	v := s.engine.View()
	defer func() { require.NoError(t, v.Close()) }()
	lo, hi := allOf(recordKey)
	require.NoError(t, engine.Walk(v, lo, hi, false, func(key, _ []byte) (bool, error) {
		p, size := pointOf(key), s.cfg.block
		if s.state.ripe(quote.Topic(key[1:len(key)-17]), p.Epoch, size.first(size.of(p.Seq)), size.last(size.of(p.Seq))) {
			n++
		}
		return true, nil
	}))
	return n
}

func TestWhatADiskHasLostUnnoticedComesBackFromTheTwin(t *testing.T) {
	r := newRigOf(t, blockSeqs)
	old := newCore(r, 900)
	old.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, sym)
	old.publish(100, sym)
	old.flush()
	old.cut(0, 1, 2)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	c.publish(3000, sym) // three blocks
	c.flush()
	r.requireSynced(0, 1, 2)
	r.forget(0, rowOf(t, topic, 900, 1), rowOf(t, topic, 900, 100),
		rowOf(t, topic, 1000, 1), rowOf(t, topic, 1000, 1024), rowOf(t, topic, 1000, 1025), rowOf(t, topic, 1000, 3000))
	met := r.up[0].met
	require.Eventually(t, func() bool { return testutil.ToFloat64(met.restored) == 6 }, patience, often)
	c.requireAll(0)
	old.requireAll(0)
	require.Zero(t, testutil.ToFloat64(r.up[1].met.restored), "the twin had lost nothing")
	require.Zero(t, testutil.ToFloat64(met.conflicts))
	r.requireSynced(0, 1, 2)
}

func TestAWholeBlockThatIsGoneComesBack(t *testing.T) {
	r := newRigOf(t, blockSeqs)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	c.publish(2048, sym)
	c.flush()
	var rows []row
	for seq := uint64(1025); seq <= 2048; seq++ {
		rows = append(rows, rowOf(t, quote.TopicOf(quote.Quotes, sym), 1000, seq))
	}
	r.forget(1, rows...)
	require.Eventually(t, func() bool { return testutil.ToFloat64(r.up[1].met.restored) == 1024 }, patience, often)
	c.requireAll(1)
}

// Which of two records is right nobody can say: both twins keep theirs, and say so.
func TestRecordsThatDifferAreCountedAndNamedOnce(t *testing.T) {
	r := newRigOf(t, blockSeqs)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, sym)
	c.publish(10, sym)
	c.flush()
	other := rowOf(t, topic, 1000, 7)
	other.payload = []byte(strings.Replace(string(other.payload), "live", "dead", 1))
	require.NoError(t, r.up[0].engine.(*pebbleEngine).db.Set(keyOfRecord(topic, other.point), other.appendValue(nil), nil))
	for _, i := range []int{0, 1} {
		require.Eventually(t, func() bool { return testutil.ToFloat64(r.up[i].met.conflicts) >= 1 }, patience, often)
	}
	was := testutil.ToFloat64(r.up[0].met.scrubs)
	require.Eventually(t, func() bool { return testutil.ToFloat64(r.up[0].met.scrubs) > was+6 }, patience, often)
	require.LessOrEqual(t, testutil.ToFloat64(r.up[0].met.conflicts), 2.0, "named once, or twice where a block was growing")
	require.Contains(t, string(r.all(0, topic)[6].Payload), "dead")
	require.Contains(t, string(r.all(1, topic)[6].Payload), "live")
}

func TestSumsSayWhatIsOnDiskBlockByBlock(t *testing.T) {
	r := newRigOf(t, blockSeqs)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, sym)
	c.publish(2100, sym)
	c.flush()
	ask := func(req reqSums) (resp respSums, err error) {
		s := r.session(0)
		defer s.Close()
		return resp, wire.Decoded(within(t), s, typeReqSums, req, &resp)
	}
	whole, err := ask(reqSums{Topic: topic})
	require.NoError(t, err)
	require.False(t, whole.More)
	var counts []int
	for i, s := range whole.Sums {
		require.Equal(t, uint64(i), s.Block)
		require.Len(t, s.Sum, 16)
		counts = append(counts, s.Count)
	}
	require.Equal(t, []int{1024, 1024, 52}, counts)

	first, err := ask(reqSums{Topic: topic, Blocks: 2})
	require.NoError(t, err)
	require.True(t, first.More)
	require.Equal(t, whole.Sums[:2], first.Sums)
	require.Equal(t, quote.Point{Epoch: 1000, Seq: 2048}, first.Next)
	rest, err := ask(reqSums{Topic: topic, After: first.Next})
	require.NoError(t, err)
	require.Equal(t, whole.Sums[2:], rest.Sums)

	foreign := r.symbolsOf(1, 2, 1)[0]
	for code, req := range map[wire.Code]reqSums{
		wire.BadSymbol:  {Topic: "quotes.a b"},
		wire.Moved:      {Topic: quote.TopicOf(quote.Quotes, foreign)},
		wire.BadRequest: {Topic: topic, Blocks: 65},
	} {
		_, err := ask(req)
		require.Equal(t, code, wire.CodeOf(err), "%v", err)
	}
}
