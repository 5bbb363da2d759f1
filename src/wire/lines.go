package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// errTooLong says that a line passed the limit.
var errTooLong = errors.New("line too long")

// errSlow says that a line was not complete in time after its first byte.
var errSlow = errors.New("line too slow")

// lineReader reads lines under two deadlines: one for silence, one for a line that has begun.
type lineReader struct {
	conn     net.Conn
	max      int           // longest line, newline included
	line     time.Duration // a line must be complete this long after its first byte
	buf      []byte
	pos, end int
	filled   bool   // the last read took all the room there was
	touched  func() // called when bytes arrive
}

// A connection begins with a small buffer; a busy one earns a larger one.
const (
	readChunk = 4 << 10
	readMost  = 64 << 10
)

// next returns the next line without its newline, valid until the next call. idle returns how long silence is allowed,
// 0 for ever. A last line without newline counts as a line. Errors: io.EOF, errTooLong, errSlow, os.ErrDeadlineExceeded
// for silence, or what the connection says.
func (r *lineReader) next(idle func() time.Duration) ([]byte, error) {
	var begun bool
	scanned := r.pos
	for {
		if i := bytes.IndexByte(r.buf[scanned:r.end], '\n'); i >= 0 {
			line := r.buf[r.pos : scanned+i]
			r.pos = scanned + i + 1
			if len(line) >= r.max {
				return nil, errTooLong
			}
			return line, nil
		}
		if r.end-r.pos >= r.max {
			return nil, errTooLong
		}
		r.room()
		scanned = r.end
		if err := r.deadline(&begun, idle); err != nil {
			return nil, err
		}
		n, err := r.conn.Read(r.buf[r.end:])
		r.end += n
		r.filled = r.end == len(r.buf)
		if n > 0 && r.touched != nil {
			r.touched()
		}
		if err != nil && n == 0 {
			return r.last(err, begun)
		}
	}
}

// deadline arms the one that holds now: silence until a first byte is here, then the line's own, once.
func (r *lineReader) deadline(begun *bool, idle func() time.Duration) error {
	if *begun {
		return nil
	}
	if r.end > r.pos {
		*begun = true
		return r.conn.SetReadDeadline(time.Now().Add(r.line))
	}
	if d := idle(); d > 0 {
		return r.conn.SetReadDeadline(time.Now().Add(d))
	}
	return r.conn.SetReadDeadline(time.Time{})
}

// last turns the end of the stream into a last line, where there is one.
func (r *lineReader) last(err error, begun bool) ([]byte, error) {
	if errors.Is(err, io.EOF) && r.end > r.pos {
		line := r.buf[r.pos:r.end]
		r.pos = r.end
		return line, nil
	}
	var timeout net.Error
	if begun && errors.As(err, &timeout) && timeout.Timeout() {
		return nil, errSlow
	}
	return nil, err
}

// room moves what is unread to the front and grows or gives back the buffer.
func (r *lineReader) room() {
	unread := r.end - r.pos
	switch {
	case unread == 0 && len(r.buf) > readMost:
		r.buf = make([]byte, readChunk) // one long line must not cost the connection for ever
	case unread == len(r.buf), r.filled && len(r.buf) < readMost:
		grown := make([]byte, min(max(2*len(r.buf), readChunk), r.max+readChunk))
		copy(grown, r.buf[r.pos:r.end])
		r.buf = grown
	case r.pos > 0:
		copy(r.buf, r.buf[r.pos:r.end])
	}
	r.pos, r.end = 0, unread
}

// buffered returns what was read and not yet handed out.
func (r *lineReader) buffered() []byte { return r.buf[r.pos:r.end] }

// lineWriter writes whole lines from many goroutines. What is written while another write waits goes out with it.
type lineWriter struct {
	conn    net.Conn
	timeout time.Duration

	mu      sync.Mutex
	buf     []byte
	free    []byte // the buffer that is not in use
	writing bool
	err     error
	idle    *sync.Cond // a write ended
}

func newLineWriter(conn net.Conn, timeout time.Duration) *lineWriter {
	w := &lineWriter{conn: conn, timeout: timeout}
	w.idle = sync.NewCond(&w.mu)
	return w
}

// maxPending bounds what waits for the write in work; beyond it writers block.
const maxPending = 64 << 10

// write appends what add adds and returns when it is on its way or the connection is broken. While another goroutine
// writes, it leaves its lines to that one, unless too many wait already.
func (w *lineWriter) write(add func([]byte) []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing && len(w.buf) >= maxPending && w.err == nil {
		w.idle.Wait()
	}
	if w.err != nil {
		return w.err
	}
	w.buf = add(w.buf)
	if w.writing {
		return nil
	}
	w.writing = true
	w.flushAll()
	w.writing = false
	w.idle.Broadcast()
	return w.err
}

// writev writes whole lines from the caller's own memory, without a copy, behind all that waits.
func (w *lineWriter) writev(lines net.Buffers) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing && w.err == nil {
		w.idle.Wait()
	}
	if w.err != nil {
		return w.err
	}
	w.writing = true
	if w.flushAll(); w.err == nil {
		w.unlocked(func() error { _, err := lines.WriteTo(w.conn); return err })
	}
	w.flushAll() // what came meanwhile
	w.writing = false
	w.idle.Broadcast()
	return w.err
}

func (w *lineWriter) flushAll() {
	for len(w.buf) > 0 && w.err == nil {
		w.flush()
	}
}

// flush writes what waits. The lock is held on entry and return, not meanwhile.
func (w *lineWriter) flush() {
	out := w.buf
	w.buf = w.free[:0]
	w.unlocked(func() error { _, err := w.conn.Write(out); return err })
	if cap(out) <= 4*maxPending {
		w.free = out
	}
}

// unlocked runs one write under the deadline and without the lock, and keeps its error.
func (w *lineWriter) unlocked(write func() error) {
	w.mu.Unlock()
	err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
	if err == nil {
		err = write()
	}
	w.mu.Lock()
	if err != nil {
		w.err = err
	}
	w.idle.Broadcast()
}

// drain waits until nothing is in work.
func (w *lineWriter) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing && w.err == nil {
		w.idle.Wait()
	}
}
