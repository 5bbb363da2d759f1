package engine

import "bytes"

// Engine is an ordered durable map.
type Engine interface {
	// Commit calls fill and makes all that it changes durable, or nothing of it, before it returns. One call at a time.
	Commit(fill func(Batch) error) error
	// View returns what is stored at this moment, whatever is committed later. It must be closed.
	View() View
	// Bytes returns how much disk is in use.
	Bytes() uint64
	Close() error
}

// Batch gathers changes; later ones count. Keys and values may be used again after each call.
type Batch interface {
	Set(key, value []byte) error
	Delete(key []byte) error
	// DeleteRange deletes the keys from lo, inclusive, to hi, exclusive.
	DeleteRange(lo, hi []byte) error
}

// View is a consistent picture of an engine.
type View interface {
	// Get returns the value of a key, or nil where there is none. The value is the caller's.
	Get(key []byte) ([]byte, error)
	// Scan returns a cursor over the keys from lo, inclusive, to hi, exclusive. It must be closed.
	Scan(lo, hi []byte) (Cursor, error)
	Close() error
}

// Cursor walks over keys in order. Keys and values are valid until it moves. Where a move returns false, Error says
// whether that is the end or a failure.
type Cursor interface {
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

// Walk calls each for the keys from lo to hi, downwards if desc, until it returns false or fails.
func Walk(v View, lo, hi []byte, desc bool, each func(key, value []byte) (bool, error)) error {
	if bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	c, err := v.Scan(lo, hi)
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
