package chunk

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/huff0"
)

// A lane is one column as it is coded: each value is predicted, and what the prediction lacks is stored.

// The predictions. Those from near use another lane, which is coded before.
const (
	fromNothing  = iota // 0
	fromPrevious        // the value before
	fromStep            // the value before and its step
	fromNear            // the other lane's value
	fromNearStep        // the value before and the other lane's step
	fromBeside          // what stood beside the other lane's value last, else the value before
	fromPace            // as far behind the first value as the pace from the first to the last says
	predictions
)

// The codings of the symbols.
const (
	codeConstant = iota // every value is as predicted, but for the base
	codeOne             // there is one symbol
	codeHuffman
	codeEntropy // tANS, zstd's FSE
	codeBytes
	codings
)

// plan is how a lane is coded.
type plan struct {
	from   int
	near   int
	start  int64 // the first value, for predictions that begin with it
	pace   int64
	signed bool   // rests are taken as zigzag from base, which is about their median; else base is the least
	base   int64  // what is added to every rest
	unit   uint64 // what every rest is divided by; 0 where all are alike
	fine   uint   // bits of a value in its symbol
	cost   float64
}

// begins reports whether the first value is stored by itself.
func (p *plan) begins() bool { return p.from != fromNothing && p.from != fromNear }

// beside remembers what stood beside a value.
type beside [64]struct{ key, value int64 }

func (t *beside) at(key int64) int { return int(uint64(key) * 0x9E3779B97F4A7C15 >> 58) }

