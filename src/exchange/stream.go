package exchange

import (
	"context"
	"time"
)

// Bounds of what is kept for sessions: one tape for all of them, so a slow one costs nothing beside its place on it.
const (
	tapeLength = 1 << 16 // events; who lags by more is cut off
	maxBurst   = 1 << 10 // events that one emit gets
)

// tape is the newest events in a ring.
type tape struct {
	ring []Event
	next uint64 // how many were ever added
}

func (t *tape) add(e Event) {
	if t.ring == nil {
		t.ring = make([]Event, tapeLength)
	}
	t.ring[t.next%tapeLength] = e
	t.next++
}

// from returns some of the events since a place, and the place behind them. It is [ErrSlow] where they are gone.
func (t *tape) from(place uint64) ([]Event, uint64, error) {
	if t.next-place > tapeLength {
		return nil, place, ErrSlow
	}
	out := make([]Event, 0, min(t.next-place, maxBurst))
	for ; place < t.next && len(out) < maxBurst; place++ {
		out = append(out, t.ring[place%tapeLength])
	}
	return out, place, nil
}

// sub is one session's place on the tape.
type sub struct {
	place uint64
	ready chan struct{}
}

func (s *sub) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Stream implements [Source].
func (m *market) Stream(ctx context.Context, emit func([]Event) error) error {
	s := &sub{ready: make(chan struct{}, 1)}
	snapshot := m.join(s)
	defer m.leave(s)
	if err := emit(snapshot); err != nil {
		return err
	}
	m.once.Do(func() { close(m.listened) })
	tick := time.NewTicker(Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := emit(nil); err != nil {
				return err
			}
		case <-s.ready:
			if err := m.pass(ctx, s, emit); err != nil {
				return err
			}
		}
	}
}

// pass hands over what waits. It is [ErrEnded] when nothing more will come.
func (m *market) pass(ctx context.Context, s *sub, emit func([]Event) error) error {
	for ctx.Err() == nil {
		events, ended, err := m.read(s)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			if ended {
				return ErrEnded
			}
			return nil
		}
		if err := emit(events); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// read takes some of what waits.
func (m *market) read(s *sub) (events []Event, ended bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, s.place, err = m.tape.from(s.place)
	return events, m.ended, err
}

// join returns the snapshot and takes the place right behind it, in the same instant.
func (m *market) join(s *sub) (snapshot []Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.order {
		for _, e := range []Event{m.last[name].quoted, m.last[name].sold} {
			if len(e.Payload) > 0 {
				e.Snapshot = true
				snapshot = append(snapshot, e)
			}
		}
	}
	s.place = m.tape.next
	m.subs[s] = struct{}{}
	if m.ended {
		s.wake()
	}
	return snapshot
}

func (m *market) leave(s *sub) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subs, s)
	if m.ended && len(m.subs) == 0 {
		m.gone()
	}
}

// end says that nothing more will come; sessions may read what there is.
func (m *market) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if len(m.subs) == 0 {
		m.gone()
	}
	for s := range m.subs {
		s.wake()
	}
}

// gone closes left, once. The lock is held.
func (m *market) gone() {
	select {
	case <-m.left:
	default:
		close(m.left)
	}
}
