package shard

import "bytes"

// engine is an ordered durable map: all that a shard wants of its storage.
type engine interface {
	// commit calls fill and makes all that it sets durable, or nothing of it, before it returns. One call at a time.
	commit(fill func(set func(key, value []byte) error) error) error
	// view returns what is stored at this moment, whatever is committed later. It must be closed.
	view() view
	// bytes returns how much disk is in use.
	bytes() uint64
	close() error
}

// view is a consistent picture of an engine.
type view interface {
	// get returns the value of a key, or nil where there is none. The value is the caller's.
	get(key []byte) ([]byte, error)
	// scan returns a cursor over the keys from lo, inclusive, to hi, exclusive. It must be closed.
	scan(lo, hi []byte) (cursor, error)
	close() error
}

// cursor walks over keys in order. Keys and values are valid until it moves. Where a move returns false, Error says
// whether that is the end or a failure.
type cursor interface {
	First() bool
	Last() bool
	Next() bool
	Prev() bool
	SeekGE(key []byte) bool // the first key from here on
	Key() []byte
	Value() []byte
	Error() error
	Close() error
}

// walk calls each for the keys from lo to hi, downwards if desc, until it returns false or fails.
func walk(v view, lo, hi []byte, desc bool, each func(key, value []byte) (bool, error)) error {
	if bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	c, err := v.scan(lo, hi)
	if err != nil {
		return err
	}
	start, step := c.First, c.Next
	if desc {
		start, step = c.Last, c.Prev
	}
	for ok := start(); ok && err == nil; {
		if ok, err = each(c.Key(), c.Value()); ok && err == nil {
			ok = step()
		}
	}
	if err == nil {
		err = c.Error()
	}
	if closed := c.Close(); err == nil {
		err = closed
	}
	return err
}
