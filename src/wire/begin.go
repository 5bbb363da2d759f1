package wire

import "context"

// GivenUp returns a context that has ended: for a wait that only gives up.
func GivenUp() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Begin asks and returns how to wait for the one answer. Requests begun one after another go out in that order. It waits itself only
// while too much is queued already, at most until ctx ends; the time that ctx leaves crosses the wire as budget_ms. The wait must be
// called once, also to give up: its own context bounds it.
func (s *Session) Begin(ctx context.Context, f Frame) (wait func(context.Context) (Frame, error), err error) {
	c, err := s.ask(ctx, &f)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (Frame, error) {
		defer s.forget(f.ID, c)
		r, err := s.await(ctx, f, c)
		if err == nil && r.Type == TypeError {
			return Frame{}, replyError(r)
		}
		return r, err
	}, nil
}
