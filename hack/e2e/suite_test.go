//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/kube"
	"quotes/hack/e2e/prober"
	"quotes/src/placement"
	"quotes/src/quote"
)

const (
	root    = "../.."
	release = "quotes"
	// whole bounds the suite below go test's own -timeout, which would leave nothing behind.
	whole = 18 * time.Minute
	// rate is reports a second on each of the prober's four paths.
	rate = 5
	// shards is how many the chart installs.
	shards = 3
)

// suite is the system under test, and what is seen of it.
type suite struct {
	*kube.Cluster
	ctx       context.Context // ends with Ctrl-C and after the suite's bound
	namespace string
	folder    string
	tag       string
	ports     ports
	release   *kube.Release
	logs      *kube.Logs
	seen      *history.Recorder
	symbols   []quote.Symbol
	table     *placement.Table
	changes   map[string]map[string]any // to the values, by upgrades
	judged    time.Time                 // up to where the feed was
	concerned map[string]bool           // components and pods that the scenario of now may have replaced
}

// newSuite installs the chart and begins to look. All is removed when t ends, unless KEEP is set.
func newSuite(t *testing.T) *suite {
	t.Helper()
	ctx, cancel := signal.NotifyContext(context.WithoutCancel(t.Context()), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, whole)
	t.Cleanup(cancel)
	c, err := kube.Connect(ctx, cmp.Or(os.Getenv("CLUSTER"), os.Getenv("KIND_CLUSTER_NAME"), "quotes"))
	require.NoError(t, err)
	stamp := time.Now().UTC().Format("20060102-150405")
	s := &suite{
		Cluster: c, ctx: ctx, namespace: "quotes-e2e-" + stamp, tag: os.Getenv("E2E_TAG"),
		symbols: []quote.Symbol{"PETR4", "VALE3", "ITUB4", "BBDC4", "ABEV3", "BTC-USD", "ETH-USD"},
	}
	s.folder, err = filepath.Abs(filepath.Join(root, "out", "e2e", stamp))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(s.folder, 0o755))
	if s.tag == "" {
		s.tag, err = c.Tag(ctx)
		require.NoError(t, err)
		require.Contains(t, []string{s.tag, ""}, os.Getenv("E2E_TREE"), "the cluster's images are of other sources than this tree: run make kind-up")
	}
	t.Logf("namespace %s, images %s, everything seen is kept in %s", s.namespace, s.tag, s.folder)
	s.ports, err = readPorts(filepath.Join(root, "k8s", "kind.yaml"))
	require.NoError(t, err)
	s.table = table(t)
	s.quiet(t)
	s.imagesAreThere(t)
	require.NoError(t, s.removeLeftovers())
	require.NoError(t, s.makeNamespace(filepath.Join(root, "k8s", "namespace.yaml")))
	t.Cleanup(func() { s.remove(t) })
	t.Cleanup(func() { s.dumpIfFailed(t, "suite") })
	s.watch(t)
	s.install(t)
	s.probe(t)
	return s
}

// table places symbols as core and aggregator do, of the shards that the chart names.
func table(t *testing.T) *placement.Table {
	t.Helper()
	var list []placement.Shard
	for i := range shards {
		list = append(list, placement.Shard{Name: shardName(i), Addr: "unused:1"})
	}
	tab, err := placement.New(list, 2)
	require.NoError(t, err)
	return tab
}

func shardName(i int) string { return fmt.Sprintf("shard-%d", i) }

// quiet keeps what libraries log off the screen, in a file.
func (s *suite) quiet(t *testing.T) {
	t.Helper()
	file, err := os.Create(filepath.Join(s.folder, "libraries.log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		klog.Flush()
		klog.SetOutput(io.Discard)
		log.SetOutput(os.Stderr)
		require.NoError(t, file.Close())
	})
	klog.LogToStderr(false)
	klog.SetOutput(file)
	log.SetOutput(file)
}

