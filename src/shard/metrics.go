package shard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what a shard counts. docs/operations.md lists them.
type metrics struct {
	appended  prometheus.Counter
	commits   prometheus.Counter
	seconds   prometheus.Histogram
	repaired  prometheus.Counter
	lost      prometheus.Counter
	conflicts prometheus.Counter
	compared  prometheus.Counter
	restored  prometheus.Counter
	scrubs    prometheus.Counter
	sealed    prometheus.Counter
	floors    prometheus.Counter
	failures  *prometheus.CounterVec
	queries   prometheus.Counter
	served    prometheus.Counter
	atHand    prometheus.Counter
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "quotes_shard_" + name, Help: help})
}

func newMetrics() *metrics {
	return &metrics{
		appended: counter("appended_records_total", "Records from core that are on disk, each counted once."),
		commits:  counter("commits_total", "Synced commits: each makes one or more batches durable."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "quotes_shard_commit_seconds",
			Help: "Time of one synced commit.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		repaired:  counter("repaired_records_total", "Records that were copied from a twin."),
		lost:      counter("lost_records_total", "Seqs that core named as lost."),
		conflicts: counter("conflicts_total", "Records refused because another one has their position."),
		compared:  counter("compared_records_total", "Records compared with a twin by checksum."),
		restored:  counter("restored_records_total", "Records that the disk had lost, though they were acknowledged, and that were written again."),
		scrubs:    counter("comparisons_total", "Complete comparisons with a twin by checksum."),
		sealed:    counter("sealed_chunks_total", "Chunks that took the place of rows."),
		floors:    counter("retention_floors_total", "Times that retention has raised a topic's floor."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quotes_shard_repair_failures_total",
			Help: "Rounds of repair that failed, by twin.",
		}, []string{"peer"}),
		queries: counter("history_requests_total", "REQ_HIST requests answered."),
		served:  counter("history_records_total", "Records in those answers."),
		atHand:  counter("history_from_memory_total", "REQ_HIST requests of a topic's newest records that were answered from memory."),
	}
}

// register adds the metrics, and gauges over the shard's state, to a registerer.
func (m *metrics) register(r prometheus.Registerer, s *Shard) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "quotes_shard_" + name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		m.appended, m.commits, m.seconds, m.repaired, m.lost, m.conflicts, m.compared, m.restored, m.scrubs, m.sealed, m.floors, m.failures, m.queries, m.served, m.atHand,
		gauge("slots", "Slots that this shard owns.", func() float64 { return float64(len(s.state.slots(time.Now()))) }),
		gauge("slots_in_sync", "Of these, those whose copy is complete.", func() float64 { n, _ := s.synced(); return float64(n) }),
		gauge("disk_bytes", "Bytes of the data folder.", func() float64 { return float64(s.engine.Bytes()) }),
		gauge("disk_free_bytes", "Bytes left on the data folder's volume; 0 where the system does not say.", func() float64 { n, _ := s.room.free(); return float64(n) }),
		gauge("topics", "Topics that it holds records of.", func() float64 { return float64(len(s.state.all())) }),
		gauge("epoch", "Newest core epoch it knows.", func() float64 { return float64(s.state.fenceNow().epoch) }),
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
