package breaker

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Admin serves breakers over HTTP to an operator.
type Admin []*Breaker

// Handle adds GET /breakers, which lists the breakers' snapshots, and POST /-/breaker/NAME/trip, /disable and /reset, which answer
// with the snapshot after it. An unknown name or word is 404 and says which there are.
func (a Admin) Handle(mux interface{ Handle(string, http.Handler) }) {
	mux.Handle("GET /breakers", http.HandlerFunc(a.list))
	mux.Handle("POST /-/breaker/{name}/{word}", http.HandlerFunc(a.change))
}

func (a Admin) list(w http.ResponseWriter, _ *http.Request) {
	all := make([]Snapshot, 0, len(a))
	for _, b := range a {
		all = append(all, b.Snapshot())
	}
	answer(w, all)
}

func (a Admin) change(w http.ResponseWriter, r *http.Request) {
	var names []string
	for _, b := range a {
		names = append(names, b.Name())
		if b.Name() != r.PathValue("name") {
			continue
		}
		switch word := r.PathValue("word"); word {
		case "trip":
			b.Trip()
		case "disable":
			b.Disable()
		case "reset":
			b.Reset()
		default:
			http.Error(w, fmt.Sprintf("%.40q: want trip, disable or reset", word), http.StatusNotFound)
			return
		}
		answer(w, b.Snapshot())
		return
	}
	http.Error(w, fmt.Sprintf("no breaker %.80q: there are %q", r.PathValue("name"), names), http.StatusNotFound)
}

func answer(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}