func (s *suite) images() map[string]any {
	out := map[string]any{}
	for _, name := range []string{"external", "broker", "core", "shard", "aggregator", "quotectl"} {
		out[name] = s.image(name)
	}
	return out
}

func (s *suite) image(name string) string { return "kind.local/" + name + ":" + s.tag }

func (s *suite) imagesAreThere(t *testing.T) {
	t.Helper()
	var refs []string
	for _, ref := range s.images() {
		refs = append(refs, ref.(string))
	}
	missing, err := s.MissingImages(refs)
	require.NoError(t, err)
	require.Empty(t, missing, "images are not loaded: run make kind-up: %s", strings.Join(missing, ", "))
}

// values are the chart's for the suite: calm, and reached on NodePorts. change is merged over them, a level deep.
func (s *suite) values(change map[string]map[string]any) map[string]any {
	out := map[string]any{
		"images":     s.images(),
		"external":   map[string]any{"chaos": "calm"},
		"broker":     map[string]any{"service": map[string]any{"type": "NodePort", "nodePort": s.ports.broker.node}},
		"aggregator": map[string]any{"service": map[string]any{"type": "NodePort", "nodePort": s.ports.aggregator.node}},
	}
	for name, values := range change {
		section, _ := out[name].(map[string]any)
		if section == nil {
			section = map[string]any{}
		}
		maps.Copy(section, values)
		out[name] = section
	}
	return out
}

// watch streams logs from before the first pod on.
func (s *suite) watch(t *testing.T) {
	t.Helper()
	var err error
	s.logs, err = s.NewLogs(s.namespace, filepath.Join(s.folder, "logs"))
	require.NoError(t, err)
	s.background(t, func(ctx context.Context) error { s.logs.Run(ctx); return nil })
}

// background runs something until t ends. It outlives Ctrl-C, so that the end is seen too.
func (s *suite) background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(s.ctx))
	var running sync.WaitGroup
	var err error
	running.Go(func() { err = run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err != nil {
			t.Error(err)
		}
	})
}

func (s *suite) install(t *testing.T) {
	t.Helper()
	began := time.Now()
	out, err := os.Create(filepath.Join(s.folder, "helm.log"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, out.Close()) })
	s.release, err = s.NewRelease(release, s.namespace, filepath.Join(root, "charts", "quotes"), out)
	require.NoError(t, err)
	require.NoError(t, s.release.Install(s.ctx, s.values(nil)))
	t.Logf("installed after %v", time.Since(began).Round(time.Millisecond))
}

// probe begins to probe, into one history.
func (s *suite) probe(t *testing.T) {
	t.Helper()
	file, err := os.Create(filepath.Join(s.folder, "history.jsonl"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	s.seen = history.NewRecorder(file, 0)
	p, err := prober.New(prober.Config{
		Aggregator: s.ports.aggregator.host, Broker: s.ports.broker.host, Symbols: s.symbols, Rate: rate, History: s.seen,
	})
	require.NoError(t, err)
	s.background(t, p.Run)
}

// dumpIfFailed writes all there is to know, once a scenario or the suite has failed, panicked or been interrupted.
func (s *suite) dumpIfFailed(t *testing.T, name string) {
	if !t.Failed() && s.ctx.Err() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), time.Minute)
	defer cancel()
	folder := filepath.Join(s.folder, "dump-"+name)
	if err := s.Dump(ctx, s.namespace, folder); err != nil {
		t.Logf("the dump is not complete: %v", err)
	}
	if err := s.dumpStatus(ctx, folder); err != nil {
		t.Logf("the dump is not complete: %v", err)
	}
	fmt.Printf("DUMP %s\n", folder)
}

// interrupted fails t where the suite was told to stop.
func (s *suite) interrupted(t *testing.T) {
	t.Helper()
	if err := s.ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
		require.Fail(t, "the suite took longer than "+whole.String())
	} else if err != nil {
		require.Fail(t, "interrupted")
	}
}
