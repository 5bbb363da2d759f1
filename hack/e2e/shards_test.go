//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/hack/e2e/kube"
	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds around shards.
const (
	backIn  = 45 * time.Second // from a pod's deletion until its successor is in sync: 2 s preStop, at most 10 s of drain, a start
	truthIn = 3 * time.Second  // from two shards' end until reports say so
)

// Each shard's pod is deleted in turn, the next one only when the last is in sync: reports are whole throughout, nothing that
// core called durable is lost, and the pod is back with its name, its port and its volume.
func shardsDeleted(t *testing.T, s *suite, force bool) {
	began := time.Now()
	promised := map[quote.Topic]wire.Durable{}
	for i := range shards {
		s.concern(shardPod(i))
		maps.Copy(promised, s.durable(t))
		pod, err := s.CoreV1().Pods(s.namespace).Get(s.ctx, shardPod(i), metav1.GetOptions{})
		require.NoError(t, err)
		volume, err := s.Claims(s.ctx, pod)
		require.NoError(t, err)
		require.Len(t, volume, 1)
		s.mark(fmt.Sprintf("delete %s, force %v", pod.Name, force))
		deleted := time.Now()
		require.NoError(t, s.Delete(s.ctx, pod, force))
		s.within(t, backIn, pod.Name+" is back in sync", func(ctx context.Context) error { return s.backInSync(ctx, pod, i) })
		if !force {
			s.within(t, backIn, pod.Name+" has logged its end", func(context.Context) error { return s.ended(pod.Name, deleted) })
		}
		again, err := s.CoreV1().Pods(s.namespace).Get(s.ctx, shardPod(i), metav1.GetOptions{})
		require.NoError(t, err)
		after, err := s.Claims(s.ctx, again)
		require.NoError(t, err)
		require.Equal(t, volume, after, "the same volume")
		s.hold(t, rate)
	}
	require.NoError(t, judge.Whole(s.seen.Events(), history.Window{From: began, To: time.Now()}, 20*rate))
	s.kept(t, promised)
}

// backInSync complains until another pod of the same name is ready and its slots are in sync.
func (s *suite) backInSync(ctx context.Context, old *corev1.Pod, i int) error {
	pod, err := s.CoreV1().Pods(s.namespace).Get(ctx, old.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if pod.UID == old.UID {
		return errors.New("the old pod is still there")
	}
	if !kube.Ready(pod) {
		return errors.New("the new pod is not ready")
	}
	if n := kube.Restarts(pod); n > 0 {
		return fmt.Errorf("the new pod has restarted %d times", n)
	}
	return s.inSync(ctx, i)
}

// shardsRolled rolls out the shards anew, as an upgrade does, which waits for nothing but their having been ready for a moment: reports are whole.
func shardsRolled(t *testing.T, s *suite) {
	old, err := s.Pods(s.ctx, s.namespace, "shard")
	require.NoError(t, err)
	require.Len(t, old, shards)
	for i := range shards {
		s.concern(shardPod(i))
	}
	s.within(t, time.Minute, "all shards have been ready for a while", func(ctx context.Context) error {
		set, err := s.AppsV1().StatefulSets(s.namespace).Get(ctx, release+"-shard", metav1.GetOptions{})
		if err == nil && set.Status.AvailableReplicas != shards {
			err = fmt.Errorf("%d are available: the others would be replaced all at once", set.Status.AvailableReplicas)
		}
		return err
	})
	began := time.Now()
	promised := s.durable(t)
	require.NoError(t, s.Restart(s.ctx, s.namespace, release+"-shard"))
	s.within(t, 3*time.Minute, "all shards are new ones and in sync", func(ctx context.Context) error {
		for i := range old {
			var n int
			if _, err := fmt.Sscanf(old[i].Name, release+"-shard-%d", &n); err != nil {
				return err
			}
			if err := s.backInSync(ctx, &old[i], n); err != nil {
				return fmt.Errorf("%s: %w", old[i].Name, err)
			}
		}
		return nil
	})
	s.hold(t, rate)
	require.NoError(t, judge.Whole(s.seen.Events(), history.Window{From: began, To: time.Now()}, 60*rate))
	s.kept(t, promised)
}

// kept fails where a record that core called durable is not in history any more.
func (s *suite) kept(t *testing.T, promised map[quote.Topic]wire.Durable) {
	t.Helper()
	epochs := map[uint64]bool{}
	ours := map[quote.Topic]wire.Durable{}
	for topic, d := range promised {
		if topic.Symbol() != "" {
			ours[topic], epochs[d.Epoch] = d, true
		}
	}
	require.Len(t, epochs, 1, "one core promised all of it")
	for epoch := range epochs {
		require.NoError(t, judge.Kept(ours, s.held(t, epoch), 100))
	}
}

// Two shards are held down by scaling: reports answer with the true coverage and what is missing, and are whole again when
// the shards are back.
func twoShardsHeldDown(t *testing.T, s *suite) {
	lack, kept := map[quote.Symbol]int{}, 0
	for _, symbol := range s.symbols {
		if slot := placement.Slot(string(symbol)); s.table.Owns(0, slot) {
			kept++
		} else {
			lack[symbol] = slot
		}
	}
	require.NotEmpty(t, lack, "a symbol that shard-0 does not own")
	require.NotZero(t, kept, "a symbol that shard-0 owns")
	s.concern(shardPod(1), shardPod(2))
	promised := s.durable(t)
	began := time.Now()
	require.NoError(t, s.Scale(s.ctx, s.namespace, release+"-shard", 1))
	s.within(t, 40*time.Second, "two shards are gone", func(ctx context.Context) error {
		pods, err := s.Pods(ctx, s.namespace, "shard")
		if err == nil && len(pods) != 1 {
			err = fmt.Errorf("%d pods", len(pods))
		}
		return err
	})
	s.waitUntil(t, time.Now().Add(truthIn))
	w := s.hold(t, 3*rate)
	require.NoError(t, judge.Covered(s.seen.Events(), w, lack, 12*rate))
	for symbol := range lack {
		var r wire.Report
		err := s.aggregator(wire.TypeReqReport, wire.ReqReport{Symbol: symbol, MinCoverage: 1}, &r)
		require.ErrorIs(t, err, &wire.Error{Code: wire.LowCoverage})
		require.NotEmpty(t, wire.AsError(err).Report, "the error carries the report")
	}
	require.NoError(t, s.Scale(s.ctx, s.namespace, release+"-shard", shards))
	for i := range shards {
		s.within(t, backIn, shardPod(i)+" is in sync", func(ctx context.Context) error { return s.inSync(ctx, i) })
	}
	w = s.hold(t, 2*rate)
	require.NoError(t, judge.Whole(s.seen.Events(), w, 8*rate))
	require.NoError(t, judge.Answered(s.seen.Events(), history.Window{From: began, To: time.Now()}, 30*rate), "no report fails meanwhile")
	s.kept(t, promised)
}
