package shard

import (
	"encoding/binary"
	"math/bits"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
)

// blocks is how many positions a block has: what is compared with a twin at once, and sealed into one chunk. Block n of an
// epoch is of the seqs from n size + 1 to (n + 1) size. All shards have the same size.
type blocks uint64

const blockSeqs blocks = chunk.MaxRecords

func (b blocks) of(seq uint64) uint64      { return (seq - 1) / uint64(b) }
func (b blocks) first(block uint64) uint64 { return block*uint64(b) + 1 }
func (b blocks) last(block uint64) uint64  { return (block + 1) * uint64(b) }

// extent is the time that a chunk's records are of. Chunks are found by it: extents are ordered by their class, which is the
// number of bits of their length, and by their beginning. So those that touch a range of time are, in each class, one scan,
// which begins at most one length of the class too early, whatever the order in which timestamps came.
type extent struct {
	earliest, latest quote.Time
	epoch, block     uint64
	received         quote.Time // the latest
	size             uint64     // of the chunk, in bytes
}

func extentOf(a chunk.Address, h *chunk.Header, size int) extent {
	return extent{h.Earliest, h.Latest, a.Epoch, a.Block, h.Received, uint64(size)}
}

// maxClass is the highest class.
const maxClass = 64

func classOf(length uint64) byte { return byte(bits.Len64(length)) }

// longest returns the length of the longest extent of a class.
func longest(class byte) uint64 { return 1<<class - 1 }

func (e *extent) key(t quote.Topic) []byte {
	b := append(topicPrefix(extentKey, t), classOf(uint64(e.latest)-uint64(e.earliest)))
	return appendPoint(appendTime(b, e.earliest), quote.Point{Epoch: e.epoch, Seq: e.block})
}

func (e *extent) value() []byte {
	b := binary.AppendUvarint(nil, uint64(e.latest)-uint64(e.earliest))
	b = binary.AppendVarint(b, int64(e.received))
	return binary.AppendUvarint(b, e.size)
}

// parseExtent reads what key and value wrote.
func parseExtent(key, value []byte) (e extent, err error) {
	if len(key) < 1+2+25 {
		return e, errBadKey
	}
	p := pointOf(key)
	e = extent{earliest: timeOf(key), epoch: p.Epoch, block: p.Seq}
	length, n := binary.Uvarint(value)
	received, m := binary.Varint(value[max(n, 0):])
	if n <= 0 || m <= 0 {
		return e, errBadRow
	}
	size, k := binary.Uvarint(value[n+m:])
	if k <= 0 || classOf(length) != key[len(key)-25] {
		return e, errBadRow
	}
	e.latest, e.received, e.size = quote.Time(uint64(e.earliest)+length), quote.Time(received), size
	return e, nil
}
