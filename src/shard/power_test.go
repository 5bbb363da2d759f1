package shard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// seeded returns a source of random numbers whose seed is new each time and stands in a failed test's output. QUOTES_SEED
// repeats one.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("QUOTES_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("QUOTES_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// times returns how often a test is to repeat something: few times, or as `make test-faults` wants it.
func times(few, all int) int {
	if os.Getenv("QUOTES_FAULTS") == "all" {
		return all
	}
	return few
}

// promised is what a shard has acknowledged, and what it was ever sent.
type promised struct {
	records map[quote.Position]bool
	lost    map[quote.Position]bool
	sent    map[quote.Topic]map[uint64]uint64 // by epoch, the highest seq
	epoch   uint64
}

func newPromised() *promised {
	return &promised{records: map[quote.Position]bool{}, lost: map[quote.Position]bool{}, sent: map[quote.Topic]map[uint64]uint64{}}
}

func (p *promised) acked(w *write) {
	for _, r := range w.rows {
		p.records[quote.Position{Topic: r.topic, Point: r.point}] = true
	}
	for _, l := range w.lost {
		p.lost[quote.Position{Topic: l.Topic, Point: quote.Point{Epoch: l.Epoch, Seq: l.First}}] = true
	}
}

// requireKept checks that a disk has all that was acknowledged, and nothing that was never sent.
func (p *promised) requireKept(t *testing.T, d *disk) {
	t.Helper()
	have := d.contents(t)
	for pos := range p.records {
		if _, found := have[pos]; !found {
			t.Fatalf("lost %v, which was acknowledged", pos)
		}
	}
	for pos := range p.lost {
		if !d.state.holding(pos.Topic, pos.Epoch).lost.Has(pos.Seq) {
			t.Fatalf("forgot that %v is lost", pos)
		}
	}
	for pos, payload := range have {
		if payload != payloadOf(pos.Topic, pos.Epoch, pos.Seq) || pos.Seq > p.sent[pos.Topic][pos.Epoch] {
			t.Fatalf("invented %v: %s", pos, payload)
		}
	}
	if got := d.state.fenceNow().epoch; got < p.epoch {
		t.Fatalf("epoch %d was announced and acknowledged, the fence is %d", p.epoch, got)
	}
}

// TestPowerCutsLoseNothingAcknowledgedAndInventNothing cuts the power while many write. Each time what is left of the disk
// is opened, compared with what was acknowledged, and written to further, until the next cut.
func TestPowerCutsLoseNothingAcknowledgedAndInventNothing(t *testing.T) {
	const life = 25 // cuts of one disk
	cuts, rng := times(100, 1000), seeded(t)
	checked := 0
	for first := 0; first < cuts; first += life {
		t.Run(fmt.Sprintf("from %d", first), func(t *testing.T) {
			fs, want := vfs.NewCrashableMem(), newPromised()
			d := openDisk(t, fs, "data")
			for cut := first; cut < first+life; cut++ {
				fs = cutPower(t, d, fs, rng, want, uint64(1000+cut))
				d.stop()
				d = openDisk(t, fs, "data")
				want.requireKept(t, d)
			}
			checked += len(want.records)
		})
	}
	require.Greater(t, checked, cuts*8)
}

// cutPower writes as a new core, records what is acknowledged up to a random moment, and returns the disk of that moment.
func cutPower(t *testing.T, d *disk, fs *vfs.MemFS, rng *rand.Rand, want *promised, epoch uint64) *vfs.MemFS {
	const writers, writes = 4, 8
	core := &session{epoch: epoch, instance: "core", since: testStart(), close: func(error) {}}
	_, err := d.committer.do(t.Context(), &write{core: core, announce: true})
	require.NoError(t, err)
	want.epoch = epoch
	acks := make(chan *write, writers*writes)
	var wg sync.WaitGroup
	for i := range writers {
		topic := quote.TopicOf(quote.Quotes, quote.Symbol(fmt.Sprintf("W%d", i)))
		if want.sent[topic] == nil {
			want.sent[topic] = map[uint64]uint64{}
		}
		want.sent[topic][epoch] = 3 * writes
		wg.Go(func() {
			for n := range uint64(writes) {
				seq := 1 + 3*n
				w := &write{core: core, rows: []row{rowOf(t, topic, epoch, seq), rowOf(t, topic, epoch, seq+1)}}
				w.lost = []wire.LostRange{{Topic: topic, Epoch: epoch, First: seq + 2, Last: seq + 2}}
				if _, err := d.committer.do(context.WithoutCancel(t.Context()), w); err == nil {
					acks <- w
				}
			}
		})
	}
	sealing, stop := context.WithCancel(t.Context())
	wg.Go(func() { (&sealer{c: d.committer, found: func(err error) { t.Error(err) }}).run(sealing) })
	for range rng.IntN(writers * writes) { // the cut comes somewhere in between
		want.acked(<-acks)
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	stop()
	wg.Wait()
	return clone
}
