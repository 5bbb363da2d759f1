package aggregator

import (
	"net/http"

	"quotes/src/breaker"
)

// Handle adds the peers' breakers to the admin listener, as [breaker.Admin] says.
func (a *Aggregator) Handle(mux interface{ Handle(string, http.Handler) }) {
	var admin breaker.Admin
	for _, p := range a.peers() {
		admin = append(admin, p.brk)
	}
	admin.Handle(mux)
}
