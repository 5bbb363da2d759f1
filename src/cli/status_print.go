package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quotes/src/quote"
	"quotes/src/wire"
)

// statusTables shows what was seen; the servers' own subscribers and topics too where all is asked for.
func (a *app) statusTables(all []seen, prices map[string]int, own bool) error {
	tables := []*table{a.processes(all)}
	peers := a.out.newTable(column{name: "SEEN BY"}, column{name: "PEER"}, column{name: "STATE"}, column{name: "ADDR"})
	breakers := a.out.newTable(column{name: "SEEN BY"}, column{name: "BREAKER"}, column{name: "STATE"}, column{name: "SINCE"})
	subscribers := a.out.newTable(column{name: "SUBSCRIBER"}, column{name: "TOPICS", right: true},
		column{name: "LAG", right: true}, column{name: "SKIPPED", right: true}, column{name: "LOST", right: true})
	topics := a.out.newTable(column{name: "TOPIC"}, column{name: "EPOCH"}, column{name: "FIRST", right: true},
		column{name: "NEXT", right: true}, column{name: "BYTES", right: true})
	for _, s := range all {
		if s.status == nil {
			continue
		}
		for _, p := range s.status.Peers {
			peers.add(text(s.peer.name), text(p.Name), stateCell(p.State), text(p.Addr))
		}
		for _, b := range s.status.Breakers {
			breakers.add(text(s.peer.name), text(b.Name), stateCell(b.State), text(b.Since.String()))
		}
		for _, c := range s.status.Subscribers {
			subscribers.add(text(c.Addr), count(c.Topics), count(c.Lag), count(c.Skipped), count(c.Lost))
		}
		for _, t := range slices.Sorted(maps.Keys(s.status.Topics)) {
			i := s.status.Topics[t]
			topics.add(text(t), number(i.Epoch), number(i.First), number(i.Next), count(i.Bytes))
		}
	}
	tables = append(tables, peers, breakers)
	if own {
		tables = append(tables, subscribers)
	}
	if own && a.out.wide() {
		tables = append(tables, topics)
	}
	return a.printAll(tables, prices)
}

// printAll writes the tables that have rows, with the prices behind the first.
func (a *app) printAll(tables []*table, prices map[string]int) error {
	for i, t := range tables {
		if len(t.rows) < 2 {
			continue // nothing but its header
		}
		if i > 0 {
			if err := a.out.linef(""); err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
		if i > 0 || len(prices) == 0 {
			continue
		}
		var each []string
		for _, q := range slices.Sorted(maps.Keys(prices)) {
			each = append(each, fmt.Sprintf("%d %s", prices[q], q))
		}
		if err := a.out.linef("\nprices: %s", strings.Join(each, ", ")); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) processes(all []seen) *table {
	t := a.out.newTable(column{name: "PROCESS"}, column{name: "STATE"}, column{name: "ADDR"}, column{name: "VERSION"},
		column{name: "EPOCH"}, column{name: "SINCE"})
	for _, s := range all {
		state, status := "up", s.status
		if status == nil {
			state, status = "down", &wire.Status{}
		}
		t.add(text(s.peer.name), stateCell(state), text(s.peer.addr), text(status.Version), number(status.Epoch),
			text(status.Since.String()))
	}
	return t
}

// stateCell colours the state of a process or a breaker.
func stateCell(state string) cell {
	c := text(state)
	switch state {
	case "up", "closed", string(quote.Live):
		c.style = good
	case "down", "open", "forced-open", string(quote.Stale):
		c.style = bad
	default:
		c.style = warn
	}
	return c
}

// count shows a number of things, 0 too.
func count[N int | uint64](n N) cell { return cell{text: fmt.Sprint(n)} }
