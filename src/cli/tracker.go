package cli

import (
	"quotes/src/quote"
	"quotes/src/wire"
)

// verdict is what a frame's position means beside the one before it.
type verdict int

const (
	fresh     verdict = iota // it follows, or what lies between was accounted for
	duplicate                // it was here before, or comes behind a newer one
	gap                      // frames are missing between that nobody named
)

// tracker proves of each topic that nothing was lost without a word: frame by frame, from prev, seq and skipped, and from
// the LOST that the broker sends. It has no clock and no connection.
type tracker struct {
	topics map[quote.Topic]*trail

	frames, duplicates, gaps uint64
	lost, lostRanges         uint64            // frames that LOST counted, and how many LOST there were
	filled                   uint64            // of these, those that history had
	missing                  uint64            // of these, those that nobody had
	unsure                   uint64            // LOST without a count, of which history may not have had all
	skipped                  map[string]uint64 // by why
}

// trail is the newest position of a topic. While loose, prev is as core wrote it and can't be checked: after a LOST, and
// with the first frame of a topic on a connection.
type trail struct {
	last  quote.Point
	loose bool
}

func newTracker() *tracker {
	return &tracker{topics: map[quote.Topic]*trail{}, skipped: map[string]uint64{}}
}

// frame takes a PUBLISH and judges it; before is the topic's position until then.
func (t *tracker) frame(topic quote.Topic, f wire.Frame) (v verdict, before quote.Point) {
	p := f.Point()
	tr := t.topics[topic]
	switch {
	case tr == nil:
		tr = &trail{}
		t.topics[topic] = tr
	case p.Compare(tr.last) <= 0:
		t.duplicates++
		return duplicate, tr.last
	case !tr.follows(f):
		t.gaps++
		v = gap
	}
	before = tr.last
	*tr = trail{last: p}
	t.frames++
	if f.Skipped > 0 {
		t.skipped[reason(f.Why)] += f.Skipped
	}
	return v, before
}

// follows reports whether f comes right behind the last position, but for what it says was skipped.
// Across epochs skipped can't be added up; there prev_epoch and prev alone must fit.
func (tr *trail) follows(f wire.Frame) bool {
	if f.Epoch == tr.last.Epoch && f.Seq != tr.last.Seq+1+f.Skipped {
		return false
	}
	if f.Epoch != tr.last.Epoch && f.Skipped == 0 && f.Seq != 1 {
		return false
	}
	if tr.loose || f.Prev == nil {
		return true
	}
	prev := quote.Point{Epoch: f.PrevEpoch, Seq: *f.Prev}
	if prev.Epoch == 0 {
		prev.Epoch = f.Epoch
	}
	return prev == tr.last
}

// reason keeps the reasons for skipping few, whatever the broker says.
func reason(why string) string {
	switch why {
	case "lag", string(wire.ModeLatest), string(wire.ModeSampled):
		return why
	}
	return "other"
}

// undo takes the last frame of a topic back, which could not be shown: a later run asks for it again.
func (t *tracker) undo(topic quote.Topic, before quote.Point) {
	t.frames--
	t.stand(topic, before)
}

// stand puts a topic at a position; at none it is forgotten.
func (t *tracker) stand(topic quote.Topic, at quote.Point) {
	if at.IsZero() {
		delete(t.topics, topic)
		return
	}
	t.topics[topic] = &trail{last: at, loose: true}
}

// loss takes a LOST: the frame at its end is the next one expected. It reports whether that is news.
func (t *tracker) loss(l wire.Lost) bool {
	t.lostRanges++
	if l.Count != nil {
		t.lost += *l.Count
	}
	to := l.Before
	if to.Seq > 0 {
		to.Seq--
	}
	tr := t.topics[l.Topic]
	if tr == nil {
		tr = &trail{}
		t.topics[l.Topic] = tr
	}
	if to.Compare(tr.last) <= 0 {
		return false
	}
	*tr = trail{last: to, loose: true}
	return true
}

// loosen is for a new connection, whose first frame of a topic may have prev as core wrote it.
func (t *tracker) loosen() {
	for _, tr := range t.topics {
		tr.loose = true
	}
}

// positions returns where each topic that the pattern covers stands: what to resume from.
func (t *tracker) positions(p quote.Pattern) map[quote.Topic]quote.Point {
	out := map[quote.Topic]quote.Point{}
	for topic, tr := range t.topics {
		if p.Match(topic) {
			out[topic] = tr.last
		}
	}
	return out
}

// resume starts from positions of an earlier run.
func (t *tracker) resume(from map[quote.Topic]quote.Point) {
	for topic, p := range from {
		t.topics[topic] = &trail{last: p, loose: true}
	}
}

// lagged returns the frames skipped for lag so far, which no mode explains.
func (t *tracker) lagged() uint64 { return t.skipped["lag"] }
