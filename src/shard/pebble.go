package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"quotes/src/shard/engine"
)

// ErrInUse says that another process has the data folder open.
var ErrInUse = errors.New("in use by another process")

// format is the version of pebble's files that we write. Raising it is one way: older builds can't read them then.
const format = pebble.FormatValueSeparation

// maxManifest is about how large a manifest may become before a new one is begun, in bytes: its witness reads it whole.
const maxManifest = 1 << 20

// How many tables may lie over each other in the top level before it is compacted, and before writes wait for that: three times
// pebble's defaults. Most rows are replaced by chunks soon, and what is compacted late is compacted away; until then a read may look
// into that many more tables.
const (
	l0Most = 12
	l0Stop = 36
)

// mostMemtables is how many there are at the same time: the one that is written to, and one that becomes a table.
const mostMemtables = 2

// pebbleEngine is the engine of a shard: pebble, an LSM tree with a write-ahead log.
type pebbleEngine struct {
	db      *pebble.DB
	lock    *pebble.Lock
	witness *witness
}

// openPebble opens or makes the data folder. Sizes are in bytes; tune may change what else there is to set.
func openPebble(fs vfs.FS, dir string, cache, memtable int, log *slog.Logger, tune ...func(*pebble.Options)) (*pebbleEngine, error) {
	if err := fs.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, lockError(err)
	}
	witness := newWitness(fs, dir, log)
	if err := witness.check(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	blocks := pebble.NewCache(int64(cache + mostMemtables*memtable)) // pebble takes what memtables have out of its cache
	defer blocks.Unref()                                             // the DB holds it from here
	opts := &pebble.Options{
		FS: fs, Lock: lock, Cache: blocks, MemTableSize: uint64(memtable), FormatMajorVersion: format,
		ErrorIfNotExists: witness.known(), MaxManifestFileSize: maxManifest, L0CompactionThreshold: l0Most, L0StopWritesThreshold: l0Stop,
		Logger: pebbleLog{log.With("part", "pebble")},
	}
	for _, t := range tune {
		t(opts)
	}
	listener := witness.listener()
	if opts.EventListener != nil {
		tee := pebble.TeeEventListener(*opts.EventListener, *listener)
		listener = &tee
	}
	opts.EventListener = listener
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, errors.Join(diagnoseOpening(err), lock.Close())
	}
	go witness.run()
	return &pebbleEngine{db, lock, witness}, nil
}

// lockError tells a folder in use from one that can't be written. Pebble says the former in its own words where it is
// this very process that has it open.
func lockError(err error) error {
	if _, isPath := errors.AsType[*os.PathError](err); isPath {
		return err
	}
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || err.Error() == "lock held by current process" {
		return ErrInUse
	}
	return fmt.Errorf("lock: %w", err)
}

// Commit implements [engine.Engine].
func (e *pebbleEngine) Commit(fill func(engine.Batch) error) error {
	b := e.db.NewBatch()
	err := fill(pebbleBatch{b})
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}

// View implements it.
func (e *pebbleEngine) View() engine.View { return pebbleView{e.db.NewSnapshot()} }

// Bytes implements it.
func (e *pebbleEngine) Bytes() uint64 { return e.db.Metrics().DiskSpaceUsage() }

// Close implements it.
func (e *pebbleEngine) Close() error {
	err := e.db.Close()
	e.witness.close()
	return errors.Join(err, e.lock.Close())
}

type pebbleBatch struct{ b *pebble.Batch }

// Set implements [engine.Batch].
func (b pebbleBatch) Set(key, value []byte) error { return b.b.Set(key, value, nil) }

// Delete implements it.
func (b pebbleBatch) Delete(key []byte) error { return b.b.Delete(key, nil) }

// DeleteRange implements it.
func (b pebbleBatch) DeleteRange(lo, hi []byte) error { return b.b.DeleteRange(lo, hi, nil) }

type pebbleView struct{ snap *pebble.Snapshot }

// Get implements [engine.View].
func (v pebbleView) Get(key []byte) ([]byte, error) {
	value, closer, err := v.snap.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(value)), value...)
	return out, closer.Close()
}

// Scan implements it.
func (v pebbleView) Scan(lo, hi []byte) (engine.Cursor, error) {
	return v.snap.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
}

// Close implements it.
func (v pebbleView) Close() error { return v.snap.Close() }

// pebbleLog sends pebble's chatter to slog: what it does all day is for debugging only.
type pebbleLog struct{ log *slog.Logger }

// Infof logs at debug level.
func (l pebbleLog) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("storage", "event", fmt.Sprintf(format, args...))
	}
}

// Errorf logs an error that pebble goes on from.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("storage", "err", fmt.Sprintf(format, args...))
}

// Fatalf ends the process: pebble calls it where it can't tell any more what is on disk, so nothing may be acknowledged.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.log.Error("storage failed", "err", fmt.Sprintf(format, args...))
	panic("storage failed: " + fmt.Sprintf(format, args...))
}
