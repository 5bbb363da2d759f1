package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quotes/src/quote"
	"quotes/src/wire"
)

// onFrame takes what the broker sends unasked. While it writes nobody reads, so silence is not counted then.
func (s *follower) onFrame(f wire.Frame) {
	s.quiet.Stop()
	defer s.heard()
	s.do(func() { s.frame(f) })
}

func (s *follower) frame(f wire.Frame) {
	switch f.Type {
	case wire.TypePublish:
		s.publish(f)
	case wire.TypeHeartbeat:
		var h wire.Heartbeat
		if f.Decode(&h) == nil {
			s.sourceIs(h.Source)
			if h.Source != wire.SourceRecovering {
				s.beats++
			}
		}
		s.lagging()
	case wire.TypeLost:
		var l wire.Lost
		if f.Decode(&l) != nil || !s.asked(l.Topic) {
			s.app.note("unreadable LOST from the broker: %.200s", f.Payload)
			return
		}
		s.lost(l, "are not in the broker's log any more")
	case wire.TypeGoaway:
		s.app.note("the broker is leaving")
	case wire.TypeError:
		s.app.note("the broker says: %v", wire.ErrorOf(f))
	}
}

// lost takes a range that does not come from the broker.
func (s *follower) lost(l wire.Lost, why string) {
	news := s.tracker.loss(l)
	s.app.note("LOST %s: %s between %s and %s %s", l.Topic, lostCount(l.Count), at(l.After), at(l.Before), why)
	if reached := s.fill(l); news && s.ended() {
		s.tracker.stand(l.Topic, reached) // nothing behind it was shown: the rest is there for the next run
	}
}

// born takes the first frame of a topic that was not there before a cut: what it had of the epoch before that frame is lost to us. It was
// not there where a connection held for some heartbeats, and so got through the snapshots of all, and had none of it.
func (s *follower) born(topic quote.Topic, f wire.Frame) {
	if !s.whole || !f.Snapshot || f.Seq < 2 || s.tracker.topics[topic] != nil || s.conflates(topic) {
		return
	}
	count := f.Seq - 1
	s.lost(wire.Lost{Topic: topic, After: quote.Point{Epoch: f.Epoch}, Before: f.Point(), Count: &count}, "came while there was no connection")
}

// asked reports whether a topic is one that was subscribed to: others could fill the memory.
func (s *follower) asked(t quote.Topic) bool {
	_, err := quote.ParseTopic(string(t))
	return err == nil && slices.ContainsFunc(s.patterns, func(p quote.Pattern) bool { return p.Match(t) })
}

// publish judges a frame by its position and shows it.
func (s *follower) publish(f wire.Frame) {
	topic := quote.Topic(f.Topic)
	if !s.asked(topic) {
		s.app.note("frame of a topic that was not asked for: %.80s", f.Topic)
		return
	}
	if f.Snapshot && f.Source != "" {
		s.sourceIs(f.Source)
	}
	if s.born(topic, f); s.ended() {
		return
	}
	v, before := s.tracker.frame(topic, f)
	switch v {
	case duplicate:
		return // counted, told at the end
	case gap:
		s.app.note("GAP %s: after %s came %s, and the broker does not say what lies between", topic, at(before), at(f.Point()))
	}
	if err := s.show(topic, f); err != nil {
		s.tracker.undo(topic, before)
		s.stop(err)
		return
	}
	if s.count > 0 && s.tracker.frames >= s.count {
		s.stop(errEnough)
	}
}

// sourceIs tells when core is lost or back.
func (s *follower) sourceIs(source string) {
	if source == "" || source == s.source {
		return
	}
	s.source = source
	switch source {
	case wire.SourceLost:
		s.app.note("source lost: the broker has no connection from core, prices are the last known")
	case wire.SourceRecovering:
		s.app.note("source recovering: the broker awaits core's positions")
	default:
		s.app.note("source %s again", source)
	}
}

// lagging tells each second, with the heartbeat, what was skipped because the output is read too slowly.
func (s *follower) lagging() {
	if n := s.tracker.lagged(); n > s.lagTold {
		s.app.note("skipped %d frames for lag: they are not read fast enough; fewer come with --mode sampled", n-s.lagTold)
		s.lagTold = n
	}
}

// summary says at the end what was not an even flow.
func (s *follower) summary() {
	t := s.tracker
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(t.skipped)) {
		parts = append(parts, fmt.Sprintf("%d skipped (%s)", t.skipped[why], why))
	}
	for _, n := range []struct {
		count uint64
		what  string
	}{{uint64(s.cuts), "cuts"}, {t.lostRanges, "LOST"}, {t.lost, "frames in them"}, {t.filled, "filled"}, {t.duplicates, "duplicates"}, {t.gaps, "gaps"}} {
		if n.count > 0 || s.verify {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if len(parts) > 0 {
		s.app.note("%d frames of %d topics; %s", t.frames, len(t.topics), strings.Join(parts, ", "))
	}
}

func lostCount(n *uint64) string {
	if n == nil {
		return "frames"
	}
	return fmt.Sprintf("%d frames", *n)
}

// at writes a position as EPOCH/SEQ.
func at(p quote.Point) string { return fmt.Sprintf("%d/%d", p.Epoch, p.Seq) }
