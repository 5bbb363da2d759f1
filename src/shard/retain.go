package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
)

// Retention lets whole chunks go, the oldest of a topic first, and remembers the first position that is left: its floor.
// Nothing below a floor is stored, told or repaired, ever again.

// floorOf is a topic's floor.
type floorOf struct {
	topic quote.Topic
	point quote.Point
}

func floorValue(p quote.Point) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Epoch), p.Seq)
}

func parseFloor(v []byte) (quote.Point, error) {
	if len(v) != 16 {
		return quote.Point{}, errBadRow
	}
	return pointOf(v), nil
}

// Numbers of the retention.
const (
	retainEvery = time.Minute
	dropChunks  = 256                         // in one commit
	byteSpan    = quote.Time(10 * 60_000_000) // of the times of reception that are counted together
)

// keeper drops what is older than age, and the oldest of what is more than most bytes of chunks; 0 is no bound.
type keeper struct {
	c    *committer
	age  time.Duration
	most uint64

	found   func(error) // gets what could not be read
	doubted bool        // all was older than age at the last pass
}

// run drops until ctx ends.
func (k *keeper) run(ctx context.Context) {
	if k.age == 0 && k.most == 0 {
		return
	}
	for rest(ctx, 0) == nil {
		if err := k.pass(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.found(err)
			k.c.log.Warn("retention failed", "err", err)
		}
		_ = rest(ctx, retainEvery) // ctx is looked at above
	}
}

// pass looks at all topics once. The newest block of a topic stays, however old: it has the last price.
func (k *keeper) pass(ctx context.Context, now time.Time) error {
	sizes, newest, err := k.survey()
	if err != nil {
		return err
	}
	cutoff := quote.Time(-1 << 62)
	if old := quote.TimeOf(now.Add(-k.age)); k.age > 0 && len(sizes) > 0 {
		// A clock that went ahead must not cost a history. Where all would be too old, the clock may be wrong or the market
		// closed: either way there is time until something new has come.
		if old <= newest {
			cutoff = old
		} else if !k.doubted {
			k.c.log.Warn("nothing is dropped for its age: all is older, as if the clock were wrong", "newest_received", newest, "retention_age", k.age)
		}
		k.doubted = old > newest
	}
	if k.most > 0 {
		cutoff = max(cutoff, k.excess(sizes))
	}
	for _, t := range k.c.state.all() {
		newest, found := k.c.state.newest(t)
		if !found {
			continue
		}
		block := quote.Point{Epoch: newest.Epoch, Seq: k.c.size.of(newest.Seq)}
		err := k.drop(ctx, t, func(at quote.Point, h *chunk.Header) bool { return at.Compare(block) < 0 && h.Received < cutoff })
		if err != nil {
			return err
		}
	}
	return nil
}

// survey returns how many bytes of chunks there are of each span of ten minutes of reception, and the newest time of it.
func (k *keeper) survey() (sizes map[quote.Time]uint64, newest quote.Time, err error) {
	sizes = map[quote.Time]uint64{}
	v := k.c.engine.View()
	lo, hi := allOf(extentKey)
	err = engine.Walk(v, lo, hi, false, func(key, value []byte) (bool, error) {
		e, err := parseExtent(key, value)
		sizes[e.received/byteSpan] += e.size
		newest = max(newest, e.received)
		return err == nil, err
	})
	return sizes, newest, errors.Join(err, v.Close())
}

// excess returns before which time of reception all must go so that no more than most bytes of chunks are left.
func (k *keeper) excess(sizes map[quote.Time]uint64) quote.Time {
	total := uint64(0)
	for _, size := range sizes {
		total += size
	}
	cutoff := quote.Time(-1 << 62)
	for _, span := range slices.Sorted(maps.Keys(sizes)) {
		if total <= k.most {
			break
		}
		total -= sizes[span]
		cutoff = (span + 1) * byteSpan
	}
	return cutoff
}

// drop raises a topic's floor behind its first chunks, as long as old says so.
func (k *keeper) drop(ctx context.Context, t quote.Topic, old func(block quote.Point, h *chunk.Header) bool) error {
	for more := true; more; {
		floor := quote.Point{}
		more = false
		count := 0
		v := k.c.engine.View()
		lo := topicPrefix(chunkKey, t)
		err := engine.Walk(v, lo, end(lo), false, func(key, value []byte) (bool, error) {
			p := pointOf(key)
			h, err := chunk.Open(chunk.Address{Topic: t, Epoch: p.Epoch, Block: p.Seq}, value)
			if err != nil || !old(p, &h) {
				return false, err
			}
			floor = quote.Point{Epoch: p.Epoch, Seq: k.c.size.last(p.Seq) + 1}
			count++
			more = count == dropChunks
			return !more, nil
		})
		if err = errors.Join(err, v.Close()); err != nil {
			return err
		}
		if count == 0 {
			return nil
		}
		if _, err := k.c.do(ctx, &write{floors: []floorOf{{t, floor}}}); err != nil {
			return err
		}
	}
	return nil
}

