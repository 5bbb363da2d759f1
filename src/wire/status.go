package wire

import (
	"encoding/json"
	"maps"
	"slices"

	"quotes/src/quote"
)

// Status is RESP_STATUS's payload; each process fills what applies to it.
type Status struct {
	Process     string                    `json:"process"`
	Version     string                    `json:"version"`
	Since       quote.Time                `json:"since,omitzero"`
	Epoch       uint64                    `json:"epoch,omitempty"`
	Peers       []Peer                    `json:"peers,omitempty"`
	Breakers    []BreakerStatus           `json:"breakers,omitempty"`
	Subscribers []SubscriberStatus        `json:"subscribers,omitempty"`
	Slots       []SlotStatus              `json:"slots,omitempty"`
	Durable     map[quote.Topic]Durable   `json:"durable,omitempty"`
	DurableOne  uint64                    `json:"durable_one,omitempty"` // records of all topics that are on one owner's disk and not yet on all
	Topics      map[quote.Topic]TopicInfo `json:"topics,omitempty"`
	Omitted     int                       `json:"omitted,omitempty"` // topics and subscribers that one frame has no room for
}

// statusBytes bounds a RESP_STATUS: half of what a line may have.
const statusBytes = DefaultMaxLine / 2

// Frame returns RESP_STATUS. Where there are more topics or subscribers than one frame has room for, it has the first of them by name,
// and says how many it leaves out.
func (s Status) Frame() Frame {
	for {
		f := Make(TypeRespStatus, &s)
		n := len(s.Durable) + len(s.Topics) + len(s.Subscribers)
		if len(f.Payload) <= statusBytes || n == 0 {
			return f
		}
		share := 0.9 * statusBytes / float64(len(f.Payload))
		s.Durable, s.Topics = first(s.Durable, share), first(s.Topics, share)
		s.Subscribers = s.Subscribers[:int(share*float64(len(s.Subscribers)))]
		s.Omitted += n - len(s.Durable) - len(s.Topics) - len(s.Subscribers)
	}
}

// first returns a share of a map: the first by name.
func first[V any](m map[quote.Topic]V, share float64) map[quote.Topic]V {
	out := map[quote.Topic]V{}
	for _, name := range slices.Sorted(maps.Keys(m))[:int(share*float64(len(m)))] {
		out[name] = m[name]
	}
	return out
}

// Peer is a process that this one talks to. State is "up", "down" or, for the exchange, the quality it gives.
type Peer struct {
	Name  string `json:"name"`
	Addr  string `json:"addr"`
	State string `json:"state"`
}

// BreakerStatus is a breaker's state and its latest transitions, newest last, each as on status.core.
type BreakerStatus struct {
	Name        string            `json:"name"`
	State       string            `json:"state"`
	Since       quote.Time        `json:"since,omitzero"`
	Transitions []json.RawMessage `json:"transitions,omitempty"`
}

// BreakerStatusOf turns a breaker's snapshot into its wire form, which is its JSON. What has no such form stands in Name, as an error.
func BreakerStatusOf(snapshot any) (out BreakerStatus) {
	raw, err := json.Marshal(snapshot)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		out.Name = err.Error()
	}
	return out
}

// SubscriberStatus is one connection with subscriptions. Lag is in bytes of log not yet written to it. Skipped are the quotes that were
// passed over for it, Lost the records that a LOST has named to it since it lagged or came back too late.
type SubscriberStatus struct {
	Addr    string `json:"addr"`
	Topics  int    `json:"topics"`
	Lag     uint64 `json:"lag"`
	Skipped uint64 `json:"skipped"`
	Lost    uint64 `json:"lost"`
}

// SlotStatus says whether a shard's copy of a slot is complete.
type SlotStatus struct {
	Slot   int  `json:"slot"`
	InSync bool `json:"in_sync"`
}

// Durable says up to which seq of Epoch a topic is on disk: on both owners, on one at least, and what was given up.
type Durable struct {
	Epoch uint64      `json:"epoch"`
	Both  uint64      `json:"both"`
	One   uint64      `json:"one"`
	Lost  []LostRange `json:"lost,omitempty"`
}

// TopicInfo is a topic's place in the broker's log.
type TopicInfo struct {
	Epoch uint64 `json:"epoch"`
	First uint64 `json:"first"` // oldest seq of Epoch that is kept
	Next  uint64 `json:"next"`
	Bytes int    `json:"bytes"`
}
