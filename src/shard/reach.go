package shard

import (
	"errors"
	"math"
	"sync"

	"quotes/src/quote"
	"quotes/src/shard/engine"
)

// reach knows of topics a time that no record in their chunks is later than: who asks for the newest records, and finds enough of
// later ones in rows, need not look at chunks.
//
// It guarantees that what it says holds for every view that was taken before it was asked, since it is told of a chunk before that
// is committed, and never takes anything back.
type reach struct {
	mu     sync.Mutex
	topics map[quote.Topic]reached
}

// reached is what is known of one topic.
type reached struct {
	latest quote.Time // of the chunks that reach was told of
	all    bool       // it was told of all
}

func newReach() *reach { return &reach{topics: map[quote.Topic]reached{}} }

// extend is called before a chunk with a record of that time is committed.
func (r *reach) extend(t quote.Topic, at quote.Time) {
	r.note(t, at, false)
}

func (r *reach) note(t quote.Topic, latest quote.Time, all bool) quote.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.topics[t]
	now = reached{max(now.latest, latest), now.all || all}
	r.topics[t] = now
	return now.latest
}

// of returns the time. What is not known of a topic it reads from the view.
func (r *reach) of(v engine.View, t quote.Topic) (quote.Time, error) {
	r.mu.Lock()
	now := r.topics[t]
	r.mu.Unlock()
	if now.all {
		return now.latest, nil
	}
	stored := quote.Time(0)
	err := eachClass(v, t, func(class byte) error {
		lo, hi := classRange(t, class)
		return engine.Walk(v, lo, hi, true, func(key, value []byte) (bool, error) {
			e, err := parseExtent(key, value)
			stored = max(stored, e.latest)
			return latestOf(e.earliest, class) > stored, err
		})
	})
	if err != nil {
		return 0, err
	}
	return r.note(t, stored, true), nil
}

// latestOf returns what no extent of a class that begins at a time or earlier ends behind.
func latestOf(begin quote.Time, class byte) quote.Time {
	if end := begin + quote.Time(longest(class)); end >= begin {
		return end
	}
	return math.MaxInt64
}

// eachClass calls each for the classes of extents that a topic has.
func eachClass(v engine.View, t quote.Topic, each func(class byte) error) error {
	lo := topicPrefix(extentKey, t)
	c, err := v.Scan(lo, end(lo))
	if err != nil {
		return err
	}
	for ok := c.First(); ok && err == nil; {
		class := c.Key()[len(lo)]
		err = each(class)
		ok = class < maxClass && c.SeekGE(append(lo, class+1))
	}
	return errors.Join(err, c.Error(), c.Close())
}

// classRange returns where the extents of a class are, from the first key on and up to the second.
func classRange(t quote.Topic, class byte) (lo, hi []byte) {
	return append(topicPrefix(extentKey, t), class), append(topicPrefix(extentKey, t), class+1)
}
