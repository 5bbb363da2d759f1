package aggregator

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Times of /v1/status.
const (
	statusWait = 500 * time.Millisecond // what does not answer in it is down
	statusHold = 500 * time.Millisecond // an answer serves all pages for so long
)

// system is the answer of /v1/status: every process of ours, and who holds what.
type system struct {
	Now       quote.Time   `json:"now"`
	Processes []process    `json:"processes"`
	Slots     []slotStatus `json:"slots"`
	Coverage  float64      `json:"coverage"` // share of all slots that an owner in sync, or all owners together, can answer for
}

// process is one of them. Status is its RESP_STATUS, absent where it did not answer; then Error says why.
type process struct {
	Name   string       `json:"name"`
	Addr   string       `json:"addr,omitempty"`
	State  string       `json:"state"` // up, down; of the exchange what core says
	Error  string       `json:"error,omitempty"`
	MS     float64      `json:"ms"`
	Status *wire.Status `json:"status,omitempty"`
}

// slotStatus says of one slot who owns it and which owners are in sync; those that are down are in neither.
type slotStatus struct {
	Slot   int      `json:"slot"`
	Owners []string `json:"owners"`
	InSync []string `json:"in_sync"`
}

// statusCache keeps the last answer for a moment, and lets one request at a time make it.
type statusCache struct {
	mu   sync.Mutex
	at   time.Time
	body []byte
}

func (w *web) status(rw http.ResponseWriter, r *http.Request) {
	if err := parse(r.URL.RawQuery, params{}); err != nil {
		problem(rw, status(err), err)
		return
	}
	body, err := w.agg.statusBody(r.Context())
	if err != nil {
		problem(rw, http.StatusInternalServerError, err)
		return
	}
	w.write(rw, r, body, fresh)
}

func (a *Aggregator) statusBody(ctx context.Context) ([]byte, error) {
	c := &a.overview
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.body != nil && time.Since(c.at) < statusHold {
		return c.body, nil
	}
	body, err := json.Marshal(a.system(context.WithoutCancel(ctx)))
	if err == nil {
		c.body, c.at = body, time.Now()
	}
	return body, err
}

// system asks every process for its status. It asks nobody else: what a status names is shown, not followed.
func (a *Aggregator) system(ctx context.Context) *system {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	type target struct {
		name   string
		client *wire.Client
	}
	targets := []target{{"broker", a.hub.client}, {"core", a.core.client}}
	for _, p := range a.shards {
		targets = append(targets, target{p.name, p.client})
	}
	found := make([]process, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { found[i] = ask(ctx, t.name, t.client) })
	}
	wg.Wait()
	own := a.status()
	s := &system{Now: quote.TimeOf(time.Now()), Processes: append([]process{exchangeOf(found[1].Status)}, found...)}
	s.Processes = append(s.Processes, process{Name: "aggregator", Addr: a.Addr(), State: "up", Status: &own})
	a.slots(s, found[2:])
	return s
}

func ask(ctx context.Context, name string, client *wire.Client) process {
	began := time.Now()
	p := process{Name: name, Addr: client.Addr(), State: "up", Status: &wire.Status{}}
	f, err := client.Do(ctx, wire.Frame{Type: wire.TypeReqStatus})
	if err == nil {
		err = f.Decode(p.Status)
	}
	p.MS = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		p.State, p.Error, p.Status = "down", reason(err), nil
	}
	return p
}

// exchangeOf returns what core says of the exchange, which only core talks to.
func exchangeOf(core *wire.Status) process {
	p := process{Name: "external", State: "unknown"}
	if core != nil {
		for _, peer := range core.Peers {
			if peer.Name == "external" {
				p.Addr, p.State = peer.Addr, peer.State
			}
		}
	}
	return p
}

// slots fills in who holds which slot, out of the shards' answers in the order of the table.
func (a *Aggregator) slots(s *system, shards []process) {
	in := make([]map[int]bool, len(shards))
	for i, p := range shards {
		in[i] = map[int]bool{}
		if p.Status != nil {
			for _, slot := range p.Status.Slots {
				in[i][slot.Slot] = slot.InSync
			}
		}
	}
	covered := 0
	for slot := range placement.Slots {
		st := slotStatus{Slot: slot, Owners: []string{}, InSync: []string{}}
		answering := 0
		for _, o := range a.table.Owners(slot) {
			st.Owners = append(st.Owners, shards[o].Name)
			if shards[o].State == "up" {
				answering++
			}
			if in[o][slot] {
				st.InSync = append(st.InSync, shards[o].Name)
			}
		}
		if len(st.InSync) > 0 || answering == len(st.Owners) {
			covered++
		}
		s.Slots = append(s.Slots, st)
	}
	for i := range shards { // the map above says it all
		if shards[i].Status != nil {
			shards[i].Status.Slots = nil
		}
	}
	s.Coverage = float64(covered) / placement.Slots
}
