package shard

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"quotes/src/quote"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// Sizes of an answer's frames: each stays well below the protocol's 1 MiB.
const (
	rangesBytes  = 256 << 10 // of ranges and losses in one frame; what is beyond goes into frames of its own, before
	recordsBytes = 640 << 10 // of records, in the last frame
)

// history answers REQ_HIST: all frames but the last go through send.
func (s *Shard) history(ctx context.Context, f wire.Frame, send func(wire.Frame) error) (wire.Frame, error) {
	var req wire.ReqHist
	if len(f.Payload) > 0 { // without one it asks for everything
		if err := f.Decode(&req); err != nil {
			return wire.Frame{}, err
		}
	}
	q, err := s.state.parseQuery(req)
	if err != nil {
		return wire.Frame{}, err
	}
	var fill *tail
	wanted := q.limit
	if q.newest() {
		if fill = s.state.follow(q.topics[0]); fill != nil {
			q.limit = tailRows
		}
	}
	// in_sync first, then what is held, then the records: each holds all that the one before promises.
	inSync := s.state.inSyncsNow(q.slots, time.Now())
	v := s.picture(&q)
	frames := q.ranges()
	var rows []row
	var more bool
	if q.limit > 0 {
		q.cache = s.chunks
		rows, more, err = q.find(ctx, newReader(v, s.cfg.block), recordsBytes)
	}
	if err = errors.Join(err, v.Close()); err != nil { // before anything is sent: what a view sees, storage must keep
		return wire.Frame{}, err
	}
	last := frames[len(frames)-1]
	for _, part := range frames[:len(frames)-1] {
		if err := send(wire.Frame{Type: wire.TypeRespHist, Payload: part.end(nil, false, nil)}); err != nil {
			return wire.Frame{}, err
		}
	}
	if fill != nil {
		s.state.fill(fill, rows, more)
		rows, more = rows[:min(len(rows), wanted)], more || len(rows) > wanted
	}
	s.met.queries.Inc()
	s.met.served.Add(float64(len(rows)))
	return wire.Frame{Type: wire.TypeRespHist, Payload: last.end(rows, more, inSync)}, nil
}

// smallQuestion is how long a payload may be to be looked at on the connection's reading goroutine, in bytes.
const smallQuestion = 512

// atHand answers REQ_HIST of a topic's newest records where all that it takes is in memory. Where not it answers nothing, nor what is
// wrong with the question.
func (s *Shard) atHand(f *wire.Frame) (answer wire.Frame, ok bool) {
	var req wire.ReqHist
	if len(f.Payload) == 0 || len(f.Payload) > smallQuestion || f.Decode(&req) != nil {
		return answer, false
	}
	q, err := s.state.parseQuery(req)
	if err != nil || !q.newest() {
		return answer, false
	}
	rows, more, inSync, ok := s.state.atHand(&q, time.Now())
	if !ok {
		return answer, false
	}
	frames := q.ranges()
	if len(frames) > 1 {
		return answer, false
	}
	s.met.queries.Inc()
	s.met.atHand.Inc()
	s.met.served.Add(float64(len(rows)))
	return wire.Frame{Type: wire.TypeRespHist, Payload: frames[0].end(rows, more, inSync)}, true
}

// picture notes what is held of a query's topics, and returns a view in which all of it is stored.
func (s *Shard) picture(q *query) engine.View {
	return s.viewOf(func() {
		q.held, q.floors = make(map[quote.Topic][]*holding, len(q.topics)), nil
		for _, t := range q.topics {
			q.held[t] = s.state.holdings(t)
			if floor := s.state.floor(t); !floor.IsZero() {
				q.floors = append(q.floors, quote.Position{Topic: t, Point: floor})
			}
		}
	})
}

// viewOf returns a view in which all is stored that note, called before, has taken down of what is held.
func (s *Shard) viewOf(note func()) engine.View {
	for {
		raised := s.state.raisedNow()
		note()
		v := s.engine.View()
		if s.state.raisedNow() == raised { // else retention may have let go some of it meanwhile
			return v
		}
		_ = v.Close()
	}
}

// inSyncsNow tells of each slot whether it is in sync, at one moment.
func (s *state) inSyncsNow(slots []int, now time.Time) map[int]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inSyncs(slots, now)
}

