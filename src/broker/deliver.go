package broker

import (
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of one turn of a writer, so that many topics share a connection fairly.
const (
	turnBytes   = 256 << 10
	cursorBytes = 64 << 10
)

// deliver writes what a session is owed, in bursts, until its connection ends.
func (b *Broker) deliver(s *session) {
	defer b.forget(s)
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	var later <-chan time.Time // when the next sampled cursor may speak
	for {
		heartbeat := false
		select {
		case <-s.conn.Context().Done():
			return
		case <-s.ready:
		case <-later:
		case <-beat.C:
			heartbeat = true
		}
		for more := true; more || heartbeat; {
			var out batch
			var wait time.Duration
			out, wait, more = b.collect(s, time.Now(), heartbeat)
			if len(out.lines) > 0 && b.write(s, &out) != nil {
				return // the connection is closed, with the reason
			}
			if later, heartbeat = nil, false; wait > 0 {
				later = time.After(wait)
			}
			select {
			case <-beat.C: // who lags is to know it
				heartbeat = true
			default:
			}
		}
		b.partedFrom(s)
	}
}

// write sends lines; those of bare subscriptions one by one, as clients of the original system read them.
func (b *Broker) write(s *session, out *batch) error {
	b.met.out.Add(float64(out.frames))
	if out.bare {
		for _, line := range out.lines {
			if err := s.conn.Write(line); err != nil {
				return err
			}
		}
		return nil
	}
	lines, done := out.coalesce(&b.spare)
	defer done()
	return s.conn.Writev(lines)
}

// forget removes a session whose connection has ended.
func (b *Broker) forget(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.release != nil {
		s.release()
	}
	for t := range s.cursors {
		delete(t.readers, s)
	}
	delete(b.sessions, s)
}

// collect gathers what may go out now. wait is when a sampled cursor is due, 0 for none; more says that there is more now.
func (b *Broker) collect(s *session, now time.Time, heartbeat bool) (out batch, wait time.Duration, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.mute > 0 {
		return out, 0, false
	}
	out.bare = s.bareOnly
	for beats := (heartbeat || s.announce) && !s.bareOnly; beats; {
		line, rest := b.heartbeat(s, now)
		out.add(line)
		beats = rest && b.leaving // then there is no next one
	}
	s.announce = false
	rest := s.dirty[:0]
	for i, c := range s.dirty {
		if out.size >= turnBytes { // those that had no turn come first in the next
			had := slices.Clone(rest)
			rest = append(append(s.dirty[:0], s.dirty[i:]...), had...)
			more = true
			break
		}
		if c.sub == nil {
			s.dead-- // nothing covers it any more
			continue
		}
		until, unfinished := b.advance(c, now, &out)
		switch {
		case unfinished:
			more = true
			rest = append(rest, c)
		case until > 0:
			if wait == 0 || until < wait {
				wait = until
			}
			rest = append(rest, c)
		default:
			c.queue = false
		}
	}
	clear(s.dirty[len(rest):])
	s.dirty = rest
	return out, wait, more
}

// advance delivers what one cursor is owed. until is when it may speak next, if it has to wait. The lock is held.
func (b *Broker) advance(c *cursor, now time.Time, out *batch) (until time.Duration, unfinished bool) {
	t := c.topic
	conflates := t.name.Kind() == quote.Quotes
	sampled := conflates && c.sub.mode == wire.ModeSampled
	if sampled && now.Before(c.due) && !b.leaving {
		if c.next < t.end() || c.snap {
			return c.due.Sub(now), false
		}
		return 0, false
	}
	if c.snap {
		c.snap = false
		b.snapshot(c, now, out)
	}
	c.overrun(b, out, conflates)
	if conflates && c.next < t.end() {
		switch {
		case c.sub.mode != wire.ModeAll:
			b.jump(c, now, string(c.sub.mode), out)
		case c.next < t.start || t.lag(c.next) > b.mostLag():
			b.jump(c, now, "lag", out)
		}
	}
	if sampled {
		c.due = now.Add(c.sub.interval)
	}
	for sent := 0; c.next < t.end(); {
		if sent >= cursorBytes {
			return 0, true
		}
		if c.plain() {
			lines, n := t.run(c.next, cursorBytes-sent)
			out.addRun(lines, int(n))
			c.next += n
			c.last.Seq += n
			sent += len(lines)
		} else {
			sent += b.step(c, now, 0, "", out)
		}
	}
	return 0, false
}

// plain reports whether all from the cursor on goes out as it was logged: nothing is missing before it, or in it.
func (c *cursor) plain() bool {
	t := c.topic
	if !c.known || c.sub.bare || c.next < max(t.solid, c.replayTo) {
		return false
	}
	p := t.get(c.next).point
	return c.last.Epoch == p.Epoch && c.last.Seq+1 == p.Seq
}

// snapshot sends the newest record as one.
func (b *Broker) snapshot(c *cursor, now time.Time, out *batch) {
	e := c.topic.newest()
	if e == nil {
		return
	}
	held := c.topic.held(e, now).Milliseconds()
	f := wire.Frame{Topic: c.name(), Snapshot: true, HeldMS: &held}
	if b.pub.source != wire.SourceLive {
		f.Source = b.pub.source
	}
	out.add(headed(f, e))
	c.known, c.last, c.next = true, e.point, c.topic.end()
}

// name is the topic as the subscription calls it.
func (c *cursor) name() string {
	if c.sub.bare {
		return string(c.topic.name.Symbol())
	}
	return string(c.topic.name)
}

// overrun handles a cursor that has fallen out of the log, or lags too far on what can't be conflated: the rest of what it
// missed is named as lost. What can be conflated within one epoch is left to jump, which counts by the positions.
func (c *cursor) overrun(b *Broker, out *batch, conflates bool) {
	t := c.topic
	most := b.mostLag()
	if c.next == t.start && c.next < t.end() {
		c.lostBefore(b, out) // a resume from before the log
	}
	fell := c.next < t.start
	switch newest := t.newest(); {
	case conflates && (!fell || c.known && newest != nil && c.last.Epoch == newest.point.Epoch):
		return
	case conflates || fell && t.lag(t.start) <= most:
		c.next = t.start
	case fell || t.lag(c.next) > most:
		for c.next = max(c.next, t.start); c.next+1 < t.end() && t.lag(c.next) > most/2; c.next++ { // the newest record stays
		}
	default:
		return
	}
	c.lostBefore(b, out)
}

// lostBefore names what lies between the last frame and the entry at the cursor, if anything does, and counts it.
func (c *cursor) lostBefore(b *Broker, out *batch) {
	if c.next >= c.topic.end() || !c.known {
		return
	}
	e := c.topic.get(c.next)
	switch {
	case e.gap != nil:
		c.next++
		c.gap(e, false, out)
	case e.point.Compare(c.last) <= 0, e.point.Epoch == c.last.Epoch && e.point.Seq == c.last.Seq+1:
	default:
		lost := wire.Lost{Topic: c.topic.name, After: c.last, Before: e.point}
		n := uint64(1) // at least, where nobody knows
		if lost.Count = between(lost.After, lost.Before); lost.Count != nil {
			n = *lost.Count
		}
		c.s.lost += n
		b.met.overrun.Add(float64(n))
		c.lose(lost, out)
	}
}

// between counts the positions between two of one epoch; across epochs nobody knows.
func between(after, before quote.Point) *uint64 {
	if after.Epoch != before.Epoch || before.Seq <= after.Seq {
		return nil
	}
	n := before.Seq - after.Seq - 1
	return &n
}

// lose sends a LOST. The reader then stands right before the next frame, whose prev is as core wrote it.
func (c *cursor) lose(lost wire.Lost, out *batch) {
	f := wire.Make(wire.TypeLost, lost)
	out.add(f.Append(nil))
	c.known, c.last = true, quote.Point{Epoch: lost.Before.Epoch, Seq: lost.Before.Seq - 1}
}

// gap tells a gap of the log, from where this subscription stands. whole says that it has passed nothing over before it.
func (c *cursor) gap(e *entry, whole bool, out *batch) {
	lost := *e.gap
	if c.known {
		lost.After = c.last
		if n := between(lost.After, lost.Before); n != nil || !whole {
			lost.Count = n
		}
	}
	c.lose(lost, out)
}

// jump goes to the newest record and counts what it passes over. A gap on the way is still told, with what was passed
// over before it.
func (b *Broker) jump(c *cursor, now time.Time, why string, out *batch) {
	t := c.topic
	newest := t.newest()
	to := t.behind(newest.point) - 1
	var passed uint64
	for i := max(c.next, t.start); i < to; i++ {
		if e := t.get(i); e.gap != nil {
			c.gap(e, passed == 0 && c.next >= t.start, out)
			passed = 0
		} else {
			passed++
		}
	}
	if c.known && c.last.Epoch == newest.point.Epoch && c.last.Seq < newest.point.Seq {
		passed = newest.point.Seq - c.last.Seq - 1
	}
	c.next = to
	b.step(c, now, passed, why, out)
	c.skipped += passed
	c.s.skipped += passed
	if passed > 0 {
		b.met.skipped.WithLabelValues(why).Add(float64(passed))
	}
}

// step delivers the entry at the cursor and returns its size. What this subscription has already is passed by.
func (b *Broker) step(c *cursor, now time.Time, skipped uint64, why string, out *batch) int {
	e := c.topic.get(c.next)
	c.next++
	if e.gap != nil {
		c.gap(e, true, out)
		return 0
	}
	if c.known && e.point.Compare(c.last) <= 0 {
		return 0
	}
	line := e.line
	replayed := c.next <= c.replayTo
	plain := !c.known || c.last.Epoch == e.point.Epoch && c.last.Seq+1 == e.point.Seq
	if skipped > 0 || replayed || !plain || c.sub.bare {
		f := wire.Frame{Topic: c.name()}
		if skipped > 0 {
			f.Why = why
		}
		f.Skipped = skipped
		prev := e.point.Seq - 1
		if !c.known {
			f.Skipped = min(skipped, prev) // of another epoch there is nothing to count from
			prev -= f.Skipped
		} else {
			prev = c.last.Seq
			if c.last.Epoch != e.point.Epoch {
				f.PrevEpoch = c.last.Epoch
			}
		}
		f.Prev = &prev
		if replayed {
			held := c.topic.held(e, now).Milliseconds()
			f.HeldMS = &held
		}
		line = headed(f, e)
	}
	out.add(line)
	c.known, c.last = true, e.point
	return len(line)
}
