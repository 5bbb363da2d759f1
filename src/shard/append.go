package shard

import (
	"context"

	"quotes/src/quote"
	"quotes/src/wire"
)

// maxPayload bounds one record, in bytes; a page of history must hold at least one.
const maxPayload = 64 << 10

// append takes an APPEND. It is submitted on the reading goroutine, so that a connection's records are written in their
// order, and answered when it is on disk; meanwhile further ones are read and share the next commit.
func (s *Shard) append(c *wire.Conn, f wire.Frame, me *caller) {
	w, err := s.parseAppend(f, me.core)
	if err == nil {
		err = s.committer.submit(c.Context(), w)
	}
	if err != nil {
		s.refuse(c, f, err)
		return
	}
	c.Answer(f, func(ctx context.Context) (wire.Frame, error) {
		r, err := s.committer.wait(ctx, w)
		if wire.CodeOf(err) == wire.StaleEpoch {
			s.refuse(c, f, err)
		}
		return wire.Make(wire.TypeAppended, wire.Appended{Positions: r.positions}), err
	})
}

// parseAppend checks an APPEND of a core.
func (s *Shard) parseAppend(f wire.Frame, core *session) (*write, error) {
	if core == nil {
		return nil, wire.Errorf(wire.BadRequest, "APPEND before HELLO: announce epoch and instance first")
	}
	var a wire.Append
	if err := f.Decode(&a); err != nil {
		return nil, err
	}
	switch {
	case a.Epoch < core.epoch:
		return nil, wire.Errorf(wire.StaleEpoch, "epoch %d is over: this connection announced %d", a.Epoch, core.epoch)
	case a.Epoch > core.epoch:
		return nil, wire.Errorf(wire.BadRequest, "epoch %d: this connection announced %d", a.Epoch, core.epoch)
	case a.TableEpoch != s.table.Epoch():
		return nil, wire.Errorf(wire.Moved, "table epoch is %d, here it is %d", a.TableEpoch, s.table.Epoch())
	}
	w := &write{core: core, rows: make([]row, 0, len(a.Records)), lost: a.Lost}
	var checked quote.Topic // the last one: batches hold runs of one topic
	for _, r := range a.Records {
		if r.Topic != checked {
			if err := s.checkTopic(r.Topic); err != nil {
				return nil, err
			}
			checked = r.Topic
		}
		row, err := newRow(r.Topic, quote.Point{Epoch: a.Epoch, Seq: r.Seq}, r.Payload)
		if err != nil {
			return nil, err
		}
		w.rows = append(w.rows, row)
	}
	for i := range w.lost {
		l := &w.lost[i]
		l.Epoch = a.Epoch
		if err := s.checkLost(*l); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (s *Shard) checkLost(l wire.LostRange) error {
	if l.First == 0 || l.Last < l.First || l.Last > maxSeq {
		return wire.Errorf(wire.BadRequest, "lost %d to %d of %s: want 1 or more, and last not before first", l.First, l.Last, l.Topic)
	}
	return s.checkTopic(l.Topic)
}
