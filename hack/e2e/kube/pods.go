package kube

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Component returns what a pod is of ours: external, broker, core, shard, aggregator or test.
func Component(p *corev1.Pod) string { return p.Labels["app.kubernetes.io/component"] }

// Ready reports whether a pod is ready and not being deleted.
func Ready(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// ReadySince returns since when a pod is ready, to the second; the far future where it is not.
func ReadySince(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Unix(1<<40, 0)
}

// Restarts counts the restarts of a pod's containers.
func Restarts(p *corev1.Pod) (n int32) {
	for _, s := range p.Status.ContainerStatuses {
		n += s.RestartCount
	}
	return n
}

// Pods lists the pods of a component in the order of their names; of all components where it is empty.
func (c *Cluster) Pods(ctx context.Context, namespace, component string) ([]corev1.Pod, error) {
	selector := "app.kubernetes.io/name=quotes"
	if component != "" {
		selector += ",app.kubernetes.io/component=" + component
	}
	list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return list.Items, nil
}

// Delete deletes a pod: gracefully, or by force, which gives it no second.
func (c *Cluster) Delete(ctx context.Context, pod *corev1.Pod, force bool) error {
	opts := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}}
	if force {
		opts.GracePeriodSeconds = new(int64)
	}
	if err := c.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, opts); err != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	return nil
}

// Scale sets the replicas of a Deployment, or of a StatefulSet where there is one of that name, and does not wait.
func (c *Cluster) Scale(ctx context.Context, namespace, name string, replicas int) error {
	return c.patch(ctx, namespace, name, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// Restart replaces all pods of a workload, as kubectl rollout restart does, and does not wait.
func (c *Cluster) Restart(ctx context.Context, namespace, name string) error {
	return c.patch(ctx, namespace, name, fmt.Sprintf(
		`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().UTC().Format(time.RFC3339Nano)))
}

func (c *Cluster) patch(ctx context.Context, namespace, name, patch string) error {
	stateful, err := c.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list statefulsets: %w", err)
	}
	if slices.ContainsFunc(stateful.Items, func(s appsv1.StatefulSet) bool { return s.Name == name }) {
		_, err = c.AppsV1().StatefulSets(namespace).Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	} else {
		_, err = c.AppsV1().Deployments(namespace).Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	}
	if err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	return nil
}

// Claims returns, for each claim that a pod mounts, the volume that it is bound to.
func (c *Cluster) Claims(ctx context.Context, pod *corev1.Pod) (map[string]string, error) {
	out := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		claim, err := c.CoreV1().PersistentVolumeClaims(pod.Namespace).Get(ctx, v.PersistentVolumeClaim.ClaimName, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("claim of %s: %w", pod.Name, err)
		}
		out[claim.Name] = claim.Spec.VolumeName
	}
	return out, nil
}
