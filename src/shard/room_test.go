package shard

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// A full disk costs writes, not reads; when there is room again all goes on, and what was missed comes from core and twin.
func TestDiskFullRefusesWritesAndRecovers(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	symbols := r.symbols()
	c.publish(20, symbols...)
	c.flush()
	r.requireSynced(0, 1, 2)
	topic := quote.TopicOf(quote.Quotes, r.symbolsOf(0, 1, 1)[0])

	r.fs[0].TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 63 << 20, TotalBytes: 1 << 30})
	l := c.links[0]
	_, err := l.session.Do(within(t), appendFrame(t, wire.Append{TableEpoch: 1, Epoch: 1000, Records: []wire.Record{
		{Topic: topic, Seq: 21, Payload: []byte(payloadOf(topic, 1000, 21))},
	}}))
	require.Equal(t, wire.Unavailable, wire.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "disk full")
	require.ErrorContains(t, err, "make room")
	require.Positive(t, wire.AsError(err).RetryAfterMS)
	require.NoError(t, r.up[0].Ready(), "it can answer reads")
	require.Len(t, r.all(0, topic), 20)

	c.cut(0)
	s := r.session(0)
	defer s.Close()
	_, err = s.Do(within(t), wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: 1000, Instance: c.instance}))
	require.Equal(t, wire.Unavailable, wire.CodeOf(err), "a core is not let in either: nothing of its could be kept")
	require.Eventually(t, func() bool {
		_, out := r.synced(0)
		return slices.Contains(out, placement.Slot(string(topic.Symbol())))
	}, patience, often, "the cut is noticed, and no core is let in")

	c.publish(40, symbols...)
	c.flush()
	c.drop(0)
	r.fs[0].TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 65 << 20, TotalBytes: 1 << 30})
	c.connect(0)
	r.requireSynced(0, 1, 2)
	for i := range 3 {
		c.requireAll(i)
	}
}
