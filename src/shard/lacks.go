package shard

import (
	"cmp"
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// What to repair: pure arithmetic on what we hold and what a twin says it holds.

// want is a run of seqs that a twin holds and we lack.
type want struct {
	topic       quote.Topic
	epoch       uint64
	first, last uint64
}

// todo says what there is to do with a twin.
type todo struct {
	stamp   uint64         // a complete comparison counts for the epochs below this one
	full    bool           // compare everything
	symbols []quote.Symbol // else: of these something of the current epoch is missing
}

// todo finds out what to ask a twin, whose newest epoch is known. Where a comparison can't count yet, or core is away and
// may be writing to the twin alone, overdue says that it is time to compare all the same, so as to hold what can be held.
func (s *state) todo(twin int, twinEpoch uint64, overdue bool, now time.Time) todo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := todo{stamp: min(s.fence.epoch, twinEpoch)}
	compared, ever := s.compared[twin]
	out.full = !ever || compared < out.stamp || overdue && (!s.alive(now) || compared < s.core.epoch)
	for name, t := range s.topics {
		if t.whole || !s.shares(twin, t.slot) {
			continue
		}
		if through := s.copyable(t, s.epoch, now); len(t.at(s.epoch).done.Missing(1, min(t.need, through))) > 0 {
			out.symbols = append(out.symbols, name.Symbol())
		}
	}
	slices.Sort(out.symbols)
	out.symbols = slices.Compact(out.symbols)
	return out
}

// idle reports whether a twin has nothing for us, as far as we know.
func (s *state) idle(twin int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	compared, ever := s.compared[twin]
	if !s.alive(now) || !ever || compared < s.core.epoch {
		return false
	}
	for slot, gaps := range s.gaps {
		if gaps > 0 && s.shares(twin, slot) {
			return false
		}
	}
	return true
}

// copyable returns through which seq of an epoch may be copied from a twin. It is all, but for the epoch of a core that
// is there: what it has yet to append comes by itself. Its records of a topic come in order, so what is missing below
// the newest is missing for good; before the first one has come, core is given a moment, and after it what HELLO named
// as given out is missing too. The lock is held.
func (s *state) copyable(t *topic, epoch uint64, now time.Time) uint64 {
	switch {
	case epoch != s.epoch || !s.alive(now):
		return maxSeq
	case t.sent > 0:
		return t.sent - 1
	case now.Sub(s.core.since) < coreGrace:
		return 0
	}
	return t.need
}

// lacks returns what of a twin's ranges we want. Ranges of slots that we don't share, and senseless ones, are ignored.
func (s *state) lacks(twin int, name quote.Topic, ranges []quote.Range, now time.Time) []want {
	t := newTopic(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wanted(twin, t) {
		return nil
	}
	if known := s.topics[name]; known != nil {
		t = known
	}
	var out []want
	for _, r := range ranges {
		if r.First == 0 || r.Last < r.First || r.Last > maxSeq || tooFarAhead(r.Epoch, now) {
			continue
		}
		first, any := t.above(r.Epoch, r.First, r.Last)
		if !any {
			continue
		}
		through := min(r.Last, s.copyable(t, r.Epoch, now))
		for _, p := range t.at(r.Epoch).held.Missing(first, through) {
			out = append(out, want{name, r.Epoch, p.First, p.Last})
		}
	}
	return out
}

// wanted reports whether a topic that a twin names is one that we both keep.
func (s *state) wanted(twin int, t *topic) bool {
	_, err := quote.ParseTopic(string(t.name))
	return err == nil && t.name.Symbol() != "" && s.shares(twin, t.slot)
}

// untold returns what of a loss that a twin knows of is not accounted for here.
func (s *state) untold(twin int, l wire.LostRange, now time.Time) []wire.LostRange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wanted(twin, newTopic(l.Topic)) || l.First == 0 || l.Last < l.First || l.Last > maxSeq || tooFarAhead(l.Epoch, now) {
		return nil
	}
	var out []wire.LostRange
	first, any := s.topics[l.Topic].above(l.Epoch, l.First, l.Last)
	if !any {
		return nil
	}
	for _, p := range s.topics[l.Topic].at(l.Epoch).done.Missing(first, l.Last) {
		out = append(out, wire.LostRange{Topic: l.Topic, Epoch: l.Epoch, First: p.First, Last: p.Last})
	}
	return out
}

// missed returns the first of the wants, of epochs below the stamp, that is still not on disk.
func (s *state) missed(wants []want, below uint64) (want, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range wants {
		first, any := s.topics[w.topic].above(w.epoch, w.first, w.last)
		if any && w.epoch < below && len(s.topics[w.topic].at(w.epoch).held.Missing(first, w.last)) > 0 {
			return w, true
		}
	}
	return want{}, false
}

// comparedWith notes that all a twin had of the epochs below the stamp is here.
func (s *state) comparedWith(twin int, stamp uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.compared[twin] < stamp {
		for t := range s.topics {
			s.ripening(t)
		}
	}
	s.compared[twin] = max(s.compared[twin], stamp)
}

// batches orders wants into requests: each of one kind, with at most most topics, each once, sorted by topic.
func batches(wants []want, most int) [][]want {
	wants = slices.Clone(wants)
	slices.SortFunc(wants, func(a, b want) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.first, b.first))
	})
	var layers [][]want // the first run of every topic, the second of every topic that has two, and so on
	for i, nth := 0, 0; i < len(wants); i++ {
		if nth++; i == 0 || wants[i].topic != wants[i-1].topic {
			nth = 0
		}
		if nth == len(layers) {
			layers = append(layers, nil)
		}
		layers[nth] = append(layers[nth], wants[i])
	}
	var out [][]want
	for _, layer := range layers {
		for start, i := 0, 1; i <= len(layer); i++ {
			if i == len(layer) || i-start == most || layer[i].topic.Kind() != layer[start].topic.Kind() {
				out = append(out, layer[start:i])
				start = i
			}
		}
	}
	return out
}
