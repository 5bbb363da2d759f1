package shard

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"

	"quotes/src/quote"
	"quotes/src/shard/engine"
)

// find returns the records that a query asks for, in its order, and whether there are more. What is found is bounded by
// the query's limit and by the bytes of the payloads.
func (q *query) find(ctx context.Context, v engine.View, maxBytes int) ([]row, bool, error) {
	if q.byPosition() {
		return q.findByPosition(ctx, v, maxBytes)
	}
	return q.findByTime(ctx, v, maxBytes)
}

// page gathers rows up to its bounds.
type page struct {
	rows  []row
	limit int
	room  int // bytes left
	more  bool
}

// rowOverhead is about what a row costs in a frame beside its payload.
const rowOverhead = 128

// add takes a row, whose payload it may keep, unless the page is full; then there is more.
func (p *page) add(r row) bool {
	size := len(r.payload) + rowOverhead
	if len(p.rows) > 0 && (len(p.rows) >= p.limit || size > p.room) {
		p.more = true
		return false
	}
	p.room -= size
	p.rows = append(p.rows, r)
	return true
}

// findByPosition goes through the topics one by one, each by epoch and seq. From and to hold as well.
func (q *query) findByPosition(ctx context.Context, v engine.View, maxBytes int) ([]row, bool, error) {
	p := page{limit: q.limit, room: maxBytes}
	topics := q.topics
	if q.desc {
		topics = slices.Clone(topics)
		slices.Reverse(topics)
	}
	for _, t := range topics {
		before, bounded := q.before[t]
		if bounded && before.IsZero() {
			continue // nothing is before the first
		}
		lo, hi := recordRange(t, q.after[t], before)
		err := engine.Walk(v, lo, hi, q.desc, func(key, value []byte) (bool, error) {
			r, err := parseRow(t, pointOf(key), value)
			if err != nil || !q.covers(r.timestamp) || !q.shows(t, r.point) {
				return err == nil && ctx.Err() == nil, err
			}
			r.payload = slices.Clone(r.payload)
			return p.add(r) && ctx.Err() == nil, nil
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || p.more {
			return p.rows, p.more, err
		}
	}
	return p.rows, p.more, nil
}

// covers reports whether a timestamp is in the query's range of time.
func (q *query) covers(at quote.Time) bool {
	return (q.from.IsZero() || at >= q.from) && (q.to.IsZero() || at < q.to)
}

// findByTime looks the first positions up in the time index and then fetches their records.
func (q *query) findByTime(ctx context.Context, v engine.View, maxBytes int) ([]row, bool, error) {
	best := earliest{desc: q.desc, kept: make([]moment, 0, min(q.limit+1, 128))}
	for _, t := range q.topics {
		lo, hi := timeRange(t, q.from, q.to)
		err := engine.Walk(v, lo, hi, q.desc, func(key, _ []byte) (bool, error) {
			m := moment{t, timeOf(key), pointOf(key)}
			return (!q.shows(t, m.point) || best.offer(m, q.limit+1)) && ctx.Err() == nil, nil
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, false, err
		}
	}
	rows, err := fetch(v, best.sorted())
	if err != nil {
		return nil, false, err
	}
	p := page{limit: q.limit, room: maxBytes}
	for _, r := range rows {
		if !p.add(r) || ctx.Err() != nil {
			break
		}
	}
	return p.rows, p.more, ctx.Err()
}

// fetch returns the records of moments, in their order. What is close in time is close in position too: one cursor goes
// through all of them by position, and most are but one step away.
func fetch(v engine.View, moments []moment) ([]row, error) {
	if len(moments) == 0 {
		return nil, nil
	}
	byPoint := make([]int, len(moments))
	for i := range byPoint {
		byPoint[i] = i
	}
	slices.SortFunc(byPoint, func(a, b int) int { return moments[a].comparePoint(moments[b]) })
	first, last := moments[byPoint[0]], moments[byPoint[len(byPoint)-1]]
	c, err := v.Scan(keyOfRecord(first.topic, first.point), append(keyOfRecord(last.topic, last.point), 0))
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(moments))
	for i, at := range byPoint {
		m := &moments[at]
		if rows[at], err = m.read(c, i == 0); err != nil {
			break
		}
	}
	if closed := c.Close(); err == nil {
		err = closed
	}
	return rows, err
}

// moment is an entry of the time index.
type moment struct {
	topic quote.Topic
	at    quote.Time
	point quote.Point
}

// compare orders moments by timestamp, then by position.
func (m moment) compare(n moment) int {
	return cmp.Or(cmp.Compare(m.at, n.at), cmp.Compare(m.topic, n.topic), m.point.Compare(n.point))
}

// comparePoint orders moments by topic and position: as records are stored.
func (m moment) comparePoint(n moment) int {
	return cmp.Or(cmp.Compare(m.topic, n.topic), m.point.Compare(n.point))
}

// read returns the record of a moment from a cursor that is not behind it yet.
func (m *moment) read(c engine.Cursor, begin bool) (row, error) {
	key := keyOfRecord(m.topic, m.point)
	step := c.Next
	if begin {
		step = c.First
	}
	found := step() && bytes.Equal(c.Key(), key) || c.SeekGE(key) && bytes.Equal(c.Key(), key)
	if !found {
		return row{}, cmp.Or(c.Error(), fmt.Errorf("record %d/%d of %s: %w", m.point.Epoch, m.point.Seq, m.topic, errNoRow))
	}
	r, err := parseRow(m.topic, m.point, c.Value())
	r.payload = bytes.Clone(r.payload)
	return r, err
}

// earliest keeps the first moments of all that are offered, the last ones if desc: a heap with the worst on top, so
// that any number of topics needs memory for one page only.
type earliest struct {
	desc bool
	kept []moment
}

// offer takes a moment unless most better ones are kept. It returns false where it was refused: then all that come later
// in the same topic would be too. A topic's moments come in order: those of a single one need no heap.
func (e *earliest) offer(m moment, most int) bool {
	if len(e.kept) < most {
		if e.kept = append(e.kept, m); len(e.kept) == most {
			heap.Init(e)
		}
		return true
	}
	if e.order(m, e.kept[0]) >= 0 {
		return false
	}
	e.kept[0] = m
	heap.Fix(e, 0)
	return true
}

func (e *earliest) order(m, n moment) int {
	if e.desc {
		return n.compare(m)
	}
	return m.compare(n)
}

// sorted returns what is kept, in order.
func (e *earliest) sorted() []moment {
	slices.SortFunc(e.kept, e.order)
	return e.kept
}

// Len, Less and Swap are container/heap's.
func (e *earliest) Len() int { return len(e.kept) }

// Less puts the worst first.
func (e *earliest) Less(i, j int) bool { return e.order(e.kept[i], e.kept[j]) > 0 }

// Swap swaps two moments.
func (e *earliest) Swap(i, j int) { e.kept[i], e.kept[j] = e.kept[j], e.kept[i] }

// Push is never called: it is there for the interface.
func (e *earliest) Push(any) {}

// Pop is never called either.
func (e *earliest) Pop() any { return nil }
