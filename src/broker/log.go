package broker

import (
	"bytes"
	"sort"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// entry is one thing in a topic's log: a record, or a gap that core or a cut has left. It never changes.
type entry struct {
	point  quote.Point   // of the record; of a gap, the last position that it swallows
	at     time.Duration // when the broker got it, since its start
	offset uint64        // bytes of the topic's log before it
	line   []byte        // the frame as logged, newline included, within its chunk; nil for a gap
	chunk  uint32        // lines with the same number stand side by side
	head   uint32        // bytes of line before the payload
	gap    *wire.Lost    // what a gap says
}

// payload is the frame's.
func (e *entry) payload() []byte { return e.line[e.head : len(e.line)-2] }

// held returns how long ago the broker got an entry.
func (t *topic) held(e *entry, now time.Time) time.Duration { return now.Sub(t.began) - e.at }

// topic is one log: entries in the order of their positions, the oldest trimmed away.
type topic struct {
	name    quote.Topic
	began   time.Time // the broker's start
	entries []entry
	start   uint64 // index of entries[0]; indices only grow
	offset  uint64 // bytes ever logged
	epoch   uint64 // of the publisher's next record
	next    uint64 // seq of the publisher's next record
	readers map[*session]*cursor
	chunk   []byte // the newest lines: it is filled up to its capacity, and never moved
	chunks  uint32 // how many there were
	solid   uint64 // from this index on there are only records, of one epoch and without a hole
	fresh   bool   // its readers have yet to be told
}

// A chunk is as large as the log is already, within these bounds: a topic of few records costs little.
const (
	minChunk = 512
	maxChunk = 64 << 10
)

// due returns the seq that comes next in an epoch.
func (t *topic) due(epoch uint64) uint64 {
	if t.epoch == epoch {
		return t.next
	}
	return 1
}

// end returns the index behind the newest entry.
func (t *topic) end() uint64 { return t.start + uint64(len(t.entries)) }

// get returns the entry with an index from start to end.
func (t *topic) get(i uint64) *entry { return &t.entries[i-t.start] }

// ahead reports whether a position lies beyond what was ever published.
func (t *topic) ahead(p quote.Point) bool {
	return p.Compare(quote.Point{Epoch: t.epoch, Seq: t.next - 1}) > 0 && t.behind(p) == t.end()
}

// lag returns the bytes from an index to the end.
func (t *topic) lag(i uint64) uint64 {
	if i = max(i, t.start); i >= t.end() {
		return 0
	}
	return t.offset - t.get(i).offset
}

// newest returns the newest record, or nil.
func (t *topic) newest() *entry {
	for i := len(t.entries) - 1; i >= 0; i-- {
		if t.entries[i].gap == nil {
			return &t.entries[i]
		}
	}
	return nil
}

// record logs a frame's position, prev and payload: copied once, and never again.
func (t *topic) record(f *wire.Frame, now time.Time) {
	if most := len(f.Payload) + len(t.name) + 160; cap(t.chunk)-len(t.chunk) < most {
		t.chunk = make([]byte, 0, max(most, min(maxChunk, max(minChunk, t.bytes()))))
		t.chunks++
	}
	from := len(t.chunk)
	if line := f.Line(); line != nil {
		t.chunk = append(append(t.chunk, line...), '\n')
	} else {
		head := wire.Frame{Type: wire.TypePublish, Topic: string(t.name), Epoch: f.Epoch, Seq: f.Seq, Prev: f.Prev, Payload: f.Payload}
		t.chunk = head.Append(t.chunk)
	}
	line := t.chunk[from:]
	if n := len(t.entries); n == 0 || !t.entries[n-1].before(f.Point()) {
		t.solid = t.end()
	}
	t.append(entry{point: f.Point(), at: now.Sub(t.began), line: line, chunk: t.chunks, head: uint32(len(line) - 2 - len(f.Payload))})
	t.epoch, t.next = f.Epoch, f.Seq+1
}

// before reports whether a position is the one right behind this record.
func (e *entry) before(p quote.Point) bool {
	return e.gap == nil && e.point.Epoch == p.Epoch && e.point.Seq+1 == p.Seq
}

// run returns the lines from an index on that stand side by side, at least one, and how many: as many as there are in about so many
// bytes. The entry must be a record behind solid.
func (t *topic) run(i uint64, most int) (lines []byte, n uint64) {
	first := t.get(i)
	size := 0
	for ; i+n < t.end(); n++ {
		e := t.get(i + n)
		if e.chunk != first.chunk || n > 0 && size+len(e.line) > most {
			break
		}
		size += len(e.line)
	}
	return first.line[:size], n
}

// lose logs a gap.
func (t *topic) lose(after, before quote.Point, count *uint64, now time.Time) {
	defer func() { t.solid = t.end() }()
	t.append(entry{
		point: quote.Point{Epoch: before.Epoch, Seq: before.Seq - 1}, at: now.Sub(t.began),
		gap: &wire.Lost{Topic: t.name, After: after, Before: before, Count: count},
	})
}

func (t *topic) append(e entry) {
	e.offset = t.offset
	t.offset += uint64(len(e.line))
	t.entries = append(t.entries, e)
}

// trim drops the oldest entries beyond so many bytes and those that came before a time; the newest entry always stays.
func (t *topic) trim(most int, since time.Time) {
	n, oldest := 0, since.Sub(t.began)
	for n < len(t.entries)-1 && (t.offset-t.entries[n].offset > uint64(most) || t.entries[n].at < oldest) {
		n++
	}
	if n > 0 {
		clear(t.entries[:n]) // let the lines go, though the slice still holds their places
		t.entries = t.entries[n:]
		t.start += uint64(n)
	}
}

// behind returns the index of the first entry behind a position.
func (t *topic) behind(p quote.Point) uint64 {
	return t.start + uint64(sort.Search(len(t.entries), func(i int) bool { return t.entries[i].point.Compare(p) > 0 }))
}

// bytes returns what the log holds.
func (t *topic) bytes() int {
	if len(t.entries) == 0 {
		return 0
	}
	return int(t.offset - t.entries[0].offset)
}

// info describes the log for status.
func (t *topic) info() wire.TopicInfo {
	i := wire.TopicInfo{Epoch: t.epoch, Next: t.next, Bytes: t.bytes()}
	for k := range t.entries {
		if e := &t.entries[k]; e.gap == nil && e.point.Epoch == t.epoch {
			i.First = e.point.Seq
			break
		}
	}
	return i
}

// headed returns the entry's payload behind another head.
func headed(f wire.Frame, e *entry) []byte {
	f.Type, f.Epoch, f.Seq = wire.TypePublish, e.point.Epoch, e.point.Seq
	f.Payload = e.payload()
	return f.Append(make([]byte, 0, len(f.Payload)+192))
}

// isFrame reports whether a payload can stand in a line.
func isFrame(payload []byte) bool { return len(payload) > 0 && bytes.IndexByte(payload, '\n') < 0 }
