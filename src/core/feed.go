package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"quotes/src/breaker"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Numbers of the exchange's session. What the breaker counts: connect plus first frame is one call; each half second of
// an open session is one call, failed when no frame came in it.
const (
	firstFrame = time.Second            // for connect and first frame
	callEvery  = 500 * time.Millisecond // one call of an open session
	watchEvery = 20 * time.Millisecond  // how exactly silence is seen
)

// errSilent says that an open session sent no frame for a whole call.
var errSilent = errors.New("exchange is silent")

// feed is the stream from the exchange, behind its breaker.
type feed struct {
	addr    string
	silence time.Duration
	book    *book
	brk     *breaker.Breaker
	log     *slog.Logger
	met     *metrics
	wake    chan struct{} // the breaker has changed
	refused rate          // bounds the lines about refused ticks

	session uint64
}

// run keeps a session open whenever the breaker lets it, until ctx ends.
func (f *feed) run(ctx context.Context) error {
	for ctx.Err() == nil {
		permit, err := f.brk.Acquire()
		if err != nil {
			f.await(ctx, err)
			continue
		}
		f.session++
		err = f.serve(ctx, permit)
		if ctx.Err() == nil {
			f.log.Warn("exchange session ended", "session", f.session, "addr", f.addr, "reason", err)
			pause(ctx, minRetry+rand.N(minRetry))
		}
	}
	return nil
}

// await waits until the breaker may let a call through.
func (f *feed) await(ctx context.Context, err error) {
	wait := callEvery
	if open, ok := errors.AsType[*breaker.OpenError](err); ok {
		if after := open.RetryAfter(); after > 0 {
			wait = min(wait, after)
		}
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-f.wake:
	case <-t.C:
	}
}

// stream is one session with the exchange.
type stream struct {
	*feed
	number uint64
	first  chan struct{} // closed at the first frame
	once   sync.Once
	frames atomic.Int64 // since the session began
	last   atomic.Int64 // when the last frame came, ns since began
	began  time.Time
	bad    chan error // the session can't be trusted any more
	next   uint64     // feed_seq that comes next; only the reading goroutine knows it
}

// serve opens one session and watches it to its end. The permit is the call «connect plus first frame».
func (f *feed) serve(ctx context.Context, permit breaker.Permit) error {
	st := &stream{feed: f, number: f.session, first: make(chan struct{}), bad: make(chan error, 1), began: time.Now(), next: 1}
	defer st.end()
	s, err := st.open(ctx)
	permit.DoneErr(outcome(err), err)
	if err != nil {
		return err
	}
	defer s.Close()
	f.log.Info("exchange session up", "session", f.session, "addr", f.addr)
	return st.watch(ctx, s)
}

// open dials, subscribes to everything and waits for the first frame.
func (st *stream) open(ctx context.Context) (*wire.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, firstFrame)
	defer cancel()
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: st.addr, OnFrame: st.frame})
	if err != nil {
		return nil, err
	}
	sub := wire.Make(wire.TypeSubscribe, wire.Subscribe{Mode: wire.ModeAll})
	sub.Topic = "*"
	if _, err = s.Do(ctx, sub); err == nil {
		select {
		case <-st.first:
			return s, nil
		case err = <-st.bad:
		case <-s.Done():
			err = s.Err()
		case <-ctx.Done():
			err = fmt.Errorf("no first frame: %w", ctx.Err())
		}
	}
	s.Close()
	return nil, err
}

// frame takes what the exchange sends, in order, on the session's reading goroutine.
func (st *stream) frame(f wire.Frame) {
	now := time.Now()
	st.last.Store(int64(now.Sub(st.began)))
	st.frames.Add(1)
	st.once.Do(func() {
		st.book.begin(st.number)
		close(st.first)
	})
	switch f.Type {
	case wire.TypePublish:
		if f.FeedSeq != st.next {
			st.fail(fmt.Errorf("feed_seq %d where %d was due: frames are missing", f.FeedSeq, st.next))
			return
		}
		st.next++
		if err := st.book.tick(st.number, &f, now); err != nil {
			st.met.refused.Inc()
			if st.refused.allow(now) {
				st.log.Warn("tick refused", "topic", f.Topic, "feed_seq", f.FeedSeq, "err", err)
			}
		}
	case wire.TypeHeartbeat:
	case wire.TypeError:
		st.fail(wire.ErrorOf(f))
	case wire.TypeGoaway:
		st.fail(errors.New("exchange says goodbye"))
	}
}

// end says that the session is over. A first frame that comes later all the same is nothing.
func (st *stream) end() {
	st.once.Do(func() {})
	st.book.turn(func(s *feedState) { s.up = false })
}

func (st *stream) fail(err error) {
	select {
	case st.bad <- err:
	default:
	}
}

// session is what watch needs of a [wire.Session].
type session interface {
	Done() <-chan struct{}
	Err() error
}

// watch looks for silence, closes the breaker's calls and ends with the session.
func (st *stream) watch(ctx context.Context, s session) error {
	look, call := time.NewTicker(watchEvery), time.NewTicker(callEvery)
	defer look.Stop()
	defer call.Stop()
	permit, err := st.brk.Acquire()
	if err != nil {
		return err
	}
	defer func() { permit.DoneErr(outcome(err), err) }()
	frames := st.frames.Load()
	for {
		select {
		case <-ctx.Done():
			err = ctx.Err()
			return err
		case err = <-st.bad:
			return err
		case <-s.Done():
			err = s.Err()
			return err
		case <-look.C:
			silent := time.Since(st.began)-time.Duration(st.last.Load()) > st.silence
			st.book.turn(func(f *feedState) { f.silent = silent })
		case <-st.wake:
			if state := st.brk.State(); state == breaker.Open || state == breaker.ForcedOpen {
				return fmt.Errorf("breaker is %s", state)
			}
		case <-call.C:
			var quiet error
			if n := st.frames.Load(); n == frames {
				quiet = errSilent
			} else {
				frames = n
			}
			permit.Done(outcome(quiet))
			if permit, err = st.brk.Acquire(); err != nil {
				return errors.Join(quiet, err)
			}
		}
	}
}

// probe is the breaker's cheap question while it is open: one quote, on a connection of its own.
func (f *feed) probe(ctx context.Context) error {
	reply, err := askOnce(ctx, f.addr, wire.TypeReqQuote)
	if err != nil {
		return err
	}
	var q quote.Quote
	return reply.Decode(&q)
}

// rate lets one event a second through.
type rate struct {
	mu   sync.Mutex // a session that has ended may still read when the next one does
	last time.Time
}

func (r *rate) allow(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last) < time.Second {
		return false
	}
	r.last = now
	return true
}
