package shard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
)

// sealed is a block's chunk, instead of its rows.
type sealed struct {
	at     chunk.Address
	header chunk.Header
	data   []byte
	rows   []row      // what is sealed now and was not before; their payloads are not kept
	seqs   quote.Seqs // of a twin's chunk
	before bool       // it takes the place of an earlier chunk
	old    extent
}

// Bounds of the sealing.
const (
	sealGroup  = 4  // chunks in one commit
	yieldEvery = 64 // records, after which others run: who waits for an answer must not wait for a whole block
	sealRetry  = time.Second
	sealRest   = 3 // rests so many times as long as it worked while records come in, which go first; else as long
)

// errNotRipe says that a block is not to be sealed after all.
var errNotRipe = errors.New("block has changed")

// sealer seals blocks: those of whose seqs each is on disk or lost, and those of older epochs once all that the twins had was
// copied. A block that records were added to after it was sealed is sealed again.
type sealer struct {
	c     *committer
	found func(error) // gets what could not be read
	enc   chunk.Encoder
	group []sealed
}

// run seals until ctx ends.
func (s *sealer) run(ctx context.Context) {
	s.c.state.ripenAll()
	failing := false
	for ctx.Err() == nil {
		err := s.pass(ctx)
		if err != nil && ctx.Err() == nil {
			s.found(err)
			if !failing { // a disk may be full for hours
				s.c.log.Warn("not sealed, and tried again until it is", "err", err)
			}
			failing = true
			_ = rest(ctx, sealRetry) // the loop looks at ctx
			continue
		}
		failing = false
		select {
		case <-ctx.Done():
		case <-s.c.state.ripened:
		}
	}
}

// pass seals all that is ripe. What could not be sealed stays ripe.
func (s *sealer) pass(ctx context.Context) error {
	ripe := s.c.state.takeRipe()
	var failed error
	for _, t := range ripe {
		if err := s.topic(ctx, t); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", t, err))
		}
	}
	if failed = errors.Join(failed, s.submit(ctx)); failed != nil {
		for _, t := range ripe { // any of them may have been in a group that failed
			s.c.state.ripen(t)
		}
	}
	return failed
}

// topic seals all blocks of a topic that are ripe, a group at most in a turn, and rests after each: who waits for an answer, or for room in
// the storage, waits for one group at most, however many blocks there are.
func (s *sealer) topic(ctx context.Context, t quote.Topic) error {
	after, more := quote.Point{}, true
	for more {
		began, rows := time.Now(), s.c.rows.Load()
		v := s.c.engine.View() // a new one each time: what a view sees, storage must keep
		var err error
		after, more, err = s.blocks(ctx, v, t, after)
		if err = errors.Join(err, v.Close()); err == nil && len(s.group) >= sealGroup {
			err = s.submit(ctx)
		}
		pause := time.Since(began)
		if s.c.rows.Load() != rows {
			pause *= sealRest
		}
		if err = errors.Join(err, rest(ctx, pause)); err != nil {
			return err
		}
	}
	return nil
}

// rest returns when d is over; an error is ctx's.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// blocks goes through a topic's blocks that have rows behind a point, as many as make a group; it returns the last point of those it
// went through, and whether more may follow.
func (s *sealer) blocks(ctx context.Context, v engine.View, t quote.Topic, after quote.Point) (quote.Point, bool, error) {
	lo, hi := recordRange(t, after, quote.Point{})
	c, err := v.Scan(lo, hi)
	if err != nil {
		return after, false, err
	}
	size := s.c.size
	ok, tried := c.First(), 0
	for ok && err == nil && len(s.group) < sealGroup && tried < sealGroup {
		p := pointOf(c.Key())
		a := chunk.Address{Topic: t, Epoch: p.Epoch, Block: size.of(p.Seq)}
		if s.c.state.ripe(t, p.Epoch, size.first(a.Block), size.last(a.Block)) {
			tried++ // it may be too large for a chunk
			err = s.seal(newReader(v, size), a)
		}
		after = quote.Point{Epoch: p.Epoch, Seq: size.last(a.Block)}
		ok = c.SeekGE(keyOfRecord(t, quote.Point{Epoch: p.Epoch, Seq: after.Seq + 1}))
	}
	return after, ok, errors.Join(err, c.Error(), c.Close(), ctx.Err())
}

// seal makes a block's chunk. One whose payloads are too large for a chunk is left as it is.
func (s *sealer) seal(r *reader, a chunk.Address) error {
	out := sealed{at: a}
	before, err := r.view.Get(keyOfChunk(a.Topic, a.Epoch, a.Block))
	if err != nil {
		return err
	}
	if out.before = before != nil; out.before {
		h, err := chunk.Open(a, before)
		if err != nil {
			return err
		}
		out.old = extentOf(a, &h, len(before))
	}
	was, err := r.sealed(a)
	if err != nil {
		return err
	}
	known := map[uint64]bool{}
	for i := range was {
		known[was[i].Seq] = true
	}
	var records []chunk.Record
	payload := 0
	size := r.size
	after, end := quote.Point{Epoch: a.Epoch, Seq: size.first(a.Block) - 1}, quote.Point{Epoch: a.Epoch, Seq: size.last(a.Block) + 1}
	err = r.walk(a.Topic, after, end, false, func(f *row) (bool, error) {
		records = append(records, chunk.Record{Seq: f.point.Seq, Timestamp: f.timestamp, Received: f.received, Payload: append([]byte{}, f.payload...)})
		if len(records)%yieldEvery == 0 {
			runtime.Gosched()
		}
		if payload += len(f.payload); !known[f.point.Seq] {
			out.rows = append(out.rows, row{topic: f.topic, point: f.point, timestamp: f.timestamp})
		}
		return payload <= chunk.MaxPayload, nil
	})
	if err != nil || payload > chunk.MaxPayload {
		return err
	}
	if out.data, err = s.enc.Append(nil, a, records); err != nil {
		return err
	}
	if out.header, err = chunk.Open(a, out.data); err != nil {
		return err
	}
	s.group = append(s.group, out)
	return nil
}

