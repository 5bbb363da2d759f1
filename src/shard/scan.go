package shard

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
)

// find returns the records that a query asks for, in its order, and whether there are more. What is found is bounded by
// the query's limit and by the bytes of the payloads.
func (q *query) find(ctx context.Context, r *reader, maxBytes int) ([]row, bool, error) {
	if q.byPosition() {
		return q.findByPosition(ctx, r, maxBytes)
	}
	return q.findByTime(ctx, r, maxBytes)
}

// page gathers rows up to its bounds.
type page struct {
	rows  []row
	limit int
	room  int // bytes left
	more  bool
	text  []byte // where the payloads are
}

// rowOverhead is about what a row costs in a frame beside its payload.
const rowOverhead = 128

// How much is made at once for payloads: for as many as are asked for, at most textBytes.
const (
	usualPayload = 256
	textBytes    = 32 << 10
)

// add takes a row and copies its payload, unless the page is full.
func (p *page) add(r *row) bool {
	if !p.fits(r, len(p.rows)) {
		return false
	}
	p.rows = append(p.rows, p.keep(r))
	return true
}

// fits makes room for a row behind so many others, unless the page is full; then there is more.
func (p *page) fits(r *row, others int) bool {
	size := len(r.payload) + rowOverhead
	if others > 0 && (others >= p.limit || size > p.room) {
		p.more = true
		return false
	}
	p.room -= size
	return true
}

// keep returns a row whose payload is the page's own.
func (p *page) keep(r *row) row {
	if cap(p.text)-len(p.text) < len(r.payload) {
		p.text = make([]byte, 0, max(min((p.limit+1)*usualPayload, textBytes), len(r.payload)))
	}
	from := len(p.text)
	p.text = append(p.text, r.payload...)
	out := *r
	out.payload = p.text[from:len(p.text):len(p.text)]
	return out
}

