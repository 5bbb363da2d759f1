package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/quote"
)

// Config is all that quotectl gets of its process.
type Config struct {
	Out, Err io.Writer
	Terminal bool                // Out is a terminal: colour is allowed there
	Getenv   func(string) string // an empty value counts as unset; no environment where nil
	Version  string              // what the version command says
}

// app is one run of quotectl.
type app struct {
	cfg        Config
	out        printer
	broker     string
	aggregator string
	timeout    time.Duration
	output     string
	noColor    bool
	started    bool          // arguments and flags were accepted
	silence    time.Duration // a subscribed connection that says nothing for so long is dead
}

// Run runs one command line, without the program's name, and returns its exit code.
func Run(ctx context.Context, cfg Config, args []string) int {
	if cfg.Getenv == nil {
		cfg.Getenv = func(string) string { return "" }
	}
	return newApp(cfg).run(ctx, args)
}

func newApp(cfg Config) *app { return &app{cfg: cfg, silence: 3 * time.Second} }

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // never nil: cobra would take the process's own
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, errOutput) && errors.Is(err, syscall.EPIPE) {
		return ExitError // as of `| head`: nobody reads on
	}
	a.note("%s", strings.Join(strings.Fields(err.Error()), " ")) // cobra's "did you mean" comes on several lines
	code := codeOf(err)
	if !a.started || code == ExitUsage {
		a.note("see: %s --help", cmd.CommandPath())
		return ExitUsage
	}
	return code
}

// root returns the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "quotectl",
		Short: "Watch and ask the quotes system: prices that say how fresh, reports that say how complete they are",
		Example: `  quotectl sub PETR4              live quotes until Ctrl-C
  quotectl get PETR4 VALE3        prices now
  quotectl report PETR4           price, history and how complete both are
  quotectl status                 who is up, and the breakers`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.prepare,
	}
	root.SetOut(a.cfg.Out)
	root.SetErr(a.cfg.Err)
	root.SetUsageTemplate(usageTemplate)
	fs := root.PersistentFlags()
	fs.StringVar(&a.broker, "broker", "127.0.0.1:8081", "the broker's `HOST:PORT`")
	fs.StringVar(&a.aggregator, "aggregator", "127.0.0.1:8000", "the aggregator's `HOST:PORT`")
	fs.DurationVar(&a.timeout, "timeout", 2*time.Second, "longest wait for an answer; servers are told")
	fs.StringVarP(&a.output, "output", "o", formatTable, "`FORMAT` of the data: table, wide, json or ndjson")
	fs.BoolVar(&a.noColor, "no-color", false, "no colour; NO_COLOR and TERM=dumb say the same")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(a.subCommand(), a.getCommand(), a.reportCommand(), a.statusCommand(), a.checkCommand(), a.breakerCommand(), a.historyCommand(), a.topCommand(), a.benchCommand(), a.demoCommand(), a.versionCommand())
	return root
}

// prepare checks what all commands share, once arguments and flags were parsed.
func (a *app) prepare(cmd *cobra.Command, _ []string) error {
	if err := fromEnv(cmd.Flags(), a.cfg.Getenv); err != nil {
		return err
	}
	for _, p := range []peer{a.brokerPeer(), a.aggregatorPeer()} {
		if _, _, err := net.SplitHostPort(p.addr); err != nil {
			return usagef("--%s %q: want HOST:PORT such as 127.0.0.1:8000", p.name, p.addr)
		}
	}
	if a.timeout <= 0 {
		return usagef("--timeout %v: want more than 0", a.timeout)
	}
	var err error
	var further []string
	if _, fine := cmd.Annotations[csvIsFine]; fine {
		further = append(further, formatCSV)
	}
	a.out, err = newPrinter(a, further...)
	a.started = err == nil
	return err
}

func (a *app) brokerPeer() peer     { return peer{"broker", a.broker} }
func (a *app) aggregatorPeer() peer { return peer{"aggregator", a.aggregator} }

// note says something to the user, beside the data.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.cfg.Err, "quotectl: %s\n", clean(fmt.Sprintf(format, args...)))
}

// symbols reads what the user typed; lower case is taken for what it means.
func symbols(args []string) ([]quote.Symbol, error) {
	out := make([]quote.Symbol, 0, len(args))
	for _, arg := range args {
		s, err := quote.ParseSymbol(upper(arg))
		if err != nil {
			return nil, usagef("%w", err)
		}
		out = append(out, s)
	}
	return out, nil
}
