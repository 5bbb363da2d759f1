package shard

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// disk is a shard's storage without its network.
type disk struct {
	engine    engine.Engine
	state     *state
	committer *committer
	stop      func()
}

func openDisk(t *testing.T, fs vfs.FS, dir string) *disk {
	t.Helper()
	return openDiskOf(t, fs, dir, 1<<20, 256<<10)
}

// openDiskOf is openDisk with a cache and memtables of so many bytes.
func openDiskOf(t *testing.T, fs vfs.FS, dir string, cache, memtable int) *disk {
	t.Helper()
	shards, err := placement.ParseShards(rigShards)
	require.NoError(t, err)
	table, err := placement.New(shards, 2)
	require.NoError(t, err)
	d := &disk{state: newState(0, table)}
	d.engine, err = openPebble(fs, dir, cache, memtable, testLog())
	require.NoError(t, err)
	require.NoError(t, load(d.engine, "shard-0", d.state))
	d.committer = newCommitter(d.engine, d.state, testLog(), newMetrics())
	d.committer.size, d.state.size = 8, 8
	ctx, cancel := context.WithCancel(context.Background())
	go d.committer.run(ctx)
	d.stop = sync.OnceFunc(func() {
		cancel()
		<-d.committer.done
		require.NoError(t, d.engine.Close())
	})
	t.Cleanup(d.stop)
	return d
}

func rowOf(t *testing.T, topic quote.Topic, epoch, seq uint64) row {
	r, err := newRow(topic, quote.Point{Epoch: epoch, Seq: seq}, []byte(payloadOf(topic, epoch, seq)))
	require.NoError(t, err)
	return r
}

// contents returns every record on disk, in rows and chunks, and checks that the indices of times and the spans agree with them.
func (d *disk) contents(t *testing.T) map[quote.Position]string {
	t.Helper()
	v := d.engine.View()
	defer func() { require.NoError(t, v.Close()) }()
	out := map[quote.Position]string{}
	add := func(r *row) {
		at := quote.Position{Topic: r.topic, Point: r.point}
		require.NotContains(t, out, at, "stored twice")
		require.True(t, d.state.holding(r.topic, r.point.Epoch).held.Has(r.point.Seq), "not in the spans: %v", at)
		out[at] = string(r.payload)
	}
	rows, extents := 0, 0
	lo, hi := allOf(recordKey)
	require.NoError(t, engine.Walk(v, lo, hi, false, func(key, value []byte) (bool, error) {
		topic := quote.Topic(key[1 : len(key)-17])
		r, err := parseRow(topic, pointOf(key), value)
		if err != nil {
			return false, err
		}
		if at, err := v.Get(keyOfTime(topic, r.timestamp, r.point)); err != nil || at == nil {
			return false, fmt.Errorf("no place in time for %s %v: %w", topic, r.point, err)
		}
		add(&r)
		rows++
		return true, nil
	}))
	reader := newReader(v, d.committer.size)
	lo, hi = allOf(chunkKey)
	require.NoError(t, engine.Walk(v, lo, hi, false, func(key, value []byte) (bool, error) {
		a := chunk.Address{Topic: quote.Topic(key[1 : len(key)-17]), Epoch: pointOf(key).Epoch, Block: pointOf(key).Seq}
		records, err := reader.chunk(a, value)
		if err != nil {
			return false, err
		}
		h, err := chunk.Open(a, value)
		require.NoError(t, err)
		e := extentOf(a, &h, len(value))
		stored, err := v.Get(e.key(a.Topic))
		require.NoError(t, err)
		require.Equal(t, e.value(), stored)
		extents++
		for i := range records {
			r := rowOfChunk(a.Topic, a.Epoch, &records[i])
			require.Equal(t, a.Block, d.committer.size.of(r.point.Seq))
			add(&r)
		}
		return true, nil
	}))
	count := func(kind byte) (n int) {
		lo, hi := allOf(kind)
		require.NoError(t, engine.Walk(v, lo, hi, false, func(_, _ []byte) (bool, error) { n++; return true, nil }))
		return n
	}
	held := uint64(0)
	for _, topic := range d.state.all() {
		for _, h := range d.state.holdings(topic) {
			held += h.held.Len()
		}
	}
	require.Equal(t, rows, count(timeKey))
	require.Equal(t, extents, count(extentKey))
	require.Equal(t, uint64(len(out)), held)
	return out
}

