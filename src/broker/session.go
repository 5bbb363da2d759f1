package broker

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of sampled's interval.
const (
	defInterval = 250 * time.Millisecond
	maxInterval = time.Minute
)

// maxDead is how many dead cursors a session keeps, beside as many as it has live ones.
const maxDead = 64

// session is one connection with subscriptions. The broker's lock guards it; its writer goroutine delivers.
type session struct {
	conn     *wire.Conn
	ready    chan struct{}
	release  func() // of the connection's hold; nil without subscriptions
	subs     map[quote.Pattern]*sub
	cursors  map[*topic]*cursor
	dirty    []*cursor // those that have something to deliver, and dead ones
	dead     int       // cursors in dirty that nothing covers any more
	mute     int       // answers that must go out before anything else
	announce bool      // a heartbeat is due at once
	bares    int       // subscriptions of the bare kind
	bareOnly bool      // all are: no heartbeats
	skipped  uint64
	lost     uint64        // records that a LOST has named, since they had left the log or it lagged too far
	parted   chan struct{} // closed, and gone, when the broker leaves and this session has everything
	gone     bool
}

// sub is one subscription as it was asked for.
type sub struct {
	pattern  quote.Pattern
	mode     wire.Mode
	interval time.Duration
	bare     bool
	snapshot bool
	from     map[quote.Topic]quote.Point
}

// rank orders subscriptions that cover the same topic: the most specific one wins.
func (s *sub) rank() int {
	switch {
	case s.pattern == "*":
		return 0
	case s.pattern.Wild():
		return 1
	case s.bare:
		return 2
	}
	return 3
}

// cursor is a subscription's place in one topic.
type cursor struct {
	topic *topic
	s     *session
	sub   *sub   // the one that wins; nil once none covers the topic
	next  uint64 // index of the next entry to look at
	snap  bool   // a snapshot is due
	queue bool   // it stands in dirty

	known    bool        // last is what this subscription got
	last     quote.Point // of the frame it got last
	replayTo uint64      // entries below this index are replayed ones
	due      time.Time   // sampled: nothing goes out before
	skipped  uint64
	told     uint64 // end at the last heartbeat
}

// parseSubscribe reads a SUBSCRIBE.
func parseSubscribe(f *wire.Frame) (*sub, error) {
	if len(f.Payload) == 0 || !strings.Contains(f.Topic, ".") && f.Topic != "*" {
		if _, err := quote.ParsePattern(f.Topic); err != nil {
			return parseBare(f)
		}
	}
	p, err := quote.ParsePattern(f.Topic)
	if err != nil {
		return parseBare(f)
	}
	s := &sub{pattern: p, mode: wire.ModeAll}
	return s, s.options(f)
}

// parseBare reads the courtesy form: a symbol, which means its quotes, sampled unless a payload says otherwise.
func parseBare(f *wire.Frame) (*sub, error) {
	symbol, err := quote.ParseSymbol(f.Topic)
	if err != nil {
		return nil, wire.Errorf(wire.BadSymbol, "%.40q is no topic, pattern or symbol: want quotes.SYMBOL, trades.SYMBOL, status.core, quotes.*, trades.*, * or SYMBOL", f.Topic)
	}
	s := &sub{pattern: quote.Pattern(quote.TopicOf(quote.Quotes, symbol)), bare: true, mode: wire.ModeSampled}
	return s, s.options(f)
}