// submit makes the group durable.
func (s *sealer) submit(ctx context.Context) error {
	if len(s.group) == 0 {
		return nil
	}
	w := &write{seals: s.group}
	s.group = nil
	_, err := s.c.do(ctx, w)
	return err
}

// seal puts chunks in the place of rows, in one commit. What has changed since is left as it is.
func (c *committer) seal(w *write) {
	if err := c.room.check(); err != nil {
		w.result <- result{err: err}
		return
	}
	v := c.engine.View()
	count := 0
	err := c.engine.Commit(func(b engine.Batch) error {
		for i := range w.seals {
			s := &w.seals[i]
			err := c.replace(v, b, s)
			if errors.Is(err, errNotRipe) {
				continue // who changed it has said, or will say, that it is ripe
			}
			if err != nil {
				return fmt.Errorf("seal %s: %w", s.at, err)
			}
			count++
		}
		return nil
	})
	err = errors.Join(err, v.Close())
	if err == nil {
		c.met.sealed.Add(float64(count))
	}
	w.result <- result{err: err}
}

// replace changes what is stored of a block.
func (c *committer) replace(v engine.View, b engine.Batch, s *sealed) error {
	held := c.state.holding(s.at.Topic, s.at.Epoch).held
	first, last := c.size.first(s.at.Block), c.size.last(s.at.Block)
	if held.Count(first, last) != uint64(s.header.Count) {
		return errNotRipe
	}
	c.state.reach.extend(s.at.Topic, s.header.Latest)
	e := extentOf(s.at, &s.header, len(s.data))
	err := b.DeleteRange(keyOfRecord(s.at.Topic, quote.Point{Epoch: s.at.Epoch, Seq: first}), keyOfRecord(s.at.Topic, quote.Point{Epoch: s.at.Epoch, Seq: last + 1}))
	if s.before {
		err = errors.Join(err, b.Delete(s.old.key(s.at.Topic)))
	}
	return errors.Join(err, c.dropTimes(v, b, s.rows), b.Set(keyOfChunk(s.at.Topic, s.at.Epoch, s.at.Block), s.data), b.Set(e.key(s.at.Topic), e.value()))
}

// dropTimes takes rows out of the index of times: at once where nothing else is there between them, as is the rule.
func (c *committer) dropTimes(v engine.View, b engine.Batch, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	lo, hi := moment{at: rows[0].timestamp, point: rows[0].point}, moment{at: rows[0].timestamp, point: rows[0].point}
	for i := range rows {
		m := moment{at: rows[i].timestamp, point: rows[i].point}
		if m.compare(lo) < 0 {
			lo = m
		}
		if m.compare(hi) > 0 {
			hi = m
		}
	}
	t := rows[0].topic
	from, to := keyOfTime(t, lo.at, lo.point), append(keyOfTime(t, hi.at, hi.point), 0)
	between := 0
	err := engine.Walk(v, from, to, false, func(_, _ []byte) (bool, error) {
		between++
		return between <= len(rows), nil
	})
	if err != nil {
		return err
	}
	if between == len(rows) {
		return b.DeleteRange(from, to)
	}
	for i := range rows {
		if err := b.Delete(keyOfTime(t, rows[i].timestamp, rows[i].point)); err != nil {
			return err
		}
	}
	return nil
}

// What the state knows of sealing.

// ripen says that a topic may have blocks to seal.
func (s *state) ripen(t quote.Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ripening(t)
}

// ripening does so with the lock held.
func (s *state) ripening(t quote.Topic) {
	s.toSeal[t] = struct{}{}
	select {
	case s.ripened <- struct{}{}:
	default:
	}
}

// ripens reports whether a change may have made a block ripe: whether anything is new in a block before the one that still grows.
func (s *state) ripens(was, now *holding) bool {
	spans := now.done.Spans()
	if len(spans) == 0 {
		return false
	}
	end := s.size.first(s.size.of(spans[len(spans)-1].Last+1)) - 1
	return now.done.Count(1, end) != was.done.Count(1, end) || now.held.Count(1, end) != was.held.Count(1, end)
}

// ripenAll says so of all topics.
func (s *state) ripenAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.topics {
		s.ripening(t)
	}
}

// takeRipe returns the topics that may have blocks to seal, and forgets them.
func (s *state) takeRipe() (out []quote.Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.toSeal {
		out = append(out, t)
	}
	clear(s.toSeal)
	return out
}

// ripe reports whether a block is to be sealed: nothing will be added to it any more, as far as we know.
func (s *state) ripe(t quote.Topic, epoch, first, last uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.topics[t]
	if done := known.at(epoch).done; done.Count(first, last) == last-first+1 {
		return true
	}
	if known == nil || epoch >= s.fence.epoch {
		return false
	}
	for _, twin := range s.twins(known.slot) {
		if s.compared[twin] < s.fence.epoch {
			return false
		}
	}
	return true
}
