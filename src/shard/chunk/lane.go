package chunk

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
