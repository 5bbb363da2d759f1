package core

import (
	"slices"
	"sync"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// book is the sequencer and the last-value table. Everything that gets a position gets it here, under one lock, so that
// the broker's lines and the shards' records have one order.
type book struct {
	epoch uint64
	out   *publisher // lines to the broker
	place *ledger    // records to the shards
	met   *metrics

	mu      sync.Mutex
	topics  map[quote.Topic]*topic
	symbols map[quote.Symbol]*symbol
	order   []quote.Symbol // as the exchange named them in the session of now, then the others
	ordered int            // how many of order are in their place
	feed    feedState
}

// topic is one sequence.
type topic struct {
	name   quote.Topic
	next   uint64      // the seq that comes next in this epoch
	last   wire.Frame  // the newest record, as published; of an older epoch after a start
	newest quote.Time  // newest timestamp since the topic's last snapshot: what is older is late
	lastID string      // a trade topic's last trade: a session's snapshot repeats it
	tail   quote.Point // the last position of the epochs before, as the shards know it
	home   *placed     // where its records are stored; nil for status.core
}

// symbol is one row of the last-value table.
type symbol struct {
	quote   quote.Quote
	at      time.Time   // when it was received, monotonic
	point   quote.Point // of the newest record
	session uint64      // the exchange session that refreshed it last
}

func newBook(epoch uint64, out *publisher, place *ledger, met *metrics) *book {
	return &book{
		epoch: epoch, out: out, place: place, met: met,
		topics: map[quote.Topic]*topic{}, symbols: map[quote.Symbol]*symbol{}, feed: feedState{silent: true},
	}
}

// topic returns the topic, making it. The lock is held.
func (b *book) topic(name quote.Topic) *topic {
	t := b.topics[name]
	if t == nil {
		t = &topic{name: name, next: 1, home: b.place.home(name)}
		b.topics[name] = t
	}
	return t
}

// maxTopics bounds what an exchange can name: with status.core it is as many as a broker takes where --max-topics does not say else.
const maxTopics = 100_000 - 1

// ticked returns the topic of a tick, making it if there is room for another one. The lock is held.
func (b *book) ticked(name quote.Topic) (*topic, error) {
	if b.topics[name] == nil && len(b.topics) >= maxTopics {
		return nil, wire.Errorf(wire.TooLarge, "%s: the exchange has named %d topics, and no further one is taken", name, maxTopics)
	}
	return b.topic(name), nil
}

// emit gives the payload the topic's next position and sends it on its ways. The lock is held.
func (b *book) emit(t *topic, payload []byte) quote.Point {
	prev := t.next - 1
	f := wire.Frame{Type: wire.TypePublish, Topic: string(t.name), Epoch: b.epoch, Seq: t.next, Prev: &prev, Payload: payload}
	t.next++
	t.last = f
	b.out.add(&f)
	if t.home != nil {
		b.place.add(t.home, f.Seq, payload)
	}
	b.met.records.WithLabelValues(string(t.name.Kind())).Inc()
	return f.Point()
}

// load puts an older epoch's newest record of a topic in place, as a start without an exchange needs it.
func (b *book) load(rec wire.Record, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	name, err := quote.ParseTopic(string(rec.Topic))
	if err != nil {
		return err
	}
	f := wire.Frame{Type: wire.TypePublish, Topic: string(name), Epoch: rec.Epoch, Seq: rec.Seq, Payload: rec.Payload}
	switch name.Kind() {
	case quote.Trades:
		var t quote.Trade
		if err := f.Decode(&t); err != nil {
			return err
		}
		b.topic(name).lastID = t.ID
	case quote.Quotes:
		var q quote.Quote
		if err := f.Decode(&q); err != nil {
			return err
		}
		age := max(now.Sub(q.Received.Std()), 0) // the one place where a wall clock has to do
		b.symbols[q.Symbol] = &symbol{quote: q, at: now.Add(-age), point: f.Point()}
		b.order = append(b.order, q.Symbol)
	}
	b.topic(name).last, b.topic(name).tail = f, f.Point()
	return nil
}

// loaded sorts what load brought and says of every price that it is stale.
func (b *book) loaded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.order) // until the exchange tells its own
	b.regrade()
}

// hello lists every topic for the broker, and attach, called with nothing in between, takes what comes after.
func (b *book) hello(attach func()) []wire.HelloTopic {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]wire.HelloTopic, 0, len(b.topics))
	for _, t := range b.topics {
		h := wire.HelloTopic{Topic: t.name, Next: t.next}
		if len(t.last.Payload) > 0 {
			last := t.last
			h.Last = &last
		}
		if !t.tail.IsZero() {
			tail := t.tail
			h.Tail = &tail
		}
		out = append(out, h)
	}
	attach()
	return out
}

// nexts lists the next seq of each topic that the shard owns.
func (b *book) nexts(shard int) []wire.HelloTopic {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []wire.HelloTopic
	for _, t := range b.topics {
		if t.home != nil && t.next > 1 && slices.Contains(t.home.owners, shard) {
			out = append(out, wire.HelloTopic{Topic: t.name, Next: t.next})
		}
	}
	return out
}

// status publishes a record on status.core.
func (b *book) status(payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.emit(b.topic(quote.StatusCore), payload)
}

// quotes answers REQ_QUOTE: the symbols asked for, all for "*", the first for none.
func (b *book) quotes(ask []string, now time.Time) ([]quote.Quote, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) == 0 {
		return nil, wire.Errorf(wire.Unavailable, "no quote has come from the exchange yet: ask again in a second")
	}
	var names []quote.Symbol
	switch {
	case len(ask) == 0:
		names = b.order[:1]
	case slices.Contains(ask, "*"):
		names = b.order
	default:
		for _, a := range ask {
			n, err := quote.ParseSymbol(a)
			switch {
			case err != nil:
				return nil, err
			case b.symbols[n] == nil:
				return nil, wire.Errorf(wire.BadSymbol, "unknown symbol %s: /v1/report or REQ_QUOTE with [\"*\"] lists what there is", n)
			case len(names) == len(b.order):
				return nil, wire.Errorf(wire.BadRequest, "%d symbols asked for where %d are known: name each once", len(ask), len(b.order))
			}
			names = append(names, n)
		}
	}
	out := make([]quote.Quote, len(names))
	for i, n := range names {
		out[i] = b.symbols[n].answer(now)
	}
	return out, nil
}

// answer returns the row as it goes into a reply, with its age.
func (s *symbol) answer(now time.Time) quote.Quote {
	q := s.quote
	age := max(now.Sub(s.at).Milliseconds(), 0)
	q.Quality.AgeMS = &age
	q.Epoch, q.Seq = s.point.Epoch, s.point.Seq
	return q
}