// follow raises a topic's floor to where a twin's stands, in bounded steps.
func (k *keeper) follow(ctx context.Context, f floorOf) error {
	err := k.drop(ctx, f.topic, func(block quote.Point, h *chunk.Header) bool {
		return (quote.Point{Epoch: block.Epoch, Seq: h.LastSeq}).Compare(f.point) < 0
	})
	if err == nil {
		_, err = k.c.do(ctx, &write{floors: []floorOf{f}})
	}
	return err
}

// raise makes floors durable, with all that is to go below them. First they are known: so nobody is told of what is not there.
func (c *committer) raise(w *write) {
	w.floors = append(c.unsaved, c.state.raise(w.floors)...)
	c.unsaved = nil
	v := c.engine.View()
	err := c.engine.Commit(func(b engine.Batch) error {
		for _, f := range w.floors {
			if err := c.dropBelow(v, b, f); err != nil {
				return fmt.Errorf("floor of %s: %w", f.topic, err)
			}
		}
		return nil
	})
	if err = errors.Join(err, v.Close()); err == nil {
		c.met.floors.Add(float64(len(w.floors)))
	} else {
		c.unsaved = w.floors // they hold all the same, and go with the next
	}
	w.result <- result{err: err}
}

// dropBelow removes what a topic has below its floor.
func (c *committer) dropBelow(v engine.View, b engine.Batch, f floorOf) error {
	t := f.topic
	records, chunks := topicPrefix(recordKey, t), topicPrefix(chunkKey, t)
	lastChunk := keyOfChunk(t, f.point.Epoch, c.size.of(f.point.Seq))
	err := engine.Walk(v, records, keyOfRecord(t, f.point), false, func(key, value []byte) (bool, error) {
		r, err := parseRow(t, pointOf(key), value)
		if err == nil {
			err = b.Delete(keyOfTime(t, r.timestamp, r.point))
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	err = engine.Walk(v, chunks, lastChunk, false, func(key, value []byte) (bool, error) {
		p := pointOf(key)
		a := chunk.Address{Topic: t, Epoch: p.Epoch, Block: p.Seq}
		h, err := chunk.Open(a, value)
		if err == nil {
			e := extentOf(a, &h, len(value))
			err = b.Delete(e.key(t))
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	held := c.state.holding(t, f.point.Epoch)
	return errors.Join(
		b.DeleteRange(records, keyOfRecord(t, f.point)), b.DeleteRange(chunks, lastChunk),
		b.DeleteRange(keyOfSpans(t, 0), keyOfSpans(t, f.point.Epoch)),
		b.Set(keyOfSpans(t, f.point.Epoch), held.value()), b.Set(keyOfFloor(t), floorValue(f.point)),
	)
}

// What the state knows of floors.

// raise takes floors that are higher than those known, and returns them.
func (s *state) raise(floors []floorOf) []floorOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []floorOf
	for _, f := range floors {
		t := s.topic(f.topic)
		if f.point.Compare(t.floor) > 0 {
			t.raise(f.point)
			s.tails.forget(f.topic)
			s.judge(t)
			s.raised++
			out = append(out, f)
		}
	}
	return out
}

// raise forgets what is below a floor.
func (t *topic) raise(floor quote.Point) {
	t.floor = floor
	first, found := t.find(floor.Epoch)
	next := slices.Clone(t.holdings[first:])
	if found {
		next[0] = next[0].cut(floor.Seq)
	} else {
		next = slices.Insert(next, 0, newHolding(floor.Epoch, quote.Seqs{}, quote.Seqs{}).cut(floor.Seq))
	}
	t.holdings = next
}

// cut returns a holding without what is before first, which counts as accounted for.
func (h *holding) cut(first uint64) *holding {
	clip := func(s *quote.Seqs) (out quote.Seqs) {
		for _, p := range s.Spans() {
			if p.Last >= first {
				out.Add(max(p.First, first), p.Last)
			}
		}
		return out
	}
	out := newHolding(h.epoch, clip(&h.held), clip(&h.lost))
	if first > 1 {
		out.done.Add(1, first-1)
	}
	return out
}

// raisedNow counts how often a floor was raised.
func (s *state) raisedNow() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raised
}

// floor returns a topic's floor, or zero.
func (s *state) floor(t quote.Topic) quote.Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.topics[t]; known != nil {
		return known.floor
	}
	return quote.Point{}
}

// above returns what of a run of seqs is not below the floor.
func (t *topic) above(epoch, first, last uint64) (uint64, bool) {
	switch {
	case t == nil || epoch > t.floor.Epoch:
		return first, true
	case epoch < t.floor.Epoch:
		return 0, false
	}
	first = max(first, t.floor.Seq)
	return first, first <= last
}

// higher returns which of a twin's floors are above ours.
func (s *state) higher(twin int, floors []floorOf, now time.Time) []floorOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(floors, func(f floorOf) bool {
		if !s.wanted(twin, newTopic(f.topic)) || f.point.Seq == 0 || f.point.Seq > maxSeq || tooFarAhead(f.point.Epoch, now) {
			return true
		}
		known := s.topics[f.topic]
		return known != nil && f.point.Compare(known.floor) <= 0
	})
}

// aboveFloors returns what of wants is not below the floors, which may have risen.
func (s *state) aboveFloors(wants []want) (out []want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range wants {
		if first, any := s.topics[w.topic].above(w.epoch, w.first, w.last); any {
			w.first = first
			out = append(out, w)
		}
	}
	return out
}
