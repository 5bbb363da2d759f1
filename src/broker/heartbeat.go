package broker

import (
	"math"
	"strconv"
	"time"

	"quotes/src/wire"
)

// maxBeat bounds one heartbeat, about, in bytes; what does not fit comes with the next.
const (
	maxBeat   = 64 << 10
	beatEntry = 192
)

// untold is no index of a log: what a cursor has that was told of nothing.
const untold = math.MaxUint64

// heartbeat returns the line that tells a session what moved and whether core is there, and whether there is more to tell. It is written
// by hand: each second each subscriber gets one, and encoding/json would double the stack of its goroutine for good. The lock is held.
func (b *Broker) heartbeat(s *session, now time.Time) (line []byte, more bool) {
	payload := append(make([]byte, 0, 256), '{')
	some := false
	var lag uint64
	for t, c := range s.cursors {
		lag += t.lag(c.next)
		if c.told == t.end() {
			continue
		}
		if len(payload) >= maxBeat-beatEntry {
			more = true
			continue
		}
		c.told = t.end()
		if some {
			payload = append(payload, `,"`...)
		} else {
			payload = append(payload, `"topics":{"`...)
		}
		some = true
		payload = append(append(payload, t.name...), `":{"epoch":`...)
		payload = strconv.AppendUint(payload, t.epoch, 10)
		payload = strconv.AppendUint(append(payload, `,"next":`...), t.next, 10)
		payload = strconv.AppendUint(append(payload, `,"lag":`...), t.end()-min(c.next, t.end()), 10)
		payload = append(strconv.AppendUint(append(payload, `,"skipped":`...), c.skipped, 10), '}')
	}
	if some {
		payload = append(payload, `},`...)
	}
	b.met.lag.Observe(float64(lag))
	payload = append(append(append(payload, `"source":"`...), b.pub.source...), `","since_ms":`...)
	payload = append(strconv.AppendInt(payload, now.Sub(b.pub.since).Milliseconds(), 10), '}')
	f := wire.Frame{Type: wire.TypeHeartbeat, Payload: payload}
	return f.Append(make([]byte, 0, len(payload)+64)), more
}
