package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// session opens one in memory and returns the server's end too.
func session(t *testing.T, cfg DialConfig) (*Session, *peer) {
	t.Helper()
	a, b := memPair(memRoom)
	cfg.Addr = "server:1"
	cfg.Dialer = func(context.Context, string, string) (net.Conn, error) { return a, nil }
	s, err := Dial(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, newPeer(t, b)
}

// answer writes frames to a client.
func (p *peer) answer(frames ...Frame) {
	p.t.Helper()
	var b []byte
	for i := range frames {
		b = frames[i].Append(b)
	}
	p.say(string(b))
}

// outcome is what a request in another goroutine came to.
type outcome struct {
	Frame
	err error
}

func do(ctx context.Context, s *Session, f Frame) <-chan outcome {
	out := make(chan outcome, 1)
	go func() {
		r, err := s.Do(ctx, f)
		out <- outcome{r, err}
	}()
	return out
}

// A question that a server would call too long is not asked: it would end the session, and with it what all others ask.
func TestAQuestionThatIsTooLongIsNotAsked(t *testing.T) {
	s, p := session(t, DialConfig{})
	for _, f := range []Frame{
		{Type: "X", Payload: []byte(`"` + strings.Repeat("x", DefaultMaxLine-100) + `"`)},
		{Type: "X", Topic: strings.Repeat("<", DefaultMaxLine/5)},
	} {
		_, err := s.Do(t.Context(), f)
		require.Equal(t, TooLarge, CodeOf(err), "%v", err)
	}
	out := do(t.Context(), s, Frame{Type: "SHORT"})
	f := p.next()
	require.Equal(t, "SHORT", f.Type, "nothing else came")
	p.answer(Frame{Type: "ANSWER", ID: f.ID})
	require.NoError(t, (<-out).err)
}

func TestRequestsArePipelined(t *testing.T) {
	s, p := session(t, DialConfig{})
	const n = 50
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := s.Do(t.Context(), Frame{Type: "X", Topic: fmt.Sprint(i)})
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), r.Topic, "the answer to this request")
		})
	}
	var reqs []Frame
	for range n {
		reqs = append(reqs, p.next())
	}
	for i := n - 1; i >= 0; i-- {
		p.answer(Frame{Type: "Y", ID: reqs[i].ID, Topic: reqs[i].Topic})
	}
	wg.Wait()
	require.Empty(t, s.pending)
}

