package page_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const root = "../.." // of the repository

// system is the seven processes, each by itself, on free ports.
type system struct {
	t    *testing.T
	bin  string
	addr map[string]string
	args map[string][]string
	runs map[string]*exec.Cmd
}

func start(t *testing.T) *system {
	t.Helper()
	dir := t.TempDir()
	s := &system{t: t, bin: filepath.Join(dir, "bin"), addr: map[string]string{}, args: map[string][]string{}, runs: map[string]*exec.Cmd{}}
	build := exec.Command("go", "build", "-o", s.bin+"/", "./src/cmd/...")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	names := []string{"external", "broker", "shard-0", "shard-1", "shard-2", "core", "aggregator"}
	s.ports(names)
	var shards []string
	for i := range 3 {
		shards = append(shards, fmt.Sprintf("shard-%d=%s", i, s.addr[fmt.Sprintf("shard-%d", i)]))
	}
	list := strings.Join(shards, ",")
	s.args["external"] = []string{"sim", "--chaos", "calm", "--rate", "20", "--symbols", "PETR4,VALE3,BTC-USD,ETH-USD"}
	s.args["broker"] = nil
	s.args["core"] = []string{"--external", s.addr["external"], "--broker", s.addr["broker"], "--shards", list}
	s.args["aggregator"] = []string{"--core", s.addr["core"], "--broker", s.addr["broker"], "--shards", list}
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		s.args[name] = []string{"--name", name, "--data", filepath.Join(dir, name), "--shards", list}
	}
	for _, name := range names {
		s.start(name)
	}
	t.Cleanup(func() {
		for name := range s.runs {
			s.stop(name)
		}
	})
	return s
}

// ports finds two free ports for each name; all are held until all are found.
func (s *system) ports(names []string) {
	for _, name := range names {
		for _, key := range []string{name, name + "-admin"} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(s.t, err)
			defer ln.Close()
			s.addr[key] = ln.Addr().String()
		}
	}
}

// start starts a process and waits until it is ready.
func (s *system) start(name string) {
	s.t.Helper()
	exe, _, _ := strings.Cut(name, "-")
	cmd := exec.Command(filepath.Join(s.bin, exe), append(s.args[name], "--listen", s.addr[name], "--admin", s.addr[name+"-admin"])...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, cmd.Start())
	s.runs[name] = cmd
	require.Eventually(s.t, func() bool {
		resp, err := http.Get("http://" + s.addr[name+"-admin"] + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond, name)
}

// stop ends a process and waits for that.
func (s *system) stop(name string) {
	cmd := s.runs[name]
	delete(s.runs, name)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait() // how it ended is not this test's business
}
