// Command broker distributes what core publishes.
package main

import (
	"context"
	"os"

	"quotes/src/broker"
	"quotes/src/service"
)

func main() {
	var cfg broker.Config
	os.Exit(service.Main(service.Spec{
		Name: "broker", Short: "Publish/subscribe of quotes, trades and status", Port: 8081, Keeps: true, Flags: cfg.Flags,
		Run: func(ctx context.Context, env *service.Env) error {
			cfg.Log, cfg.Metrics, cfg.Version = env.Log, env.Metrics, env.Version
			b, err := broker.New(cfg)
			if err != nil {
				return err
			}
			env.Ready(b.Ready)
			return b.Run(ctx)
		},
	}))
}
