//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
)

// drainIn bounds the drain of a node.
const drainIn = 90 * time.Second

// The worker that holds one shard is drained and uncordoned: the shard's volume binds it to the node, so it waits; reports are
// whole meanwhile. core would count for two there: without it no shard is in sync, and a slot needs both its owners. So it is
// moved first, as docs/operations.md tells.
func workerDrained(t *testing.T, s *suite) {
	node, shard := s.workerOfOne(t)
	t.Logf("draining %s, which holds %s", node, shard.Name)
	t.Cleanup(func() { // whatever happens
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Cordon(ctx, node, false))
	})
	s.moveCore(t, node)
	pods, err := s.Pods(s.ctx, s.namespace, "")
	require.NoError(t, err)
	for i := range pods {
		if pods[i].Spec.NodeName == node {
			s.concern(pods[i].Name)
		}
	}
	promised := s.durable(t)
	began := s.mark("drain " + node)
	out, err := os.Create(filepath.Join(s.folder, "drain.log"))
	require.NoError(t, err)
	defer out.Close()
	require.NoError(t, s.Drain(s.ctx, node, s.namespace, drainIn, out))
	s.within(t, 20*time.Second, shard.Name+" waits for its node", func(ctx context.Context) error { return s.waits(ctx, shard) })
	s.hold(t, 3*rate)
	s.mark("uncordon " + node)
	require.NoError(t, s.Cordon(s.ctx, node, false))
	i := ordinal(shard)
	s.within(t, backIn, shard.Name+" is back in sync", func(ctx context.Context) error { return s.backInSync(ctx, &shard, i) })
	back, err := s.Pods(s.ctx, s.namespace, "shard")
	require.NoError(t, err)
	require.Equal(t, node, back[i].Spec.NodeName, "where its volume is")
	s.rolledOver(t, began)
	require.NoError(t, s.wholeWhereAnswered(history.Window{From: began, To: time.Now()}))
	s.kept(t, promised)
}

// wholeWhereAnswered judges the coverage of reports; rolledOver judges whether they came, as aggregators were moved too.
func (s *suite) wholeWhereAnswered(w history.Window) error {
	var answered []history.Event
	for _, e := range s.seen.Events() {
		if e.Kind == history.Report && e.Class == "" {
			answered = append(answered, e)
		}
	}
	return judge.Whole(answered, w, 20*rate)
}

// workerOfOne finds a worker with exactly one shard.
func (s *suite) workerOfOne(t *testing.T) (node string, shard corev1.Pod) {
	t.Helper()
	workers, err := s.Workers(s.ctx)
	require.NoError(t, err)
	if len(workers) < 2 {
		t.Skip("the cluster has one worker: what is evicted has nowhere to go")
	}
	pods, err := s.Pods(s.ctx, s.namespace, "shard")
	require.NoError(t, err)
	on := map[string][]corev1.Pod{}
	for _, p := range pods {
		on[p.Spec.NodeName] = append(on[p.Spec.NodeName], p)
	}
	for name, list := range on {
		if len(list) == 1 {
			return name, list[0]
		}
	}
	require.Fail(t, "no worker holds exactly one shard", "%v", on)
	return "", corev1.Pod{}
}

// moveCore forbids new pods on the node and, where core is there, restarts it elsewhere and waits for calm.
func (s *suite) moveCore(t *testing.T, node string) {
	t.Helper()
	require.NoError(t, s.Cordon(s.ctx, node, true))
	pods, err := s.Pods(s.ctx, s.namespace, "core")
	require.NoError(t, err)
	require.Len(t, pods, 1)
	if pods[0].Spec.NodeName != node {
		return
	}
	s.concern("core")
	s.roll(t, "core")
	s.settled(t)
}

// waits complains unless the shard's successor is there and can't be placed.
func (s *suite) waits(ctx context.Context, old corev1.Pod) error {
	pods, err := s.Pods(ctx, s.namespace, "shard")
	if err != nil {
		return err
	}
	for i := range pods {
		if p := &pods[i]; p.Name == old.Name {
			if p.UID == old.UID || p.Status.Phase != corev1.PodPending || p.Spec.NodeName != "" {
				return fmt.Errorf("%s is %s on %q", p.Name, p.Status.Phase, p.Spec.NodeName)
			}
			return nil
		}
	}
	return errors.New("no successor yet")
}

func ordinal(p corev1.Pod) (i int) {
	for i = range shards {
		if p.Name == shardPod(i) {
			break
		}
	}
	return i
}
