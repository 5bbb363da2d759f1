package wire

import "context"

// GivenUp returns a context that has ended: for a wait that only gives up.
func GivenUp() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Begin sends a request at once and returns how to wait for its one answer. Requests begun one after another go out in
// that order. The wait must be called once, also to give up: its context bounds it.
func (s *Session) Begin(f Frame) (wait func(context.Context) (Frame, error), err error) {
	c, err := s.enrol(&f)
	if err != nil {
		return nil, err
	}
	if err := s.Send(f); err != nil {
		s.forget(f.ID, c)
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