// seal seals all that is ripe, and returns how many chunks there are then.
func (d *disk) seal(t *testing.T) (chunks int) {
	t.Helper()
	d.state.ripenAll()
	require.NoError(t, (&sealer{c: d.committer}).pass(context.WithoutCancel(t.Context())))
	return d.chunks(t)
}

// chunks counts what is sealed.
func (d *disk) chunks(t *testing.T) (chunks int) {
	t.Helper()
	v := d.engine.View()
	defer func() { require.NoError(t, v.Close()) }()
	lo, hi := allOf(chunkKey)
	require.NoError(t, engine.Walk(v, lo, hi, false, func(_, _ []byte) (bool, error) { chunks++; return true, nil }))
	return chunks
}

func TestAcknowledgedRecordsSurviveAReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d := openDisk(t, vfs.Default, dir)
	want := map[quote.Position]string{}
	for seq := uint64(1); seq <= 300; seq++ {
		if seq == 150 {
			continue
		}
		r := rowOf(t, "quotes.A", 7, seq)
		_, err := d.committer.do(t.Context(), &write{rows: []row{r}})
		require.NoError(t, err)
		want[quote.Position{Topic: r.topic, Point: r.point}] = string(r.payload)
	}
	_, err := d.committer.do(t.Context(), &write{lost: []wire.LostRange{{Topic: "quotes.A", Epoch: 7, First: 150, Last: 150}}})
	require.NoError(t, err)
	require.Equal(t, want, d.contents(t))
	require.Equal(t, 300/8, d.seal(t), "the last block is not complete")
	core := &session{epoch: 8, instance: "core", since: testStart()}
	_, err = d.committer.do(t.Context(), &write{core: core, announce: true})
	require.NoError(t, err)
	before := d.state.holdings("quotes.A")
	d.stop()

	d = openDisk(t, vfs.Default, dir)
	require.Equal(t, want, d.contents(t))
	require.Equal(t, before, d.state.holdings("quotes.A"))
	require.Equal(t, uint64(300), d.state.holding("quotes.A", 7).done.Through())
	require.Equal(t, []quote.Span{{First: 150, Last: 150}}, d.state.holding("quotes.A", 7).gone())
	require.Equal(t, fence{8, "core"}, d.state.fenceNow())
}

func TestTheFirstRecordOfAPositionIsKept(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	first, other := rowOf(t, "quotes.A", 5, 1), rowOf(t, "quotes.A", 5, 1)
	other.payload = []byte(strings.Replace(string(first.payload), "live", "dead", 1))
	met := d.committer.met
	for _, rows := range [][]row{{first}, {first}, {first, first}} {
		_, err := d.committer.do(t.Context(), &write{rows: rows})
		require.NoError(t, err)
	}
	require.Zero(t, testutil.ToFloat64(met.conflicts), "the same record again is nothing")
	require.Equal(t, 1, int(testutil.ToFloat64(met.repaired)), "each is counted once")

	second := rowOf(t, "quotes.A", 5, 2)
	clash := second
	clash.payload = other.payload
	for _, rows := range [][]row{{other}, {second, clash}} {
		_, err := d.committer.do(t.Context(), &write{rows: rows})
		require.NoError(t, err)
	}
	require.Equal(t, 2, int(testutil.ToFloat64(met.conflicts)))
	have := d.contents(t)
	require.Equal(t, string(first.payload), have[quote.Position{Topic: "quotes.A", Point: first.point}])
	require.Equal(t, string(second.payload), have[quote.Position{Topic: "quotes.A", Point: second.point}])
}

