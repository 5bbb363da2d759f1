package shard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of the repair: one request to a twin is in flight at a time.
const (
	askSymbols = 200  // of which ranges are asked at a time
	pageTopics = 64   // of which records are asked at a time
	pageLimit  = 2000 // records in a page; the server cuts it to its frame
	lostPage   = 4096 // losses written at a time
)

// mend asks for what the twin holds of the symbols, of all where nil, and copies what we lack: it returns how many
// records and losses. It is an error if afterwards something of an epoch below the stamp is still missing.
func (m *mender) mend(ctx context.Context, s *wire.Session, symbols []quote.Symbol, stamp uint64) (int, error) {
	wants, lost, floors, err := m.askRanges(ctx, s, symbols)
	if err != nil {
		return 0, err
	}
	if err := m.follow(ctx, floors); err != nil {
		return 0, err
	}
	wants = m.shard.state.aboveFloors(wants)
	began, copied := time.Now(), len(lost)
	for page := range slices.Chunk(lost, lostPage) {
		if _, err := m.shard.committer.do(ctx, &write{lost: page}); err != nil {
			return 0, err
		}
	}
	chunks, err := m.copyChunks(ctx, s, wants)
	if copied += chunks; err != nil {
		return copied, err
	}
	for _, batch := range batches(m.shard.state.lacking(wants), pageTopics) {
		n, err := m.copy(ctx, s, batch)
		copied += n
		if err != nil {
			return copied, err
		}
	}
	if copied > 0 {
		m.log.Info("repaired", "records", copied-len(lost), "lost", len(lost), "took", time.Since(began).Round(time.Millisecond))
	}
	if w, missed := m.shard.state.missed(wants, stamp); missed {
		return copied, fmt.Errorf("twin did not send %s %d/%d to %d, which it says it holds", w.topic, w.epoch, w.first, w.last)
	}
	return copied, nil
}

// follow raises our floors to the twin's, where those are higher.
func (m *mender) follow(ctx context.Context, floors []floorOf) error {
	keep := keeper{c: m.shard.committer}
	for _, f := range m.shard.state.higher(m.twin, floors, time.Now()) {
		if err := keep.follow(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// askRanges asks what the twin holds and returns what of it we want, the losses that we have not heard of, and its floors.
func (m *mender) askRanges(ctx context.Context, s *wire.Session, symbols []quote.Symbol) (wants []want, lost []wire.LostRange, floors []floorOf, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	none := 0
	req := wire.Make(wire.TypeReqHist, wire.ReqHist{Symbols: symbols, Limit: &none})
	err = s.Stream(ctx, req, func(f wire.Frame) error {
		var r wire.RespHist
		if err := f.Decode(&r); err != nil {
			return err
		}
		now := time.Now()
		for t, ranges := range r.Ranges {
			wants = append(wants, m.shard.state.lacks(m.twin, t, ranges, now)...)
		}
		for _, f := range r.Floors {
			floors = append(floors, floorOf{f.Topic, quote.Point{Epoch: f.Epoch, Seq: f.Seq}})
		}
		for _, l := range r.Lost {
			lost = append(lost, m.shard.state.untold(m.twin, l, now)...)
		}
		return nil
	})
	return wants, lost, floors, err
}

// copy gets a batch of runs, page by page, each on disk before the next is asked for.
func (m *mender) copy(ctx context.Context, s *wire.Session, batch []want) (copied int, err error) {
	for len(batch) > 0 {
		rows, more, size, err := m.page(ctx, s, batch)
		if err != nil {
			return copied, err
		}
		if len(rows) > 0 {
			if _, err := m.shard.committer.do(ctx, &write{rows: rows}); err != nil {
				return copied, err
			}
			copied += len(rows)
		}
		m.pace.wait(ctx, size)
		if !more || len(rows) == 0 {
			return copied, nil
		}
		batch = behind(batch, rows[len(rows)-1])
	}
	return copied, nil
}

// behind returns what of a batch lies behind its row.
func behind(batch []want, last row) []want {
	for len(batch) > 0 && (batch[0].topic < last.topic || batch[0].topic == last.topic && batch[0].last <= last.point.Seq) {
		batch = batch[1:]
	}
	if len(batch) > 0 && batch[0].topic == last.topic {
		batch[0].first = last.point.Seq + 1
	}
	return batch
}

// page asks for the first records of a batch and checks that they are what was asked for.
func (m *mender) page(ctx context.Context, s *wire.Session, batch []want) (rows []row, more bool, size int, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	limit := pageLimit
	req := wire.ReqHist{
		Kinds: []quote.Kind{batch[0].topic.Kind()}, Limit: &limit,
		After: map[quote.Topic]quote.Point{}, Before: map[quote.Topic]quote.Point{},
	}
	asked := map[quote.Topic]want{}
	for _, w := range batch {
		req.Symbols = append(req.Symbols, w.topic.Symbol())
		req.After[w.topic] = quote.Point{Epoch: w.epoch, Seq: w.first - 1}
		req.Before[w.topic] = quote.Point{Epoch: w.epoch, Seq: w.last + 1}
		asked[w.topic] = w
	}
	reply, err := s.Do(ctx, wire.Make(wire.TypeReqHist, req))
	if err != nil {
		return nil, false, 0, err
	}
	var resp wire.RespHist
	if err := reply.Decode(&resp); err != nil {
		return nil, false, 0, err
	}
	for _, rec := range resp.Records {
		w, known := asked[rec.Topic]
		if !known || rec.Epoch != w.epoch || rec.Seq < w.first || rec.Seq > w.last {
			return nil, false, 0, fmt.Errorf("twin sent %s %d/%d, which was not asked for", rec.Topic, rec.Epoch, rec.Seq)
		}
		r, err := newRow(rec.Topic, rec.Point(), rec.Payload)
		if err != nil {
			return nil, false, 0, fmt.Errorf("twin's record: %w", err)
		}
		rows = append(rows, r)
	}
	return rows, resp.More, len(reply.Payload), nil
}
