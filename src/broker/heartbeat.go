package broker

import (
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// maxBeat bounds one heartbeat, about, in bytes; what does not fit comes with the next.
const (
	maxBeat   = 64 << 10
	beatEntry = 128
)

// heartbeat returns the line that tells a session what moved and whether core is there. The lock is held.
func (b *Broker) heartbeat(s *session, now time.Time) []byte {
	h := wire.Heartbeat{Source: b.pub.source, SinceMS: now.Sub(b.pub.since).Milliseconds(), Topics: map[quote.Topic]wire.HeartbeatTopic{}}
	for t, c := range s.cursors {
		if c.told == t.end() {
			continue
		}
		if len(h.Topics) >= maxBeat/beatEntry {
			break
		}
		c.told = t.end()
		h.Topics[t.name] = wire.HeartbeatTopic{Epoch: t.epoch, Next: t.next, Lag: t.end() - min(c.next, t.end()), Skipped: c.skipped}
	}
	f := wire.Make(wire.TypeHeartbeat, h)
	return f.Append(nil)
}
