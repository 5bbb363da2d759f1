package shard

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// aged is a record that was received so many minutes after the tests' start.
func aged(t *testing.T, topic quote.Topic, epoch, seq uint64, minutes int) row {
	r := rowOf(t, topic, epoch, seq)
	r.received = quote.TimeOf(testStart().Add(time.Duration(minutes) * time.Minute))
	return r
}

func (d *disk) write(t *testing.T, w *write) {
	t.Helper()
	_, err := d.committer.do(t.Context(), w)
	require.NoError(t, err)
}

func TestRetentionByAgeLetsWholeBlocksGoAndKeepsTheNewest(t *testing.T) {
	fs := vfs.NewMem()
	d := openDisk(t, fs, "data")
	for seq := uint64(1); seq <= 40; seq++ { // five blocks of eight
		d.write(t, &write{rows: []row{aged(t, "quotes.A", 7, seq, int(seq))}})
		d.write(t, &write{rows: []row{aged(t, "quotes.B", 7, min(seq, 8), 0)}})
	}
	d.write(t, &write{lost: []wire.LostRange{{Topic: "quotes.A", Epoch: 6, First: 1, Last: 3}}})
	d.seal(t)
	k := keeper{c: d.committer, age: time.Hour}
	require.NoError(t, k.pass(t.Context(), testStart().Add(80*time.Minute))) // what came before minute 20
	check := func() {
		have := d.contents(t)
		require.Len(t, have, 24+8)
		require.NotContains(t, have, quote.Position{Topic: "quotes.A", Point: quote.Point{Epoch: 7, Seq: 16}})
		require.Contains(t, have, quote.Position{Topic: "quotes.A", Point: quote.Point{Epoch: 7, Seq: 17}}, "its block is not all old")
		require.Equal(t, quote.Point{Epoch: 7, Seq: 17}, d.state.floor("quotes.A"))
		require.Zero(t, d.state.floor("quotes.B"), "the newest block stays")
		held := d.state.holdings("quotes.A")
		require.Len(t, held, 1, "older epochs are forgotten")
		require.Equal(t, []quote.Span{{First: 17, Last: 40}}, held[0].held.Spans())
		require.Equal(t, uint64(40), held[0].done.Through(), "what is below the floor is accounted for")
	}
	check()
	d.stop()
	d = openDisk(t, fs, "data")
	check()

	d.write(t, &write{rows: []row{aged(t, "quotes.A", 7, 16, 16), aged(t, "quotes.A", 3, 1, 90)}, lost: []wire.LostRange{{Topic: "quotes.A", Epoch: 6, First: 1, Last: 1}}})
	check() // nothing comes back below the floor
	d.write(t, &write{floors: []floorOf{{"quotes.A", quote.Point{Epoch: 7, Seq: 9}}}})
	check() // and a floor never sinks
}

// refusing is an engine whose next commit fails.
type refusing struct {
	engine.Engine
	next bool
}

// Commit fails once.
func (r *refusing) Commit(fill func(engine.Batch) error) error {
	if r.next {
		r.next = false
		return errors.New("refused")
	}
	return r.Engine.Commit(fill)
}

// A floor that could not be stored holds at once, and is stored with the next.
func TestAFloorThatWasNotStoredGoesWithTheNext(t *testing.T) {
	fs := vfs.NewMem()
	d := openDisk(t, fs, "data")
	for seq := uint64(1); seq <= 40; seq++ {
		d.write(t, &write{rows: []row{aged(t, "quotes.A", 7, seq, int(seq)), aged(t, "quotes.B", 7, seq, int(seq))}})
	}
	d.seal(t)
	broken := &refusing{d.engine, true}
	d.committer.engine = broken
	k := keeper{c: d.committer, age: time.Hour}
	later := testStart().Add(80 * time.Minute)
	require.ErrorContains(t, k.pass(t.Context(), later), "refused")
	require.NotZero(t, d.state.floor("quotes.A"))
	require.NoError(t, k.pass(t.Context(), later), "and it comes to an end")
	require.Len(t, d.contents(t), 48)
	d.stop()
	d = openDisk(t, fs, "data")
	for _, topic := range []quote.Topic{"quotes.A", "quotes.B"} {
		require.Equal(t, quote.Point{Epoch: 7, Seq: 17}, d.state.floor(topic), topic)
	}
	require.Len(t, d.contents(t), 48)
}

