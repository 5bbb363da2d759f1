package shard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// story drives a state by hand: shard-0 of three, with a clock of its own.
type story struct {
	t     *testing.T
	s     *state
	now   time.Time
	topic quote.Topic
	slot  int
	twin  int
	core  *session
}

func newStory(t *testing.T) *story {
	shards, err := placement.ParseShards(rigShards)
	require.NoError(t, err)
	table, err := placement.New(shards, 2)
	require.NoError(t, err)
	st := &story{t: t, s: newState(0, table), now: testStart()}
	r := &rig{table: table}
	st.topic = quote.TopicOf(quote.Quotes, r.symbolsOf(0, 1, 1)[0])
	st.slot, st.twin = placement.Slot(string(st.topic.Symbol())), 1
	return st
}

func (st *story) hello(epoch, next uint64) {
	st.core = &session{epoch: epoch, instance: "i", since: st.now, heard: st.now, close: func(error) {}}
	var topics []wire.HelloTopic
	if next > 0 {
		topics = append(topics, wire.HelloTopic{Topic: st.topic, Next: next})
	}
	st.s.announced(st.core, topics)
}

// stored tells the state that seqs are on disk, appended by core or not.
func (st *story) stored(appended bool, epoch, first, last uint64) {
	h := st.s.holding(st.topic, epoch).clone()
	for seq := first; seq <= last; seq++ {
		h.hold(seq)
	}
	c := change{holdings: []named{{st.topic, h}}}
	if appended {
		c.sent = map[quote.Topic]uint64{st.topic: last}
	}
	st.s.stored(c)
}

func (st *story) lost(epoch, first, last uint64) {
	h := st.s.holding(st.topic, epoch).clone()
	h.lose(first, last)
	st.s.stored(change{holdings: []named{{st.topic, h}}})
}

func (st *story) inSync() bool { return st.s.inSyncsNow([]int{st.slot}, st.now)[st.slot] }

func (st *story) compared(epoch uint64) { st.s.comparedWith(st.twin, epoch) }

func TestInSyncNeedsCoreTheEpochAndTheComparison(t *testing.T) {
	st := newStory(t)
	st.compared(100)
	require.False(t, st.inSync(), "without core")
	st.hello(100, 4)
	require.False(t, st.inSync(), "with 1 to 3 missing")
	st.stored(true, 100, 2, 3)
	require.False(t, st.inSync(), "with 1 missing")
	st.stored(false, 100, 1, 1)
	require.True(t, st.inSync())

	st.stored(true, 100, 4, 6)
	require.True(t, st.inSync())
	st.stored(true, 100, 9, 9)
	require.False(t, st.inSync(), "with 7 and 8 skipped")
	st.lost(100, 7, 7)
	require.False(t, st.inSync(), "with 8 skipped")
	st.lost(100, 8, 8)
	require.True(t, st.inSync(), "7 and 8 were named as lost")

	st.now = st.now.Add(coreSilence)
	require.False(t, st.inSync(), "with core silent for 3 s")
	st.s.heard(st.core, st.now)
	require.True(t, st.inSync(), "with core heard again")
	require.True(t, st.s.ended(st.core))
	require.False(t, st.inSync(), "with core cut off")
	st.hello(100, 10)
	require.True(t, st.inSync(), "with nothing missed meanwhile")
	st.hello(100, 12)
	require.False(t, st.inSync(), "with 10 and 11 missed meanwhile")
	st.stored(true, 100, 10, 11)
	require.True(t, st.inSync())
}

func TestANewEpochNeedsANewComparison(t *testing.T) {
	st := newStory(t)
	st.hello(100, 0)
	require.False(t, st.inSync(), "not compared")
	st.compared(99)
	require.False(t, st.inSync(), "compared before this epoch")
	st.compared(100)
	require.True(t, st.inSync())
	st.stored(true, 100, 3, 3)
	require.False(t, st.inSync())
	st.hello(101, 0)
	require.False(t, st.inSync(), "compared before this epoch")
	st.compared(101)
	require.True(t, st.inSync(), "holes of an older epoch that the twin has too are no concern")
}

func TestOnlyTheSlotsTwinCounts(t *testing.T) {
	st := newStory(t)
	st.hello(100, 0)
	st.s.comparedWith(2, 100)
	require.False(t, st.inSync(), "compared with another's twin")
	st.compared(100)
	require.True(t, st.inSync())
}

func TestASlotOfOthersIsNeverInSync(t *testing.T) {
	st := newStory(t)
	st.hello(100, 0)
	st.compared(100)
	st.s.comparedWith(2, 100)
	for slot := range placement.Slots {
		require.Equal(t, st.s.table.Owns(0, slot), st.s.inSyncsNow([]int{slot}, st.now)[slot])
	}
}

