package chunk

import (
	"errors"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/huff0"
)

// laneReader reads lanes.
type laneReader struct {
	symbols [MaxRecords]byte
	huff    huff0.Scratch
	fse     fse.Scratch
	scale   [maxFine + 1]*magnitudes
}

// errLane says that a lane is not as it was written; its chunk's address is told by who knows it.
var errLane = errors.New("lane not understood")

// read fills values with a lane, given those before it. It reports whether all of them are the same.
func (l *laneReader) read(r *reader, values []int64, lanes [][]int64) (same bool, err error) {
	head, how := r.byte(), r.byte()
	coding := int(head >> 4)
	p := plan{from: int(head & 15), signed: how&0x80 != 0, fine: uint(how & maxFine)}
	if p.from >= predictions || coding >= codings {
		return false, errLane
	}
	var near []int64
	if p.uses() {
		if p.near = int(r.byte()); p.near >= len(lanes) {
			return false, errLane
		}
		near = lanes[p.near]
	}
	rests := values
	if p.begins() {
		p.start = r.varint()
		values[0], rests = p.start, values[1:]
	}
	if p.from == fromPace {
		p.pace = r.varint()
	}
	p.base = r.varint()
	if coding == codeConstant {
		clear(rests)
	} else {
		p.unit = r.uvarint()
		if err := l.rests(r, &p, coding, rests); err != nil {
			return false, err
		}
	}
	if r.failed {
		return false, errLane
	}
	p.restore(values, near)
	return coding == codeConstant && (p.from == fromPrevious && p.base == 0 || p.from == fromNothing), nil
}

// unpack reads the symbols.
func (l *laneReader) unpack(r *reader, coding int, symbols []byte) error {
	switch coding {
	case codeOne:
		c := r.byte()
		for i := range symbols {
			symbols[i] = c
		}
		return nil
	case codeBytes:
		if len(r.b) < len(symbols) {
			return errLane
		}
		copy(symbols, r.b)
		r.b = r.b[len(symbols):]
		return nil
	}
	packed := r.bytes()
	if r.failed || len(packed) == 0 || len(symbols) == 0 { // of no symbols there is nothing to unpack, and no bound to it
		return errLane
	}
	var out []byte
	if coding == codeHuffman {
		s, rest, err := huff0.ReadTable(packed, &l.huff)
		if err != nil {
			return errLane
		}
		if out, err = s.Decoder().Decompress1X(symbols[:0:len(symbols)], rest); err != nil {
			return errLane
		}
	} else {
		var err error
		l.fse.DecompressLimit = len(symbols)
		if out, err = fse.Decompress(packed, &l.fse); err != nil {
			return errLane
		}
	}
	if len(out) != len(symbols) {
		return errLane
	}
	copy(symbols, out)
	return nil
}

// rests reads the symbols and the bits left over.
func (l *laneReader) rests(r *reader, p *plan, coding int, rests []int64) error {
	symbols := l.symbols[:len(rests)]
	if err := l.unpack(r, coding, symbols); err != nil {
		return err
	}
	in := bitReader{b: r.bytes()}
	if l.scale[p.fine] == nil {
		l.scale[p.fine] = newMagnitudes(p.fine)
	}
	scale := l.scale[p.fine]
	for i, c := range symbols {
		m := &scale[c]
		u := m.base + in.read(uint(m.left))
		if p.signed {
			rests[i] = unzigzag(u) * int64(p.unit)
		} else {
			rests[i] = int64(u * p.unit)
		}
	}
	if in.failed {
		return errLane
	}
	return nil
}
