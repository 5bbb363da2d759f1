package cli

import (
	"encoding/json"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "The version of quotectl; status shows the servers'",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.version() },
	}
}

func (a *app) version() error {
	if a.out.tabular() {
		return a.out.linef("quotectl %s %s %s/%s", a.cfg.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	}
	raw, err := json.Marshal(struct {
		Version string `json:"version"`
		Go      string `json:"go"`
		OS      string `json:"os"`
		Arch    string `json:"arch"`
	}{a.cfg.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return err
	}
	return a.out.json(raw)
}