func TestRepairLeavesToCoreWhatCoreWillAppend(t *testing.T) {
	st := newStory(t)
	twin := []quote.Range{{Epoch: 90, First: 1, Last: 5}, {Epoch: 100, First: 1, Last: 20}}
	lacks := func() []want { return st.s.lacks(st.twin, st.topic, twin, st.now) }
	old := want{st.topic, 90, 1, 5}

	st.hello(100, 16)
	require.Equal(t, []want{old}, lacks(), "core may have all of it in its buffer")
	st.stored(true, 100, 11, 12)
	require.Equal(t, []want{old, {st.topic, 100, 1, 10}}, lacks(), "core began at 11: below that it has nothing")
	st.stored(true, 100, 15, 15)
	require.Equal(t, []want{old, {st.topic, 100, 1, 10}, {st.topic, 100, 13, 14}}, lacks(), "core skipped 13 and 14")

	st.hello(100, 16)
	require.Equal(t, []want{old}, lacks(), "a new session begins anew")
	st.now = st.now.Add(coreGrace)
	st.s.heard(st.core, st.now)
	require.Equal(t, []want{old, {st.topic, 100, 1, 10}, {st.topic, 100, 13, 14}}, lacks(), "core has sent nothing of this topic")

	st.s.ended(st.core)
	require.Equal(t, []want{old, {st.topic, 100, 1, 10}, {st.topic, 100, 13, 14}, {st.topic, 100, 16, 20}}, lacks(), "core is away")
	require.Empty(t, st.s.lacks(2, st.topic, twin, st.now), "not a slot of that twin")
}

func TestARecordOfANewerEpochFromATwinFencesTheOldCoreOff(t *testing.T) {
	st := newStory(t)
	st.hello(100, 0)
	st.compared(100)
	h := (&holding{epoch: 101}).clone()
	h.hold(1)
	fenced := st.s.stored(change{holdings: []named{{st.topic, h}}, fence: fence{epoch: 101}})
	require.Same(t, st.core, fenced)
	require.False(t, st.inSync())
	require.Equal(t, wire.StaleEpoch, wire.CodeOf(st.s.admits(st.core)))
}

func TestSenselessRangesOfATwinAreIgnored(t *testing.T) {
	st := newStory(t)
	far := uint64(st.now.UnixMilli()) + 2*uint64((24*time.Hour).Milliseconds())
	for _, r := range []quote.Range{{Epoch: 1, First: 0, Last: 5}, {Epoch: 1, First: 5, Last: 4}, {Epoch: 1, First: 1, Last: maxSeq + 1}, {Epoch: far, First: 1, Last: 2}} {
		require.Empty(t, st.s.lacks(st.twin, st.topic, []quote.Range{r}, st.now), "%+v", r)
		require.Empty(t, st.s.untold(st.twin, wire.LostRange{Topic: st.topic, Epoch: r.Epoch, First: r.First, Last: r.Last}, st.now), "%+v", r)
	}
	for _, name := range []quote.Topic{quote.StatusCore, "quotes.", "x", ""} {
		require.Empty(t, st.s.lacks(st.twin, name, []quote.Range{{Epoch: 1, First: 1, Last: 2}}, st.now))
	}
}

func TestWhatToAskATwin(t *testing.T) {
	st := newStory(t)
	require.True(t, st.s.todo(st.twin, 0, false, st.now).full, "never compared")
	st.compared(0)
	require.False(t, st.s.todo(st.twin, 0, false, st.now).full)
	require.True(t, st.s.todo(st.twin, 0, true, st.now).full, "core is away, and it is time")
	st.hello(100, 3)
	do := st.s.todo(st.twin, 99, false, st.now)
	require.True(t, do.full)
	require.Equal(t, uint64(99), do.stamp, "an older core can still add to the twin")
	st.compared(99)
	require.False(t, st.s.todo(st.twin, 99, false, st.now).full, "nothing to gain before the twin knows 100")
	require.True(t, st.s.todo(st.twin, 99, true, st.now).full, "but now and then")
	do = st.s.todo(st.twin, 200, false, st.now)
	require.True(t, do.full)
	require.Equal(t, uint64(100), do.stamp, "we may get records of 100 to 200 later")
	st.compared(100)
	require.Empty(t, st.s.todo(st.twin, 100, true, st.now).symbols, "core may have 1 and 2 in its buffer")
	require.False(t, st.s.idle(st.twin, st.now))
	st.stored(true, 100, 2, 2)
	do = st.s.todo(st.twin, 100, true, st.now)
	require.False(t, do.full)
	require.Equal(t, []quote.Symbol{st.topic.Symbol()}, do.symbols)
	require.Empty(t, st.s.todo(2, 100, true, st.now).symbols, "not a slot of that twin")
	st.stored(false, 100, 1, 1)
	require.True(t, st.s.idle(st.twin, st.now))
}
