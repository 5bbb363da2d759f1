package shard

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
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

	r.fs[0].TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 3 << 20, TotalBytes: 1 << 30})
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
	r.fs[0].TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 5 << 20, TotalBytes: 1 << 30})
	c.connect(0)
	r.requireSynced(0, 1, 2)
	for i := range 3 {
		c.requireAll(i)
	}
}

// blind is a disk that does not tell how full it is.
type blind struct{ vfs.FS }

// GetDiskUsage always fails.
func (blind) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, errors.ErrUnsupported
}

// Others may fill the disk from one moment to the next: what was begun then finds room, what comes later is refused, and
// nothing ends.
func TestADiskThatOthersFillEndsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("a disk of our own needs leave to mount one: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	r := newRig(t)
	r.stop(0)
	r.tune = func(cfg *Config) { cfg.fs, cfg.Data = blind{vfs.Default}, filepath.Join(dir, "data") }
	r.start(0)
	r.tune = nil
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, sym)
	c.publish(20, sym)
	c.flush()
	r.requireSynced(0, 1, 2)

	filler := filepath.Join(dir, "others")
	fill(t, filler)
	taken, err := 20, error(nil)
	for batch := 50; err == nil && taken < 50_000; taken += batch {
		req := wire.Append{TableEpoch: 1, Epoch: 1000}
		for n := range batch {
			seq := uint64(taken + n + 1)
			req.Records = append(req.Records, wire.Record{Topic: topic, Seq: seq, Payload: []byte(payloadOf(topic, 1000, seq))})
		}
		if _, err = c.links[0].session.Do(within(t), appendFrame(t, req)); err != nil {
			break
		}
	}
	require.Equal(t, wire.Unavailable, wire.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "make room")
	require.Greater(t, taken, 20, "what was in work found room")
	require.Len(t, r.all(0, topic), taken, "all that was acknowledged is there, and reads go on")
	t.Logf("refused after %d records", taken-20)

	require.NoError(t, os.Remove(filler))
	c.publish(taken, sym)
	c.cut(0)
	c.flush()
	c.drop(0)
	c.connect(0)
	r.requireSynced(0, 1, 2)
	for i := range 3 {
		c.requireAll(i)
	}
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	for size := 64 << 10; err == nil || size > 1; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			size = max(1, size/2)
		}
	}
	require.NoError(t, f.Close())
}
