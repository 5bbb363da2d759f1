package chunk

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/huff0"
)

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

// A coder compares all predictions by a rough estimate, of the first values, and the best of them by a close one.
const (
	roughly = 256 // values
	closely = 2   // predictions
)

// append codes values, given those coded before; which of them may be used is near.
func (c *laneCoder) append(b []byte, values []int64, lanes [][]int64, near []int) []byte {
	c.plans = c.plans[:0]
	some := values[:min(len(values), roughly)]
	for _, from := range []int{fromPrevious, fromNothing, fromStep, fromPace} {
		c.propose(plan{from: from}, some, nil)
	}
	for _, lane := range near {
		for _, from := range []int{fromNear, fromNearStep, fromBeside} {
			c.propose(plan{from: from, near: lane}, some, lanes[lane])
		}
	}
	slices.SortStableFunc(c.plans, func(p, q plan) int { return cmp.Compare(p.cost, q.cost) })
	best := plan{cost: math.Inf(1)}
	for _, p := range c.plans[:min(closely, len(c.plans))] {
		p.begin(values)
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
	p.begin(values)
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

// begin sets what a plan takes from the first and the last value.
func (p *plan) begin(values []int64) {
	if p.begins() {
		p.start = values[0]
	}
	if n := len(values); p.from == fromPace && n > 1 {
		p.pace = (values[n-1] - values[0]) / int64(n-1)
	}
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

// rests fills c.rest as a plan says; the commonest ways have loops of their own.
func (c *laneCoder) rests(p *plan, values, near []int64) {
	out := slices.Grow(c.rest[:0], len(values))
	switch p.from {
	case fromNothing:
		out = append(out, values...)
	case fromPrevious:
		for i := 1; i < len(values); i++ {
			out = append(out, values[i]-values[i-1])
		}
	case fromNear:
		for i, v := range values {
			out = append(out, v-near[i])
		}
	case fromNearStep:
		for i := 1; i < len(values); i++ {
			out = append(out, values[i]-values[i-1]-(near[i]-near[i-1]))
		}
	default:
		p.predict(near, len(values), func(i int, guess int64) int64 {
			out = append(out, values[i]-guess)
			return values[i]
		})
	}
	c.rest = out
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
