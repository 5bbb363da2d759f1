package aggregator

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of the hub.
const (
	hubInterval    = 100 * time.Millisecond // the broker samples quotes so often
	hubTransitions = 64                     // breaker transitions that are kept for pages that come back
	hubSymbols     = 10_000                 // further ones are not shown
)

// hub is the one subscription of all pages: the newest quote of each symbol and the latest transitions of core's breaker,
// each encoded once. Whoever reads it later than it changes sees the newest only: that is the conflation of slow pages.
type hub struct {
	client   *wire.Client
	instance string // event ids of another one mean nothing here

	mu      sync.Mutex
	version uint64                        // of the newest event
	quotes  map[quote.Topic]*list.Element // in newest
	newest  list.List                     // of the quotes' *event, by version
	status  []*event                      // oldest first
	source  *event
	said    string // what source says
	changed chan struct{}
}

// event is one server-sent event, ready to be written. It never changes.
type event struct {
	version uint64
	symbol  quote.Symbol // of a quote
	bytes   []byte
}

func newHub(broker string, log *slog.Logger) *hub {
	h := &hub{instance: rand.Text()[:8], quotes: map[quote.Topic]*list.Element{}, changed: make(chan struct{})}
	h.client = wire.NewClient(wire.ClientConfig{
		Dial: wire.DialConfig{Addr: broker, DialTimeout: time.Second, OnFrame: h.onFrame}, MaxBackoff: 500 * time.Millisecond, Name: "broker", Log: log,
		OnUp: func(_ context.Context, s *wire.Session) error {
			for topic, payload := range map[string]string{
				"quotes.*":    fmt.Sprintf(`{"mode":"sampled","interval_ms":%d}`, hubInterval.Milliseconds()),
				"status.core": `{"mode":"all"}`,
			} {
				if err := s.Send(wire.Frame{Type: wire.TypeSubscribe, Topic: topic, Payload: json.RawMessage(payload)}); err != nil {
					return err
				}
			}
			return nil
		},
		OnDown: func(error) { h.says("broker_down", 0) },
	})
	h.says("broker_down", 0)
	return h
}

// onFrame takes what the broker sends.
func (h *hub) onFrame(f wire.Frame) {
	switch f.Type {
	case wire.TypePublish:
		h.publish(&f)
	case wire.TypeHeartbeat:
		var beat wire.Heartbeat
		if f.Decode(&beat) == nil && beat.Source != "" {
			h.says(beat.Source, beat.SinceMS)
		}
	}
}

func (h *hub) publish(f *wire.Frame) {
	topic, err := quote.ParseTopic(f.Topic)
	if err != nil {
		return
	}
	data := append(append([]byte(`{"topic":"`), topic...), `","epoch":`...)
	data = strconv.AppendUint(data, f.Epoch, 10)
	data = strconv.AppendUint(append(data, `,"seq":`...), f.Seq, 10)
	data = append(append(append(data, `,"payload":`...), f.Payload...), '}')
	h.mu.Lock()
	defer h.mu.Unlock()
	if topic.Kind() == quote.Quotes {
		if h.quotes[topic] == nil && len(h.quotes) >= hubSymbols {
			return
		}
		e := h.event("quote", data)
		e.symbol = topic.Symbol()
		if old := h.quotes[topic]; old != nil {
			h.newest.Remove(old)
		}
		h.quotes[topic] = h.newest.PushBack(e)
		return
	}
	h.status = append(h.status, h.event("breaker", data))
	if len(h.status) > hubTransitions {
		h.status = slices.Delete(h.status, 0, 1)
	}
}

// says notes whether core, and the broker, are there.
func (h *hub) says(source string, sinceMS int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said == source {
		return
	}
	h.said = source
	h.source = h.event("source", fmt.Appendf(nil, `{"source":%q,"since_ms":%d}`, source, sinceMS))
}

// event encodes one and wakes the pages. The lock is held.
func (h *hub) event(name string, data []byte) *event {
	h.version++
	e := &event{version: h.version, bytes: fmt.Appendf(make([]byte, 0, len(data)+64), "id: %s-%d\nevent: %s\ndata: %s\n\n", h.instance, h.version, name, data)}
	close(h.changed)
	h.changed = make(chan struct{})
	return e
}

// since returns what changed after a version, oldest first, of some symbols or of all where there are none, the version
// of now, and what closes at the next change.
func (h *hub) since(version uint64, symbols map[quote.Symbol]bool) (events []*event, now uint64, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at := h.newest.Back(); at != nil; at = at.Prev() {
		e, _ := at.Value.(*event)
		if e.version <= version {
			break
		}
		if len(symbols) == 0 || symbols[e.symbol] {
			events = append(events, e)
		}
	}
	for _, e := range h.status {
		if e.version > version {
			events = append(events, e)
		}
	}
	if h.source.version > version {
		events = append(events, h.source)
	}
	slices.SortFunc(events, func(a, b *event) int { return int(a.version) - int(b.version) })
	return events, h.version, h.changed
}

// resume reads a Last-Event-ID; 0, everything, where it is not of this hub.
func (h *hub) resume(id string) uint64 {
	instance, n, _ := strings.Cut(id, "-")
	version, err := strconv.ParseUint(n, 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || instance != h.instance || version > h.version {
		return 0
	}
	return version
}

// knows reports whether the broker has shown a quote of the symbol.
func (h *hub) knows(s quote.Symbol) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.quotes[quote.TopicOf(quote.Quotes, s)] != nil
}

// symbols returns the symbols that the broker knows, sorted.
func (h *hub) symbols() []quote.Symbol {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]quote.Symbol, 0, len(h.quotes))
	for topic := range h.quotes {
		out = append(out, topic.Symbol())
	}
	slices.Sort(out)
	return out
}
