package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the linker: -X quotes/src/service.version=…; it is the one package variable of the project.
var version = "dev"

// Version returns what the binary was built as.
func Version() string { return version }

// Spec is a process: what main hands over.
type Spec struct {
	Name  string // also the binary's
	Short string // one line for --help
	Port  int    // documented data port; the admin listener's default is Port + 10000 on loopback
	Keeps bool   // it keeps much in memory: the collector runs early, where else it is kept from running often
	Flags func(*pflag.FlagSet)
	Run   func(context.Context, *Env) error
	Sub   []Spec // ways to run it; only Name, Short, Flags and Run of each count
}

// Env is what a process gets to run with.
type Env struct {
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Version string
	process string
	admin   *admin
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Main runs the process until it ends or a signal comes, and returns its exit code.
func Main(s Spec) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on a signal ends the process at once
	if s.Keeps {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(keepsPercent)
		}
	} else {
		weight := make([]byte, ballast)
		defer runtime.KeepAlive(weight)
	}
	return run(ctx, s, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
}

// ballast is memory that is never touched, so that it costs none: the collector counts it as in use, and so leaves a small heap alone
// until it has grown by as much. Without it the aggregator, which keeps a few MiB and makes hundreds a second, collected for a fifth of
// its time. The idea is R. Turner's, «Go memory ballast», 2019.
const ballast = 16 << 20

// keepsPercent is GOGC of a process that keeps much: by Go's default as much garbage would gather beside it.
const keepsPercent = 50

// errUsage marks errors of the command line.
var errUsage = errors.New("usage")

// run is Main without the operating system.
func run(ctx context.Context, s Spec, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	cmd := command(s, env, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "%s: %s (see %s --help)\n", s.Name, oneLine(err), s.Name)
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %s\n", s.Name, oneLine(err))
	return exitError
}

// oneLine returns what err says, which for joined errors are several lines, as one.
func oneLine(err error) string { return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ") }

// options are the flags that every process has.
type options struct {
	admin, level, format string
}

func command(s Spec, env func(string) (string, bool), stderr io.Writer) *cobra.Command {
	opts := options{admin: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port+10000)), level: "info", format: "text"}
	root := leaf(s.Name, s, &opts, env, stderr)
	root.Version = version
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&opts.admin, "admin", opts.admin, "admin listener, HOST:PORT")
	root.PersistentFlags().StringVar(&opts.level, "log-level", opts.level, "debug, info, warn or error")
	root.PersistentFlags().StringVar(&opts.format, "log-format", opts.format, "text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	for _, sub := range s.Sub {
		sub.Port = s.Port
		root.AddCommand(leaf(s.Name, sub, &opts, env, stderr))
	}
	return root
}

// leaf is one way to run the process, whatever that way is called.
func leaf(process string, s Spec, opts *options, env func(string) (string, bool), stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{Use: s.Name, Short: s.Short, Args: func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
		}
		return nil
	}}
	if s.Flags != nil {
		s.Flags(cmd.Flags())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := FromEnv(cmd.Flags(), env); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		log, err := logger(stderr, opts.level, opts.format)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return serve(cmd.Context(), process, s.Run, opts, log)
	}
	return cmd
}

// serve runs the process behind its admin listener. A process that fails before it is up leaves no line but its error.
func serve(ctx context.Context, process string, run func(context.Context, *Env) error, opts *options, log *slog.Logger) error {
	e := &Env{Log: log, Metrics: registry(), Version: version, process: process}
	a, err := newAdmin(opts.admin, e.Metrics)
	if err != nil {
		return err
	}
	e.admin = a
	defer a.close()
	err = run(ctx, e)
	if err == nil || a.ready.Load() != nil {
		log.Info("stopped", "process", process, "reason", reason(ctx, err))
	}
	return err
}

func reason(ctx context.Context, err error) string {
	switch {
	case err != nil:
		return "error"
	case ctx.Err() != nil:
		return "signal"
	}
	return "done"
}