// findByPosition goes through the topics one by one, each by epoch and seq. From and to hold as well.
func (q *query) findByPosition(ctx context.Context, r *reader, maxBytes int) ([]row, bool, error) {
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
		err := r.walkSome(t, q.after[t], before, q.desc, q.overlaps(), func(found *row) (bool, error) {
			return (!q.covers(found.timestamp) || !q.shows(t, found.point) || p.add(found)) && ctx.Err() == nil, nil
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

// overlaps returns what says whether a chunk may have records of the query's range of time; nil where all have.
func (q *query) overlaps() func(*chunk.Header) bool {
	if q.from.IsZero() && q.to.IsZero() {
		return nil
	}
	return func(h *chunk.Header) bool {
		return (q.from.IsZero() || h.Latest >= q.from) && (q.to.IsZero() || h.Earliest < q.to)
	}
}

// covers reports whether a timestamp is in the query's range of time.
func (q *query) covers(at quote.Time) bool {
	return (q.from.IsZero() || at >= q.from) && (q.to.IsZero() || at < q.to)
}

// findByTime looks the first positions up, in the time index and in the chunks of that time, and then fetches their records.
func (q *query) findByTime(ctx context.Context, r *reader, maxBytes int) ([]row, bool, error) {
	if q.desc {
		r.cache = q.cache
	}
	best := earliest{desc: q.desc, most: q.limit + 1, kept: make([]moment, 0, min(q.limit+1, 128))}
	for _, t := range q.topics {
		if len(q.held[t]) == 0 { // it may not exist: nothing is to be remembered of it
			continue
		}
		lo, hi := timeRange(t, q.from, q.to)
		err := engine.Walk(r.view, lo, hi, q.desc, func(key, _ []byte) (bool, error) {
			m := moment{topic: t, at: timeOf(key), point: pointOf(key)}
			return (!q.shows(t, m.point) || best.offer(m)) && ctx.Err() == nil, nil
		})
		if err == nil {
			err = q.offerChunks(ctx, r, t, &best)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, false, err
		}
	}
	p := page{limit: q.limit, room: maxBytes}
	for some := range slices.Chunk(best.sorted(), fetchAtOnce) {
		rows, err := fetch(r, some, &p)
		if err != nil {
			return nil, false, err
		}
		for i := range rows {
			if !p.fits(&rows[i], len(p.rows)) {
				return p.rows, p.more, ctx.Err()
			}
			p.rows = append(p.rows, rows[i])
		}
	}
	return p.rows, p.more, ctx.Err()
}

// fetchAtOnce is how many records are read before it is seen whether they fit: a page has a bound in bytes, too.
const fetchAtOnce = 256

// offerChunks offers the moments of a topic's chunks that are of the query's time, where some may be among the best.
func (q *query) offerChunks(ctx context.Context, r *reader, t quote.Topic, best *earliest) error {
	if q.desc && best.full() {
		latest, err := q.reach.of(r.view, t)
		if err != nil || best.beyond(latest) {
			return err
		}
	}
	return eachClass(r.view, t, func(class byte) error {
		return cmp.Or(ctx.Err(), q.offerClass(ctx, r, t, class, best))
	})
}

// offerClass offers those of one class of extents, until they are all worse than what is kept.
func (q *query) offerClass(ctx context.Context, r *reader, t quote.Topic, class byte, best *earliest) error {
	lo, hi := classRange(t, class)
	if !q.to.IsZero() {
		hi = appendTime(bytes.Clone(lo), q.to)
	}
	if early := uint64(q.from) - longest(class); !q.from.IsZero() && quote.Time(early) < q.from {
		lo = appendTime(lo, quote.Time(early))
	}
	return engine.Walk(r.view, lo, hi, q.desc, func(key, value []byte) (bool, error) {
		e, err := parseExtent(key, value)
		if err != nil {
			return false, fmt.Errorf("extent of a chunk of %s: %w", t, err)
		}
		// All extents that follow begin later or, downwards, end before this one's beginning and the longest of the class.
		bound := e.earliest
		switch {
		case q.desc:
			bound = latestOf(e.earliest, class)
		case !q.from.IsZero():
			bound = max(bound, q.from)
		}
		if best.beyond(bound) {
			return false, nil
		}
		if e.latest < q.from && !q.from.IsZero() {
			return true, nil
		}
		a := chunk.Address{Topic: t, Epoch: e.epoch, Block: e.block}
		records, err := r.sealed(a)
		if err == nil && records == nil {
			err = fmt.Errorf("chunk %s: %w", a, errNoRow)
		}
		for i := range records {
			if q.desc { // the best come first
				i = len(records) - 1 - i
			}
			if best.beyond(records[i].Timestamp) { // nearly all
				continue
			}
			m := moment{topic: t, at: records[i].Timestamp, point: quote.Point{Epoch: e.epoch, Seq: records[i].Seq}, sealed: true}
			if best.wants(m) && q.covers(m.at) && q.shows(t, m.point) {
				best.offer(m)
			}
		}
		return err == nil && ctx.Err() == nil, err
	})
}

// fetch returns the records of moments, in their order; a page copies their payloads. What is close in time is close in position
// too: one cursor goes through all rows by position, most of them but one step away, and each chunk is decoded once.
func fetch(r *reader, moments []moment, p *page) ([]row, error) {
	if len(moments) == 0 {
		return nil, nil
	}
	byPoint := make([]int, len(moments))
	for i := range byPoint {
		byPoint[i] = i
	}
	slices.SortFunc(byPoint, func(a, b int) int { return moments[a].comparePoint(moments[b]) })
	first, last := moments[byPoint[0]], moments[byPoint[len(byPoint)-1]]
	c, err := r.view.Scan(keyOfRecord(first.topic, first.point), append(keyOfRecord(last.topic, last.point), 0))
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(moments))
	step := c.First
	for _, at := range byPoint {
		m := &moments[at]
		var found row
		if m.sealed {
			found, err = m.unseal(r)
		} else {
			found, err = m.read(c, step)
			step = c.Next
		}
		if err != nil {
			break
		}
		rows[at] = p.keep(&found)
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

	sealed bool // its record is in a chunk
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
func (m *moment) read(c engine.Cursor, step func() bool) (row, error) {
	key := keyOfRecord(m.topic, m.point)
	found := step() && bytes.Equal(c.Key(), key) || c.SeekGE(key) && bytes.Equal(c.Key(), key)
	if !found {
		return row{}, cmp.Or(c.Error(), fmt.Errorf("record %d/%d of %s: %w", m.point.Epoch, m.point.Seq, m.topic, errNoRow))
	}
	return parseRow(m.topic, m.point, c.Value())
}

// unseal returns it from its chunk.
func (m *moment) unseal(r *reader) (row, error) {
	found, ok, err := r.inChunk(m.topic, m.point)
	if err == nil && !ok {
		err = fmt.Errorf("record %d/%d of %s: %w", m.point.Epoch, m.point.Seq, m.topic, errNoRow)
	}
	return found, err
}

// earliest keeps the first moments of all that are offered, the last ones if desc: a heap with the worst on top, so
// that any number of topics needs memory for one page only.
type earliest struct {
	desc bool
	most int
	kept []moment
}

// offer takes a moment unless most better ones are kept. It returns false where it was refused: then all that come later
// in the same order would be too. A topic's moments come in order: those of a single one need no heap.
func (e *earliest) offer(m moment) bool {
	if len(e.kept) < e.most {
		if e.kept = append(e.kept, m); len(e.kept) == e.most {
			heap.Init(e)
		}
		return true
	}
	if !e.wants(m) {
		return false
	}
	e.kept[0] = m
	heap.Fix(e, 0)
	return true
}

// full reports whether as many are kept as may be.
func (e *earliest) full() bool { return len(e.kept) == e.most }

// wants reports whether a moment would be taken.
func (e *earliest) wants(m moment) bool {
	return !e.full() || e.order(m, e.kept[0]) < 0
}

// beyond reports whether moments of that time and all that come later in order would be refused.
func (e *earliest) beyond(at quote.Time) bool {
	if !e.full() {
		return false
	}
	if e.desc {
		return at < e.kept[0].at
	}
	return at > e.kept[0].at
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