func TestBegunRequestsGoOutInOrder(t *testing.T) {
	s, p := session(t, DialConfig{})
	var waits []func(context.Context) (Frame, error)
	for i := range 10 {
		wait, err := s.Begin(t.Context(), Frame{Type: fmt.Sprint(i)})
		require.NoError(t, err)
		waits = append(waits, wait)
	}
	for i := range 9 {
		f := p.next()
		require.Equal(t, fmt.Sprint(i), f.Type)
		p.answer(Frame{Type: f.Type, ID: f.ID})
	}
	p.answer(Frame{Type: TypeError, ID: p.next().ID, Payload: []byte(`{"code":"moved","message":"elsewhere"}`)})
	for i := range 9 {
		r, err := waits[i](t.Context())
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), r.Type)
	}
	_, err := waits[9](t.Context())
	require.ErrorIs(t, err, &Error{Code: Moved})
	wait, err := s.Begin(t.Context(), Frame{Type: "X"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = wait(ctx)
	require.ErrorIs(t, err, context.Canceled)
	s.Close()
	_, err = s.Begin(t.Context(), Frame{Type: "X"})
	require.ErrorIs(t, err, ErrClosed)
	require.Empty(t, s.pending)
}

func TestStreamTakesAllReplies(t *testing.T) {
	s, p := session(t, DialConfig{})
	go func() {
		f := p.next()
		p.answer(Frame{Type: "A", ID: f.ID, More: true}, Frame{Type: "PUBLISH"}, Frame{Type: "B", ID: f.ID, More: true}, Frame{Type: "C", ID: f.ID})
	}()
	var got []string
	require.NoError(t, s.Stream(t.Context(), Frame{Type: "X"}, func(f Frame) error { got = append(got, f.Type); return nil }))
	require.Equal(t, []string{"A", "B", "C"}, got)
}

func TestStreamEndsWithWhatItsCallerSays(t *testing.T) {
	s, p := session(t, DialConfig{})
	enough := errors.New("enough")
	go func() {
		f := p.next()
		for range 100 { // more than fits anywhere
			p.answer(Frame{Type: "A", ID: f.ID, More: true})
		}
		p.answer(Frame{Type: "Y", ID: p.next().ID})
	}()
	require.ErrorIs(t, s.Stream(t.Context(), Frame{Type: "X"}, func(Frame) error { return enough }), enough)
	r, err := s.Do(t.Context(), Frame{Type: "X"})
	require.NoError(t, err, "late replies are dropped")
	require.Equal(t, "Y", r.Type)
}

func TestDeadlineCrossesTheWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, p := session(t, DialConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		first := do(ctx, s, Frame{Type: "X"})
		require.EqualValues(t, 1500, p.next().BudgetMS)
		own := do(ctx, s, Frame{Type: "X", BudgetMS: 7})
		require.EqualValues(t, 7, p.next().BudgetMS, "the caller's own wins")
		time.Sleep(1499*time.Millisecond + 500*time.Microsecond)
		last := do(ctx, s, Frame{Type: "X"})
		require.EqualValues(t, 1, p.next().BudgetMS, "0 would be none")
		for _, out := range []<-chan outcome{first, own, last} {
			err := (<-out).err
			require.ErrorIs(t, err, &Error{Code: DeadlineExceeded})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "no answer to X from server:1")
		}
		none := do(t.Context(), s, Frame{Type: "X"})
		f := p.next()
		require.Zero(t, f.BudgetMS)
		p.answer(Frame{Type: "LATE", ID: 1}, Frame{Type: "LATE", ID: 999}, Frame{Type: "Y", ID: f.ID})
		require.Equal(t, "Y", (<-none).Type)
		_, err := s.Do(ctx, Frame{Type: "X"})
		require.ErrorIs(t, err, &Error{Code: DeadlineExceeded})
		p.silent(time.Second) // what nobody waits for is not sent
	})
}

func TestCanceledRequestEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, p := session(t, DialConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		out := do(ctx, s, Frame{Type: "X"})
		p.next()
		cancel()
		err := (<-out).err
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, Unavailable, CodeOf(err))
	})
}

func TestDeadlineHoldsThoughTheServerReadsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, _ := session(t, DialConfig{WriteTimeout: time.Minute})
		began := time.Now()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := s.Do(ctx, Frame{Type: "X", Payload: []byte(`"` + strings.Repeat("x", memRoom) + `"`)})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		require.Equal(t, 20*time.Second, time.Since(began))
		require.NoError(t, s.Err(), "the session has not failed yet")
		s.out.mu.Lock()
		require.Less(t, len(s.out.buf), 2*memRoom, "and not all is kept")
		s.out.mu.Unlock()
		<-s.Done()
		require.Equal(t, time.Minute, time.Since(began))
		require.ErrorContains(t, s.Err(), "write: ")
	})
}

func TestEndOfTheSessionFailsWhoWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*Session, *peer)
		says string
	}{
		"the server ends":       {func(_ *Session, p *peer) { _ = p.Close() }, "EOF"},
		"the server half-ends":  {func(_ *Session, p *peer) { p.halfClose() }, "EOF"},
		"garbage":               {func(_ *Session, p *peer) { p.say("\x00 no frame at all }{\n") }, "sent garbage"},
		"a field of wrong type": {func(_ *Session, p *peer) { p.say("{\"type\":1}\n") }, "sent garbage"},
		"an endless line":       {func(_ *Session, p *peer) { p.say(strings.Repeat("x", 2000)) }, "too long"},
		"we close":              {func(s *Session, _ *peer) { s.Close() }, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s, p := session(t, DialConfig{MaxLine: 1000})
				require.NoError(t, s.Err())
				one, two := do(t.Context(), s, Frame{Type: "X"}), do(t.Context(), s, Frame{Type: "X"})
				p.answer(Frame{Type: "Y", ID: min(p.next().ID, p.next().ID), More: true})
				tt.end(s, p)
				for _, out := range []<-chan outcome{one, two} {
					err := (<-out).err
					require.ErrorIs(t, err, ErrClosed)
					require.ErrorContains(t, err, tt.says)
					require.Equal(t, Unavailable, CodeOf(err))
				}
				<-s.Done()
				require.ErrorIs(t, s.Err(), ErrClosed)
				_, err := s.Do(t.Context(), Frame{Type: "X"})
				require.ErrorIs(t, err, ErrClosed)
				require.ErrorIs(t, s.Send(Frame{Type: "X"}), ErrClosed)
				require.ErrorIs(t, s.Write([]byte("\n")), ErrClosed)
				s.Close()
			})
		})
	}
}

