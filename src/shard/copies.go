package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// Twins copy whole chunks where a whole block is missing: the rest goes record by record.

// Types of the question and its answer.
const (
	typeReqChunks  = "REQ_CHUNKS"
	typeRespChunks = "RESP_CHUNKS"
)

// Bounds of an answer: a frame is at most 1 MiB, and base64 makes four bytes of three.
const (
	chunksBytes  = 512 << 10
	maxChunkRuns = 256 // in one question
)

// reqChunks asks for the chunks of blocks that lie within runs of seqs, in the order of the runs.
type reqChunks struct {
	Runs []wire.LostRange `json:"runs"`
}

// respChunks has as many as fit, at least one where there is any; with more, others follow.
type respChunks struct {
	Chunks []sentChunk `json:"chunks"`
	More   bool        `json:"more"`
}

type sentChunk struct {
	Topic quote.Topic `json:"topic"`
	Epoch uint64      `json:"epoch"`
	Block uint64      `json:"block"`
	Data  []byte      `json:"data"` // as it is stored
}

// whole returns the first and the last block that lie within a run; there may be none.
func (b blocks) whole(first, last uint64) (from, to uint64, any bool) {
	from = b.of(first + uint64(b) - 1)
	if b.first(from) < first || b.last(from) > last {
		return 0, 0, false
	}
	return from, b.of(last+1) - 1, true
}

// onChunks answers REQ_CHUNKS.
func (s *Shard) onChunks(ctx context.Context, f wire.Frame) (wire.Frame, error) {
	var req reqChunks
	if err := f.Decode(&req); err != nil {
		return wire.Frame{}, err
	}
	if len(req.Runs) > maxChunkRuns {
		return wire.Frame{}, wire.Errorf(wire.BadRequest, "%d runs, at most %d", len(req.Runs), maxChunkRuns)
	}
	v := s.engine.View()
	defer func() { _ = v.Close() }()
	resp := respChunks{Chunks: []sentChunk{}}
	room := or(s.cfg.page, chunksBytes)
	for _, run := range req.Runs {
		if err := s.checkLost(run); err != nil {
			return wire.Frame{}, err
		}
		from, to, any := s.cfg.block.whole(run.First, run.Last)
		if !any || resp.More {
			continue
		}
		err := engine.Walk(v, keyOfChunk(run.Topic, run.Epoch, from), keyOfChunk(run.Topic, run.Epoch, to+1), false, func(key, value []byte) (bool, error) {
			if resp.More = len(value) > room && len(resp.Chunks) > 0; resp.More {
				return false, nil
			}
			room -= len(value)
			if len(value) <= chunksBytes { // a larger one goes record by record
				resp.Chunks = append(resp.Chunks, sentChunk{run.Topic, run.Epoch, pointOf(key).Seq, slices.Clone(value)})
			}
			return ctx.Err() == nil, ctx.Err()
		})
		if err != nil {
			return wire.Frame{}, err
		}
	}
	return wire.Make(typeRespChunks, resp), nil
}

// copyChunks gets the chunks of all blocks that are wholly wanted, and returns how many records they had.
func (m *mender) copyChunks(ctx context.Context, s *wire.Session, wants []want) (copied int, err error) {
	var runs []wire.LostRange
	for _, w := range wants {
		if from, to, any := m.shard.cfg.block.whole(w.first, w.last); any {
			runs = append(runs, wire.LostRange{Topic: w.topic, Epoch: w.epoch, First: m.shard.cfg.block.first(from), Last: m.shard.cfg.block.last(to)})
		}
	}
	for len(runs) > 0 {
		asked := runs[:min(len(runs), maxChunkRuns)]
		got, more, err := m.askChunks(ctx, s, asked)
		if err != nil {
			return copied, err
		}
		if len(got) > 0 {
			if _, err := m.shard.committer.do(ctx, &write{copies: got}); err != nil {
				return copied, err
			}
		}
		for i := range got {
			copied += got[i].header.Count
		}
		if !more || len(got) == 0 {
			runs = runs[len(asked):]
			continue
		}
		last := got[len(got)-1].at
		i := slices.IndexFunc(asked, func(r wire.LostRange) bool { return holdsBlock(r, last, m.shard.cfg.block) })
		runs = runs[i:]
		if runs[0].First = m.shard.cfg.block.last(last.Block) + 1; runs[0].First > runs[0].Last {
			runs = runs[1:] // the page ended where a run does
		}
	}
	return copied, nil
}

