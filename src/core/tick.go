package core

import (
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// tick takes one PUBLISH of an exchange session. An error says why the tick is refused; the session goes on.
func (b *book) tick(session uint64, f *wire.Frame, now time.Time) error {
	name, err := quote.ParseTopic(f.Topic)
	if err != nil {
		return err
	}
	switch name.Kind() {
	case quote.Quotes:
		return b.quote(session, name, f, now)
	case quote.Trades:
		return b.trade(session, name, f, now)
	}
	return wire.Errorf(wire.BadRequest, "topic %s does not come from an exchange", name)
}

func (b *book) quote(session uint64, name quote.Topic, f *wire.Frame, now time.Time) error {
	var q quote.Quote
	if err := f.Decode(&q); err != nil {
		return err
	}
	if err := accept(q.Validate(), q.Symbol, name); err != nil {
		return err
	}
	q.Received, q.Epoch, q.Seq = quote.TimeOf(now), 0, 0
	b.mu.Lock()
	defer b.mu.Unlock()
	if session != b.feed.session || !b.feed.up {
		return nil // what a cut session had still on its way: nobody can say what it missed
	}
	t, err := b.ticked(name)
	if err != nil {
		return err
	}
	s := b.symbols[q.Symbol]
	if t.late(f, q.Timestamp) && s != nil {
		b.met.late.WithLabelValues(string(quote.Quotes)).Inc()
		q.Quality = s.quote.Quality
		b.emit(t, q.AppendJSON(nil))
		b.record(s) // the newest record of a topic is the current value
		return nil
	}
	if s == nil {
		s = &symbol{}
		b.symbols[q.Symbol] = s
		b.order = append(b.order, q.Symbol)
	}
	if s.session != session {
		b.arrange(q.Symbol)
	}
	q.Quality = b.feed.grade(session)
	s.quote, s.at, s.session = q, now, session
	b.record(s)
	return nil
}

// arrange puts a symbol that the session names for the first time behind those that it named before: the exchange's own
// order, whose first symbol is the default one. The lock is held.
func (b *book) arrange(s quote.Symbol) {
	if i := slices.Index(b.order[b.ordered:], s); i > 0 {
		i += b.ordered
		b.order = slices.Insert(slices.Delete(b.order, i, i+1), b.ordered, s)
	}
	b.ordered++
}

func (b *book) trade(session uint64, name quote.Topic, f *wire.Frame, now time.Time) error {
	var tr quote.Trade
	if err := f.Decode(&tr); err != nil {
		return err
	}
	if err := accept(tr.Validate(), tr.Symbol, name); err != nil {
		return err
	}
	tr.Received = quote.TimeOf(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	if session != b.feed.session || !b.feed.up {
		return nil
	}
	t, err := b.ticked(name)
	if err != nil {
		return err
	}
	if f.Snapshot && tr.ID == t.lastID {
		return nil // a session's snapshot repeats the last trade
	}
	if t.late(f, tr.Timestamp) {
		b.met.late.WithLabelValues(string(quote.Trades)).Inc()
	}
	t.lastID = tr.ID
	b.emit(t, tr.AppendJSON(nil))
	return nil
}

// accept joins the record's own fault, if any, with that of standing on another's topic.
func accept(fault error, s quote.Symbol, name quote.Topic) error {
	if fault == nil && s != name.Symbol() {
		return wire.Errorf(wire.BadRequest, "record of %s on topic %s", s, name)
	}
	return fault
}

// maxLate is how far behind the newest a tick may be and still be a late one. A session keeps the order of what is sent: what is
// further behind says that the venue's clock was set back, or that the newest was nonsense.
const maxLate = 5 * time.Second

// late reports whether the tick is older than the newest of its topic since the last snapshot, and remembers the newest.
// Untimed ticks have a timestamp that is not the venue's: they are never late and make none late.
func (t *topic) late(f *wire.Frame, at quote.Time) bool {
	switch {
	case f.Snapshot && f.Untimed:
		t.newest = 0
	case f.Snapshot:
		t.newest = at
	case f.Untimed:
	case at < t.newest && t.newest.Std().Sub(at.Std()) <= maxLate:
		return true
	default:
		t.newest = at
	}
	return false
}
