package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

const ns = "n"

func pod(name, component string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, UID: "uid-of-0123456789", Labels: map[string]string{
			"app.kubernetes.io/name": "quotes", "app.kubernetes.io/component": component,
		}},
		Status: corev1.PodStatus{
			Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: status}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: component, ContainerID: "id-" + name, RestartCount: 2}, {Name: "side", RestartCount: 1}},
		},
	}
}

func TestPods(t *testing.T) {
	c := &Cluster{Interface: fake.NewClientset(pod("a", "shard", true), pod("b", "shard", false), pod("c", "core", true), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "foreign", Namespace: ns}})}
	shards, err := c.Pods(t.Context(), ns, "shard")
	require.NoError(t, err)
	require.Len(t, shards, 2)
	require.True(t, Ready(&shards[0]))
	require.False(t, Ready(&shards[1]))
	require.EqualValues(t, 3, Restarts(&shards[0]))
	since := time.Unix(100, 0)
	shards[0].Status.Conditions[1].LastTransitionTime = metav1.NewTime(since)
	require.Equal(t, since, ReadySince(&shards[0]))
	require.True(t, ReadySince(&shards[1]).After(time.Now()), "it is not")
	all, err := c.Pods(t.Context(), ns, "")
	require.NoError(t, err)
	require.Len(t, all, 3, "not the foreign one")
	going := pod("d", "core", true)
	going.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	require.False(t, Ready(going), "it is being deleted")
}

func TestDeleteMeansThisPodAndNoOther(t *testing.T) {
	api := fake.NewClientset(pod("a", "shard", true))
	var seen []metav1.DeleteOptions
	api.PrependReactor("delete", "pods", func(action ktesting.Action) (bool, runtime.Object, error) {
		seen = append(seen, action.(ktesting.DeleteAction).GetDeleteOptions())
		return true, nil, nil
	})
	c := &Cluster{Interface: api}
	for _, force := range []bool{false, true} {
		require.NoError(t, c.Delete(t.Context(), pod("a", "shard", true), force))
	}
	require.EqualValues(t, "uid-of-0123456789", *seen[0].Preconditions.UID)
	require.Nil(t, seen[0].GracePeriodSeconds)
	require.Zero(t, *seen[1].GracePeriodSeconds)
}

func TestScaleAndRestartOfBothKinds(t *testing.T) {
	one := int32(1)
	c := &Cluster{Interface: fake.NewClientset(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "core", Namespace: ns}, Spec: appsv1.DeploymentSpec{Replicas: &one}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "shard", Namespace: ns}, Spec: appsv1.StatefulSetSpec{Replicas: &one}})}
	for _, name := range []string{"core", "shard"} {
		require.NoError(t, c.Scale(t.Context(), ns, name, 0))
		require.NoError(t, c.Restart(t.Context(), ns, name))
	}
	d, err := c.AppsV1().Deployments(ns).Get(t.Context(), "core", metav1.GetOptions{})
	require.NoError(t, err)
	s, err := c.AppsV1().StatefulSets(ns).Get(t.Context(), "shard", metav1.GetOptions{})
	require.NoError(t, err)
	require.Zero(t, *d.Spec.Replicas)
	require.Zero(t, *s.Spec.Replicas)
	require.NotEmpty(t, d.Spec.Template.Annotations)
	require.NotEmpty(t, s.Spec.Template.Annotations)
	require.ErrorContains(t, c.Scale(t.Context(), ns, "nobody", 0), "patch nobody")
}

func TestClaimsNameTheVolumes(t *testing.T) {
	p := pod("a", "shard", true)
	p.Spec.Volumes = []corev1.Volume{
		{Name: "other"},
		{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-a"}}},
	}
	c := &Cluster{Interface: fake.NewClientset(&corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data-a", Namespace: ns}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv-1"},
	})}
	claims, err := c.Claims(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"data-a": "pv-1"}, claims)
}

func TestLogsAreFollowedIntoAFileForEachContainer(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	c := &Cluster{Interface: fake.NewClientset(pod("a", "shard", true), pod("b", "core", true))}
	l, err := c.NewLogs(ns, folder)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	want := []string{"a.uid-of-0.shard.2.log", "b.uid-of-0.core.2.log"}
	require.Eventually(t, func() bool {
		for _, name := range want {
			text, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil || string(text) != "fake logs" { // what the fake API says
				return false
			}
		}
		return true
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	<-done
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, files, 2, "nothing of a container that has not started")
}

func TestLinesAreFoundByComponentAndTime(t *testing.T) {
	l := &Logs{}
	for _, text := range []string{
		`{"time":"2026-11-23T15:00:00Z","msg":"breaker","to":"open"}`, `no json`,
		`{"time":"2026-11-23T15:00:02Z","msg":"breaker","to":"closed"}`, `{"time":"2026-11-23T15:00:02Z","msg":"other"}`,
	} {
		l.keep(pod("a", "core", true), []byte(text))
	}
	l.keep(pod("b", "broker", true), []byte(`{"time":"2026-11-23T15:00:02Z","msg":"breaker"}`))
	lines := l.Lines("core", "breaker", time.Date(2026, 11, 23, 15, 0, 1, 0, time.UTC))
	require.Len(t, lines, 1)
	require.Equal(t, "closed", lines[0].All["to"])
	require.Equal(t, "a", lines[0].Pod)
	require.Len(t, l.Lines("core", "breaker", time.Time{}), 2)
}

func TestTheDumpGoesOnAfterAnError(t *testing.T) {
	waiting := pod("a", "core", false)
	waiting.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}
	api := fake.NewClientset(waiting, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: ns}, Reason: "Killing", Message: "why"})
	refused := errors.New("refused")
	api.PrependReactor("list", "services", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, refused })
	folder := filepath.Join(t.TempDir(), "dump")
	err := (&Cluster{Interface: api}).Dump(t.Context(), ns, folder)
	require.ErrorIs(t, err, refused)
	require.ErrorContains(t, err, "dump services")
	text, err := os.ReadFile(filepath.Join(folder, "pods.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "CrashLoopBackOff")
	require.Contains(t, string(text), "Killing")
	yaml, err := os.ReadFile(filepath.Join(folder, "pods.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(yaml), "name: a")
}

func TestABridgeCarriesBothWaysAndEndsWithThePod(t *testing.T) {
	here, pod := net.Pipe()
	faults, kubelet := net.Pipe()
	conn := bridge(closers{here, faults}, here, faults)
	go func() { _, _ = pod.Write([]byte("hello")) }()
	buf := make([]byte, 5)
	_, err := io.ReadFull(conn, buf)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf))
	go func() { _, _ = conn.Write([]byte("there")) }()
	_, err = io.ReadFull(pod, buf)
	require.NoError(t, err)
	require.Equal(t, "there", string(buf))
	go func() {
		_, _ = kubelet.Write([]byte("connection refused"))
		kubelet.Close()
	}()
	_, err = conn.Read(buf)
	require.Error(t, err, "what the kubelet complains of ends it")
}

// closers closes all of them.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