// holdsBlock reports whether a chunk's block lies within a run.
func holdsBlock(r wire.LostRange, a chunk.Address, size blocks) bool {
	return r.Topic == a.Topic && r.Epoch == a.Epoch && r.First <= size.first(a.Block) && size.last(a.Block) <= r.Last
}

// askChunks asks once, and checks that what comes was asked for, and is records of that topic.
func (m *mender) askChunks(ctx context.Context, s *wire.Session, runs []wire.LostRange) (out []sealed, more bool, err error) {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var resp respChunks
	if err := wire.Decoded(ask, s, typeReqChunks, reqChunks{runs}, &resp); err != nil {
		return nil, false, err
	}
	size := 0
	for _, c := range resp.Chunks {
		a := chunk.Address{Topic: c.Topic, Epoch: c.Epoch, Block: c.Block}
		if !slices.ContainsFunc(runs, func(r wire.LostRange) bool { return holdsBlock(r, a, m.shard.cfg.block) }) {
			return nil, false, fmt.Errorf("twin sent chunk %s, which was not asked for", a)
		}
		s := sealed{at: a, data: c.Data}
		if s.header, err = chunk.Open(a, c.Data); err != nil {
			return nil, false, fmt.Errorf("twin's %w", err)
		}
		if m.records, m.text, err = m.dec.Decode(a, c.Data, m.records[:0], m.text[:0]); err != nil {
			return nil, false, fmt.Errorf("twin's %w", err)
		}
		if err := s.header.Check(m.records); err != nil {
			return nil, false, fmt.Errorf("twin's chunk %s: %w", a, err)
		}
		for i := range m.records {
			r := &m.records[i]
			checked, err := newRow(a.Topic, quote.Point{Epoch: a.Epoch, Seq: r.Seq}, r.Payload)
			if err == nil && (m.shard.cfg.block.of(r.Seq) != a.Block || checked.timestamp != r.Timestamp || checked.received != r.Received) {
				err = errors.New("its times or its block are not those of the payload")
			}
			if err != nil {
				return nil, false, fmt.Errorf("twin's chunk %s: record %d: %w", a, r.Seq, err)
			}
			s.seqs.Add(r.Seq, r.Seq)
		}
		size += len(c.Data)
		out = append(out, s)
	}
	m.pace.wait(ctx, size)
	return out, resp.More, nil
}

// lacking returns what of wants is not on disk yet.
func (s *state) lacking(wants []want) (out []want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range wants {
		for _, p := range s.topics[w.topic].at(w.epoch).held.Missing(w.first, w.last) {
			out = append(out, want{w.topic, w.epoch, p.First, p.Last})
		}
	}
	return out
}

// copy stores chunks of blocks that nothing is held of.
func (c *committer) copy(w *write) {
	d := newDraft(c)
	defer d.close()
	began := time.Now()
	err := c.room.check()
	if err == nil {
		err = c.engine.Commit(func(b engine.Batch) error {
			d.batch = b
			for i := range w.copies {
				if err := d.copy(&w.copies[i]); err != nil {
					return err
				}
			}
			return d.finish()
		})
	}
	if err == nil {
		c.settled(d, began)
	}
	w.result <- result{err: err}
}

func (d *draft) copy(s *sealed) error {
	first, last := d.c.size.first(s.at.Block), d.c.size.last(s.at.Block)
	h := d.at(s.at.Topic, s.at.Epoch)
	if h.held.Count(first, last) > 0 || (quote.Point{Epoch: s.at.Epoch, Seq: last}).Compare(d.c.state.floor(s.at.Topic)) < 0 {
		return nil
	}
	for _, p := range s.seqs.Spans() {
		h.held.Add(p.First, p.Last)
		h.done.Add(p.First, p.Last)
	}
	d.forgets = append(d.forgets, s.at.Topic)
	d.repaired += s.header.Count
	d.fence.epoch = max(d.fence.epoch, s.at.Epoch)
	d.c.state.reach.extend(s.at.Topic, s.header.Latest)
	e := extentOf(s.at, &s.header, len(s.data))
	return errors.Join(d.batch.Set(keyOfChunk(s.at.Topic, s.at.Epoch, s.at.Block), s.data), d.batch.Set(e.key(s.at.Topic), e.value()))
}
