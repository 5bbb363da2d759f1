//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"quotes/hack/e2e/kube"
)

// probesOfPolicy labels what the scenario makes.
const probesOfPolicy = "quotes/e2e-policy"

// A connection that the arrows of docs/architecture.md do not have is refused: a pod of the namespace that is no aggregator
// asks core for a price. Where the network plug-in enforces no policies this says nothing and is skipped.
func forbiddenConnection(t *testing.T, s *suite) {
	t.Cleanup(func() { s.removeProbes(t) })
	require.NoError(t, s.wall())
	walled := s.podIP(t, "walled")
	require.True(t, s.reaches(t, "to-aggregator", release+"-aggregator:8000"), "clients may")
	if s.reaches(t, "to-the-walled", walled+":8080") {
		t.Skip("the network plug-in enforces no NetworkPolicy: a pod behind a policy that allows nothing was reached")
	}
	require.False(t, s.reaches(t, "to-core", release+"-core:8082"), "nobody but the aggregator may")
}

// wall makes a pod that listens, and a policy that lets nobody reach it: whether the policy holds says whether the network
// plug-in enforces any.
func (s *suite) wall() error {
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "walled", Labels: map[string]string{probesOfPolicy: "true"}},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{probesOfPolicy: "walled"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}
	if _, err := s.NetworkingV1().NetworkPolicies(s.namespace).Create(s.ctx, policy, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	pod := s.probePod("walled", "external", "--listen=:8080", "--chaos=calm")
	if _, err := s.CoreV1().Pods(s.namespace).Create(s.ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("walled pod: %w", err)
	}
	return nil
}

// probePod is a pod of one of our images that may do nothing but talk.
func (s *suite) probePod(name, image string, args ...string) *corev1.Pod {
	id, no, yes := int64(65532), false, true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{probesOfPolicy: name}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			TerminationGracePeriodSeconds: new(int64(1)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &id, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: s.image(image), ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// podIP waits until a pod runs and returns its address.
func (s *suite) podIP(t *testing.T, name string) (ip string) {
	t.Helper()
	s.within(t, 30*time.Second, name+" runs", func(ctx context.Context) error {
		pod, err := s.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && !kube.Ready(pod) {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		if err == nil {
			ip = pod.Status.PodIP
		}
		return err
	})
	return ip
}

// reaches runs a pod without any of our labels' rights that asks an address for a price, and reports whether it got an answer.
func (s *suite) reaches(t *testing.T, name, addr string) bool {
	t.Helper()
	const noAnswer = 1 // quotectl's exit code; others say what the answer was
	pod := s.probePod(name, "quotectl", "get", string(s.symbols[0]), "--aggregator="+addr, "--timeout=5s")
	_, err := s.CoreV1().Pods(s.namespace).Create(s.ctx, pod, metav1.CreateOptions{})
	require.NoError(t, err)
	var code int32
	s.within(t, 40*time.Second, name+" has tried "+addr, func(ctx context.Context) error {
		pod, err := s.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Terminated == nil {
			return errors.New("it has not ended")
		}
		code = pod.Status.ContainerStatuses[0].State.Terminated.ExitCode
		return nil
	})
	return code != noAnswer
}

func (s *suite) removeProbes(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	mine := metav1.ListOptions{LabelSelector: probesOfPolicy}
	require.NoError(t, s.CoreV1().Pods(s.namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, mine))
	require.NoError(t, s.NetworkingV1().NetworkPolicies(s.namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, mine))
}
