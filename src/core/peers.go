package core

import (
	"slices"
	"sync"

	"quotes/src/wire"
)

// peers remembers who is up: for status, and so that a change is logged once.
type peers struct {
	mu   sync.Mutex
	rows []wire.Peer
}

// set notes a peer's state and reports whether that is news.
func (p *peers) set(name, addr string, up bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.rows, func(r wire.Peer) bool { return r.Name == name })
	if i < 0 {
		p.rows = append(p.rows, wire.Peer{Name: name, Addr: addr, State: upDown(up)})
		return true
	}
	news := p.rows[i].State != upDown(up)
	p.rows[i].State = upDown(up)
	return news
}

func (p *peers) list() []wire.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.rows)
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
