package fault

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Config says how unstable the exchange is. Probabilities are 0 to 1, lengths 0 or more; the zero Config has no faults.
// A session-second has one fault at most, so those of sessions are 1 at most together.
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
// session-seconds fail and 5 % are slow. Calm knows lengths too, for those who turn on one fault.
func Preset(name string) (Config, error) {
	c := Config{HangFor: 2 * time.Second, DelayFor: 300 * time.Millisecond, OutageEvery: time.Minute}
	switch name {
	case Calm:
	case Unstable:
		c.Error, c.Delay, c.OutageFor = 0.02, 0.05, 8*time.Second
		c.Cut, c.Hang, c.Garbage = 0.01, 0.005, 0.005 // 2 % together
	default:
		return c, fmt.Errorf("chaos %.40q: want %s or %s", name, Unstable, Calm)
	}
	return c, nil
}

// field is one field as a flag; one of the two is nil.
type field struct {
	name, usage string
	share       *float64
	length      *time.Duration
}

func (c *Config) fields() []field {
	return []field{
		{"refuse", "that a new connection is reset", &c.Refuse, nil},
		{"cut", "that a session is cut in a second of it", &c.Cut, nil},
		{"hang", "that a session falls silent in a second of it, for hang-for", &c.Hang, nil},
		{"garbage", "that a session gets a line that is no frame in a second of it", &c.Garbage, nil},
		{"delay", "that a session in a second of it, or a request, is held back for delay-for", &c.Delay, nil},
		{"error", "that a request fails", &c.Error, nil},
		{"hang-for", "length of a hang", nil, &c.HangFor},
		{"delay-for", "length of a delay", nil, &c.DelayFor},
		{"outage-every", "period of the outages since the start", nil, &c.OutageEvery},
		{"outage-for", "length of the outage at the end of each period; 0s: none", nil, &c.OutageFor},
	}
}

// Check says which field is wrong.
func (c *Config) Check() error {
	for _, f := range c.fields() {
		if f.share != nil && !(*f.share >= 0 && *f.share <= 1) {
			return fmt.Errorf("%s %v: want a probability from 0 to 1", f.name, *f.share)
		}
		if f.length != nil && *f.length < 0 {
			return fmt.Errorf("%s %v: want 0s or more", f.name, *f.length)
		}
	}
	if sum := c.Cut + c.Hang + c.Garbage + c.Delay; sum > 1 {
		return fmt.Errorf("cut, hang, garbage and delay are %v together: a second has one fault, want at most 1", sum)
	}
	if c.OutageFor > c.OutageEvery {
		return fmt.Errorf("outage-for %v: want at most outage-every, %v", c.OutageFor, c.OutageEvery)
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
	from, _, ok := p.NextOutage(since)
	return ok && since >= from
}

// NextOutage returns when the outage that is on, or else the next one, begins and ends after the start; ok is false
// where none is planned.
func (p *Plan) NextOutage(since time.Duration) (from, to time.Duration, ok bool) {
	if p.OutageFor <= 0 {
		return 0, 0, false
	}
	to = (since/p.OutageEvery + 1) * p.OutageEvery
	return to - p.OutageFor, to, true
}

// roll returns a number in [0, 1) that depends on nothing but the seed and what is asked.
func (p *Plan) roll(kind, a, b uint64) float64 {
	var key [32]byte
	for i, v := range []uint64{p.seed, kind, a, b} {
		binary.LittleEndian.PutUint64(key[8*i:], v)
	}
	return float64(xxhash.Sum64(key[:])>>11) / (1 << 53)
}
