package shard

import (
	"fmt"
	"slices"
	"strings"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of REQ_HIST.
const (
	defaultLimit = 100
	maxLimit     = 10_000 // larger ones are refused
	maxSymbols   = 10_000
)

// query is a checked REQ_HIST.
type query struct {
	topics        []quote.Topic              // sorted
	held          map[quote.Topic][]*holding // at one moment: what is not in it was not synced then, and is not shown
	floors        []quote.Position
	slots         []int      // sorted: what in_sync is said of
	from, to      quote.Time // of timestamp; zero is no bound
	after, before map[quote.Topic]quote.Point
	desc          bool
	limit         int
	cache         *cache // of decoded chunks; nil: none
	reach         *reach // of chunks
}

// parseQuery checks a request against the table. Errors are [*wire.Error]s with bad_request, bad_symbol or moved.
func (s *state) parseQuery(req wire.ReqHist) (query, error) {
	q := query{from: req.From, to: req.To, after: req.After, before: req.Before, limit: defaultLimit, reach: s.reach}
	if req.Limit != nil {
		if *req.Limit < 0 || *req.Limit > maxLimit {
			return q, wire.Errorf(wire.BadRequest, "limit is %d, want 0 to %d", *req.Limit, maxLimit)
		}
		q.limit = *req.Limit
	}
	switch req.Order {
	case "", wire.Asc:
	case wire.Desc:
		q.desc = true
	default:
		return q, wire.Errorf(wire.BadRequest, "order is %q, want %s or %s", req.Order, wire.Asc, wire.Desc)
	}
	if err := q.checkBounds(); err != nil {
		return q, err
	}
	kinds, err := parseKinds(req.Kinds)
	if err != nil {
		return q, err
	}
	return q, s.choose(&q, req.Symbols, kinds)
}

// checkBounds refuses ranges that run backwards.
func (q *query) checkBounds() error {
	if !q.from.IsZero() && !q.to.IsZero() && q.to < q.from {
		return wire.Errorf(wire.BadRequest, "to %v is before from %v", q.to, q.from)
	}
	for _, m := range []map[quote.Topic]quote.Point{q.after, q.before} {
		for t := range m {
			if _, err := quote.ParseTopic(string(t)); err != nil {
				return err
			}
		}
	}
	for t, after := range q.after {
		if before, both := q.before[t]; both && before.Compare(after) < 0 {
			return wire.Errorf(wire.BadRequest, "before %d/%d of %s is behind after %d/%d", before.Epoch, before.Seq, t, after.Epoch, after.Seq)
		}
	}
	return nil
}

// parseKinds returns each kind once, all where none is named.
func parseKinds(kinds []quote.Kind) ([]quote.Kind, error) {
	for _, k := range kinds {
		if k != quote.Quotes && k != quote.Trades {
			return nil, wire.Errorf(wire.BadRequest, "kind is %q, want %s or %s", k, quote.Quotes, quote.Trades)
		}
	}
	if len(kinds) == 0 {
		return []quote.Kind{quote.Quotes, quote.Trades}, nil
	}
	return slices.Compact(slices.Sorted(slices.Values(kinds))), nil
}

// choose finds the topics and slots of a request: those of the symbols, else all that are held.
func (s *state) choose(q *query, symbols []quote.Symbol, kinds []quote.Kind) error {
	if len(symbols) > maxSymbols {
		return wire.Errorf(wire.BadRequest, "%d symbols, at most %d", len(symbols), maxSymbols)
	}
	if len(symbols) == 0 {
		for _, t := range s.all() {
			if slices.Contains(kinds, t.Kind()) {
				q.topics = append(q.topics, t)
			}
		}
		for slot := range placement.Slots {
			if s.table.Owns(s.self, slot) {
				q.slots = append(q.slots, slot)
			}
		}
		return nil
	}
	for _, name := range symbols {
		if _, err := quote.ParseSymbol(string(name)); err != nil {
			return err
		}
		slot := placement.Slot(string(name))
		if err := s.checkOwner(name, slot); err != nil {
			return err
		}
		q.slots = append(q.slots, slot)
		for _, k := range kinds {
			q.topics = append(q.topics, quote.TopicOf(k, name))
		}
	}
	slices.Sort(q.topics)
	slices.Sort(q.slots)
	q.topics, q.slots = slices.Compact(q.topics), slices.Compact(q.slots)
	return nil
}

// checkOwner returns a [*wire.Error] with moved, naming the owners, where a symbol's slot is not ours.
func (s *state) checkOwner(name quote.Symbol, slot int) error {
	if s.table.Owns(s.self, slot) {
		return nil
	}
	var owners []string
	for _, o := range s.table.Owners(slot) {
		shard := s.table.Shards()[o]
		owners = append(owners, fmt.Sprintf("%s (%s)", shard.Name, shard.Addr))
	}
	return wire.Errorf(wire.Moved, "%s is in slot %d, ask %s", name, slot, strings.Join(owners, " or "))
}

// shows reports whether a record was held at the query's moment.
func (q *query) shows(t quote.Topic, p quote.Point) bool {
	held := topic{holdings: q.held[t]}
	return held.at(p.Epoch).held.Has(p.Seq)
}

// byPosition reports whether the answer's order is by position.
func (q *query) byPosition() bool { return q.after != nil || q.before != nil }

// newest reports whether it asks for no more than what tails keep.
func (q *query) newest() bool {
	return q.desc && !q.byPosition() && q.from.IsZero() && q.to.IsZero() && len(q.topics) == 1 && q.limit > 0 && q.limit < tailRows
}
