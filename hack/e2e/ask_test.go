//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/kube"
	"quotes/src/quote"
	"quotes/src/wire"
)

// asked bounds one question of the suite's own.
const asked = 5 * time.Second

// look asks a pod for its status, through port-forward.
func (s *suite) look(ctx context.Context, pod string, port int) (st wire.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, asked)
	defer cancel()
	session, err := wire.Dial(ctx, wire.DialConfig{
		Addr: fmt.Sprintf("%s:%d", pod, port),
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.DialPod(ctx, s.namespace, pod, port)
		},
	})
	if err != nil {
		return st, err
	}
	defer session.Close()
	err = wire.Decoded(ctx, session, wire.TypeReqStatus, nil, &st)
	return st, err
}

func shardPod(i int) string { return fmt.Sprintf("%s-shard-%d", release, i) }

// inSync complains where a slot of shard i is not in sync, or where the pod is another shard than its name says.
func (s *suite) inSync(ctx context.Context, i int) error {
	st, err := s.look(ctx, shardPod(i), 9001+i)
	if err != nil {
		return fmt.Errorf("%s: %w", shardPod(i), err)
	}
	if st.Process != shardName(i) {
		return fmt.Errorf("%s says it is %s", shardPod(i), st.Process)
	}
	if len(st.Slots) == 0 {
		return fmt.Errorf("%s has no slots", shardPod(i))
	}
	for _, slot := range st.Slots {
		if !slot.InSync {
			return fmt.Errorf("slot %d of %s is not in sync", slot.Slot, shardPod(i))
		}
	}
	return nil
}

// core asks core for its status.
func (s *suite) core(ctx context.Context) (wire.Status, error) {
	pods, err := s.Pods(ctx, s.namespace, "core")
	if err != nil {
		return wire.Status{}, err
	}
	for i := range pods {
		if kube.Ready(&pods[i]) {
			return s.look(ctx, pods[i].Name, 8082)
		}
	}
	return wire.Status{}, errors.New("no core is ready")
}

// durable is what core says is on disk now.
func (s *suite) durable(t *testing.T) map[quote.Topic]wire.Durable {
	t.Helper()
	var st wire.Status
	s.within(t, asked, "core's status", func(ctx context.Context) (err error) {
		st, err = s.core(ctx)
		return err
	})
	require.NotEmpty(t, st.Durable)
	for topic, d := range st.Durable {
		require.Empty(t, d.Lost, "core has given up records of %s", topic)
	}
	return st.Durable
}

// aggregator asks at the aggregator's NodePort, on a connection of its own.
func (s *suite) aggregator(typ string, in, out any) error {
	return s.ask(s.ctx, s.ports.aggregator.host, typ, in, out)
}

func (s *suite) ask(ctx context.Context, addr, typ string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, asked)
	defer cancel()
	session, err := wire.Dial(ctx, wire.DialConfig{Addr: addr})
	if err != nil {
		return err
	}
	defer session.Close()
	return wire.Decoded(ctx, session, typ, in, out)
}

// held pages through history of all symbols, by position, and returns the seqs that there are of an epoch.
func (s *suite) held(t *testing.T, epoch uint64) map[quote.Topic]*quote.Seqs {
	t.Helper()
	out := map[quote.Topic]*quote.Seqs{}
	limit := 2000
	for _, symbol := range s.symbols {
		req := wire.ReqHist{Symbols: []quote.Symbol{symbol}, Kinds: []quote.Kind{quote.Quotes, quote.Trades}, After: map[quote.Topic]quote.Point{}, Limit: &limit}
		for _, kind := range req.Kinds {
			req.After[quote.TopicOf(kind, symbol)] = quote.Point{Epoch: epoch}
		}
		for more := true; more; {
			var resp wire.RespHist
			require.NoError(t, s.aggregator(wire.TypeReqHist, req, &resp))
			require.NotNil(t, resp.Coverage)
			require.InDelta(t, 1, *resp.Coverage, 0, "history of %s is incomplete: %v", symbol, resp.Missing)
			for _, r := range resp.Records {
				req.After[r.Topic] = r.Point()
				if r.Epoch != epoch {
					continue
				}
				if out[r.Topic] == nil {
					out[r.Topic] = &quote.Seqs{}
				}
				out[r.Topic].Add(r.Seq, r.Seq)
			}
			more = resp.More && len(resp.Records) > 0
		}
	}
	return out
}

// dumpStatus writes what each process says of itself.
func (s *suite) dumpStatus(ctx context.Context, folder string) error {
	pods, err := s.Pods(ctx, s.namespace, "")
	if err != nil {
		return err
	}
	var errs []error
	for i := range pods {
		p := &pods[i]
		if len(p.Spec.Containers[0].Ports) == 0 || p.DeletionTimestamp != nil {
			continue
		}
		for _, port := range p.Spec.Containers[0].Ports {
			if port.Name == "admin" {
				continue
			}
			st, err := s.look(ctx, p.Name, int(port.ContainerPort))
			if err != nil {
				continue // a shard's other ports, and who does not answer; pods.txt tells
			}
			text, err := json.MarshalIndent(st, "", "  ")
			errs = append(errs, err, os.WriteFile(filepath.Join(folder, "status-"+p.Name+".json"), text, 0o644))
		}
	}
	return errors.Join(errs...)
}