func TestARecordThatWasNamedAsLostIsHeldWhenItComes(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	_, err := d.committer.do(t.Context(), &write{lost: []wire.LostRange{{Topic: "quotes.A", Epoch: 5, First: 1, Last: 3}}})
	require.NoError(t, err)
	_, err = d.committer.do(t.Context(), &write{rows: []row{rowOf(t, "quotes.A", 5, 2)}})
	require.NoError(t, err)
	h := d.state.holding("quotes.A", 5)
	require.Equal(t, []quote.Span{{First: 2, Last: 2}}, h.held.Spans())
	require.Equal(t, []quote.Span{{First: 1, Last: 1}, {First: 3, Last: 3}}, h.gone())
	require.Equal(t, 3, int(testutil.ToFloat64(d.committer.met.lost)))
}

func TestWritesThatWaitShareACommit(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	core := &session{epoch: 5, instance: "a", since: testStart(), close: func(error) {}}
	_, err := d.committer.do(t.Context(), &write{core: core, announce: true})
	require.NoError(t, err)

	// A committer that has not begun yet finds all of it waiting.
	c := newCommitter(d.engine, d.state, testLog(), newMetrics())
	newer := &session{epoch: 6, instance: "b", since: testStart(), close: func(error) {}}
	writes := []*write{
		{core: core, rows: []row{rowOf(t, "quotes.A", 5, 1)}},
		{core: core, rows: []row{rowOf(t, "quotes.A", 5, 2)}},
		{core: newer, announce: true},
		{core: core, rows: []row{rowOf(t, "quotes.A", 5, 3)}},
		{core: newer, rows: []row{rowOf(t, "quotes.A", 6, 1)}},
	}
	for _, w := range writes {
		require.NoError(t, c.submit(t.Context(), w))
	}
	ctx, cancel := context.WithCancel(t.Context())
	go c.run(ctx)
	var codes []wire.Code
	for _, w := range writes {
		_, err := c.wait(t.Context(), w)
		codes = append(codes, wire.CodeOf(err))
	}
	cancel()
	<-c.done
	require.Equal(t, []wire.Code{"", "", "", wire.StaleEpoch, ""}, codes, "only what stood before the new core's HELLO goes in")
	require.Equal(t, 2, int(testutil.ToFloat64(c.met.commits)), "two appends, a HELLO, two appends")
	require.Len(t, d.contents(t), 3)
}

func TestADataFolderThatCantBeUsedIsOneLine(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	used := filepath.Join(base, "used")
	openDisk(t, vfs.Default, used)
	foreign := filepath.Join(base, "foreign")
	openDisk(t, vfs.Default, foreign).stop()
	torn := filepath.Join(base, "torn")
	openDisk(t, vfs.Default, torn).stop()
	manifests, err := filepath.Glob(filepath.Join(torn, "MANIFEST-*"))
	require.NoError(t, err)
	for _, m := range manifests {
		require.NoError(t, os.WriteFile(m, []byte("no manifest at all, but long enough to look like one"), 0o600))
	}
	more := rigShards + ",shard-3=127.0.0.1:9004"
	for name, c := range map[string]struct{ shard, dir, shards, want string }{
		"a file":               {"shard-0", file, rigShards, "not a directory"},
		"under a file":         {"shard-0", filepath.Join(file, "x"), rigShards, "not a directory"},
		"in use":               {"shard-0", used, rigShards, "in use by another process (is another shard-0 running?)"},
		"another shard's":      {"shard-1", foreign, rigShards, "belongs to shard-0"},
		"placed on fewer ones": {"shard-0", foreign, more, "its records were placed on shard-0,shard-1,shard-2, and --shards names shard-0,shard-1,shard-2,shard-3: growing is not built yet"},
		"a torn manifest":      {"shard-0", torn, rigShards, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Name: c.shard, Listen: "127.0.0.1:0", Data: c.dir, Shards: c.shards, Log: testLog()})
			require.ErrorContains(t, err, "data folder "+c.dir)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}
