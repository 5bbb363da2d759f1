package shard

import (
	"bytes"
	"encoding/binary"
	"errors"

	"quotes/src/quote"
)

// Every key begins with one byte that says what it is of, then, but for meta, the topic and a zero byte, which no topic
// contains: so the keys of a topic stand together. Numbers are big-endian, so that the order of bytes is theirs.
//
//	m NAME                                   what the folder itself is: its format, its shard, the fence
//	r TOPIC 0 EPOCH SEQ                      a record: one topic's range of positions is one scan
//	s TOPIC 0 EPOCH                          the spans of seqs that are held, and that are lost, in that epoch
//	t TOPIC 0 TIMESTAMP EPOCH SEQ            nothing: one topic's range of time is one scan
//	c TOPIC 0 EPOCH BLOCK                    a chunk: the sealed records of a block, instead of their r and t
//	x TOPIC 0 CLASS EARLIEST EPOCH BLOCK     when a chunk's records are of, by the length of that time: see scanChunks
//	f TOPIC 0                                the floor: the first position that retention has left
const (
	metaKey   = 'm'
	recordKey = 'r'
	spansKey  = 's'
	timeKey   = 't'
	chunkKey  = 'c'
	extentKey = 'x'
	floorKey  = 'f'
)

// errBadKey says that the folder holds a key that we did not write.
var errBadKey = errors.New("key not understood")

func topicPrefix(kind byte, t quote.Topic) []byte {
	return appendPrefix(make([]byte, 0, len(t)+2+24), kind, t)
}

func appendPrefix(b []byte, kind byte, t quote.Topic) []byte {
	return append(append(append(b, kind), t...), 0)
}

func keyOfMeta(name string) []byte { return append([]byte{metaKey}, name...) }

func keyOfRecord(t quote.Topic, p quote.Point) []byte {
	return appendPoint(topicPrefix(recordKey, t), p)
}

func (r *row) appendKey(b []byte) []byte {
	return appendPoint(appendPrefix(b, recordKey, r.topic), r.point)
}

func (r *row) appendTimeKey(b []byte) []byte {
	return appendPoint(appendTime(appendPrefix(b, timeKey, r.topic), r.timestamp), r.point)
}

func keyOfSpans(t quote.Topic, epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(topicPrefix(spansKey, t), epoch)
}

func keyOfTime(t quote.Topic, at quote.Time, p quote.Point) []byte {
	return appendPoint(appendTime(topicPrefix(timeKey, t), at), p)
}

func appendPoint(b []byte, p quote.Point) []byte {
	b = binary.BigEndian.AppendUint64(b, p.Epoch)
	return binary.BigEndian.AppendUint64(b, p.Seq)
}

// appendTime turns the sign bit over, so that times before 1970 come first.
func appendTime(b []byte, at quote.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(at)^1<<63)
}

// recordRange returns the bounds of a scan over a topic's records behind after and before before; a zero before is none.
func recordRange(t quote.Topic, after, before quote.Point) (lo, hi []byte) {
	lo = appendPoint(topicPrefix(recordKey, t), after)
	lo = append(lo, 0) // the first key behind after's own
	if before.IsZero() {
		return lo, end(topicPrefix(recordKey, t))
	}
	return lo, keyOfRecord(t, before)
}

// timeRange returns the bounds of a scan over a topic's time index, from inclusive, to exclusive; zero is no bound.
func timeRange(t quote.Topic, from, to quote.Time) (lo, hi []byte) {
	lo = topicPrefix(timeKey, t)
	hi = end(lo)
	if !to.IsZero() {
		hi = appendTime(topicPrefix(timeKey, t), to)
	}
	if !from.IsZero() {
		lo = appendTime(lo, from)
	}
	return lo, hi
}

// allOf returns the bounds of a scan over all keys of a kind.
func allOf(kind byte) (lo, hi []byte) { return []byte{kind}, []byte{kind + 1} }

// end returns the first key behind all that begin with a topic's prefix, which ends in a zero byte.
func end(prefix []byte) []byte {
	hi := bytes.Clone(prefix)
	hi[len(hi)-1] = 1
	return hi
}

func keyOfChunk(t quote.Topic, epoch, block uint64) []byte {
	return appendPoint(topicPrefix(chunkKey, t), quote.Point{Epoch: epoch, Seq: block})
}

func keyOfFloor(t quote.Topic) []byte { return topicPrefix(floorKey, t) }

// chunkRange returns the bounds of a scan over the chunks that may hold a topic's records behind after and before before; a
// zero before is none.
func chunkRange(t quote.Topic, after, before quote.Point, size blocks) (lo, hi []byte) {
	lo = keyOfChunk(t, after.Epoch, size.of(after.Seq+1))
	if before.IsZero() {
		return lo, end(topicPrefix(chunkKey, t))
	}
	if before.Seq <= 1 { // nothing of its epoch
		return lo, keyOfChunk(t, before.Epoch, 0)
	}
	return lo, keyOfChunk(t, before.Epoch, size.of(before.Seq-1)+1)
}

// pointOf reads the position off the end of a record's or a time's key.
func pointOf(key []byte) quote.Point {
	tail := key[len(key)-16:]
	return quote.Point{Epoch: binary.BigEndian.Uint64(tail), Seq: binary.BigEndian.Uint64(tail[8:])}
}

// parseTopicKey reads what topicPrefix wrote.
func parseTopicKey(key []byte) (quote.Topic, error) {
	if len(key) < 3 || key[len(key)-1] != 0 {
		return "", errBadKey
	}
	return quote.ParseTopic(string(key[1 : len(key)-1]))
}

// timeOf reads the time out of a time's key.
func timeOf(key []byte) quote.Time {
	return quote.Time(binary.BigEndian.Uint64(key[len(key)-24:]) ^ 1<<63)
}

// parseSpansKey reads what keyOfSpans wrote.
func parseSpansKey(key []byte) (quote.Topic, uint64, error) {
	n := len(key) - 9
	if n < 2 || key[0] != spansKey || key[n] != 0 {
		return "", 0, errBadKey
	}
	t, err := quote.ParseTopic(string(key[1:n]))
	return t, binary.BigEndian.Uint64(key[n+1:]), err
}
