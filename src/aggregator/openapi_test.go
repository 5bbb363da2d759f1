package aggregator_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"quotes/src/aggregator"
)

const openapi = "../../docs/openapi.json"

// schemaOf compiles the schema at a JSON pointer of the OpenAPI document.
func schemaOf(t *testing.T, pointer string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(openapi + "#" + pointer)
	require.NoError(t, err)
	return s
}

func (w *world) answers(t *testing.T, path, accept string) (*http.Response, any) {
	t.Helper()
	resp, body := w.get(t, path)
	require.True(t, strings.HasPrefix(resp.Header.Get("Content-Type"), accept), "%s: %s", path, body)
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	return resp, v
}

func TestResponsesAreAsOpenAPISays(t *testing.T) {
	w := build(t, aggregator.Config{})
	raw, err := os.ReadFile(openapi)
	require.NoError(t, err)
	var doc struct {
		Paths map[string]struct {
			Get struct{ Parameters []struct{ Name, In string } }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	good := map[string][]string{
		"/v1/report":  {"/v1/report?symbol=A", "/v1/report", "/v1/report?symbols=A", "/v1/report?symbol=A&limit=1&min_coverage=1&max_age_ms=5000&budget_ms=900&from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z"},
		"/v1/quotes":  {"/v1/quotes?symbol=A", "/v1/quotes"},
		"/v1/history": {"/v1/history?symbol=A", "/v1/history?symbols=A&kinds=trades&order=desc&limit=1", "/v1/history"},
		"/v1/symbols": {"/v1/symbols"},
		"/v1/status":  {"/v1/status"},
		"/v1/stream":  nil,
	}
	problem := schemaOf(t, "/components/schemas/Problem")
	require.Len(t, doc.Paths, len(good))
	for path, examples := range good {
		require.Contains(t, doc.Paths, path)
		if examples != nil {
			schema := schemaOf(t, "/paths/"+strings.ReplaceAll(path, "/", "~1")+"/get/responses/200/content/application~1json/schema")
			for _, e := range examples {
				resp, v := w.answers(t, e, "application/json")
				require.Equal(t, http.StatusOK, resp.StatusCode, e)
				require.NoError(t, schema.Validate(v), e)
			}
		}
		known := map[string]bool{}
		for _, p := range doc.Paths[path].Get.Parameters {
			if p.In != "query" {
				continue
			}
			known[p.Name] = true
			_, v := w.answers(t, path+"?"+p.Name+"=%3Cscript%3E%00", "application/problem+json")
			require.NoError(t, problem.Validate(v), p.Name)
			require.NotContains(t, v.(map[string]any)["detail"], "no parameter", "%s of %s is documented", p.Name, path)
		}
		resp, v := w.answers(t, path+"?nope=1", "application/problem+json")
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		require.NoError(t, problem.Validate(v))
		for name := range known { // what is said to be known is what is documented
			require.Contains(t, v.(map[string]any)["detail"], name)
		}
	}
	resp, v := w.answers(t, "/v1/report?symbol=A&max_age_ms=1", "application/problem+json")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.NoError(t, problem.Validate(v))
	require.NoError(t, schemaOf(t, "/paths/~1v1~1report/get/responses/200/content/application~1json/schema").Validate(v.(map[string]any)["report"]))
}
