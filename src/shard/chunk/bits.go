package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// magnitude returns the symbol of a value, with k bits of it below the highest in the symbol, and how many bits are left.
func magnitude(u uint64, k uint) (symbol uint, left uint) {
	if u < 2<<k {
		return uint(u), 0
	}
	e := uint(bits.Len64(u)) - 1
	return 2<<k + (e-k-1)<<k + uint(u>>(e-k))&(1<<k-1), e - k
}

// magnitudes is what each symbol stands for: the lowest value, and how many bits are added to it.
type magnitudes [256]struct {
	base uint64
	left uint8
}

// maxFine is the most bits of a value in its symbol.
const maxFine = 3

func newMagnitudes(k uint) *magnitudes {
	var m magnitudes
	for s := range uint(len(m)) {
		if s < 2<<k {
			m[s].base = uint64(s)
			continue
		}
		e := (s-2<<k)>>k + k + 1
		if e > 63 {
			m[s].base, m[s].left = math.MaxUint64, 0 // no value has this symbol
			continue
		}
		m[s].base = 1<<e | uint64((s-2<<k)&(1<<k-1))<<(e-k)
		m[s].left = uint8(e - k)
	}
	return &m
}

// bitWriter packs bits, the lowest first.
type bitWriter struct {
	out  []byte
	acc  uint64
	have uint
}

func (w *bitWriter) write(v uint64, n uint) {
	for n > 0 {
		take := min(n, 32)
		w.acc |= (v & (1<<take - 1)) << w.have
		w.have += take
		v >>= take
		n -= take
		for w.have >= 8 {
			w.out = append(w.out, byte(w.acc))
			w.acc >>= 8
			w.have -= 8
		}
	}
}

func (w *bitWriter) close() []byte {
	if w.have > 0 {
		w.out = append(w.out, byte(w.acc))
	}
	return w.out
}

// bitReader reads what bitWriter wrote. Behind the end it reads zeros, and failed is set.
type bitReader struct {
	b      []byte
	acc    uint64
	have   uint
	failed bool
}

func (r *bitReader) read(n uint) uint64 {
	if n > 32 {
		low := r.read(32)
		return low | r.read(n-32)<<32
	}
	if r.have < n {
		r.fill()
	}
	if r.have < n {
		r.failed = true
		return 0
	}
	v := r.acc & (1<<n - 1)
	r.acc >>= n
	r.have -= n
	return v
}

func (r *bitReader) fill() {
	if len(r.b) >= 8 { // as many whole bytes as there is room for
		take := (63 - r.have) / 8
		r.acc |= (binary.LittleEndian.Uint64(r.b) & (1<<(8*take) - 1)) << r.have
		r.b = r.b[take:]
		r.have += 8 * take
		return
	}
	for r.have <= 55 && len(r.b) > 0 {
		r.acc |= uint64(r.b[0]) << r.have
		r.b = r.b[1:]
		r.have += 8
	}
}