func TestReplyBeforeTheEndStillCounts(t *testing.T) {
	for range 100 {
		s, p := session(t, DialConfig{})
		out := do(t.Context(), s, Frame{Type: "X"})
		p.answer(Frame{Type: "Y", ID: p.next().ID})
		_ = p.Close()
		require.NoError(t, (<-out).err)
	}
}

func TestUnaskedFramesComeInOrder(t *testing.T) {
	var seqs []uint64
	ended := make(chan struct{})
	touched := 0
	s, p := session(t, DialConfig{Touched: func() { touched++ }, OnFrame: func(f Frame) {
		if f.Type == TypeError {
			require.ErrorIs(t, ErrorOf(f), &Error{Code: StaleEpoch})
			close(ended)
			return
		}
		seqs = append(seqs, f.Seq)
	}})
	for n := range 1000 {
		p.say(fmt.Sprintf("{\"type\":\"PUBLISH\",\"seq\":%d}\n\n", n))
	}
	p.answer(ErrorFrame(Errorf(StaleEpoch, "newer core")))
	<-ended
	require.Len(t, seqs, 1000)
	for n, seq := range seqs {
		require.EqualValues(t, n, seq)
	}
	require.Positive(t, touched)
	s.Close()
	<-s.read
}

func TestCloseLetsAReaderGoThatNobodyTakesFrom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, p := session(t, DialConfig{})
		_, err := s.Begin(t.Context(), Frame{Type: "X"})
		require.NoError(t, err)
		id := p.next().ID
		p.answer(Frame{Type: "Y", ID: id}, Frame{Type: "Y", ID: id}, Frame{Type: "Y", ID: id})
		synctest.Wait() // it can't hand over the second one
		s.Close()
		<-s.read
	})
}

func TestErrorsCrossTheWire(t *testing.T) {
	s, p := session(t, DialConfig{})
	out := do(t.Context(), s, Frame{Type: "X"})
	sent := &Error{Code: LowCoverage, Message: "too little", RetryAfterMS: 5, Report: json.RawMessage(`{"coverage":0.5}`)}
	f := ErrorFrame(fmt.Errorf("wrapped: %w", sent))
	f.ID = p.next().ID
	p.answer(f)
	var got *Error
	require.ErrorAs(t, (<-out).err, &got)
	require.Equal(t, sent, got)
	out = do(t.Context(), s, Frame{Type: "X"})
	p.answer(Frame{Type: TypeError, ID: p.next().ID, Payload: []byte(`{"message":"no code"}`)})
	require.ErrorIs(t, (<-out).err, &Error{Code: Internal})
}

func TestDialFailsWithErrDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		_, err := Dial(t.Context(), DialConfig{Addr: "nowhere:1", Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp nowhere:1", network+" "+addr)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		require.ErrorIs(t, err, ErrDown)
		require.ErrorContains(t, err, "nowhere:1")
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestSendBlocksAtMostForTheWriteTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, p := session(t, DialConfig{})
		began := time.Now()
		require.ErrorIs(t, s.Write(make([]byte, 2*memRoom)), ErrClosed)
		require.Equal(t, 10*time.Second, time.Since(began))
		_, err := io.Copy(io.Discard, p)
		require.NoError(t, err)
	})
}
