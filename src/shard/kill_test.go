package shard

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// childEnv makes the test binary a shard process, with the data folder that it names.
const childEnv = "QUOTES_TEST_SHARD_DATA"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a whole shard, alone in its table. It says where it listens on its first line.
func child(dir string) error {
	s, err := New(Config{Listen: "127.0.0.1:0", Data: dir, Shards: "shard-0=127.0.0.1:1", Copies: 1, MemtableMB: 1, CacheMB: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // its parent's end is its own
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return s.Run(ctx)
}

// startChild starts a shard process and returns it with its address. Closing its input, or the test's end, ends it.
func startChild(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, line)
	return cmd, strings.TrimSpace(line)
}

// killed is one topic's account at the client.
type killed struct {
	acked map[quote.Point]bool
	sent  map[uint64]uint64 // by epoch, the highest seq
}

// TestKilledUnderLoadNothingAcknowledgedIsLost kills a real process with SIGKILL while a client writes to it by pipelined
// batches, starts it again, and compares what it has with what the client was told.
func TestKilledUnderLoadNothingAcknowledgedIsLost(t *testing.T) {
	dir, rng := t.TempDir(), seeded(t)
	topic := quote.Topic("quotes.PETR4")
	k := &killed{acked: map[quote.Point]bool{}, sent: map[uint64]uint64{}}
	for kill := range times(5, 100) {
		cmd, addr := startChild(t, dir)
		k.requireKept(t, addr, topic)
		epoch := uint64(1000 + kill)
		k.load(t, addr, topic, epoch, 2+rng.IntN(30), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
	}
	_, addr := startChild(t, dir)
	k.requireKept(t, addr, topic)
	require.NotEmpty(t, k.acked)
}

// load appends as a core until the process is gone; after some acknowledgements it calls kill, in the midst of the rest.
func (k *killed) load(t *testing.T, addr string, topic quote.Topic, epoch uint64, after int, kill func()) {
	t.Helper()
	const batch, window = 16, 8
	s, err := wire.Dial(within(t), wire.DialConfig{Addr: addr})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Do(within(t), wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: epoch, Instance: fmt.Sprint(epoch)}))
	require.NoError(t, err)
	type flight struct {
		first uint64
		wait  func(context.Context) (wire.Frame, error)
	}
	flights := make(chan flight, window)
	var wg sync.WaitGroup
	wg.Go(func() {
		n := 0
		for f := range flights {
			if _, err := f.wait(within(t)); err != nil {
				continue
			}
			for seq := f.first; seq < f.first+batch; seq++ {
				k.acked[quote.Point{Epoch: epoch, Seq: seq}] = true
			}
			if n++; n == after {
				kill()
			}
		}
	})
	for next := uint64(1); ; next += batch {
		var records []wire.Record
		for seq := next; seq < next+batch; seq++ {
			records = append(records, wire.Record{Topic: topic, Seq: seq, Payload: []byte(payloadOf(topic, epoch, seq))})
		}
		k.sent[epoch] = next + batch - 1
		wait, err := s.Begin(t.Context(), appendFrame(t, wire.Append{TableEpoch: 1, Epoch: epoch, Records: records}))
		if err != nil {
			break
		}
		flights <- flight{next, wait}
	}
	close(flights)
	wg.Wait()
}

// requireKept pages through all that the process has, by position.
func (k *killed) requireKept(t *testing.T, addr string, topic quote.Topic) {
	t.Helper()
	s, err := wire.Dial(within(t), wire.DialConfig{Addr: addr})
	require.NoError(t, err)
	defer s.Close()
	have, limit, last := map[quote.Point]bool{}, 2000, quote.Point{}
	for more := true; more; {
		var resp wire.RespHist
		req := wire.ReqHist{Symbols: []quote.Symbol{topic.Symbol()}, Kinds: []quote.Kind{topic.Kind()}, Limit: &limit, After: map[quote.Topic]quote.Point{topic: last}}
		require.NoError(t, wire.Decoded(within(t), s, wire.TypeReqHist, req, &resp))
		for _, r := range resp.Records {
			last = r.Point()
			have[last] = true
			if string(r.Payload) != payloadOf(topic, r.Epoch, r.Seq) || r.Seq > k.sent[r.Epoch] {
				t.Fatalf("invented %v: %s", last, r.Payload)
			}
		}
		more = resp.More
	}
	for p := range k.acked {
		if !have[p] {
			t.Fatalf("lost %v, which was acknowledged", p)
		}
	}
}
