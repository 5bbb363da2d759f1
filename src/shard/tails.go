package shard

import (
	"bytes"
	"cmp"
	"container/list"
	"slices"

	"quotes/src/quote"
)

// tails keeps in memory the newest records of the topics that somebody asks for: nearly every report wants them, and to find them in
// storage costs ten times as much as to hand them out.
//
// It guarantees that what it hands out of a topic is on disk, and is what storage would give: no record that sorts behind the oldest
// one handed out is missing. A topic is followed from the first question on: from then on it is told of every record, once that is
// synced, and of all else that changes what is held. Its memory is bounded; where that is used up, a topic that was not asked for
// long makes room, or the question is answered from storage.
//
// The state's lock guards it.
type tails struct {
	most  int // bytes; 0: no topic is followed
	bytes int
	asks  uint64
	of    map[quote.Topic]*list.Element // in used
	used  list.List                     // of *tail, the one asked for last in front
}

// tail is the newest records of one topic.
type tail struct {
	topic  quote.Topic
	rows   []row // by timestamp, then position, the newest last
	bytes  int
	filled bool   // nothing is missing behind rows[0]; before, nothing of what came since
	all    bool   // nor before it
	asked  uint64 // the number of the last question
	unread int    // records that came since
}

const (
	tailRows   = 128           // records of one topic: a report's usual 100, and whether there are more
	tailBytes  = 128 << 10     // of one topic
	tailCost   = 256           // about what a topic costs beside its records
	tailRow    = 96            // about what a record costs beside its payload
	unreadMost = 16 * tailRows // records of a topic that nobody has asked for meanwhile: then it is not followed any more
	seldom     = 8             // a topic makes room that was not asked for while all others were so often
)

func newTails() *tails { return &tails{of: map[quote.Topic]*list.Element{}} }

// compareRows orders records of one topic as answers do.
func compareRows(a, b row) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), a.point.Compare(b.point))
}

// find returns what is kept of a topic that somebody asks for; nil: it is not followed.
func (ts *tails) find(name quote.Topic) *tail {
	e := ts.of[name]
	if e == nil {
		return nil
	}
	ts.used.MoveToFront(e)
	ts.asks++
	t, _ := e.Value.(*tail)
	t.asked, t.unread = ts.asks, 0
	return t
}

// follow begins to follow a topic, if there is room.
func (ts *tails) follow(name quote.Topic) *tail {
	if t := ts.find(name); t != nil {
		return t
	}
	ts.asks++ // also where there is no room: else those that nobody asks for any more would stay
	for ts.bytes+tailBytes > ts.most {
		last := ts.used.Back()
		if last == nil {
			return nil
		}
		t, _ := last.Value.(*tail)
		if ts.asks-t.asked < uint64(seldom*len(ts.of)) {
			return nil
		}
		ts.forget(t.topic)
	}
	t := &tail{topic: name, asked: ts.asks, all: true, bytes: tailCost}
	ts.of[name] = ts.used.PushFront(t)
	ts.bytes += t.bytes
	return t
}

// forget does not follow a topic any more: something has changed that it can't follow.
func (ts *tails) forget(name quote.Topic) {
	if e := ts.of[name]; e != nil {
		t, _ := ts.used.Remove(e).(*tail)
		delete(ts.of, name)
		ts.bytes -= t.bytes
	}
}

// add takes a record that is on disk now.
func (ts *tails) add(r *row) {
	e := ts.of[r.topic]
	if e == nil {
		return
	}
	t, _ := e.Value.(*tail)
	if t.unread++; t.unread > unreadMost {
		ts.forget(r.topic)
		return
	}
	was := t.bytes
	t.put(r)
	ts.grown(t.bytes - was)
}

// fill takes what storage has of a topic: its newest records, the newest first, as many as there is place for, and whether there are
// more. It was read after follow returned t.
func (ts *tails) fill(t *tail, rows []row, more bool) {
	if e := ts.of[t.topic]; e == nil || e.Value != t || t.filled {
		return // what has changed since may not be in rows
	}
	was := t.bytes
	for i := range rows {
		t.put(&rows[i])
	}
	t.filled, t.all = true, t.all && !more
	ts.grown(t.bytes - was)
}

// grown counts memory, and takes it from those that were not asked for longest.
func (ts *tails) grown(by int) {
	for ts.bytes += by; ts.bytes > ts.most; {
		t, _ := ts.used.Back().Value.(*tail)
		ts.forget(t.topic)
	}
}

// put takes a record in its place. Before the oldest one others may be missing: there is no place.
func (t *tail) put(r *row) {
	i, there := slices.BinarySearchFunc(t.rows, *r, compareRows)
	if there || i == 0 && !t.all && len(t.rows) > 0 {
		return
	}
	kept := *r
	kept.payload = bytes.Clone(r.payload)
	t.rows = slices.Insert(t.rows, i, kept)
	t.bytes += kept.size()
	for len(t.rows) > tailRows || t.bytes > tailBytes && len(t.rows) > 1 {
		t.bytes -= t.rows[0].size()
		t.rows, t.all = slices.Delete(t.rows, 0, 1), false
	}
}

func (r *row) size() int { return len(r.payload) + tailRow }

// newest returns at most so many records, the newest first, and whether there are more. It can't say where ok is false.
func (t *tail) newest(limit int) (rows []row, more, ok bool) {
	switch {
	case t == nil, !t.filled, len(t.rows) <= limit && !t.all:
		return nil, false, false
	case len(t.rows) > limit:
		rows, more = slices.Clone(t.rows[len(t.rows)-limit:]), true
	default:
		rows = slices.Clone(t.rows)
	}
	slices.Reverse(rows)
	return rows, more, true
}
