package placement

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Slots is the number of slots that symbols are hashed to.
const Slots = 256

// Laptop lists the three shards of a machine that runs everything.
const Laptop = "shard-0=127.0.0.1:9001,shard-1=127.0.0.1:9002,shard-2=127.0.0.1:9003"

// MaxShards bounds a list.
const MaxShards = 256

// ErrBadShards says that a list of shards is malformed.
var ErrBadShards = errors.New("bad list of shards")

var shardName = regexp.MustCompile(`^shard-(0|[1-9][0-9]{0,3})$`)

// Slot returns the symbol's slot, 0 to 255.
func Slot(symbol string) int { return int(xxhash.Sum64String(symbol) % Slots) }

// Shard is one member of the list: its stable name, shard-N, and where it listens.
type Shard struct{ Name, Addr string }

// ParseShards reads NAME=HOST:PORT,… in any order. Errors wrap [ErrBadShards].
func ParseShards(s string) ([]Shard, error) {
	var out []Shard
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		name, addr, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found || !shardName.MatchString(name) {
			return nil, fmt.Errorf("%w: %q: want shard-N=HOST:PORT, separated by commas", ErrBadShards, part)
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrBadShards, part, err)
		}
		if seen[name] {
			return nil, fmt.Errorf("%w: %s stands twice", ErrBadShards, name)
		}
		seen[name] = true
		out = append(out, Shard{name, addr})
	}
	if len(out) > MaxShards {
		return nil, fmt.Errorf("%w: %d shards, at most %d", ErrBadShards, len(out), MaxShards)
	}
	return out, nil
}

// Table says who owns each slot. It never changes.
type Table struct {
	shards []Shard
	owners [Slots][]int
}

// New computes the table for shards with copies owners a slot. Fewer shards than copies are refused.
func New(shards []Shard, copies int) (*Table, error) {
	if copies < 1 || len(shards) < copies {
		return nil, fmt.Errorf("%w: %d shards for %d copies of each record: name at least as many shards as copies", ErrBadShards, len(shards), copies)
	}
	t := &Table{shards: slices.Clone(shards)}
	for slot := range t.owners {
		t.owners[slot] = rank(shards, byte(slot))[:copies]
	}
	return t, nil
}

// rank orders the shards for a slot, best first.
func rank(shards []Shard, slot byte) []int {
	score := make([]uint64, len(shards))
	order := make([]int, len(shards))
	for i, s := range shards {
		score[i] = xxhash.Sum64String(s.Name + "\x00" + string([]byte{slot}))
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(shards[a].Name, shards[b].Name))
	})
	return order
}

// Epoch is the table's version. It is 1 until shards can be added to a running system.
func (t *Table) Epoch() uint64 { return 1 }

// Shards returns the list that the table was made of; indices elsewhere mean places in it.
func (t *Table) Shards() []Shard { return t.shards }

// Owners returns the indices of the slot's owners, best first.
func (t *Table) Owners(slot int) []int { return t.owners[slot] }

// Owns reports whether the shard with an index owns the slot.
func (t *Table) Owns(shard, slot int) bool { return slices.Contains(t.owners[slot], shard) }

// Index returns the place of a shard's name in the list, or -1.
func (t *Table) Index(name string) int {
	return slices.IndexFunc(t.shards, func(s Shard) bool { return s.Name == name })
}
