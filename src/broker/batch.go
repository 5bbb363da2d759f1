package broker

import (
	"net"
	"sync"
)

// batch is what a writer sends in one turn: lines, those that stand side by side in a log as one piece.
type batch struct {
	lines  net.Buffers
	frames int
	size   int
	bare   bool // of a session that has bare subscriptions only
}

// add appends one line.
func (b *batch) add(line []byte) { b.addRun(line, 1) }

// addRun appends lines that stand side by side.
func (b *batch) addRun(lines []byte, frames int) {
	b.frames += frames
	b.size += len(lines)
	b.lines = append(b.lines, lines)
}

// smallPiece is up to where a piece is copied beside its neighbours: the system's work for one more piece costs about as much.
const smallPiece = 4 << 10

// copies is a buffer for coalesce.
type copies struct{ buf []byte }

// coalesce returns the lines with neighbouring small pieces copied together. Done gives the copies back to the pool, once they are
// written.
func (b *batch) coalesce(pool *sync.Pool) (lines net.Buffers, done func()) {
	small := 0
	for _, l := range b.lines {
		if len(l) <= smallPiece {
			small += len(l)
		}
	}
	if len(b.lines) < 2 || small == 0 {
		return b.lines, func() {}
	}
	c, pooled := pool.Get().(*copies)
	if !pooled {
		c = &copies{}
	}
	if cap(c.buf) < small {
		c.buf = make([]byte, 0, max(small, turnBytes/4))
	}
	buf := c.buf[:0]
	lines = b.lines[:0]
	from := 0
	flush := func() {
		if from < len(buf) {
			lines = append(lines, buf[from:])
			from = len(buf)
		}
	}
	for _, l := range b.lines {
		if len(l) <= smallPiece {
			buf = append(buf, l...)
			continue
		}
		flush()
		lines = append(lines, l)
	}
	flush()
	clear(b.lines[len(lines):]) // what was copied must not keep its log while this is being written
	return lines, func() { pool.Put(c) }
}
