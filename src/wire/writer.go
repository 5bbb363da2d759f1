package wire

import (
	"context"
	"net"
	"runtime"
	"sync"
	"time"
)

// lineWriter writes whole lines from many goroutines. What comes while a write is in work goes out together in the next.
type lineWriter struct {
	conn    net.Conn
	timeout time.Duration // without the other end taking a byte
	broken  func(error)   // called without the lock when a write has failed, before anybody learns of it

	mu      sync.Mutex
	turn    *sync.Cond // a write has ended
	buf     []byte     // what the next write takes; empty when none is in work
	free    []byte     // the buffer that is not in use
	writing bool
	begun   uint64 // writes of buf that have begun
	done    uint64 // those that went well
	err     error  // the first failure
}

const (
	maxPending = 64 << 10 // queued bytes beyond which queue waits
	keepBuffer = 16 << 10 // a larger buffer is given back when nothing waits
)

func newLineWriter(conn net.Conn, timeout time.Duration, broken func(error)) *lineWriter {
	w := &lineWriter{conn: conn, timeout: timeout, broken: broken}
	w.turn = sync.NewCond(&w.mu)
	return w
}

// write writes the lines that add appends, and returns when the connection has taken them, and all that was queued before
// them, or is broken. Where add appends nothing it only waits for what was queued.
func (w *lineWriter) write(add func([]byte) []byte) error { return w.put(add, false) }

// answer is write for who answers: on a busy machine others have answers too, and run first, so that all go out together.
func (w *lineWriter) answer(add func([]byte) []byte) error { return w.put(add, true) }

func (w *lineWriter) put(add func([]byte) []byte, yields bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.buf = add(w.buf)
	mine := w.begun + 1
	if len(w.buf) == 0 {
		mine = w.begun // no next write will come: the one in work is the last
	} else if !w.writing {
		w.writing = true
		if yields {
			w.mu.Unlock()
			runtime.Gosched()
			w.mu.Lock()
		}
		w.flush()
		w.hand()
	}
	for w.done < mine && w.err == nil {
		w.turn.Wait()
	}
	if w.done >= mine {
		return nil
	}
	return w.err
}

// queue leaves the lines that add appends to a goroutine. It waits only while too much is queued already, at most until
// ctx ends. Nobody learns here of a write that fails later: broken does.
func (w *lineWriter) queue(ctx context.Context, add func([]byte) []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) >= maxPending {
		stop := context.AfterFunc(ctx, w.wake)
		defer stop()
	}
	for len(w.buf) >= maxPending && w.err == nil && ctx.Err() == nil {
		w.turn.Wait()
	}
	if w.err != nil {
		return w.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.buf = add(w.buf)
	if !w.writing {
		w.writing = true
		w.hand()
	}
	return nil
}

// writev writes whole lines from the caller's own memory, without a copy, alone in its write.
func (w *lineWriter) writev(lines net.Buffers) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing && w.err == nil {
		w.turn.Wait()
	}
	if w.err != nil {
		return w.err
	}
	w.writing = true
	err := w.unlocked(func() (int64, error) { return lines.WriteTo(w.conn) })
	w.hand()
	return err
}

// hand ends this goroutine's turn: who wrote its own lines does not stay to write those of others.
func (w *lineWriter) hand() {
	if len(w.buf) > 0 && w.err == nil {
		go w.rest()
		return
	}
	w.settle()
}

// rest writes until nothing waits. It lets others run first: on a busy machine they have lines too, which then go out together.
func (w *lineWriter) rest() {
	runtime.Gosched()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) > 0 && w.err == nil {
		w.flush()
	}
	w.settle()
}

// settle says that no write is in work.
func (w *lineWriter) settle() {
	w.writing = false
	if cap(w.buf) > keepBuffer || w.err != nil {
		w.buf = nil
	}
	if cap(w.free) > keepBuffer || w.err != nil {
		w.free = nil
	}
	w.turn.Broadcast()
}

// flush writes what waits. The lock is held on entry and return, not meanwhile.
func (w *lineWriter) flush() {
	out := w.buf
	w.buf = w.free[:0]
	w.begun++
	n := w.begun
	rest := out
	err := w.unlocked(func() (int64, error) {
		n, err := w.conn.Write(rest)
		rest = rest[n:]
		return int64(n), err
	})
	if err == nil {
		w.done = n
	}
	w.free = out
	w.turn.Broadcast()
}

// unlocked runs one write without the lock, and keeps its error. write goes on where it was when its deadline passed.
func (w *lineWriter) unlocked(write func() (int64, error)) error {
	w.mu.Unlock()
	err := w.push(write)
	if err != nil {
		w.broken(err)
	}
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	return err
}

// looks is how often in a timeout a write that goes on is looked at.
const looks = 10

// push writes until all is written, or the other end has taken nothing for the timeout, to a tenth of it: who reads slowly
// is waited for, however much there is.
func (w *lineWriter) push(write func() (int64, error)) error {
	for moved := time.Now(); ; {
		began := time.Now()
		if err := w.conn.SetWriteDeadline(began.Add(w.timeout / looks)); err != nil {
			return err
		}
		n, err := write()
		if n > 0 {
			moved = began
		}
		if err == nil || !isTimeout(err) || time.Since(moved) >= w.timeout {
			return err
		}
	}
}

// wake lets everybody look again.
func (w *lineWriter) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn.Broadcast()
}
