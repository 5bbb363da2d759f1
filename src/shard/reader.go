package shard

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"quotes/src/quote"
	"quotes/src/shard/chunk"
	"quotes/src/shard/engine"
)

// reader reads records, whatever form they are stored in. It is for one goroutine. The payloads that it hands out are valid
// until it is used again.
type reader struct {
	view  engine.View
	size  blocks
	cache *cache // of those who ask for the newest; nil: none

	dec  chunk.Decoder
	at   chunk.Address // of what was decoded last
	have []chunk.Record
	text []byte
}

func newReader(v engine.View, size blocks) *reader { return &reader{view: v, size: size} }

// chunk returns the records of a stored chunk. Errors wrap [chunk.ErrBad] and name it.
func (r *reader) chunk(a chunk.Address, data []byte) ([]chunk.Record, error) {
	if r.at == a {
		return r.have, nil
	}
	if r.cache != nil {
		return r.cached(a, data)
	}
	var err error
	r.at = chunk.Address{}
	if r.have, r.text, err = r.dec.Decode(a, data, r.have[:0], r.text[:0]); err != nil {
		return nil, err
	}
	r.at = a
	return r.have, nil
}

// cached returns the records of a chunk from the cache, where it puts them.
func (r *reader) cached(a chunk.Address, data []byte) ([]chunk.Record, error) {
	have := r.cache.get(a, data)
	if have == nil {
		var text []byte
		var err error
		if have, text, err = r.dec.Decode(a, data, nil, nil); err != nil {
			return nil, err
		}
		r.cache.put(a, data, have, len(text))
	}
	r.at, r.have = a, have
	return have, nil
}

// sealed returns the records of a block that are in its chunk; there may be none.
func (r *reader) sealed(a chunk.Address) ([]chunk.Record, error) {
	if r.at == a {
		return r.have, nil
	}
	data, err := r.view.Get(keyOfChunk(a.Topic, a.Epoch, a.Block))
	if err != nil || data == nil {
		return nil, err
	}
	return r.chunk(a, data)
}

// home returns the block of a position.
func (r *reader) home(t quote.Topic, p quote.Point) chunk.Address {
	return chunk.Address{Topic: t, Epoch: p.Epoch, Block: r.size.of(p.Seq)}
}

// inChunk returns the record at a position that is in a chunk.
func (r *reader) inChunk(t quote.Topic, p quote.Point) (row, bool, error) {
	records, err := r.sealed(r.home(t, p))
	if err != nil {
		return row{}, false, err
	}
	i, found := slices.BinarySearchFunc(records, p.Seq, bySeq)
	if !found {
		return row{}, false, nil
	}
	return rowOfChunk(t, p.Epoch, &records[i]), true, nil
}

// lookup returns the record at a position, if it is stored.
func (r *reader) lookup(t quote.Topic, p quote.Point) (row, bool, error) {
	value, err := r.view.Get(keyOfRecord(t, p))
	switch {
	case err != nil:
		return row{}, false, err
	case value == nil:
		return r.inChunk(t, p)
	}
	found, err := parseRow(t, p, value)
	return found, err == nil, err
}

func rowOfChunk(t quote.Topic, epoch uint64, c *chunk.Record) row {
	return row{t, quote.Point{Epoch: epoch, Seq: c.Seq}, c.Timestamp, c.Received, c.Payload}
}

// walk calls each with a topic's records behind after and before before, in order of position, downwards if desc, until it
// returns false. A zero before is no bound.
func (r *reader) walk(t quote.Topic, after, before quote.Point, desc bool, each func(*row) (bool, error)) error {
	return r.walkSome(t, after, before, desc, nil, each)
}

// walkSome is walk, but passes over chunks that are not wanted without reading more than their header; nil wants all.
func (r *reader) walkSome(t quote.Topic, after, before quote.Point, desc bool, wanted func(*chunk.Header) bool, each func(*row) (bool, error)) error {
	lo, hi := recordRange(t, after, before)
	if bytes.Compare(lo, hi) >= 0 {
		return nil
	}
	m := merge{r: r, topic: t, after: after, before: before, desc: desc, wanted: wanted}
	var err error
	if m.rows, err = r.view.Scan(lo, hi); err != nil {
		return err
	}
	if m.chunks, err = r.view.Scan(chunkRange(t, after, before, r.size)); err == nil {
		err = m.run(each)
		err = errors.Join(err, m.chunks.Close())
	}
	return errors.Join(err, m.rows.Close())
}

// merge walks over a topic's rows and chunks at once.
type merge struct {
	r             *reader
	topic         quote.Topic
	after, before quote.Point
	desc          bool
	wanted        func(*chunk.Header) bool
	rows, chunks  engine.Cursor

	row     row // the next one, unless noRow
	noRow   bool
	records []chunk.Record // what is left of the chunk, in order of the walk
	epoch   uint64         // its
}

func (m *merge) run(each func(*row) (bool, error)) error {
	start, step := engine.Cursor.First, engine.Cursor.Next
	if m.desc {
		start, step = engine.Cursor.Last, engine.Cursor.Prev
	}
	if err := m.takeRow(start(m.rows)); err != nil {
		return err
	}
	more := start(m.chunks)
	for {
		for len(m.records) == 0 && more {
			if err := m.takeChunk(); err != nil {
				return err
			}
			more = step(m.chunks)
		}
		var next row
		fromRows := !m.noRow
		switch {
		case len(m.records) == 0 && m.noRow:
			return errors.Join(m.rows.Error(), m.chunks.Error())
		case len(m.records) > 0:
			next = rowOfChunk(m.topic, m.epoch, &m.records[0])
			if fromRows = fromRows && (m.row.point.Compare(next.point) < 0) != m.desc; !fromRows {
				m.records = m.records[1:]
			}
		}
		if fromRows {
			next = m.row
		}
		ok, err := each(&next)
		if err == nil && ok && fromRows {
			err = m.takeRow(step(m.rows))
		}
		if err != nil || !ok {
			return err
		}
	}
}

func (m *merge) takeRow(ok bool) (err error) {
	if m.noRow = !ok; ok {
		m.row, err = parseRow(m.topic, pointOf(m.rows.Key()), m.rows.Value())
	}
	return err
}

// takeChunk takes what is in bounds of the chunk that the cursor is on.
func (m *merge) takeChunk() error {
	p := pointOf(m.chunks.Key())
	a := chunk.Address{Topic: m.topic, Epoch: p.Epoch, Block: p.Seq}
	if m.wanted != nil {
		if h, err := chunk.Open(a, m.chunks.Value()); err != nil || !m.wanted(&h) {
			return err
		}
	}
	records, err := m.r.chunk(a, m.chunks.Value())
	if err != nil {
		return err
	}
	m.epoch = p.Epoch
	if p.Epoch == m.after.Epoch {
		i, found := slices.BinarySearchFunc(records, m.after.Seq, bySeq)
		if found {
			i++
		}
		records = records[i:]
	}
	if p.Epoch == m.before.Epoch {
		i, _ := slices.BinarySearchFunc(records, m.before.Seq, bySeq)
		records = records[:i]
	}
	if m.desc {
		m.r.at = chunk.Address{} // turned around, it is no chunk's any more
		slices.Reverse(records)
	}
	m.records = records
	return nil
}

func bySeq(c chunk.Record, seq uint64) int { return cmp.Compare(c.Seq, seq) }
