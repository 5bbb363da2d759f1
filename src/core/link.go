package core

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"quotes/src/breaker"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Numbers of the links to the shards.
const (
	window     = 8               // APPENDs in flight on one link
	appendWait = 5 * time.Second // for APPENDED
)

// link is the way to one shard, behind a breaker: connect plus HELLO is one call, each APPEND is one call.
type link struct {
	shard    int
	addr     string
	instance string
	book     *book
	ledger   *ledger
	brk      *breaker.Breaker
	settled  chan struct{} // an APPEND of the session in work was answered; its capacity is 1
}

// serve is one session with the shard, from HELLO to its end. What was not acknowledged goes back to the queue.
func (l *link) serve(ctx context.Context, up func()) error {
	permit, err := l.brk.Acquire()
	if err != nil {
		return err
	}
	s, err := l.greet(ctx)
	permit.DoneErr(outcome(err), err)
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, s.Close)() // a write that hangs must not hold up a stop
	up()
	return l.pump(ctx, s)
}

// probeShard is the cheap question while a shard's breaker is open: until it is answered, no session is tried.
func probeShard(ctx context.Context, addr string) error {
	_, err := askOnce(ctx, addr, wire.TypeReqStatus)
	return err
}

// askOnce asks a question without payload on a connection of its own.
func askOnce(ctx context.Context, addr, question string) (wire.Frame, error) {
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: addr})
	if err != nil {
		return wire.Frame{}, err
	}
	defer s.Close()
	return s.Do(ctx, wire.Frame{Type: question})
}

func (l *link) greet(ctx context.Context) (*wire.Session, error) {
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: l.addr})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, s.Close)() // a write that hangs must not hold up a stop; serve goes on with that
	if err := l.announce(ctx, s); err != nil {
		s.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	l.ledger.forget(l.shard)
	if err := l.ledger.learn(ctx, s, l.shard, l.book.epoch); err != nil {
		s.Close()
		return nil, fmt.Errorf("ask what it holds: %w", err)
	}
	return s, nil
}

// announce says HELLO: where each of the shard's topics stands.
func (l *link) announce(ctx context.Context, s *wire.Session) error {
	l.ledger.told(l.shard)
	_, err := greet(ctx, s, l.book.epoch, l.instance, l.book.nexts(l.shard))
	return err
}

// flight is one APPEND that is not acknowledged yet.
type flight struct {
	batch  *batch
	permit breaker.Permit
	wait   func(context.Context) (wire.Frame, error)
}

// pump sends batches in order, a window of them at a time, and a heartbeat each second.
func (l *link) pump(ctx context.Context, s *wire.Session) error {
	flights := make(chan flight, window) // sent, oldest first; its capacity is the window
	var unacked []*batch
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() { // acknowledgements come in the order of sending
		for f := range flights {
			if failed == nil {
				failed = l.settle(f)
				select {
				case l.settled <- struct{}{}:
				default:
				}
			} else {
				f.permit.Done(breaker.Ignored)
				_, _ = f.wait(wire.GivenUp())
			}
			if failed != nil {
				s.Close()
				unacked = append(unacked, f.batch)
			}
		}
	})
	err := l.send(ctx, s, flights)
	close(flights)
	wg.Wait()
	l.ledger.putBack(l.shard, unacked)
	return errors.Join(failed, err)
}

// send puts batches on the wire until the session ends, and closes it.
func (l *link) send(ctx context.Context, s *wire.Session, flights chan<- flight) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	learned := make(chan error, 1) // what one relearn came to; it must hold up neither appends nor heartbeats
	learning := false
	var learner sync.WaitGroup
	defer func() { // what it learns must not come after the next session's HELLO
		s.Close()
		learner.Wait()
	}()
	var announced time.Time // again, since the queue ran over
	for {
		if l.ledger.skipped(l.shard) && time.Since(announced) >= beat {
			if err := l.announce(ctx, s); err != nil {
				return err
			}
			announced = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Done():
			return s.Err()
		case err := <-learned:
			if learning = false; err != nil {
				return err
			}
		case <-tick.C:
			if err := s.Send(wire.Frame{Type: wire.TypeHeartbeat}); err != nil {
				return err
			}
			if !learning && len(flights) == 0 {
				learning = true
				learner.Go(func() { learned <- l.relearn(ctx, s) })
			}
		case <-l.ledger.queues[l.shard].ready:
			for b := l.ledger.take(l.shard); b != nil; b = l.ledger.take(l.shard) {
				if err := l.launch(ctx, s, b, flights, tick.C); err != nil {
					l.ledger.putBack(l.shard, []*batch{b})
					return err
				}
			}
		}
	}
}

