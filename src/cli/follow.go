package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// follower is one subscription that outlives its connections.
type follower struct {
	app      *app
	patterns []quote.Pattern
	req      wire.Subscribe
	count    uint64 // ends after so many frames; never where 0
	show     func(quote.Topic, wire.Frame) error
	fills    bool // LOST ranges are asked for in history
	verify   bool // the counts are told at the end in any case, and what is missing is an error

	stop  context.CancelCauseFunc
	done  <-chan struct{} // closed by stop
	quiet *time.Timer     // ends a session that says nothing
	calm  bool            // run's own: nothing is at work on the fields below any more

	// lock guards what follows and is held while a frame is shown. It is a channel because whoever waits for it must be
	// able to stop waiting: the output may be blocked for ever.
	lock     chan struct{}
	session  *wire.Session
	tracker  *tracker
	source   string // what the broker last said of core
	lagTold  uint64 // frames skipped for lag that the user knows of
	cuts     int
	everUp   bool
	beats    int   // heartbeats of the connection
	whole    bool  // a connection before this one had all topics
	lastDown error // why there is no connection
}

func newFollower(a *app, patterns []quote.Pattern, req wire.Subscribe, count uint64) *follower {
	return &follower{
		app: a, patterns: patterns, req: req, count: count, show: a.frameRows(), lock: make(chan struct{}, 1),
		tracker: newTracker(), source: wire.SourceLive,
	}
}

// run follows until ctx ends, the count is reached or it makes no sense to go on.
func (s *follower) run(parent context.Context) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	s.stop, s.done = stop, ctx.Done()
	s.quiet = time.AfterFunc(time.Hour, s.silent)
	defer s.quiet.Stop()
	first := time.AfterFunc(s.app.timeout, s.giveUp)
	defer first.Stop()

	client := wire.NewClient(wire.ClientConfig{
		Dial:   wire.DialConfig{Addr: s.app.broker, DialTimeout: s.app.timeout, OnFrame: s.onFrame, Touched: s.heard},
		OnUp:   s.onUp,
		OnDown: s.onDown,
	})
	_ = client.Run(ctx)
	s.calm = s.end()
	if err := context.Cause(ctx); !errors.Is(err, errEnough) && !errors.Is(err, context.Canceled) {
		return err
	}
	switch {
	case s.calm:
	case s.verify:
		return errors.New("the output blocks: what was shown can't be counted")
	default:
		return nil // and what can't be written can't be counted
	}
	s.summary()
	if s.verify {
		return s.tracker.verdict()
	}
	return s.tracker.gapsError()
}

// do runs fn with the lock, unless the follower has ended before it gets it.
func (s *follower) do(fn func()) {
	select {
	case s.lock <- struct{}{}:
	case <-s.done:
		return
	}
	defer func() { <-s.lock }()
	if !s.ended() {
		fn()
	}
}

// end waits, for a moment, for the frame in work; nothing more is let through. It reports whether that ended.
func (s *follower) end() bool {
	select {
	case s.lock <- struct{}{}:
		<-s.lock
		return true
	case <-time.After(time.Second):
		return false
	}
}

// ended reports whether the follower is to end: nothing is shown any more.
func (s *follower) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// conflates reports whether frames of a topic are passed over as was asked for: then none is lost.
func (s *follower) conflates(t quote.Topic) bool {
	return s.req.Mode != wire.ModeAll && t.Kind() == quote.Quotes
}

// heard puts off the verdict that the broker is dead.
func (s *follower) heard() { s.quiet.Reset(s.app.silence) }

// silent ends a session whose heartbeats stopped.
func (s *follower) silent() {
	s.do(func() {
		if s.session != nil {
			s.app.note("%s has been silent for %v", s.app.broker, s.app.silence)
			s.session.Close()
		}
	})
}

// giveUp ends a follower that never had a connection.
func (s *follower) giveUp() {
	s.do(func() {
		if s.everUp {
			return
		}
		err := s.lastDown
		if err == nil {
			err = wire.Errorf(wire.DeadlineExceeded, "no answer")
		}
		s.stop(s.app.explain(s.app.brokerPeer(), err))
	})
}

// onUp subscribes on a new connection, from where each topic stands.
func (s *follower) onUp(ctx context.Context, session *wire.Session) error {
	var reqs []wire.Frame
	s.do(func() {
		if s.everUp {
			s.app.note("connected to %s again, going on from %d positions", s.app.broker, len(s.tracker.topics))
		}
		s.session, s.beats = session, 0
		s.tracker.loosen()
		for _, p := range s.patterns {
			req := s.req
			req.From = s.tracker.positions(p)
			f := wire.Make(wire.TypeSubscribe, req)
			f.Topic = string(p)
			reqs = append(reqs, f)
		}
	})
	for _, f := range reqs {
		if err := s.subscribe(ctx, session, f); err != nil {
			return err
		}
	}
	s.do(func() { s.everUp = true })
	return nil
}

// subscribe sends one SUBSCRIBE. What the broker will refuse again, ends the follower.
func (s *follower) subscribe(ctx context.Context, session *wire.Session, f wire.Frame) error {
	ctx, cancel := context.WithTimeout(ctx, s.app.timeout)
	defer cancel()
	_, err := session.Do(ctx, f)
	if err == nil {
		return nil
	}
	switch wire.CodeOf(err) {
	case wire.BadRequest, wire.BadSymbol, wire.TooLarge, wire.NotAuthorized:
		s.stop(fmt.Errorf("subscribe to %s: %w", f.Topic, s.app.explain(s.app.brokerPeer(), err)))
	}
	return err
}

// onDown tells of a cut once.
func (s *follower) onDown(err error) {
	s.quiet.Stop()
	s.do(func() {
		s.lastDown = err
		if s.session != nil && s.everUp {
			s.cuts++
			s.whole = s.whole || s.beats >= 2
			s.app.note("cut off from the broker (%v); connecting again", innermost(err))
		}
		s.session = nil
	})
}
