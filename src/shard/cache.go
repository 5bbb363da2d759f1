package shard

import (
	"container/list"
	"encoding/binary"
	"sync"

	"quotes/src/shard/chunk"
)

// cache keeps chunks as they were decoded for somebody who asked for the newest records of a topic: the next one asks for the
// same. What it hands out is shared and never changes.
type cache struct {
	most int // bytes

	mu    sync.Mutex
	bytes int
	known map[chunk.Address]*list.Element // in used
	used  list.List                       // of *decoded, the one used last in front
}

// decoded is one chunk. A block that is sealed again has another sum.
type decoded struct {
	at      chunk.Address
	sum     uint64
	records []chunk.Record
	size    int // bytes
}

// recordBytes is about what a record costs beside its payload.
const recordBytes = 64

func newCache(most int) *cache { return &cache{most: most, known: map[chunk.Address]*list.Element{}} }

// sumOf is a chunk's own checksum.
func sumOf(data []byte) uint64 { return binary.BigEndian.Uint64(data[len(data)-8:]) }

// get returns what a chunk was decoded to, nil where that is not known.
func (c *cache) get(a chunk.Address, data []byte) []chunk.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.known[a]
	if e == nil || len(data) < 8 {
		return nil
	}
	d, _ := e.Value.(*decoded)
	if d.sum != sumOf(data) {
		return nil
	}
	c.used.MoveToFront(e)
	return d.records
}

// put keeps a decoded chunk in the place of those that were not used for longest.
func (c *cache) put(a chunk.Address, data []byte, records []chunk.Record, payload int) {
	d := &decoded{a, sumOf(data), records, payload + len(records)*recordBytes}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.known[a]; old != nil {
		c.drop(old)
	}
	c.known[a] = c.used.PushFront(d)
	for c.bytes += d.size; c.bytes > c.most; {
		c.drop(c.used.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	d, _ := c.used.Remove(e).(*decoded)
	delete(c.known, d.at)
	c.bytes -= d.size
}