// inSyncs is that with the lock held.
func (s *state) inSyncs(slots []int, now time.Time) map[int]bool {
	out := make(map[int]bool, len(slots))
	for _, slot := range slots {
		out[slot] = s.inSync(slot, now)
	}
	return out
}

// ranges tells what is held and lost of the topics, in one or more parts.
func (q *query) ranges() []*part {
	parts := []*part{{}}
	room := func() *part {
		last := parts[len(parts)-1]
		if len(last.held)+len(last.lost)+len(last.floors) > rangesBytes {
			last = &part{}
			parts = append(parts, last)
		}
		return last
	}
	for _, t := range q.topics {
		for _, h := range q.held[t] {
			for _, p := range h.held.Spans() {
				room().hold(t, quote.Range{Epoch: h.epoch, First: p.First, Last: p.Last})
			}
			for _, p := range h.gone() {
				room().lose(wire.LostRange{Topic: t, Epoch: h.epoch, First: p.First, Last: p.Last})
			}
		}
	}
	for _, f := range q.floors {
		room().floor(f)
	}
	return parts
}

// part is one frame's worth of ranges and losses, as JSON in the making.
type part struct {
	held, lost, floors []byte
	open               quote.Topic // whose list is not closed yet
}

func (p *part) floor(f quote.Position) {
	if len(p.floors) > 0 {
		p.floors = append(p.floors, ',')
	}
	p.floors = append(append(append(p.floors, `{"topic":"`...), f.Topic...), `","epoch":`...)
	p.floors = append(strconv.AppendUint(append(strconv.AppendUint(p.floors, f.Epoch, 10), `,"seq":`...), f.Seq, 10), '}')
}

func (p *part) hold(t quote.Topic, r quote.Range) {
	switch {
	case p.open == t:
		p.held = append(p.held, ',')
	case p.open != "":
		p.held = append(p.held, `],`...)
		fallthrough
	default:
		p.held = append(append(append(p.held, '"'), t...), `":[`...)
		p.open = t
	}
	p.held = append(p.held, '{')
	p.held = append(appendRange(p.held, r.Epoch, r.First, r.Last), '}')
}

func (p *part) lose(l wire.LostRange) {
	if len(p.lost) > 0 {
		p.lost = append(p.lost, ',')
	}
	p.lost = append(append(append(p.lost, `{"topic":"`...), l.Topic...), `",`...)
	p.lost = append(appendRange(p.lost, l.Epoch, l.First, l.Last), '}')
}

func appendRange(b []byte, epoch, first, last uint64) []byte {
	b = strconv.AppendUint(append(b, `"epoch":`...), epoch, 10)
	b = strconv.AppendUint(append(b, `,"first":`...), first, 10)
	return strconv.AppendUint(append(b, `,"last":`...), last, 10)
}

// end completes the payload. Payloads of records go out byte by byte as they came in.
func (p *part) end(rows []row, more bool, inSync map[int]bool) json.RawMessage {
	size := len(p.held) + len(p.lost) + len(p.floors) + 4096
	for i := range rows {
		size += len(rows[i].payload) + rowOverhead
	}
	b := append(make([]byte, 0, size), `{"records":[`...)
	for i := range rows {
		r := &rows[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"topic":"`...), r.topic...), `","epoch":`...)
		b = strconv.AppendUint(b, r.point.Epoch, 10)
		b = strconv.AppendUint(append(b, `,"seq":`...), r.point.Seq, 10)
		b = append(append(append(b, `,"payload":`...), r.payload...), '}')
	}
	b = strconv.AppendBool(append(b, `],"more":`...), more)
	if len(p.held) > 0 {
		b = append(append(append(b, `,"ranges":{`...), p.held...), `]}`...)
	}
	if len(p.lost) > 0 {
		b = append(append(append(b, `,"lost":[`...), p.lost...), ']')
	}
	if len(p.floors) > 0 {
		b = append(append(append(b, `,"floors":[`...), p.floors...), ']')
	}
	if len(inSync) > 0 {
		b = append(b, `,"in_sync":{`...)
		for i, slot := range slices.Sorted(maps.Keys(inSync)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(strconv.AppendInt(append(b, '"'), int64(slot), 10), `":`...)
			b = strconv.AppendBool(b, inSync[slot])
		}
		b = append(b, '}')
	}
	return append(b, '}')
}