// options reads the payload, where there is one. What it does not say stays as it is, or has the protocol's default.
func (s *sub) options(f *wire.Frame) error {
	var req wire.Subscribe
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return err
		}
	}
	s.interval, s.snapshot, s.from = time.Duration(req.IntervalMS)*time.Millisecond, true, req.From
	if req.Snapshot != nil {
		s.snapshot = *req.Snapshot
	}
	s.mode = cmp.Or(req.Mode, s.mode)
	s.interval = cmp.Or(s.interval, defInterval)
	switch {
	case s.mode != wire.ModeAll && s.mode != wire.ModeLatest && s.mode != wire.ModeSampled:
		return wire.Errorf(wire.BadRequest, "mode %.20q: want all, latest or sampled", s.mode)
	case req.IntervalMS < 0 || req.IntervalMS > maxInterval.Milliseconds():
		return wire.Errorf(wire.BadRequest, "interval_ms %d: want 1 to %d", req.IntervalMS, maxInterval.Milliseconds())
	}
	for t := range s.from {
		if _, err := quote.ParseTopic(string(t)); err != nil {
			return err
		}
		if !s.pattern.Match(t) {
			delete(s.from, t) // what a session keeps is bounded by what it covers
		}
	}
	return nil
}

// subscribe takes a SUBSCRIBE: it holds before the answer is written, and the answer is written before what it brings.
func (b *Broker) subscribe(c *wire.Conn, f wire.Frame) {
	asked := f.Topic
	sub, err := parseSubscribe(&f)
	if err != nil {
		_ = c.Fail(f, err)
		return
	}
	b.mu.Lock()
	if err := b.refuse(sub); err != nil {
		b.mu.Unlock()
		_ = c.Fail(f, err)
		return
	}
	s := b.session(c)
	if len(s.subs) >= b.cfg.MaxSubs && s.subs[sub.pattern] == nil {
		b.mu.Unlock()
		_ = c.Fail(f, wire.Errorf(wire.TooLarge, "this connection has %d subscriptions: use a pattern such as quotes.*", b.cfg.MaxSubs))
		return
	}
	s.put(sub, b.topics)
	if b.pub.source != wire.SourceRecovering {
		b.attachTo(s, sub.pattern)
	}
	s.mute++ // it counts from now on, but SUBSCRIBED goes out first
	b.mu.Unlock()
	if !sub.bare {
		_ = c.Reply(f, wire.Make(wire.TypeSubscribed, wire.Subscribed{Topic: asked, Mode: sub.mode})) // an error closes the connection
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mute--
	s.signal()
}

// refuse says what is wrong with a subscription in the light of what there is: a position that nobody has given out yet,
// or a bare symbol that core does not know. The lock is held.
func (b *Broker) refuse(s *sub) error {
	if b.pub.source == wire.SourceRecovering {
		return nil // nothing is known yet
	}
	for name, p := range s.from {
		if t := b.topics[name]; p.Epoch > b.pub.epoch || t != nil && t.ahead(p) {
			return wire.Errorf(wire.BadRequest, "from names %d/%d of %s, which nobody has published yet", p.Epoch, p.Seq, name)
		}
	}
	if name := quote.Topic(s.pattern); s.bare && len(b.topics) > 0 && b.topics[name] == nil {
		return wire.Errorf(wire.BadSymbol, "unknown symbol %s (subscribe to %s to wait for it)", name.Symbol(), name)
	}
	return nil
}

// session returns the connection's session, making it and its writer. The lock is held.
func (b *Broker) session(c *wire.Conn) *session {
	if s, ok := c.Value().(*session); ok {
		if s.release == nil {
			s.release = c.Hold()
		}
		return s
	}
	s := &session{conn: c, ready: make(chan struct{}, 1), parted: make(chan struct{}), release: c.Hold(), subs: map[quote.Pattern]*sub{}, cursors: map[*topic]*cursor{}}
	c.SetValue(s)
	b.sessions[s] = struct{}{}
	b.writers.Go(func() { b.deliver(s) })
	return s
}

// put adds a subscription or changes an existing one. A bare one gives way to one by the full topic.
func (s *session) put(n *sub, topics map[quote.Topic]*topic) {
	old := s.subs[n.pattern]
	if old != nil && n.bare && !old.bare {
		return
	}
	s.change(n.pattern, n, topics)
}

// change puts a subscription in the place of another of its pattern, either of which may be nil.
func (s *session) change(p quote.Pattern, n *sub, topics map[quote.Topic]*topic) {
	if old := s.subs[p]; old != nil && old.bare {
		s.bares--
	}
	if delete(s.subs, p); n != nil {
		s.subs[p] = n
		if n.bare {
			s.bares++
		}
	}
	s.bareOnly = s.bares == len(s.subs)
	if !p.Wild() { // thousands of them may come one after the other
		if c := s.cursors[topics[quote.Topic(p)]]; c != nil {
			s.settle(c)
		}
		return
	}
	for _, c := range s.cursors {
		s.settle(c)
	}
}

// settle works out again which subscription wins for a cursor, and ends one that nothing covers.
func (s *session) settle(c *cursor) {
	was := c.sub
	if c.sub = s.winner(c.topic.name); c.sub == nil {
		delete(s.cursors, c.topic)
		delete(c.topic.readers, s)
		if c.queue {
			s.bury()
		}
		return
	}
	if c.sub != was {
		c.due = time.Time{} // the old one's interval counts no more
	}
	s.mark(c) // another mode may have something to deliver
}

// bury notes a dead cursor in dirty. They are taken out together once they are many: one by one, thousands of them would cost the square,
// and left to a writer that waits for its reader they would have no bound.
func (s *session) bury() {
	if s.dead++; s.dead > maxDead+len(s.cursors) {
		s.dirty = slices.DeleteFunc(s.dirty, func(c *cursor) bool { return c.sub == nil })
		s.dead = 0
	}
}

// winner returns the most specific subscription that covers the topic, or nil.
func (s *session) winner(name quote.Topic) (best *sub) {
	for _, p := range []quote.Pattern{quote.Pattern(name), quote.Pattern(string(name.Kind()) + ".*"), "*"} {
		if sub := s.subs[p]; sub != nil && p.Match(name) && (best == nil || sub.rank() > best.rank()) {
			best = sub
		}
	}
	return best
}

// unsubscribe ends what the topic names.
func (b *Broker) unsubscribe(c *wire.Conn, f *wire.Frame) error {
	p, err := quote.ParsePattern(f.Topic)
	if err != nil {
		bare, err := parseBare(&wire.Frame{Topic: f.Topic})
		if err != nil {
			return err
		}
		p = bare.pattern
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := c.Value().(*session)
	if !ok {
		return nil
	}
	s.change(p, nil, b.topics)
	if len(s.subs) == 0 && s.release != nil {
		s.release() // from now on the connection is one without a subscription
		s.release = nil
	}
	return nil
}

// attachAll gives the session a cursor in every topic that it covers and has none in. The lock is held.
func (b *Broker) attachAll(s *session) {
	for p := range s.subs {
		b.attachTo(s, p)
	}
}

// attachTo does so for the topics that one of its patterns covers.
func (b *Broker) attachTo(s *session, p quote.Pattern) {
	if !p.Wild() {
		if t := b.topics[quote.Topic(p)]; t != nil {
			b.attach(s, t)
		}
		return
	}
	for _, t := range b.topics {
		b.attach(s, t)
	}
}

// attach puts a cursor where the subscription says. The lock is held.
func (b *Broker) attach(s *session, t *topic) {
	sub := s.winner(t.name)
	if sub == nil || s.cursors[t] != nil {
		return
	}
	c := &cursor{topic: t, s: s, sub: sub, next: t.end(), told: t.end()}
	s.cursors[t], t.readers[s] = c, c
	if p, ok := sub.from[t.name]; ok && !t.ahead(p) {
		c.resume(p)
	} else if n := len(t.entries); n > 0 {
		c.snap = sub.snapshot && t.newest() != nil
		c.known, c.last = !c.snap, t.entries[n-1].point
	}
	s.mark(c)
}

// resume puts the cursor behind a position.
func (c *cursor) resume(p quote.Point) {
	t := c.topic
	c.known, c.last = true, p
	c.next, c.replayTo = t.behind(p), t.end()
}

// mark says that the cursor has something to deliver.
func (s *session) mark(c *cursor) {
	if !c.queue {
		c.queue = true
		s.dirty = append(s.dirty, c)
	}
	s.signal()
}

func (s *session) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
