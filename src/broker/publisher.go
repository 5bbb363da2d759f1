package broker

import (
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// publisher is core's side: who it is, and whether it is there. The broker's lock guards it.
type publisher struct {
	epoch    uint64 // highest that was announced
	instance string
	conn     *wire.Conn // nil while core is away
	heard    time.Time  // when core said something last
	greeted  bool       // its HELLO on this connection is complete
	noRoom   int        // topics of that HELLO that are too many
	since    time.Time  // when source became what it is
	source   string
}

// aheadLimit is how far an epoch may be ahead of our clock.
const aheadLimit = 24 * time.Hour

// hello takes one HELLO frame.
func (b *Broker) hello(c *wire.Conn, f wire.Frame) {
	var h wire.Hello
	err := f.Decode(&h)
	if err == nil && h.Role != "publisher" {
		err = wire.Errorf(wire.BadRequest, "role %.20q: want publisher", h.Role)
	}
	if err != nil {
		_ = c.Fail(f, err)
		return
	}
	b.mu.Lock()
	welcome, err := b.greet(c, &h)
	b.mu.Unlock()
	switch {
	case err != nil:
		b.cfg.Log.Warn("publisher refused", "addr", c.RemoteAddr(), "epoch", h.Epoch, "err", err)
		_ = c.Fail(f, err)
		c.Close(err)
	case !h.More:
		_ = c.Reply(f, wire.Make(wire.TypeWelcome, welcome))
	}
}

// greet checks the epoch and takes the topics that a HELLO frame names. The lock is held.
func (b *Broker) greet(c *wire.Conn, h *wire.Hello) (wire.Welcome, error) {
	p := &b.pub
	now := time.Now()
	switch {
	case h.Epoch == 0:
		return wire.Welcome{HighestEpoch: p.epoch}, nil
	case h.Epoch > uint64(now.Add(aheadLimit).UnixMilli()):
		return wire.Welcome{}, wire.Errorf(wire.BadRequest, "epoch %d is more than a day ahead of the broker's clock", h.Epoch)
	case h.Epoch < p.epoch || h.Epoch == p.epoch && h.Instance != p.instance:
		return wire.Welcome{}, wire.Errorf(wire.StaleEpoch, "epoch %d: the broker knows epoch %d of another core", h.Epoch, p.epoch)
	}
	if p.conn != c {
		if p.conn != nil {
			p.conn.Close(wire.Errorf(wire.Unavailable, "core has connected anew"))
		}
		p.epoch, p.instance, p.conn, p.greeted, p.noRoom = h.Epoch, h.Instance, c, false, 0
	}
	p.heard = now
	for i := range h.Topics {
		if err := b.announce(&h.Topics[i], h.Epoch, now); err != nil {
			return wire.Welcome{}, err
		}
	}
	if !h.More {
		p.greeted = true
		b.cfg.Log.Info("publisher up", "addr", c.RemoteAddr(), "epoch", h.Epoch, "topics", len(b.topics), "no_room", p.noRoom)
		b.turn(wire.SourceLive, now)
	}
	return wire.Welcome{HighestEpoch: p.epoch}, nil
}

// announce takes a topic's next seq and newest record from HELLO, and logs what was missed. The lock is held.
func (b *Broker) announce(h *wire.HelloTopic, epoch uint64, now time.Time) error {
	name, err := quote.ParseTopic(string(h.Topic))
	if err != nil {
		return err
	}
	if h.Last != nil && len(h.Last.Payload) > b.cfg.MaxFrame {
		return wire.Errorf(wire.TooLarge, "last of %s has %d bytes, at most %d (--max-frame)", name, len(h.Last.Payload), b.cfg.MaxFrame)
	}
	if l := h.Last; l != nil && (l.Epoch > epoch || l.Epoch == epoch && l.Seq >= h.Next) {
		return wire.Errorf(wire.BadRequest, "last of %s is %d/%d, which is not before next, %d/%d", name, l.Epoch, l.Seq, epoch, h.Next)
	}
	t, err := b.topic(name)
	if err != nil { // there is no room: its records will be refused, those of the others go on
		b.pub.noRoom++
		return nil
	}
	if h.Last != nil && isFrame(h.Last.Payload) {
		own, last := t.newest(), h.Last.Point()
		if own == nil || own.point.Compare(last) < 0 {
			if own != nil && own.point.Epoch != last.Epoch {
				b.missedTail(t, own.point, last, h.Tail, now)
			} else {
				b.missed(t, last, own == nil, now)
			}
			b.log(t, h.Last, now)
			b.wake(t)
		}
	}
	t.epoch, t.next = epoch, max(h.Next, 1)
	if n := t.newest(); n != nil && n.point.Epoch == epoch {
		t.next = max(t.next, n.point.Seq+1) // what was published stays so
	}
	return nil
}

// missed logs the gap before a position that is not the one that was due. Of a log without records nothing is missed:
// there is no position to have missed it from. The lock is held.
func (b *Broker) missed(t *topic, got quote.Point, empty bool, now time.Time) {
	due := t.due(got.Epoch)
	if empty || got.Seq <= due {
		return
	}
	n := got.Seq - due
	b.met.lost.Add(float64(n))
	t.lose(quote.Point{Epoch: got.Epoch, Seq: due - 1}, got, &n, now)
}

// missedTail logs the gap between our newest record and one of another epoch: the rest of the older epoch, as far as core
// knows its end from the shards, and what of the newer one came before. The lock is held.
func (b *Broker) missedTail(t *topic, own, got quote.Point, tail *quote.Point, now time.Time) {
	n := got.Seq - 1
	switch {
	case tail == nil && t.name.Kind() == quote.Status: // nobody stores it
	case tail == nil || tail.Epoch > own.Epoch && tail.Epoch != got.Epoch: // nobody can say how many
		b.met.lost.Inc()
		t.lose(own, got, nil, now)
		return
	case tail.Epoch == own.Epoch && tail.Seq > own.Seq:
		n += tail.Seq - own.Seq
	}
	if n > 0 {
		b.met.lost.Add(float64(n))
		t.lose(own, got, &n, now)
	}
}

// publish takes one PUBLISH of core.
func (b *Broker) publish(c *wire.Conn, f *wire.Frame) error {
	if len(f.Payload) > b.cfg.MaxFrame {
		return wire.Errorf(wire.TooLarge, "payload of %d bytes on %.40s, at most %d", len(f.Payload), f.Topic, b.cfg.MaxFrame)
	}
	if !isFrame(f.Payload) || f.Seq == 0 {
		return wire.Errorf(wire.BadRequest, "PUBLISH on %.40s needs a seq and a payload", f.Topic)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.fresh) == 0 {
		b.burst = time.Now()
	}
	now := b.burst
	switch p := &b.pub; {
	case p.conn != c || !p.greeted:
		return wire.Errorf(wire.NotAuthorized, "PUBLISH is core's, behind a complete HELLO")
	case f.Epoch != p.epoch:
		return wire.Errorf(wire.StaleEpoch, "PUBLISH of epoch %d behind HELLO of epoch %d", f.Epoch, p.epoch)
	default:
		b.hear(now)
	}
	t := b.topics[quote.Topic(f.Topic)]
	if t == nil {
		name, err := quote.ParseTopic(f.Topic)
		if err != nil {
			return err
		}
		if t, err = b.topic(name); err != nil {
			return err
		}
	}
	if len(t.entries) == 0 {
		for _, c := range t.readers { // they are promised all of it, from the first record on
			if !c.known {
				c.known, c.last = true, quote.Point{Epoch: f.Epoch, Seq: t.due(f.Epoch) - 1}
			}
		}
	}
	if t.epoch == f.Epoch && f.Seq < t.next {
		b.met.duplicates.Inc()
		return nil
	}
	b.missed(t, f.Point(), false, now)
	b.frames++
	b.log(t, f, now)
	if !t.fresh {
		t.fresh = true
		b.fresh = append(b.fresh, t)
	}
	return nil
}

// hear notes that core has said something. The lock is held.
func (b *Broker) hear(now time.Time) {
	b.pub.heard = now
	if b.pub.greeted && b.pub.source == wire.SourceLost {
		b.turn(wire.SourceLive, now)
	}
}

// turn changes what is said of core, and says it to everybody at once. The end of the recovering after the broker's start
// attaches who subscribed meanwhile. The lock is held.
func (b *Broker) turn(source string, now time.Time) {
	p := &b.pub
	if p.source == source {
		return
	}
	before := p.source
	b.cfg.Log.Info("source", "from", before, "to", source)
	p.source, p.since = source, now
	for s := range b.sessions {
		if before == wire.SourceRecovering {
			b.attachAll(s)
		}
		s.announce = true
		s.signal()
	}
}

// leave notes that a connection has ended.
func (b *Broker) leave(c *wire.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pub.conn == c {
		b.pub.conn, b.pub.greeted = nil, false
		b.cfg.Log.Warn("publisher down", "addr", c.RemoteAddr())
		b.lose(time.Now())
	}
}

// lose says that core is lost, unless it has never been there. The lock is held.
func (b *Broker) lose(now time.Time) {
	if b.pub.source == wire.SourceLive {
		b.turn(wire.SourceLost, now)
	}
}
