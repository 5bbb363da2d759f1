package shard

import (
	"slices"
	"sync"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Numbers of the state.
const (
	coreSilence = 3 * time.Second // of core's session: then no slot is in sync
	coreGrace   = time.Second     // after HELLO: what core has buffered for us comes by itself
)

// session is one core's connection, from its accepted HELLO to its end.
type session struct {
	epoch    uint64
	instance string
	addr     string
	close    func(error) // ends the connection
	since    time.Time   // when HELLO was accepted
	heard    time.Time   // guarded by the state's lock
}

// state is what the shard knows, in memory: what it holds, who its core is, and so which slots are in sync. It has no
// clock and no network, and trusts its callers to have stored what they tell it.
type state struct {
	self  int // our index in the table
	table *placement.Table

	mu       sync.Mutex
	topics   map[quote.Topic]*topic
	fence    fence
	core     *session              // nil while there is none
	epoch    uint64                // of the last HELLO since our start: what need, sent and whole are about
	gaps     [placement.Slots]int  // topics of the slot that are not whole
	compared map[int]uint64        // by twin: what it had of the epochs below this one was copied completely
	kicks    map[int]chan struct{} // by twin: there may be something to repair
	names    []quote.Topic         // all topics, sorted; nil when it must be made anew
	raised   uint64                // how often a floor was
	size     blocks
	toSeal   map[quote.Topic]struct{} // topics that may have blocks to seal
	ripened  chan struct{}            // there are such
	reach    *reach
	tails    *tails
}

func newState(self int, table *placement.Table) *state {
	s := &state{
		self: self, table: table, topics: map[quote.Topic]*topic{}, compared: map[int]uint64{}, kicks: map[int]chan struct{}{},
		size: blockSeqs, toSeal: map[quote.Topic]struct{}{}, ripened: make(chan struct{}, 1), reach: newReach(), tails: newTails(),
	}
	for slot := range placement.Slots {
		for _, twin := range s.twins(slot) {
			if s.kicks[twin] == nil {
				s.kicks[twin] = make(chan struct{}, 1)
			}
		}
	}
	return s
}

// twins returns the other owners of a slot, or none where it is not ours.
func (s *state) twins(slot int) []int {
	if !s.table.Owns(s.self, slot) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.table.Owners(slot)), func(o int) bool { return o == s.self })
}

// shares reports whether the twin and we both own the slot.
func (s *state) shares(twin, slot int) bool {
	return s.table.Owns(s.self, slot) && s.table.Owns(twin, slot)
}

// announced takes a core's HELLO, once its epoch is stored, and returns the session that it replaces, if any.
func (s *state) announced(core *session, topics []wire.HelloTopic) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.core
	s.fence = fence{core.epoch, core.instance}
	s.core = core
	for _, t := range s.topics {
		t.sent = 0
		if core.epoch != s.epoch {
			t.need = 0
		}
	}
	if core.epoch != s.epoch {
		for t := range s.topics { // what the older epochs have left may be closed now
			s.ripening(t)
		}
	}
	s.epoch = core.epoch
	for _, h := range topics {
		t := s.topic(h.Topic)
		t.need = max(t.need, max(h.Next, 1)-1)
	}
	for _, t := range s.topics {
		s.judge(t)
	}
	s.kick()
	return old
}

// heard notes a sign of life from core.
func (s *state) heard(core *session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	core.heard = now
}

// ended notes that a session is over, and reports whether it was the one that counts.
func (s *state) ended(core *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != core {
		return false
	}
	s.core = nil
	return true
}

// admits says whether a session may still append: nil, or a [*wire.Error] with stale_epoch.
func (s *state) admits(core *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fence != (fence{core.epoch, core.instance}) {
		return wire.Errorf(wire.StaleEpoch, "epoch %d is over: a core of epoch %d has announced itself", core.epoch, s.fence.epoch)
	}
	return nil
}

// change is what a commit has put on disk.
type change struct {
	holdings []named
	rows     []row                  // that were stored
	forgets  []quote.Topic          // whose newest records memory can't follow: they got chunks, or records in the place of lost ones
	sent     map[quote.Topic]uint64 // the highest seq that core appended in this epoch
	fence    fence                  // a newer epoch, learnt from a twin's records; else zero
}

// named is a topic's new holding.
type named struct {
	topic quote.Topic
	*holding
}

// stored takes what a commit has put on disk. It returns a session that the change has fenced off, if any.
func (s *state) stored(c change) (fenced *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.fence.epoch > s.fence.epoch {
		s.fence = c.fence
		fenced, s.core = s.core, nil
	}
	for i := range c.rows {
		s.tails.add(&c.rows[i])
	}
	for _, t := range c.forgets {
		s.tails.forget(t)
	}
	gaps := false
	for _, n := range c.holdings {
		t := s.topic(n.topic)
		if n.epoch != s.fence.epoch || s.ripens(t.at(n.epoch), n.holding) {
			s.ripening(n.topic)
		}
		t.put(n.holding)
		if n.epoch == s.epoch {
			t.need = max(t.need, c.sent[n.topic])
			t.sent = max(t.sent, c.sent[n.topic])
		}
		was := t.whole
		s.judge(t)
		gaps = gaps || was && !t.whole
	}
	if gaps {
		s.kick()
	}
	return fenced
}

// topic finds or makes a topic. The lock is held.
func (s *state) topic(name quote.Topic) *topic {
	t := s.topics[name]
	if t == nil {
		t = newTopic(name)
		s.topics[name] = t
		s.names = nil
	}
	return t
}

// judge finds out anew whether a topic is whole. The lock is held.
func (s *state) judge(t *topic) {
	whole := t.at(s.epoch).done.Through() >= t.need
	if whole == t.whole {
		return
	}
	t.whole = whole
	if whole {
		s.gaps[t.slot]--
	} else {
		s.gaps[t.slot]++
	}
}

// kick wakes all that repair.
func (s *state) kick() {
	for _, c := range s.kicks {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// alive reports whether core's session is up and not silent. The lock is held.
func (s *state) alive(now time.Time) bool {
	return s.core != nil && now.Sub(s.core.heard) < coreSilence
}

// inSync reports whether our copy of a slot is complete. The lock is held.
func (s *state) inSync(slot int, now time.Time) bool {
	if !s.alive(now) || s.gaps[slot] > 0 || !s.table.Owns(s.self, slot) {
		return false
	}
	for _, o := range s.table.Owners(slot) {
		if o != s.self && s.compared[o] < s.core.epoch {
			return false
		}
	}
	return true
}
