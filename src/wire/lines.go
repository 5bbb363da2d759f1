package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// errTooLong says that a line passed the limit.
var errTooLong = errors.New("line too long")

// errSlow says that a line was not complete in time after its first byte.
var errSlow = errors.New("line too slow")

// errNoRoom says that all connections together have as much of unfinished lines as the server keeps.
var errNoRoom = errors.New("no room for the line")

// lineReader reads lines under two deadlines: one for silence, one for a line that has begun.
// One goroutine calls next; rearm, stop and let are for others.
type lineReader struct {
	conn    net.Conn
	max     int                  // longest line, newline included
	line    time.Duration        // a line must be complete this long after its first byte
	idle    func() time.Duration // how long silence is allowed now; 0 is for ever
	touched func()               // called when bytes arrive; may be nil
	memory  *budget              // of all readers of a server; nil is without bound
	pause   func()               // called before a read; may be nil

	buf      []byte
	pos, end int
	filled   bool // the last read took all the room there was
	held     int  // bytes of the budget

	mu      sync.Mutex    // guards the connection's read deadline, and:
	begun   bool          // it is a line's own, not silence's
	keep    time.Duration // it ends the wait of a buffer that has grown; 0 where none has
	stopped bool          // no read waits any more
}

// A connection begins with a small buffer; a busy one earns a larger one.
const (
	readChunk = 1 << 10
	readMost  = 64 << 10
)

// How long an empty buffer that has grown waits for the next bytes: a connection that is busy doesn't make a new one each time, one
// that is silent has none.
const (
	keepLarge = 100 * time.Millisecond // one larger than readMost, for the next long line
	keepBusy  = time.Second
)

// next returns the next line without its newline, valid until the next call. A last line without newline counts as a line.
// Errors: io.EOF, errTooLong, errSlow, errNoRoom, os.ErrDeadlineExceeded for silence, or what the connection says.
func (r *lineReader) next() ([]byte, error) {
	scanned := r.pos
	for fresh := true; ; fresh = false {
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
		if !r.room() {
			return nil, errNoRoom
		}
		scanned = r.end
		if r.pause != nil {
			r.pause()
		}
		keep := r.keeps()
		if err := r.arm(fresh, keep); err != nil {
			return nil, err
		}
		n, err := r.conn.Read(r.buf[r.end:])
		if keep > 0 && n == 0 && isTimeout(err) {
			r.resize(readChunk)
			scanned, r.filled = 0, false
			continue
		}
		r.end += n
		r.filled = r.end == len(r.buf)
		if n > 0 && r.touched != nil {
			r.touched()
		}
		if err != nil && n == 0 {
			return r.last(err)
		}
	}
}

// keeps returns how long the buffer waits as it is; 0 is for ever.
func (r *lineReader) keeps() time.Duration {
	switch {
	case r.end > r.pos || len(r.buf) <= readChunk:
		return 0
	case len(r.buf) > readMost:
		return keepLarge
	}
	return keepBusy
}

// arm sets the deadline that holds now: silence's, or that of a buffer that has grown, until a first byte is here, then the line's
// own, once.
func (r *lineReader) arm(fresh bool, keep time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !fresh && r.begun {
		return nil
	}
	r.begun, r.keep = r.end > r.pos, keep
	return r.set()
}

// rearm says that silence is judged anew. A line that has begun keeps its deadline.
func (r *lineReader) rearm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		_ = r.set() // a broken connection tells its reader
	}
}

// stop ends the read in work and all later ones with os.ErrDeadlineExceeded; lines that are here already still come.
func (r *lineReader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	_ = r.set()
}

// let leaves the connection to somebody else, without a deadline; stop does nothing any more.
func (r *lineReader) let() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.conn.SetReadDeadline(time.Time{})
	r.conn = nil
	return err
}

func (r *lineReader) set() error {
	if r.conn == nil {
		return net.ErrClosed
	}
	switch {
	case r.stopped:
		return r.conn.SetReadDeadline(time.Unix(1, 0)) // long past
	case r.begun:
		return r.conn.SetReadDeadline(time.Now().Add(r.line))
	case r.keep > 0:
		return r.conn.SetReadDeadline(time.Now().Add(r.keep))
	}
	if d := r.idle(); d > 0 {
		return r.conn.SetReadDeadline(time.Now().Add(d))
	}
	return r.conn.SetReadDeadline(time.Time{})
}

// last turns the end of the stream into a last line, where there is one.
func (r *lineReader) last(err error) ([]byte, error) {
	if errors.Is(err, io.EOF) && r.end > r.pos {
		line := r.buf[r.pos:r.end]
		r.pos = r.end
		return line, nil
	}
	if r.end > r.pos && isTimeout(err) {
		return nil, errSlow
	}
	return nil, err
}

// room moves what is unread to the front and grows the buffer. It reports whether there is any: a line that fills the
// buffer needs more, a busy connection only would like it.
func (r *lineReader) room() bool {
	unread := r.end - r.pos
	full := unread == len(r.buf)
	if full || r.filled && len(r.buf) < readMost {
		if r.resize(min(max(2*len(r.buf), readChunk), r.max+readChunk)) {
			return true
		}
	}
	if r.pos > 0 {
		copy(r.buf, r.buf[r.pos:r.end])
		r.pos, r.end = 0, unread
	}
	return !full
}

// resize gives the reader another buffer, with what is unread. What is more than a small one is of the budget; where that is spent
// nothing changes.
func (r *lineReader) resize(size int) bool {
	more := size - readChunk - r.held
	if !r.memory.take(more) {
		return false
	}
	r.held += more
	buf := make([]byte, size)
	r.end = copy(buf, r.buf[r.pos:r.end])
	r.pos, r.buf = 0, buf
	return true
}

// release gives the budget back; the reader reads no more.
func (r *lineReader) release() {
	r.memory.take(-r.held)
	r.held = 0
}

// budget is memory that many share.
type budget struct{ left atomic.Int64 }

// take takes n bytes, or gives them back where n is negative, and reports whether there were so many.
func (b *budget) take(n int) bool {
	if b == nil || n == 0 {
		return true
	}
	if b.left.Add(-int64(n)) >= 0 || n < 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

// buffered returns what was read and not yet handed out.
func (r *lineReader) buffered() []byte { return r.buf[r.pos:r.end] }

// isEOF reports whether err is the quiet end of a stream.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// isTimeout reports whether err is a deadline of ours that has passed. What the kernel gave up (ETIMEDOUT) calls itself a
// timeout too, and is an end.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
