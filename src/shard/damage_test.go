package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// kinds are the files that a data folder has, by their names.
func kinds() map[string]func(name string) bool {
	return map[string]func(string) bool{
		"log":             func(n string) bool { return strings.HasSuffix(n, ".log") },
		"table":           func(n string) bool { return strings.HasSuffix(n, ".sst") },
		"manifest":        func(n string) bool { return strings.HasPrefix(n, "MANIFEST-") },
		"options":         func(n string) bool { return strings.HasPrefix(n, "OPTIONS-") },
		"format marker":   func(n string) bool { return strings.HasPrefix(n, "marker.format") },
		"witness":         func(n string) bool { return n == witnessName },
		"manifest marker": func(n string) bool { return strings.HasPrefix(n, "marker.manifest") },
	}
}

// harms are what can happen to a file's bytes; nil removes it.
func harms() map[string]func(rng *rand.Rand, b []byte) []byte {
	flip := func(b []byte, at int) []byte {
		if len(b) > 0 {
			b[at] ^= 1 << (at % 8)
		}
		return b
	}
	return map[string]func(*rand.Rand, []byte) []byte{
		"gone":               nil,
		"torn":               func(rng *rand.Rand, b []byte) []byte { return b[:rng.IntN(len(b)+1)] },
		"empty":              func(*rand.Rand, []byte) []byte { return nil },
		"flipped":            func(rng *rand.Rand, b []byte) []byte { return flip(b, rng.IntN(max(1, len(b)))) },
		"flipped at its end": func(_ *rand.Rand, b []byte) []byte { return flip(b, len(b)-1) },
	}
}

// Whatever happens to a file: the shard refuses the folder by name, or ends when it reads the damage, or mends itself; never
// does it answer with something that was not written, and in the end its twins give all of it back.
func TestDamagedFilesAreRefusedAndRepairedFromTheTwin(t *testing.T) {
	rng := seeded(t)
	for kind, is := range kinds() {
		for harm, do := range harms() {
			if harm == "flipped at its end" && strings.HasSuffix(kind, "marker") {
				continue // it has no bytes
			}
			for n := range times(1, 10) {
				seen := kind == "manifest" || kind == "witness" && harm != "gone" || kind == "manifest marker" && harm == "gone"
				t.Run(fmt.Sprintf("%s %s %d", kind, harm, n), func(t *testing.T) { damageOne(t, rng, is, do, seen) })
			}
		}
	}
}

// damageOne harms one file; atOnce says that its damage must be seen when the folder is opened.
func damageOne(t *testing.T, rng *rand.Rand, is func(string) bool, harm func(*rand.Rand, []byte) []byte, atOnce bool) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	symbols := r.symbols()
	c.publish(200, symbols...)
	c.flush()
	require.NoError(t, r.up[0].engine.(*pebbleEngine).db.Flush())
	c.publish(20, symbols...)
	c.flush()
	r.requireSynced(0, 1, 2)
	c.cut(0)
	r.stop(0)

	changed := spoil(t, r.fs[0], rng, is, harm)
	err := r.tryStart(0)
	if atOnce && changed {
		require.Error(t, err)
	}
	if err == nil {
		err = c.verify(0)
	}
	if err == nil {
		return
	}
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "data folder data")
	require.ErrorContains(t, err, "--rebuild")
	require.NotContains(t, err.Error(), "\n")
	require.ErrorIs(t, r.tryStart(0), ErrDamaged, "and it stays refused")

	r.tune = func(cfg *Config) { cfg.Rebuild = true }
	r.start(0)
	c.connect(0)
	r.requireSynced(0)
	c.requireAll(0)
	aside, err := r.fs[0].List("data/" + asideName)
	require.NoError(t, err)
	require.NotEmpty(t, aside)
}

