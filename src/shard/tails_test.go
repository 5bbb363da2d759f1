package shard

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/wire"
)

// teller is a shard that answers questions about a disk, without its network.
func teller(d *disk) *Shard {
	s := &Shard{met: d.committer.met, state: d.state, engine: d.engine, committer: d.committer, chunks: newCache(1 << 20)}
	s.cfg.block = d.committer.size
	return s
}

func newestOf(topic quote.Topic, limit int) wire.Frame {
	return wire.Make(wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{topic.Symbol()}, Kinds: []quote.Kind{topic.Kind()}, Order: wire.Desc, Limit: &limit})
}

// stored answers a question from storage alone.
func stored(t *testing.T, s *Shard, f wire.Frame) string {
	t.Helper()
	kept := s.state.tails
	defer func() { s.state.tails = kept }()
	s.state.tails = newTails()
	last, err := s.history(t.Context(), f, nil)
	require.NoError(t, err)
	return string(last.Payload)
}

// pending is a question that has read storage and not yet filled its tail.
type pending struct {
	tail *tail
	rows []row
	more bool
}

// TestWhatIsAtHandIsWhatIsStored does everything that changes what is stored, in any order, also between the steps of a question that
// fills a tail, and holds each answer from memory against the one from storage, byte by byte.
func TestWhatIsAtHandIsWhatIsStored(t *testing.T) {
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 7))
		d := openDisk(t, vfs.NewMem(), "data")
		d.state.tails.most = 1 << 20
		s := teller(d)
		d.state.fence.epoch = 1 << 41 // all of it is of older epochs
		for _, twin := range []int{1, 2} {
			d.state.comparedWith(twin, 1<<41)
		}
		symbols := (&rig{table: d.state.table}).symbolsOf(0, 1, 2)
		topics := []quote.Topic{quote.TopicOf(quote.Trades, symbols[0]), quote.TopicOf(quote.Trades, symbols[1])}
		seqs := map[quote.Topic]uint64{}
		var asked []pending
		hits := 0
		do := func(w *write) {
			_, err := d.committer.do(t.Context(), w)
			require.NoError(t, err)
		}
		for range 600 {
			topic := topics[rng.IntN(2)]
			switch rng.IntN(12) {
			default: // records, late ones and such with the same time among them
				var rows []row
				for range 1 + rng.IntN(10) {
					seqs[topic] += 1 + rng.Uint64N(2)
					row := rowOf(t, topic, 5+rng.Uint64N(2), seqs[topic])
					row.timestamp = quote.TimeOf(testStart()) + quote.Time(seqs[topic]/3) - quote.Time(rng.IntN(3)*rng.IntN(100))
					if rng.IntN(16) == 0 {
						row.payload = fmt.Appendf(nil, `%s,"pad":"%s"}`, row.payload[:len(row.payload)-1], strings.Repeat("x", tailBytes/6))
					}
					rows = append(rows, row)
				}
				do(&write{rows: rows})
			case 0:
				d.seal(t)
			case 1:
				if seqs[topic] > 400 && rng.IntN(3) == 0 {
					do(&write{floors: []floorOf{{topic, quote.Point{Epoch: 5, Seq: seqs[topic] - 20 - rng.Uint64N(300)}}}})
				}
			case 2: // a twin's chunk of an older epoch, with the newest times of all
				block := seqs[topic] / 8
				do(&write{copies: []sealed{chunkOf(t, d, topic, 4, block, quote.TimeOf(testStart())+quote.Time(seqs[topic]/3))}})
			case 3: // a question begins
				q, err := d.state.parseQuery(asRequest(t, newestOf(topic, 10)))
				require.NoError(t, err)
				if fill := d.state.follow(topic); fill != nil {
					q.limit = tailRows
					v := s.picture(&q)
					rows, more, err := q.find(t.Context(), newReader(v, s.cfg.block), recordsBytes)
					require.NoError(t, err)
					require.NoError(t, v.Close())
					asked = append(asked, pending{fill, rows, more})
				}
			case 4: // and another one ends
				if len(asked) > 0 && rng.IntN(3) == 0 {
					i := rng.IntN(len(asked))
					d.state.fill(asked[i].tail, asked[i].rows, asked[i].more)
					asked = append(asked[:i], asked[i+1:]...)
				}
			}
			requireCounted(t, d.state.tails)
			f := newestOf(topic, 1+rng.IntN(tailRows-1))
			got, ok := s.atHand(&f)
			if ok {
				hits++
				if want := stored(t, s, f); want != string(got.Payload) {
					require.JSONEq(t, want, string(got.Payload), "seed %d", seed)
				}
			} else if rng.IntN(20) == 0 {
				_, err := s.history(t.Context(), f, nil)
				require.NoError(t, err)
			}
		}
		require.Greater(t, hits, 100, "seed %d", seed)
		d.stop()
	}
}

func asRequest(t *testing.T, f wire.Frame) (req wire.ReqHist) {
	t.Helper()
	require.NoError(t, f.Decode(&req))
	return req
}

