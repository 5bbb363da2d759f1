package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Topics on which a reader always lags take their turns with the others: what comes on a quiet one is not held up.
func TestEveryTopicHasItsTurn(t *testing.T) {
	r := newRig(t, Config{})
	busy := []quote.Topic{"trades.A", "trades.B", "trades.C", "trades.D"}
	s := r.join(&sub{pattern: "*", mode: wire.ModeAll})
	more := func() {
		for range cursorBytes / 100 {
			for _, name := range busy {
				r.put(t, name, 1, 0)
			}
		}
	}
	more()
	more()
	r.put(t, "quotes.Z", 1, 0)
	for range 3 {
		for _, line := range r.collected(t, s, 1) {
			if strings.Contains(string(line), `"topic":"quotes.Z"`) {
				return
			}
		}
		more()
	}
	t.Fatal("three turns without it")
}

// A record may be larger than what a reader may lag: alone it is delivered all the same, and what is passed over for it is named.
func TestTheNewestRecordIsDeliveredHoweverLarge(t *testing.T) {
	r := newRig(t, Config{Retention: 64 << 10, MaxLag: 1000})
	s := r.join(&sub{pattern: "trades.A", mode: wire.ModeAll})
	a := &auditor{t: t, what: "trades.A", known: true, last: quote.Point{Epoch: 1}}
	r.put(t, "trades.A", 1, 0)
	r.read(s, 10, a)
	for range 3 {
		r.putPadded(t, "trades.A", 1, 0, 3000)
		r.read(s, 10, a)
	}
	require.Equal(t, []quote.Point{{Epoch: 1, Seq: 1}, {Epoch: 1, Seq: 2}, {Epoch: 1, Seq: 3}, {Epoch: 1, Seq: 4}}, a.got)
	for range 3 {
		r.putPadded(t, "trades.A", 1, 0, 3000)
	}
	r.read(s, 10, a)
	require.Len(t, a.got, 5, "the newest one")
	require.Equal(t, quote.Point{Epoch: 1, Seq: 7}, a.last)
	require.EqualValues(t, 2, s.lost)
}

// Who waits for a topic that core has named without a record is owed all of it, from the first record on.
func TestAReaderOfANamedTopicIsToldOfItsFirstRecords(t *testing.T) {
	r := newRig(t, Config{Retention: 64 << 10, MaxLag: 1000})
	r.pub.greeted, r.pub.epoch = true, 1
	r.mu.Lock()
	require.NoError(t, r.announce(&wire.HelloTopic{Topic: "trades.A", Next: 1}, 1, r.now))
	r.mu.Unlock()
	s := r.join(&sub{pattern: "trades.*", mode: wire.ModeAll})
	const records = 100
	for seq := range uint64(records) {
		prev := seq
		require.NoError(t, r.publish(nil, &wire.Frame{Topic: "trades.A", Epoch: 1, Seq: seq + 1, Prev: &prev, Payload: fmt.Appendf(nil, `{"n":%d}`, seq)}))
	}
	a := &auditor{t: t, what: "trades.A", known: true, last: quote.Point{Epoch: 1}}
	r.read(s, 10, a)
	require.Equal(t, quote.Point{Epoch: 1, Seq: records}, a.last)
	require.EqualValues(t, records, uint64(len(a.got))+s.lost)
	require.Positive(t, s.lost)
}

// A write that hangs keeps no log in memory for the sake of lines that were copied for it.
func TestCopiedLinesAreLetGo(t *testing.T) {
	var out batch
	for range 10 {
		out.add([]byte("{}\n"))
	}
	out.add(make([]byte, smallPiece+1))
	all := out.lines
	lines, done := out.coalesce(&sync.Pool{})
	defer done()
	require.Len(t, lines, 2)
	for _, l := range all[2:] {
		require.Nil(t, l)
	}
}

// A core with more topics than there is room for has the others published.
func TestOneTopicTooManyCostsNotTheOthers(t *testing.T) {
	r := newRig(t, Config{MaxTopics: 2})
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, name := range []quote.Topic{"quotes.A", "quotes.B", "quotes.C", "quotes.D"} {
		require.NoError(t, r.announce(&wire.HelloTopic{Topic: name, Next: 1}, 1, r.now))
		require.Equal(t, max(i-1, 0), r.pub.noRoom)
	}
	require.Len(t, r.topics, 2)
}
