package wire

import "quotes/src/quote"

// quick reads an APPEND without losses as core writes it: members in order, without space. The records' payloads stay part of
// raw. Where it isn't so, it says that, and encoding/json takes over, which needs four times as long.
func (a *Append) quick(raw []byte) (ok bool) {
	c := cursor{b: raw}
	var out Append
	if !c.word(`{"table_epoch":`) {
		return false
	}
	if out.TableEpoch, ok = c.number(); !ok || !c.word(`,"epoch":`) {
		return false
	}
	if out.Epoch, ok = c.number(); !ok || !c.word(`,"records":[`) {
		return false
	}
	out.Records = make([]Record, 0, min(len(raw)/recordBytes+1, maxGuess))
	var topic quote.Topic
	for {
		var r Record
		if !c.word(`{"topic":`) {
			return false
		}
		name, plain := c.plain()
		if !plain || !c.word(`,"seq":`) {
			return false
		}
		if string(topic) != string(name) {
			topic = quote.Topic(name)
		}
		r.Topic = topic
		if r.Seq, ok = c.number(); !ok || !c.word(`,"payload":`) {
			return false
		}
		from := c.i
		if !c.value(0) {
			return false
		}
		r.Payload = raw[from:c.i:c.i]
		if out.Records = append(out.Records, r); !c.word(`},`) {
			break
		}
	}
	if !c.word(`}]}`) || c.i != len(raw) {
		return false
	}
	*a = out
	return true
}

// About how many bytes a record takes, and the most records that room is made for before they have come.
const (
	recordBytes = 256
	maxGuess    = 1024
)
