package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"quotes/src/shard/engine"
)

// bolt is bbolt behind the shard's own interface: a B+tree, one writer at a time, each commit synced, as pebble's are.
type bolt struct {
	db   *bbolt.DB
	path string
}

func openBolt(dir string) (engine.Engine, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "bolt")
	// A map that never grows: bbolt can't grow it while its writer reads, as the shard's does.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{InitialMmapSize: 8 << 30})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucketIfNotExists([]byte("all")); return err })
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &bolt{db, path}, nil
}

// Commit implements [engine.Engine].
func (b *bolt) Commit(fill func(engine.Batch) error) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return fill(boltBatch{tx.Bucket([]byte("all"))}) })
}

// View implements it.
func (b *bolt) View() engine.View {
	tx, err := b.db.Begin(false)
	return boltView{tx, err}
}

// Bytes implements it.
func (b *bolt) Bytes() uint64 {
	info, err := os.Stat(b.path)
	if err != nil {
		return 0
	}
	return uint64(info.Size())
}

// Close implements it.
func (b *bolt) Close() error { return b.db.Close() }

type boltBatch struct{ *bbolt.Bucket }

// Set implements [engine.Batch]. bbolt keeps both until the commit.
func (b boltBatch) Set(key, value []byte) error { return b.Put(bytes.Clone(key), bytes.Clone(value)) }

// DeleteRange implements it.
func (b boltBatch) DeleteRange(lo, hi []byte) error {
	c := b.Cursor()
	for k, _ := c.Seek(lo); k != nil && bytes.Compare(k, hi) < 0; k, _ = c.Seek(lo) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

type boltView struct {
	tx  *bbolt.Tx
	err error
}

// Get implements [engine.View].
func (v boltView) Get(key []byte) ([]byte, error) {
	if v.err != nil {
		return nil, v.err
	}
	return bytes.Clone(v.tx.Bucket([]byte("all")).Get(key)), nil
}

// Scan implements it.
func (v boltView) Scan(lo, hi []byte) (engine.Cursor, error) {
	if v.err != nil {
		return nil, v.err
	}
	return &boltCursor{c: v.tx.Bucket([]byte("all")).Cursor(), lo: lo, hi: hi}, nil
}

// Close implements it.
func (v boltView) Close() error {
	if v.err != nil {
		return v.err
	}
	return v.tx.Rollback()
}

type boltCursor struct {
	c          *bbolt.Cursor
	lo, hi     []byte
	key, value []byte
}

func (c *boltCursor) at(key, value []byte) bool {
	c.key, c.value = key, value
	return key != nil && bytes.Compare(key, c.lo) >= 0 && bytes.Compare(key, c.hi) < 0
}

// First implements [engine.Cursor], as all that follows.
func (c *boltCursor) First() bool { return c.at(c.c.Seek(c.lo)) }

// Last goes to the last key.
func (c *boltCursor) Last() bool {
	if key, _ := c.c.Seek(c.hi); key == nil {
		return c.at(c.c.Last())
	}
	return c.at(c.c.Prev())
}

// Next goes one key on.
func (c *boltCursor) Next() bool { return c.at(c.c.Next()) }

// Prev goes one key back.
func (c *boltCursor) Prev() bool { return c.at(c.c.Prev()) }

// SeekGE goes to the first key from here on.
func (c *boltCursor) SeekGE(key []byte) bool {
	if bytes.Compare(key, c.lo) < 0 {
		key = c.lo
	}
	return c.at(c.c.Seek(key))
}

// Key is the key.
func (c *boltCursor) Key() []byte { return c.key }

// Value is its value.
func (c *boltCursor) Value() []byte { return c.value }

// Error is never one: what is mapped can be read.
func (c *boltCursor) Error() error { return nil }

// Close has nothing to give back.
func (c *boltCursor) Close() error { return nil }
