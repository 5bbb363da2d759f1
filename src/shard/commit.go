package shard

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"quotes/src/quote"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// Bounds of one commit: what waits beyond them goes into the next.
const (
	commitRows  = 8192
	commitQueue = 64 // writes that wait; who comes then waits too
)

// errStopped says that the shard is ending.
var errStopped = errors.New("shard is stopping")

// write is one thing that wants to be on disk: a core's announcement, an APPEND of its session, a page from a twin, chunks, or floors.
type write struct {
	core  *session          // who writes; nil is repair
	hello []wire.HelloTopic // with announce: where each topic stands
	rows  []row
	lost  []wire.LostRange // each with its epoch

	seals    []sealed // chunks in the place of rows
	floors   []floorOf
	copies   []sealed // chunks of a twin
	announce bool
	result   chan result // buffered: the committer never waits
}

// result is what became of a write. Positions says for each topic of an APPEND through where all is on disk or lost.
type result struct {
	positions map[quote.Topic]quote.Point
	err       error
}

// committer makes writes durable, one commit at a time. While one is being synced, the next gathers all that comes: from
// one connection's pipeline or from many.
type committer struct {
	engine engine.Engine
	state  *state
	log    *slog.Logger
	met    *metrics
	queue  chan *write
	size   blocks
	room   *room        // nil: there is always room
	rows   atomic.Int64 // from core, so far: whether they come in now
	done   chan struct{}
	next   *write // taken from the queue and not yet in a commit

	found   func(error) // gets what a commit could not read; may be nil
	unsaved []floorOf   // that are known, and could not be stored yet
}

func newCommitter(e engine.Engine, s *state, log *slog.Logger, met *metrics) *committer {
	return &committer{engine: e, state: s, log: log, met: met, size: blockSeqs, queue: make(chan *write, commitQueue), done: make(chan struct{})}
}

// submit queues a write; its result comes by its channel. Writes are made in the order of submission.
func (c *committer) submit(ctx context.Context, w *write) error {
	w.result = make(chan result, 1)
	select {
	case c.queue <- w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return errStopped
	}
}

// do submits a write and waits for its result.
func (c *committer) do(ctx context.Context, w *write) (result, error) {
	if err := c.submit(ctx, w); err != nil {
		return result{}, err
	}
	return c.wait(ctx, w)
}

func (c *committer) wait(ctx context.Context, w *write) (result, error) {
	select {
	case r := <-w.result:
		return r, r.err
	case <-ctx.Done():
		return result{}, ctx.Err()
	case <-c.done:
		return result{}, errStopped
	}
}

// run commits until ctx ends.
func (c *committer) run(ctx context.Context) {
	defer close(c.done)
	for {
		group := c.gather(ctx)
		if len(group) == 0 {
			return
		}
		switch w := group[0]; {
		case w.announce:
			c.announce(w)
		case w.seals != nil:
			c.seal(w)
		case w.floors != nil:
			c.raise(w)
		case w.copies != nil:
			c.copy(w)
		default:
			c.commit(group)
		}
	}
}

// alone reports whether a write shares its commit with no other.
func (w *write) alone() bool {
	return w.announce || w.seals != nil || w.floors != nil || w.copies != nil
}

// gather waits for a write and takes with it what waits behind it. An announcement stands alone, so that what was
// submitted before it is committed under the old fence and what comes after it under the new one; so do chunks, which are
// compared with what is stored.
func (c *committer) gather(ctx context.Context) []*write {
	w := c.next
	c.next = nil
	if w == nil {
		select {
		case w = <-c.queue:
		case <-ctx.Done():
			return nil
		}
	}
	group := []*write{w}
	for rows := len(w.rows); !w.alone() && rows < commitRows; rows += len(w.rows) {
		select {
		case w = <-c.queue:
		default:
			return group
		}
		if w.alone() {
			c.next = w
			return group
		}
		group = append(group, w)
	}
	return group
}

// announce stores a core's epoch and instance, synced, and makes it the one that counts.
func (c *committer) announce(w *write) {
	err := c.state.fenceNow().admit(w.core.epoch, w.core.instance, w.core.since)
	if err == nil {
		err = c.room.check()
	}
	if f := (fence{w.core.epoch, w.core.instance}); err == nil && f != c.state.fenceNow() {
		err = c.engine.Commit(func(b engine.Batch) error { return b.Set(keyOfMeta(metaFence), f.value()) })
	}
	if err == nil {
		if old := c.state.announced(w.core, w.hello); old != nil && old.addr != w.core.addr {
			old.close(wire.Errorf(wire.StaleEpoch, "core has announced itself on another connection"))
		}
	}
	w.result <- result{err: err}
}

// commit makes a group of appends and repairs durable, all at once, and then known.
func (c *committer) commit(group []*write) {
	d := newDraft(c)
	defer d.close()
	refused := make([]error, len(group))
	began := time.Now()
	if err := c.room.check(); err != nil {
		for _, w := range group {
			w.result <- result{err: err}
		}
		return
	}
	err := c.engine.Commit(func(b engine.Batch) error {
		d.batch = b
		for i, w := range group {
			if w.core != nil {
				if refused[i] = c.state.admits(w.core); refused[i] != nil {
					continue
				}
			}
			if err := d.add(w); err != nil {
				return err
			}
		}
		return d.finish()
	})
	if err == nil {
		c.settled(d, began)
	} else if c.found != nil {
		c.found(err)
	}
	for i, w := range group {
		switch {
		case err != nil:
			w.result <- result{err: err}
		case refused[i] != nil:
			w.result <- result{err: refused[i]}
		default:
			w.result <- result{positions: c.state.positions(w)}
		}
	}
}

// settled counts what a commit has put on disk, and makes it known.
func (c *committer) settled(d *draft, began time.Time) {
	c.met.commits.Inc()
	c.met.seconds.Observe(time.Since(began).Seconds())
	c.met.appended.Add(float64(d.appended))
	c.rows.Add(int64(d.appended))
	c.met.repaired.Add(float64(d.repaired))
	c.met.lost.Add(float64(d.lost))
	if d.restored > 0 {
		c.met.restored.Add(float64(d.restored))
		c.log.Error("records that the disk had lost were written again", "records", d.restored)
	}
	if fenced := c.state.stored(d.change()); fenced != nil {
		fenced.close(wire.Errorf(wire.StaleEpoch, "epoch %d is over: a twin has records of epoch %d", fenced.epoch, d.fence.epoch))
	}
}
