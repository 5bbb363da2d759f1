// Command external is the exchange: a simulated market, or a recorded one played again.
package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"quotes/src/exchange"
	"quotes/src/exchange/replay"
	"quotes/src/exchange/sim"
	"quotes/src/service"
)

func main() {
	root := simulated("external", "The exchange: a simulated market, or a recorded one played again")
	root.Port, root.Keeps = 8080, true
	root.Sub = []service.Spec{simulated("sim", "Simulate a market"), replayed()}
	os.Exit(service.Main(root))
}

func simulated(name, short string) service.Spec {
	var cfg sim.Config
	return spec(name, short, cfg.Flags, func(_ *service.Env, seed uint64) (exchange.Generator, error) {
		cfg.Seed = seed
		return sim.New(cfg)
	})
}

func replayed() service.Spec {
	var cfg replay.Config
	return spec("replay", "Play a recorded session again", cfg.Flags, func(env *service.Env, _ uint64) (exchange.Generator, error) {
		cfg.Log = env.Log
		return replay.New(cfg)
	})
}

func spec(name, short string, flags func(*pflag.FlagSet), market func(*service.Env, uint64) (exchange.Generator, error)) service.Spec {
	var cfg exchange.Config
	return service.Spec{
		Name: name, Short: short, Flags: func(fs *pflag.FlagSet) { cfg.Flags(fs); flags(fs) },
		Run: func(ctx context.Context, env *service.Env) error {
			cfg.Log, cfg.Metrics, cfg.Version = env.Log, env.Metrics, env.Version
			gen, err := market(env, cfg.Seed)
			if err != nil {
				return err
			}
			e, err := exchange.New(cfg, gen)
			if err == nil {
				e.Handle(env)
				env.Ready(e.Ready)
				err = e.Run(ctx)
			}
			return err
		},
	}
}
