package shard

import (
	"slices"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// What others ask the state. Each answer is of one moment.

func (s *state) fenceNow() fence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fence
}

// holding returns what is held of a topic in an epoch; the answer must not be changed.
func (s *state) holding(t quote.Topic, epoch uint64) *holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics[t].at(epoch)
}

// positions tells, for each topic of an append, through where all of that epoch is on disk or lost.
func (s *state) positions(w *write) map[quote.Topic]quote.Point {
	if w.core == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[quote.Topic]quote.Point{}
	add := func(t quote.Topic) {
		if _, found := out[t]; !found {
			out[t] = quote.Point{Epoch: w.core.epoch, Seq: s.topics[t].at(w.core.epoch).done.Through()}
		}
	}
	for i := range w.rows {
		add(w.rows[i].topic)
	}
	for _, l := range w.lost {
		add(l.Topic)
	}
	return out
}

// all returns every topic, sorted; the answer must not be changed.
func (s *state) all() []quote.Topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = make([]quote.Topic, 0, len(s.topics))
		for t := range s.topics {
			s.names = append(s.names, t)
		}
		slices.Sort(s.names)
	}
	return s.names
}

// holdings returns all that is held of a topic, by epoch; the answer must not be changed.
func (s *state) holdings(t quote.Topic) []*holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.topics[t]; found != nil {
		return found.holdings
	}
	return nil
}

// newest returns the position of a topic's newest record, if there is one.
func (s *state) newest(t quote.Topic) (quote.Point, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.topics[t]; found != nil {
		return found.newest()
	}
	return quote.Point{}, false
}

// slots tells of each of our slots whether it is in sync.
func (s *state) slots(now time.Time) []wire.SlotStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []wire.SlotStatus
	for slot := range placement.Slots {
		if s.table.Owns(s.self, slot) {
			out = append(out, wire.SlotStatus{Slot: slot, InSync: s.inSync(slot, now)})
		}
	}
	return out
}

// coreNow returns core's address, and whether it is there: "up", "silent" or "down".
func (s *state) coreNow(now time.Time) (addr, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.core == nil:
		return "", "down"
	case !s.alive(now):
		return s.core.addr, "silent"
	}
	return s.core.addr, "up"
}

// atHand answers a query that is newest, from memory, if it can: all of it is of one moment.
func (s *state) atHand(q *query, now time.Time) (rows []row, more bool, inSync map[int]bool, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := q.topics[0]
	t := s.topics[name]
	if t == nil {
		return nil, false, nil, false
	}
	if rows, more, ok = s.tails.find(name).newest(q.limit); !ok {
		return nil, false, nil, false
	}
	q.held = map[quote.Topic][]*holding{name: t.holdings}
	if !t.floor.IsZero() {
		q.floors = []quote.Position{{Topic: name, Point: t.floor}}
	}
	return rows, more, s.inSyncs(q.slots, now), true
}

// follow returns the tail of a topic that is to be filled, nil for none.
func (s *state) follow(name quote.Topic) *tail {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[name] == nil {
		return nil
	}
	if t := s.tails.follow(name); t != nil && !t.filled {
		return t
	}
	return nil
}

// fill fills it.
func (s *state) fill(t *tail, rows []row, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tails.fill(t, rows, more)
}