// A clock that is ahead, or a market that was closed for long, costs no history; when new records come, age counts again.
func TestAClockThatIsAheadDropsNothing(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	for seq := uint64(1); seq <= 40; seq++ {
		d.write(t, &write{rows: []row{aged(t, "quotes.A", 7, seq, int(seq))}})
	}
	d.seal(t)
	k := keeper{c: d.committer, age: time.Hour}
	for _, ahead := range []time.Duration{2 * time.Hour, 365 * 24 * time.Hour} {
		require.NoError(t, k.pass(t.Context(), testStart().Add(ahead)))
		require.Len(t, d.contents(t), 40, ahead)
	}
	for seq := uint64(41); seq <= 48; seq++ {
		d.write(t, &write{rows: []row{aged(t, "quotes.A", 7, seq, 24*60)}})
	}
	d.seal(t)
	require.NoError(t, k.pass(t.Context(), testStart().Add(24*time.Hour)))
	require.Len(t, d.contents(t), 8)
}

func TestRetentionByBytesLetsTheOldestOfAllTopicsGo(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	for seq := uint64(1); seq <= 80; seq++ {
		d.write(t, &write{rows: []row{aged(t, "quotes.A", 7, seq, 20*int(seq)), aged(t, "quotes.B", 7, seq, 20*int(seq)+10)}})
	}
	require.Equal(t, 20, d.seal(t))
	all := keeper{c: d.committer, most: 1 << 30}
	require.NoError(t, all.pass(t.Context(), testStart()))
	require.Len(t, d.contents(t), 160)
	total := uint64(0)
	require.NoError(t, sizes(d, func(e extent) { total += e.size }))
	half := keeper{c: d.committer, most: total / 2}
	require.NoError(t, half.pass(t.Context(), testStart()))
	left := uint64(0)
	require.NoError(t, sizes(d, func(e extent) { left += e.size }))
	require.LessOrEqual(t, left, total/2)
	require.Greater(t, left, total/3)
	require.InDelta(t, d.state.floor("quotes.A").Seq, d.state.floor("quotes.B").Seq, 8, "the oldest of all, not of one")
	d.contents(t)
}

// Twins exchange floors: the higher one wins, nothing below it is repaired, and a volume that is wiped learns it.
func TestTwinsFollowTheHigherFloor(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, sym)
	c.publish(100, sym) // blocks of 16
	c.flush()
	r.requireSynced(0, 1, 2)
	s := r.up[0]
	require.Eventually(t, func() bool { return s.unsealed(t) == 0 }, patience, often)
	keep := keeper{c: s.committer}
	require.NoError(t, keep.follow(t.Context(), floorOf{topic, quote.Point{Epoch: 1000, Seq: 49}}))
	spans := func(i int) []quote.Range { return r.hist(i, wire.ReqHist{Symbols: []quote.Symbol{sym}}).Ranges[topic] }
	for _, seq := range []uint64{0, maxSeq + 1} {
		require.Empty(t, s.state.higher(1, []floorOf{{topic, quote.Point{Epoch: 1001, Seq: seq}}}, testStart()), "no floor at all")
	}
	above := []quote.Range{{Epoch: 1000, First: 49, Last: 100}}
	require.Equal(t, above, spans(0))
	require.Equal(t, []quote.Position{{Topic: topic, Point: quote.Point{Epoch: 1000, Seq: 49}}}, r.hist(0, wire.ReqHist{Symbols: []quote.Symbol{sym}}).Floors)

	require.Eventually(t, func() bool { return r.up[1].state.floor(topic).Seq == 49 }, patience, often, "by the comparison, though nothing is lacking")
	require.Eventually(t, func() bool { return len(spans(1)) == 1 && spans(1)[0] == above[0] }, patience, often)
	require.Equal(t, above, spans(0), "nothing came back from the twin")
	r.requireSynced(0, 1, 2)

	c.cut(0)
	r.stop(0)
	r.wipe(0)
	r.start(0)
	c.connect(0)
	r.requireSynced(0, 1, 2)
	require.Equal(t, above, spans(0))
	require.Equal(t, uint64(49), r.up[0].state.floor(topic).Seq)
}

// sizes calls each with the extents of all chunks.
func sizes(d *disk, each func(extent)) error {
	v := d.engine.View()
	lo, hi := allOf(extentKey)
	err := engine.Walk(v, lo, hi, false, func(key, value []byte) (bool, error) {
		e, err := parseExtent(key, value)
		each(e)
		return err == nil, err
	})
	return errors.Join(err, v.Close())
}