// chunkOf is a twin's chunk of a whole block, all of one time.
func chunkOf(t *testing.T, d *disk, topic quote.Topic, epoch, block uint64, at quote.Time) sealed {
	t.Helper()
	s := sealed{at: chunk.Address{Topic: topic, Epoch: epoch, Block: block}}
	var records []chunk.Record
	for seq := d.committer.size.first(block); seq <= d.committer.size.last(block); seq++ {
		if seq > 0 {
			r := rowOf(t, topic, epoch, seq)
			records = append(records, chunk.Record{Seq: seq, Timestamp: at, Received: r.received, Payload: r.payload})
			s.seqs.Add(seq, seq)
		}
	}
	var err error
	var enc chunk.Encoder
	s.data, err = enc.Append(nil, s.at, records)
	require.NoError(t, err)
	s.header, err = chunk.Open(s.at, s.data)
	require.NoError(t, err)
	return s
}

// Who was told that a record is on disk finds it, and all before it, while others ask and write.
func TestWhatIsAckedIsAtHand(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	d.state.tails.most = 1 << 20
	s := teller(d)
	topic := quote.TopicOf(quote.Trades, (&rig{table: d.state.table}).symbolsOf(0, 1, 1)[0])
	hits := 0
	for seq := uint64(1); seq <= 400; seq++ {
		asking := make(chan error, 1)
		go func() {
			_, err := s.history(t.Context(), newestOf(topic, 100), nil)
			asking <- err
		}()
		r := rowOf(t, topic, 5, seq)
		r.timestamp = quote.TimeOf(testStart()) + quote.Time(seq)
		_, err := d.committer.do(t.Context(), &write{rows: []row{r}})
		require.NoError(t, err)
		f := newestOf(topic, 5)
		if got, ok := s.atHand(&f); ok {
			hits++
			var resp wire.RespHist
			require.NoError(t, json.Unmarshal(got.Payload, &resp))
			require.Equal(t, seq > 5, resp.More)
			require.Len(t, resp.Records, int(min(seq, 5)))
			for i := range resp.Records {
				require.Equal(t, seq-uint64(i), resp.Records[i].Seq)
			}
		}
		require.NoError(t, <-asking)
		if seq%50 == 0 {
			d.state.mu.Lock()
			d.state.tails.forget(topic)
			d.state.mu.Unlock()
		}
	}
	require.Greater(t, hits, 200)
}

// requireCounted checks that tails know what they have, and that it is not too much.
func requireCounted(t *testing.T, ts *tails) {
	t.Helper()
	all := 0
	for e := ts.used.Front(); e != nil; e = e.Next() {
		tl, _ := e.Value.(*tail)
		all += tl.bytes
		one := tailCost
		for i := range tl.rows {
			one += tl.rows[i].size()
		}
		require.Equal(t, one, tl.bytes)
		require.LessOrEqual(t, len(tl.rows), tailRows)
	}
	require.Len(t, ts.of, ts.used.Len())
	require.Equal(t, all, ts.bytes)
	require.LessOrEqual(t, ts.bytes, ts.most)
}

// However many topics are asked for and whatever comes, memory is bounded, and who is asked for again and again stays.
func TestTailsAreBounded(t *testing.T) {
	const most = 1 << 20
	ts := newTails()
	ts.most = most
	large := make([]byte, 60<<10)
	name := func(i int) quote.Topic { return quote.Topic(fmt.Sprintf("trades.S%d", i)) }
	for i := range 3000 {
		if tl := ts.follow(name(i % 700)); tl != nil && !tl.filled {
			ts.fill(tl, nil, false)
		}
		for k := range 3 {
			ts.add(&row{topic: name((i + 100*k) % 700), point: quote.Point{Epoch: 1, Seq: uint64(i + 1)}, timestamp: quote.Time(i), payload: large[:(i%40+1)<<10]})
		}
		requireCounted(t, ts)
	}
	last := ts.used.Front().Value.(*tail).topic
	for i := range unreadMost {
		require.NotNil(t, ts.of[last])
		ts.add(&row{topic: last, point: quote.Point{Epoch: 2, Seq: uint64(i + 1)}, timestamp: quote.Time(1<<20 + i)})
	}
	ts.add(&row{topic: last, point: quote.Point{Epoch: 3, Seq: 1}, timestamp: 1 << 30})
	require.Nil(t, ts.of[last], "nobody asks for it")
}

// Topics that nobody asks for any more make room for one that is asked for again and again, also where nothing new comes of them.
func TestTopicsThatNobodyAsksForMakeRoom(t *testing.T) {
	ts := newTails()
	ts.most = 4 * tailBytes
	for i := range 40 {
		if tl := ts.follow(quote.Topic(fmt.Sprintf("trades.S%d", i))); tl != nil {
			ts.fill(tl, []row{{topic: tl.topic, point: quote.Point{Epoch: 1, Seq: 1}, payload: make([]byte, tailBytes/2)}}, false)
		}
	}
	followed := len(ts.of)
	require.Less(t, followed, 10)
	for name := range ts.of {
		ts.find(name)
	}
	asked := 0
	for ; ts.follow("trades.HOT") == nil; asked++ {
		require.LessOrEqual(t, asked, seldom*followed+1)
	}
	require.Greater(t, asked, 5*followed, "but not for one that comes by once")
}
