package kube

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lookEvery is how often new containers are looked for; their logs are read from the first line on.
const lookEvery = 500 * time.Millisecond

// Line is one log line of ours, as JSON.
type Line struct {
	Pod, Component string
	Time           time.Time      `json:"time"`
	Msg            string         `json:"msg"`
	All            map[string]any `json:"-"` // every key
}

// Logs follows all containers of a namespace while Run runs: into one file each, and in memory.
type Logs struct {
	c         *Cluster
	namespace string
	folder    string

	mu    sync.Mutex
	lines []Line
}

// NewLogs makes the folder.
func (c *Cluster) NewLogs(namespace, folder string) (*Logs, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("folder of logs: %w", err)
	}
	return &Logs{c: c, namespace: namespace, folder: folder}, nil
}

// Run follows until ctx ends.
func (l *Logs) Run(ctx context.Context) {
	var streams sync.WaitGroup
	defer streams.Wait()
	known := map[string]bool{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		list, err := l.c.CoreV1().Pods(l.namespace).List(ctx, metav1.ListOptions{})
		if err == nil { // else again in a moment
			for _, pod := range list.Items {
				for _, s := range pod.Status.ContainerStatuses {
					if s.ContainerID == "" || known[s.ContainerID] {
						continue
					}
					known[s.ContainerID] = true
					streams.Go(func() { l.follow(ctx, &pod, &s) })
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// follow copies one container's log until it ends.
func (l *Logs) follow(ctx context.Context, pod *corev1.Pod, s *corev1.ContainerStatus) {
	name := fmt.Sprintf("%s.%.8s.%s.%d.log", pod.Name, pod.UID, s.Name, s.RestartCount)
	file, err := os.Create(filepath.Join(l.folder, name))
	if err != nil {
		return // the dump says which logs there are
	}
	defer file.Close()
	opts := &corev1.PodLogOptions{Container: s.Name, Follow: true}
	in, err := l.c.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, opts).Stream(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(file, "no log: %v\n", err)
		return
	}
	defer in.Close()
	for r := bufio.NewReader(io.TeeReader(in, file)); ; {
		text, err := r.ReadBytes('\n')
		l.keep(pod, text)
		if err != nil {
			return
		}
	}
}

// keep remembers a line where it is one of ours.
func (l *Logs) keep(pod *corev1.Pod, text []byte) {
	line := Line{Pod: pod.Name, Component: Component(pod)}
	if json.Unmarshal(text, &line) != nil || json.Unmarshal(text, &line.All) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// Lines returns the lines of a component with a msg, from a moment on, in the order in which they came.
func (l *Logs) Lines(component, msg string, from time.Time) (out []Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line.Component == component && line.Msg == msg && !line.Time.Before(from) {
			out = append(out, line)
		}
	}
	return out
}
