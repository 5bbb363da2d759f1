package fault

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/spf13/pflag"
)

// Config says how unstable the exchange is. Probabilities are 0 to 1; the zero Config has no faults.
type Config struct {
	Refuse  float64 // of a connection: it is reset at once
	Cut     float64 // of a session-second: the session is cut
	Hang    float64 // of a session-second: the session says nothing for HangFor
	Garbage float64 // of a session-second: a line that is no frame is sent
	Delay   float64 // of a session-second and of a request: all is held back for DelayFor
	Error   float64 // of a request: it fails

	HangFor, DelayFor time.Duration
	// OutageFor is how long the end of each OutageEvery since the start is an outage: sessions cut, connections reset.
	OutageEvery, OutageFor time.Duration
}

// The presets.
const (
	Calm     = "calm"
	Unstable = "unstable"
)

// Preset returns calm, without faults, or unstable: the last 8 s of each minute are an outage, 2 % of requests and of
// session-seconds fail and 5 % are slow.
func Preset(name string) (Config, error) {
	c := Config{HangFor: 2 * time.Second, DelayFor: 300 * time.Millisecond, OutageEvery: time.Minute}
	switch name {
	case Calm:
	case Unstable:
		c.Refuse, c.Error, c.Delay, c.OutageFor = 0.02, 0.02, 0.05, 8*time.Second
		c.Cut, c.Hang, c.Garbage = 0.01, 0.005, 0.005
	default:
		return c, fmt.Errorf("chaos %.40q: want %s or %s", name, Unstable, Calm)
	}
	return c, nil
}

// Flags are a preset and what was said beside it.
type Flags struct {
	chaos string
	set   *pflag.FlagSet
	own   Config
}

// Bind adds the flags, with unstable as the preset.
func (f *Flags) Bind(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVar(&f.chaos, "chaos", Unstable, "unstable or calm; the flags below override it")
	for _, p := range f.own.shares() {
		fs.Float64Var(p.at, p.name, 0, "probability, 0 to 1: "+p.usage)
	}
	fs.DurationVar(&f.own.HangFor, "hang-for", 0, "length of a hang")
	fs.DurationVar(&f.own.DelayFor, "delay-for", 0, "length of a delay")
	fs.DurationVar(&f.own.OutageEvery, "outage-every", 0, "period of the outages")
	fs.DurationVar(&f.own.OutageFor, "outage-for", 0, "length of the outage at the end of each period")
}

// share is one probability.
type share struct {
	name, usage string
	at          *float64
}

func (c *Config) shares() []share {
	return []share{
		{"refuse", "a connection is reset", &c.Refuse},
		{"cut", "a session-second ends in a cut", &c.Cut},
		{"hang", "a session-second begins a hang", &c.Hang},
		{"garbage", "a session-second brings garbage", &c.Garbage},
		{"delay", "a session-second or request is slow", &c.Delay},
		{"error", "a request fails", &c.Error},
	}
}

// Config returns the preset with what the flags say otherwise.
func (f *Flags) Config() (Config, error) {
	c, err := Preset(f.chaos)
	if err != nil {
		return c, err
	}
	own := f.own.shares()
	for i, p := range c.shares() {
		if f.set.Changed(p.name) {
			*p.at = *own[i].at
		}
	}
	for name, d := range map[string][2]*time.Duration{
		"hang-for": {&c.HangFor, &f.own.HangFor}, "delay-for": {&c.DelayFor, &f.own.DelayFor},
		"outage-every": {&c.OutageEvery, &f.own.OutageEvery}, "outage-for": {&c.OutageFor, &f.own.OutageFor},
	} {
		if f.set.Changed(name) {
			*d[0] = *d[1]
		}
	}
	return c, c.Check()
}

// Check says which field is wrong.
func (c *Config) Check() error {
	for _, p := range c.shares() {
		if !(*p.at >= 0 && *p.at <= 1) {
			return fmt.Errorf("%s %v: want a probability from 0 to 1", p.name, *p.at)
		}
	}
	if c.HangFor < 0 || c.DelayFor < 0 || c.OutageFor < 0 || c.OutageFor > c.OutageEvery {
		return fmt.Errorf("durations must not be negative, and outage-for %v not above outage-every %v", c.OutageFor, c.OutageEvery)
	}
	return nil
}

// Plan is a Config with its seed.
type Plan struct {
	Config
	seed uint64
}

// NewPlan returns the plan of a seed.
func NewPlan(c Config, seed uint64) *Plan { return &Plan{c, seed} }

// Action is what goes wrong in a session-second.
type Action uint8

// The actions.
const (
	None Action = iota
	CutSession
	HangSession
	SendGarbage
	DelaySession
)

// String returns the action's name, as the metrics have it.
func (a Action) String() string {
	return [...]string{"none", "cut", "hang", "garbage", "delay"}[a]
}

// Session returns what happens in a second of a session; both count from 0.
func (p *Plan) Session(session, second uint64) Action {
	x := p.roll(1, session, second)
	for _, c := range []struct {
		action Action
		prob   float64
	}{{CutSession, p.Cut}, {HangSession, p.Hang}, {SendGarbage, p.Garbage}, {DelaySession, p.Delay}} {
		if x < c.prob {
			return c.action
		}
		x -= c.prob
	}
	return None
}

// Refused reports whether the connection with a number is reset.
func (p *Plan) Refused(connection uint64) bool { return p.roll(2, connection, 0) < p.Refuse }

// Request returns how long the request with a number is held back, and whether it then fails.
func (p *Plan) Request(number uint64) (delay time.Duration, fails bool) {
	if p.roll(3, number, 0) < p.Delay {
		delay = p.DelayFor
	}
	return delay, p.roll(4, number, 0) < p.Error
}

// Outage reports whether there is an outage so long after the start.
func (p *Plan) Outage(since time.Duration) bool {
	return p.OutageFor > 0 && since%p.OutageEvery >= p.OutageEvery-p.OutageFor
}

// roll returns a number in [0, 1) that depends on nothing but the seed and what is asked.
func (p *Plan) roll(kind, a, b uint64) float64 {
	var key [32]byte
	for i, v := range []uint64{p.seed, kind, a, b} {
		binary.LittleEndian.PutUint64(key[8*i:], v)
	}
	return float64(xxhash.Sum64(key[:])>>11) / (1 << 53)
}