// spoil harms one file of a folder, and reports whether that has changed it.
func spoil(t *testing.T, fs vfs.FS, rng *rand.Rand, is func(string) bool, harm func(*rand.Rand, []byte) []byte) bool {
	names, err := fs.List("data")
	require.NoError(t, err)
	names = slices.DeleteFunc(names, func(n string) bool { return !is(n) })
	require.NotEmpty(t, names)
	slices.Sort(names)
	path := "data/" + names[rng.IntN(len(names))]
	if harm == nil {
		t.Logf("%s removed", path)
		require.NoError(t, fs.Remove(path))
		return true
	}
	f, err := fs.Open(path)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, errors.Join(err, f.Close()))
	was := slices.Clone(b)
	b = harm(rng, b)
	changed := !slices.Equal(was, b) // with the race detector, writing spoils the bytes that were written
	f, err = fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, errors.Join(err, f.Sync(), f.Close()))
	t.Logf("%s, %d bytes", path, len(b))
	return changed
}

// verify reads all of a shard until nothing is missing, or returns why the shard has ended. What a read says meanwhile may
// be an error, never something else than what was written.
func (c *fakeCore) verify(i int) error {
	run := c.r.up[i]
	ctx := within(c.r.t)
	for {
		all, err := c.readAll(ctx, i)
		require.NotErrorIs(c.r.t, err, errInvented)
		require.NoError(c.r.t, ctx.Err(), "neither whole nor ended: %v", err)
		if all {
			return nil
		}
		select {
		case err := <-run.done:
			c.r.reach(i, false)
			c.r.up[i] = nil
			return err
		case <-time.After(often):
		}
	}
}

var errInvented = errors.New("never written so")

// readAll reads every topic of a shard, forwards by time, so that both indices are read.
func (c *fakeCore) readAll(ctx context.Context, i int) (all bool, err error) {
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: c.r.up[i].Addr()})
	if err != nil {
		return false, err
	}
	defer s.Close()
	limit := 5000
	all = true
	for t := range c.log {
		if !slices.Contains(c.owners(t), i) {
			continue
		}
		for _, after := range []map[quote.Topic]quote.Point{nil, {t: {}}} {
			var resp wire.RespHist
			req := wire.ReqHist{Symbols: []quote.Symbol{t.Symbol()}, Kinds: []quote.Kind{t.Kind()}, Limit: &limit, After: after}
			if err := wire.Decoded(ctx, s, wire.TypeReqHist, req, &resp); err != nil {
				return false, err
			}
			all = all && len(resp.Records) == len(c.log[t])
			for _, rec := range resp.Records {
				if string(rec.Payload) != payloadOf(t, rec.Epoch, rec.Seq) {
					return false, fmt.Errorf("%w: %s %v: %s", errInvented, t, rec.Point(), rec.Payload)
				}
			}
		}
	}
	return all, nil
}

// Storage's own checksums don't see what was wrong before it was stored: chunks have theirs.
func TestAChunkThatIsNotAsWrittenEndsTheShardByName(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1, 2)
	sym := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, sym)
	c.publish(40, sym)
	c.flush()
	s := r.up[0]
	require.Eventually(t, func() bool { return s.unsealed(t) == 0 }, patience, often)
	v := s.engine.View()
	key := keyOfChunk(topic, 1000, 1)
	data, err := v.Get(key)
	require.NoError(t, errors.Join(err, v.Close()))
	data[len(data)/2] ^= 4
	require.NoError(t, s.engine.(*pebbleEngine).db.Set(key, data, nil))
	select {
	case err := <-s.done: // the twin's comparison reads it
		require.ErrorIs(t, err, ErrDamaged)
		require.ErrorContains(t, err, string(topic)+" 1000/1")
		require.ErrorContains(t, err, "--rebuild")
	case <-time.After(patience):
		t.Fatal("nobody has noticed")
	}
	r.reach(0, false)
	r.up[0] = nil
	require.ErrorIs(t, r.tryStart(0), ErrDamaged)
	r.tune = func(cfg *Config) { cfg.Rebuild = true }
	r.start(0)
	c.connect(0)
	r.requireSynced(0)
	c.requireAll(0)
}
