package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// scrub goes round all topics shared with one twin, for ever: it follows the twin's floors, compares checksums and copies
// what our disk has lost though we believed to hold it. What we know that we lack is the mender's.
type scrub struct {
	m    *mender
	pace pace
	// known are blocks whose records differ at one position: nothing can say who is right, and once is often enough to say so.
	known map[blockSum]string
}

// askCost is what one question counts for at the pace, in bytes, beside what is read for it: with many small topics the
// questions are the work.
const askCost = 32 << 10

// maxKnown bounds the memory for blocks that differ.
const maxKnown = 4096

// run scrubs until ctx ends: one round in ScrubEvery at most.
func (c *scrub) run(ctx context.Context) {
	every := c.m.shard.cfg.ScrubEvery
	for ctx.Err() == nil {
		began := time.Now()
		if err := c.round(ctx); err == nil {
			c.m.shard.met.scrubs.Inc()
		} else if ctx.Err() == nil && !errors.Is(err, wire.ErrDown) && !errors.Is(err, wire.ErrClosed) {
			c.m.shard.met.failures.WithLabelValues(c.m.peer.Name).Inc()
			c.m.log.Warn("comparison failed", "err", err)
		}
		t := time.NewTimer(max(every-time.Since(began), every/10))
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}

func (c *scrub) size() blocks { return c.m.shard.cfg.block }

// round compares all that both hold, once.
func (c *scrub) round(ctx context.Context) error {
	s, err := c.m.client.Session(ctx)
	if err != nil {
		return err
	}
	state := c.m.shard.state
	for _, t := range state.all() {
		if !state.sharesTopic(c.m.twin, t) {
			continue
		}
		if err := c.topic(ctx, s, t); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sharesTopic reports whether a twin keeps a topic of ours too.
func (s *state) sharesTopic(twin int, t quote.Topic) bool {
	return s.shares(twin, newTopic(t).slot)
}

// topic compares one topic through our newest record.
func (c *scrub) topic(ctx context.Context, s *wire.Session, t quote.Topic) error {
	newest, found := c.m.shard.state.newest(t)
	if !found {
		return nil
	}
	req := reqSums{Topic: t, Before: quote.Point{Epoch: newest.Epoch, Seq: newest.Seq + 1}}
	if floor := c.m.shard.state.floor(t); !floor.IsZero() {
		req.After = quote.Point{Epoch: floor.Epoch, Seq: floor.Seq - 1}
	}
	for more := true; more; {
		theirs, err := c.ask(ctx, s, req)
		if err == nil {
			err = c.m.follow(ctx, []floorOf{{t, theirs.Floor}})
		}
		if err != nil {
			return err
		}
		bounded := req
		if theirs.More { // ours up to there, however many blocks that is
			end := theirs.Sums[len(theirs.Sums)-1]
			bounded.Before = quote.Point{Epoch: end.Epoch, Seq: c.size().last(end.Block) + 1}
		}
		for _, want := range theirs.Sums {
			if err := c.block(ctx, s, bounded, want); err != nil {
				return err
			}
		}
		if more = theirs.More; more {
			next := quote.Point{Epoch: bounded.Before.Epoch, Seq: bounded.Before.Seq - 1}
			if next.Compare(req.After) <= 0 {
				return fmt.Errorf("twin's sums of %s do not go on behind %d/%d", t, req.After.Epoch, req.After.Seq)
			}
			req.After = next
		}
	}
	return nil
}

func (c *scrub) ask(ctx context.Context, s *wire.Session, req reqSums) (resp respSums, err error) {
	c.pace.wait(ctx, askCost)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err = wire.Decoded(ctx, s, typeReqSums, req, &resp); err == nil && resp.More && len(resp.Sums) == 0 {
		err = errors.New("twin says that there is more, and nothing else")
	}
	return resp, err
}

// block compares one block, and where it differs, gets the twin's records and makes ours whole.
func (c *scrub) block(ctx context.Context, s *wire.Session, req reqSums, theirs blockSum) error {
	req.After = quote.Point{Epoch: theirs.Epoch, Seq: c.size().first(theirs.Block) - 1}
	if end := (quote.Point{Epoch: theirs.Epoch, Seq: c.size().last(theirs.Block) + 1}); end.Compare(req.Before) < 0 {
		req.Before = end
	}
	ours, size, err := c.m.shard.sums(ctx, req)
	if err != nil {
		return err
	}
	c.pace.wait(ctx, size)
	c.m.shard.met.compared.Add(float64(theirs.Count))
	if slices.Contains(ours.Sums, theirs) {
		return nil
	}
	mine := ""
	if len(ours.Sums) > 0 {
		mine = ours.Sums[0].Sum
	}
	if c.known[theirs] == mine && mine != "" {
		return nil
	}
	if mended, err := c.mend(ctx, s, req); err != nil || !mended {
		return err // and it is tried again
	}
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[theirs] = mine
	return nil
}

// mend writes the twin's records of a block: what is on our disk already is left as it is. It reports whether the twin gave all.
func (c *scrub) mend(ctx context.Context, s *wire.Session, req reqSums) (bool, error) {
	last := req.Before.Seq - 1
	if req.Before.Epoch != req.After.Epoch {
		last = req.After.Seq + uint64(c.size())
	}
	batch := []want{{req.Topic, req.After.Epoch, req.After.Seq + 1, last}}
	for more := true; more && len(batch) > 0; {
		var rows []row
		var err error
		if rows, more, _, err = c.m.page(ctx, s, batch); err != nil || len(rows) == 0 {
			return false, err
		}
		batch = behind(batch, rows[len(rows)-1])
		rows = c.m.shard.state.believed(rows)
		if _, err := c.m.shard.committer.do(ctx, &write{rows: rows}); err != nil {
			return false, err
		}
	}
	c.m.shard.state.ripen(req.Topic) // what it lacked may have kept the block from being sealed
	return true, nil
}

// believed returns those of the rows that we think we hold; the others are for the mender, or come from core.
func (s *state) believed(rows []row) []row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(rows, func(r row) bool { return !s.topics[r.topic].at(r.point.Epoch).held.Has(r.point.Seq) })
}
