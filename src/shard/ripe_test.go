package shard

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/shard/engine"
)

// A seq that never came and that nobody named as lost keeps its own block open, and no other.
func TestBlocksBehindAHoleAreSealed(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	d.state.fence.epoch = 7
	for seq := uint64(2); seq <= 44; seq++ { // blocks of 8
		d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, seq)}})
	}
	require.NoError(t, (&sealer{c: d.committer}).pass(context.WithoutCancel(t.Context())))
	require.Equal(t, 4, d.chunks(t), "9 to 40")
	d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, 1)}})
	require.NoError(t, (&sealer{c: d.committer}).pass(context.WithoutCancel(t.Context())))
	require.Equal(t, 5, d.chunks(t), "and when it comes, its own")
	d.contents(t)
}

// fallible is storage that takes nothing while it is told to fail.
type fallible struct {
	engine.Engine
	fails bool
}

func (f *fallible) Commit(fill func(engine.Batch) error) error {
	if f.fails {
		return errors.New("no space left on device")
	}
	return f.Engine.Commit(fill)
}

// A group of chunks may be of several topics: where it fails, all of them stay ripe.
func TestWhatAFailedGroupHadStaysRipe(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	full := &fallible{Engine: d.engine}
	d.committer.engine = full
	d.state.fence.epoch = 7
	topics := []quote.Topic{"quotes.A", "quotes.B"}
	for _, topic := range topics {
		for seq := uint64(1); seq <= 24; seq++ { // three blocks each: four make a group
			d.write(t, &write{rows: []row{rowOf(t, topic, 7, seq)}})
		}
	}
	full.fails = true
	s := &sealer{c: d.committer}
	require.ErrorContains(t, s.pass(context.WithoutCancel(t.Context())), "no space left")
	full.fails = false
	require.NoError(t, s.pass(context.WithoutCancel(t.Context())))
	require.Equal(t, 6, d.chunks(t))
}

// A page has a bound in bytes: what is beyond it is not read, and there is more.
func TestLargePagesAreReadInParts(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	const records = 3*fetchAtOnce + 7
	for seq := uint64(1); seq <= records; seq++ {
		d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, seq)}})
	}
	ask := func(limit, room int) ([]row, bool) {
		q := query{topics: []quote.Topic{"quotes.A"}, held: map[quote.Topic][]*holding{"quotes.A": d.state.holdings("quotes.A")}, limit: limit, reach: d.state.reach}
		v := d.engine.View()
		defer func() { require.NoError(t, v.Close()) }()
		rows, more, err := q.find(t.Context(), newReader(v, d.committer.size), room)
		require.NoError(t, err)
		return rows, more
	}
	all, more := ask(10_000, 1<<20)
	require.Len(t, all, records)
	require.False(t, more)
	for _, limit := range []int{fetchAtOnce - 1, fetchAtOnce, fetchAtOnce + 1, records - 1} {
		rows, more := ask(limit, 1<<20)
		require.Equal(t, all[:limit], rows)
		require.True(t, more)
	}
	one := len(all[0].payload) + rowOverhead
	for _, fit := range []int{1, fetchAtOnce, fetchAtOnce + 1} {
		rows, more := ask(10_000, fit*one+one/2)
		require.InDelta(t, fit, len(rows), float64(fit)/8, "payloads differ a little")
		require.Equal(t, all[:len(rows)], rows)
		require.True(t, more)
	}
}

// cutting is a file system that ends after so many changes of names.
type cutting struct {
	vfs.FS
	left *int
}

var errCut = errors.New("power cut")

func (c cutting) spend() error {
	if *c.left--; *c.left < 0 {
		return errCut
	}
	return nil
}

func (c cutting) Rename(from, to string) error {
	if err := c.spend(); err != nil {
		return err
	}
	return c.FS.Rename(from, to)
}

func (c cutting) RemoveAll(name string) error {
	if err := c.spend(); err != nil {
		return err
	}
	return c.FS.RemoveAll(name)
}

// Wherever the setting aside of a damaged folder is cut short, the next start goes on with it: nothing is opened half, and what was set
// aside is all there.
func TestADamagedFolderIsSetAsideWhole(t *testing.T) {
	why := errors.New("a table's checksum")
	for cut := 0; ; cut++ {
		fs := vfs.NewMem()
		d := openDisk(t, fs, "data")
		d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, 1)}})
		d.stop()
		require.NoError(t, fs.MkdirAll("data/"+asideName, 0o750))
		names, err := fs.List("data")
		require.NoError(t, err)
		names = slices.DeleteFunc(names, func(n string) bool { return n == asideName || n == "LOCK" })
		left := cut
		err = newDamage(cutting{fs, &left}, "data", testLog()).setAside(why)
		after := newDamage(fs, "data", testLog())
		if err != nil {
			require.ErrorIs(t, err, errCut)
			if after.marked() == nil { // it had not begun
				now, err := fs.List("data")
				require.NoError(t, err)
				require.Subset(t, now, names)
			}
			require.NoError(t, after.setAside(why), "cut %d", cut)
		}
		require.NoError(t, after.marked())
		aside, err := fs.List("data/" + asideName)
		require.NoError(t, err)
		require.ElementsMatch(t, append(names, damageMark), slices.DeleteFunc(aside, func(n string) bool { return n == damageMark+".new" }), "cut %d", cut)
		fresh, err := fs.List("data")
		require.NoError(t, err)
		require.ElementsMatch(t, []string{asideName, "LOCK"}, slices.DeleteFunc(fresh, func(n string) bool { return n == damageMark+".new" }), "cut %d", cut)
		if left > 0 {
			return // it went through, and nothing was cut
		}
	}
}

func TestAFolderThatIsInUseIsNotSetAside(t *testing.T) {
	fs := vfs.NewMem()
	d := openDisk(t, fs, "data")
	require.ErrorIs(t, newDamage(fs, "data", testLog()).setAside(errors.New("x")), ErrInUse)
	d.write(t, &write{rows: []row{rowOf(t, "quotes.A", 7, 1)}})
}