// launch sends one batch. An error means that it was not sent, or that the session is gone. While it waits it sends the heartbeats
// that beats asks for.
func (l *link) launch(ctx context.Context, s *wire.Session, b *batch, flights chan<- flight, beats <-chan time.Time) error {
	permit, err := l.admit(ctx, s, beats)
	if err != nil {
		return err
	}
	f := wire.Frame{Type: wire.TypeAppend, BudgetMS: appendWait.Milliseconds(), Payload: b.payload(l.ledger.table.Epoch(), l.book.epoch)}
	wait, err := s.Begin(ctx, f)
	if err != nil {
		permit.Done(outcome(err))
		return err
	}
	for err == nil {
		select {
		case flights <- flight{b, permit, wait}:
			return nil
		case <-beats:
			err = s.Send(wire.Frame{Type: wire.TypeHeartbeat})
		case <-ctx.Done():
			err = ctx.Err()
		case <-s.Done():
			err = s.Err()
		}
	}
	permit.Done(breaker.Ignored)
	_, _ = wait(wire.GivenUp())
	return err
}

// admit gets a permit for an APPEND. While the breaker is half-open it lets only so many be in flight: then the next one waits until
// one is answered, for a full ramp is no fault of the session's.
func (l *link) admit(ctx context.Context, s *wire.Session, beats <-chan time.Time) (breaker.Permit, error) {
	for {
		permit, err := l.brk.Acquire()
		if err == nil {
			return permit, nil
		}
		switch l.brk.State() {
		case breaker.HalfOpen:
		case breaker.Open, breaker.ForcedOpen:
			return permit, err
		default: // it has closed since
			continue
		}
		select {
		case <-l.settled:
		case <-s.Done():
			return permit, s.Err()
		case <-ctx.Done():
			return permit, ctx.Err()
		case <-beats: // the ramp's own time may have let more in, too
			if err := s.Send(wire.Frame{Type: wire.TypeHeartbeat}); err != nil {
				return permit, err
			}
		}
	}
}

// settle waits for one acknowledgement.
func (l *link) settle(f flight) error {
	ctx, cancel := context.WithTimeout(context.Background(), appendWait)
	defer cancel()
	reply, err := f.wait(ctx)
	var appended wire.Appended
	if err == nil {
		err = reply.Decode(&appended)
	}
	f.permit.DoneErr(outcome(err), err)
	if err == nil {
		l.ledger.stored(l.shard, f.batch, appended.Positions, l.book.epoch)
	}
	return err
}

// relearn asks what the shard has repaired, when it has nothing else to do.
func (l *link) relearn(ctx context.Context, s *wire.Session) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	return l.ledger.learn(ctx, s, l.shard, l.book.epoch)
}

// outcome is what an error counts for at a breaker.
func outcome(err error) breaker.Outcome {
	switch {
	case err == nil:
		return breaker.Success
	case errors.Is(err, context.Canceled):
		return breaker.Ignored
	}
	return breaker.Failure
}

// payload writes APPEND's payload; by hand, since encoding/json would parse every record again.
func (b *batch) payload(table, epoch uint64) []byte {
	out := make([]byte, 0, 64+320*len(b.records)+96*len(b.lost))
	out = strconv.AppendUint(append(out, `{"table_epoch":`...), table, 10)
	out = strconv.AppendUint(append(out, `,"epoch":`...), epoch, 10)
	for i, r := range b.records {
		if i == 0 {
			out = append(out, `,"records":[`...)
		} else {
			out = append(out, ',')
		}
		out = topicSeq(out, r.home.name, `","seq":`, r.seq)
		out = append(append(append(out, `,"payload":`...), r.payload...), '}')
	}
	if len(b.records) > 0 {
		out = append(out, ']')
	}
	for i, r := range b.lost {
		if i == 0 {
			out = append(out, `,"lost":[`...)
		} else {
			out = append(out, ',')
		}
		out = topicSeq(out, r.Topic, `","first":`, r.First)
		out = append(strconv.AppendUint(append(out, `,"last":`...), r.Last, 10), '}')
	}
	if len(b.lost) > 0 {
		out = append(out, ']')
	}
	return append(out, '}')
}

func topicSeq(out []byte, t quote.Topic, field string, seq uint64) []byte {
	out = append(append(append(out, `{"topic":"`...), t...), field...)
	return strconv.AppendUint(out, seq, 10)
}
