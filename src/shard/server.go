package shard

import (
	"context"
	"time"

	"quotes/src/wire"
)

// onFrame takes one frame, on its connection's reading goroutine.
func (s *Shard) onFrame(c *wire.Conn, f wire.Frame) {
	me, known := c.Value().(*caller)
	if !known {
		me = &caller{}
		c.SetValue(me)
	}
	if me.core != nil {
		s.state.heard(me.core, time.Now())
	}
	switch f.Type {
	case wire.TypeHello:
		s.hello(c, f, me)
	case wire.TypeAppend:
		s.append(c, f, me)
	case wire.TypeHeartbeat: // being heard is all it is for
	case wire.TypeReqHist:
		if answer, ok := s.atHand(&f); ok {
			c.Queue(f, answer)
			return
		}
		c.AnswerParts(f, func(ctx context.Context, part func(wire.Frame) error) (wire.Frame, error) {
			last, err := s.history(ctx, f, part)
			s.readFailed(err)
			return last, err
		})
	case typeReqSums:
		c.Answer(f, func(ctx context.Context) (wire.Frame, error) { return s.onSums(ctx, f) })
	case typeReqChunks:
		c.Answer(f, func(ctx context.Context) (wire.Frame, error) { return s.onChunks(ctx, f) })
	case wire.TypeReqStatus:
		c.Answer(f, func(context.Context) (wire.Frame, error) {
			return s.status().Frame(), nil
		})
	default:
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "type %.32q is not known to a shard", f.Type))
	}
}

// onClose notes when core's session ends.
func (s *Shard) onClose(c *wire.Conn, reason error) {
	me, known := c.Value().(*caller)
	if known && me.core != nil && s.state.ended(me.core) {
		s.log.Warn("core down", "addr", me.core.addr, "epoch", me.core.epoch, "err", reason)
	}
}