// predict calls each with the index of every value and its prediction, and takes the value from it; the first value is left
// out where it is stored by itself.
func (p *plan) predict(near []int64, n int, each func(i int, guess int64) int64) {
	last, step, from := p.start, int64(0), 0
	var seen beside
	if p.begins() {
		from = 1
	}
	for i := from; i < n; i++ {
		guess := last
		switch p.from {
		case fromNothing:
			guess = 0
		case fromStep:
			guess += step
		case fromNear:
			guess = near[i]
		case fromNearStep:
			guess += near[i] - near[i-1]
		case fromPace:
			guess = p.start + int64(i)*p.pace
		case fromBeside:
			seen[seen.at(near[i-1])] = struct{ key, value int64 }{near[i-1], last}
			if e := &seen[seen.at(near[i])]; e.key == near[i] {
				guess = e.value
			}
		}
		v := each(i, guess)
		last, step = v, v-last
	}
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// constantCost is about what a lane costs, in bits, whose rests are all alike.
const constantCost = 32

// laneCoder finds the shortest coding of lanes.
type laneCoder struct {
	plans        []plan
	rest, sorted []int64
	symbols      []byte
	counts       [maxFine + 1][257]uint16 // of each symbol; the last is for what has none
	huff         huff0.Scratch
	fse          fse.Scratch
}

// A coder compares all predictions by a rough estimate, and the best of them by a close one.
const closely = 3

// append codes values, given those coded before; which of them may be used is near.
func (c *laneCoder) append(b []byte, values []int64, lanes [][]int64, near []int) []byte {
	c.plans = c.plans[:0]
	for _, from := range []int{fromPrevious, fromNothing, fromStep, fromPace} {
		c.propose(plan{from: from}, values, nil)
	}
	for _, lane := range near {
		for _, from := range []int{fromNear, fromNearStep, fromBeside} {
			c.propose(plan{from: from, near: lane}, values, lanes[lane])
		}
	}
	slices.SortStableFunc(c.plans, func(p, q plan) int { return cmp.Compare(p.cost, q.cost) })
	best := plan{cost: math.Inf(1)}
	for _, p := range c.plans[:min(closely, len(c.plans))] {
		c.rests(&p, values, p.of(lanes))
		for _, p.signed = range []bool{false, true} {
			if c.judge(&p); p.cost < best.cost {
				best = p
			}
		}
		if best.cost <= constantCost {
			break
		}
	}
	c.rests(&best, values, best.of(lanes))
	return c.write(b, &best)
}

// propose completes a plan and adds it, with a rough estimate of its cost.
func (c *laneCoder) propose(p plan, values, near []int64) {
	if p.begins() {
		p.start = values[0]
	}
	if n := len(values); p.from == fromPace && n > 1 {
		p.pace = (values[n-1] - values[0]) / int64(n-1)
	}
	if c.rests(&p, values, near); len(c.rest) == 0 {
		c.plans = append(c.plans, p)
		return
	}
	base := c.median()
	clear(c.counts[0][:])
	left := 0
	for _, r := range c.rest {
		n := bits.Len64(zigzag(r - base))
		c.counts[0][n]++
		left += max(n-1, 0)
	}
	p.cost = float64(left) + c.entropy(0)
	c.plans = append(c.plans, p)
}

// entropy is how many bits the counted symbols take.
func (c *laneCoder) entropy(k int) (sum float64) {
	n := float64(len(c.rest))
	for _, count := range c.counts[k] {
		if count > 0 {
			sum += 5 + float64(count)*math.Log2(n/float64(count)) // its place in the table, and itself
		}
	}
	return sum
}

// median returns about what lies in the middle of the rests.
func (c *laneCoder) median() int64 {
	c.sorted = c.sorted[:0]
	for i := 0; i < len(c.rest); i += 1 + len(c.rest)/64 {
		c.sorted = append(c.sorted, c.rest[i])
	}
	slices.Sort(c.sorted)
	return c.sorted[len(c.sorted)/2]
}

// rests fills c.rest as a plan says.
func (c *laneCoder) rests(p *plan, values, near []int64) {
	c.rest = c.rest[:0]
	p.predict(near, len(values), func(i int, guess int64) int64 {
		c.rest = append(c.rest, values[i]-guess)
		return values[i]
	})
}

// uses reports whether the prediction uses another lane.
func (p *plan) uses() bool {
	return p.from == fromNear || p.from == fromNearStep || p.from == fromBeside
}

// of returns the lane that is used, if any.
func (p *plan) of(lanes [][]int64) []int64 {
	if p.uses() {
		return lanes[p.near]
	}
	return nil
}

// settle chooses a plan's base and unit for c.rest.
func (c *laneCoder) settle(p *plan) {
	p.base, p.unit = 0, 0
	if len(c.rest) == 0 {
		return
	}
	if p.signed {
		p.base = c.median()
	} else {
		p.base = slices.Min(c.rest)
	}
	for _, r := range c.rest {
		d := r - p.base
		if p.signed && d < 0 {
			d = -d
		}
		if p.unit = gcd(p.unit, uint64(d)); p.unit == 1 {
			break
		}
	}
}

// judge chooses what is left to choose of a plan, and estimates its cost in bits.
func (c *laneCoder) judge(p *plan) {
	c.settle(p)
	p.cost = math.Inf(1)
	if p.unit == 0 { // all alike
		p.cost = constantCost
		return
	}
	clear(c.counts[:])
	var left [maxFine + 1]uint
	for _, r := range c.rest {
		u := p.code(r)
		for k := range left {
			symbol, more := magnitude(u, uint(k))
			c.counts[k][min(symbol, 256)]++
			left[k] += more
		}
	}
	for k := range c.counts {
		if c.counts[k][256] > 0 {
			break
		}
		if cost := constantCost + 16 + float64(left[k]) + c.entropy(k); cost < p.cost {
			p.cost, p.fine = cost, uint(k)
		}
	}
}

// code turns a rest into what is stored.
func (p *plan) code(r int64) uint64 {
	d := r - p.base
	switch {
	case p.unit == 1 && p.signed:
		return zigzag(d)
	case p.unit == 1:
		return uint64(d)
	case !p.signed:
		return uint64(d) / p.unit
	case d < 0:
		return zigzag(-int64(uint64(-d) / p.unit))
	}
	return zigzag(int64(uint64(d) / p.unit))
}

// write stores c.rest as planned: a byte with the prediction and the coding, one with the sign and the fineness, the lane that
// is used, the first value, the pace, the base; then, where not all is alike, the unit, the symbols and the bits left over.
func (c *laneCoder) write(b []byte, p *plan) []byte {
	coding := codeConstant
	var left bitWriter
	var packed []byte
	c.symbols = c.symbols[:0]
	if p.unit != 0 {
		for _, r := range c.rest {
			u := p.code(r)
			symbol, n := magnitude(u, p.fine)
			c.symbols = append(c.symbols, byte(symbol))
			left.write(u, n)
		}
		coding, packed = c.pack()
	}
	b = append(b, byte(p.from)|byte(coding)<<4, byte(p.fine))
	if p.signed {
		b[len(b)-1] |= 0x80
	}
	if p.uses() {
		b = append(b, byte(p.near))
	}
	if p.begins() {
		b = binary.AppendVarint(b, p.start)
	}
	if p.from == fromPace {
		b = binary.AppendVarint(b, p.pace)
	}
	b = binary.AppendVarint(b, p.base)
	if coding == codeConstant {
		return b
	}
	b = binary.AppendUvarint(b, p.unit)
	switch coding {
	case codeOne:
		b = append(b, c.symbols[0])
	case codeBytes:
		b = append(b, c.symbols...)
	default:
		b = append(binary.AppendUvarint(b, uint64(len(packed))), packed...)
	}
	rest := left.close()
	return append(binary.AppendUvarint(b, uint64(len(rest))), rest...)
}

// pack codes the symbols, by Huffman unless tANS, which is slower to read, saves one byte in thirty.
func (c *laneCoder) pack() (coding int, packed []byte) {
	if oneSymbol(c.symbols) {
		return codeOne, nil
	}
	coding, size := codeBytes, len(c.symbols)
	c.huff.Reuse = huff0.ReusePolicyNone
	if out, _, err := huff0.Compress1X(c.symbols, &c.huff); err == nil && len(out) < size {
		coding, packed, size = codeHuffman, out, len(out)
	}
	if out, err := fse.Compress(c.symbols, &c.fse); err == nil && len(out)+size/30 < size {
		coding, packed = codeEntropy, out
	}
	return coding, packed
}

func oneSymbol(s []byte) bool {
	for _, c := range s {
		if c != s[0] {
			return false
		}
	}
	return true
}

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
	if r.failed || len(packed) == 0 {
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

// restore turns rests into values, in place; the commonest ways have loops of their own.
func (p *plan) restore(values, near []int64) {
	base := p.base
	switch p.from {
	case fromNothing:
		for i := range values {
			values[i] += base
		}
	case fromPrevious:
		last := values[0]
		for i := 1; i < len(values); i++ {
			last += values[i] + base
			values[i] = last
		}
	case fromNear:
		for i := range values {
			values[i] += base + near[i]
		}
	default:
		p.predict(near, len(values), func(i int, guess int64) int64 {
			values[i] += base + guess
			return values[i]
		})
	}
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
