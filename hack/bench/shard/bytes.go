package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/zstd"

	"quotes/hack/bench/bench"
	"quotes/src/exchange"
	"quotes/src/exchange/binance"
	"quotes/src/exchange/coinbase"
	"quotes/src/exchange/sim"
	"quotes/src/quote"
	"quotes/src/shard/chunk"
)

// captures is where the recorded sessions are; without them their rows are left out, and that is said.
const captures = "../shared/data/venues"

// tape is quotes as core writes them, by topic.
type tape map[quote.Topic][]chunk.Record

func (t tape) add(q quote.Quote, received quote.Time) {
	topic := quote.TopicOf(quote.Quotes, q.Symbol)
	q.Received, q.Quality = received, quote.Quality{State: quote.Live}
	t[topic] = append(t[topic], chunk.Record{
		Seq: uint64(len(t[topic]) + 1), Timestamp: q.Timestamp, Received: received, Payload: q.AppendJSON(nil),
	})
}

func (t tape) count() (n int) {
	for _, r := range t {
		n += len(r)
	}
	return n
}

// simTape runs the default market, twenty times as fast as by default and in real time: its quotes have the times of a real
// run, those of reception being when they are handed over.
func simTape() (tape, error) {
	s, err := sim.New(sim.Config{Symbols: []string{"PETR4", "VALE3", "ITUB4", "BBDC4", "ABEV3", "BTC-USD", "ETH-USD"}, Rate: 100})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 21*time.Second)
	defer cancel()
	out := tape{}
	err = s.Run(ctx, nil, func(records []exchange.Record) {
		for _, r := range records {
			if r.Quote != nil {
				out.add(*r.Quote, quote.TimeOf(time.Now()))
			}
		}
	})
	for t, r := range out { // whole chunks
		out[t] = r[:len(r)/chunk.MaxRecords*chunk.MaxRecords]
	}
	return out, err
}

// captureTape decodes a recorded session; the recorder's clock is the time of reception.
func captureTape(name string, apply func(at quote.Time, frame []byte) []exchange.Record) (tape, error) {
	f, err := os.Open(filepath.Join(captures, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	out := tape{}
	for lines.Scan() {
		at, frame, found := strings.Cut(lines.Text(), ": ")
		seconds, err := json.Number(at).Float64()
		if !found || err != nil {
			continue
		}
		received := quote.Time(seconds * 1e6)
		for _, r := range apply(received, []byte(frame)) {
			if r.Quote != nil {
				out.add(*r.Quote, received)
			}
		}
	}
	return out, lines.Err()
}

// sizes is how many bytes a record has after each step of coding.
type sizes struct{ json, jsonZstd, fixed, fixedZstd, delta, deltaZstd, chunk float64 }

// measureSizes packs a tape in every way, 1,024 records of a topic at a time.
func measureSizes(t tape) (s sizes, err error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return s, err
	}
	var e chunk.Encoder
	for _, topic := range slices.Sorted(maps.Keys(t)) {
		block := uint64(0)
		for part := range slices.Chunk(t[topic], chunk.MaxRecords) {
			var text, fixed []byte
			for _, r := range part {
				text = append(text, r.Payload...)
				fixed = append(fixed, fixedRow(r)...)
			}
			delta := deltas(fixed)
			packed, err := e.Append(nil, chunk.Address{Topic: topic, Epoch: 1, Block: block}, part)
			if err != nil {
				return s, err
			}
			block++
			for to, b := range map[*float64][]byte{
				&s.json: text, &s.jsonZstd: z.EncodeAll(text, nil), &s.fixed: fixed, &s.fixedZstd: z.EncodeAll(fixed, nil),
				&s.delta: delta, &s.deltaZstd: z.EncodeAll(delta, nil), &s.chunk: packed,
			} {
				*to += float64(len(b)) / float64(t.count())
			}
		}
	}
	return s, nil
}

// fixedColumns is how many numbers of eight bytes a fixed row has: seq, two times, three prices and two sizes.
const fixedColumns = 8

// fixedRow is a quote as a row of fixed width, its decimals in units of 10^-8.
func fixedRow(r chunk.Record) []byte {
	var q quote.Quote
	_ = json.Unmarshal(r.Payload, &q) // what core writes
	b := binary.LittleEndian.AppendUint64(nil, r.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Timestamp))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Received))
	for _, d := range []quote.Decimal{q.Price, q.Bid, q.Ask, q.BidSize, q.AskSize} {
		_, coef, scale := d.Parts()
		for ; scale < 8; scale++ {
			coef *= 10
		}
		b = binary.LittleEndian.AppendUint64(b, coef)
	}
	return b
}

// deltas turns fixed rows into columns, each value the varint of its difference from the one before.
func deltas(rows []byte) (out []byte) {
	for c := range fixedColumns {
		last := int64(0)
		for at := 8 * c; at < len(rows); at += 8 * fixedColumns {
			v := int64(binary.LittleEndian.Uint64(rows[at:]))
			out = binary.AppendVarint(out, v-last)
			last = v
		}
	}
	return out
}

// onDisk appends a tape to a shard, as core would, seals it by a newer epoch, and returns the bytes of its folder a record, beside
// what an empty one takes.
func onDisk(dir string, t tape) (float64, error) {
	empty, err := start(filepath.Join(dir, "empty"), "")
	if err != nil {
		return 0, err
	}
	empty.close()
	base, err := settled(filepath.Join(dir, "empty"))
	if err != nil {
		return 0, err
	}
	folder := filepath.Join(dir, "full")
	s, err := start(folder, "")
	if err != nil {
		return 0, err
	}
	defer s.close()
	chunks := 0
	for topic, records := range t {
		chunks += (len(records) + chunk.MaxRecords - 1) / chunk.MaxRecords
		for part := range slices.Chunk(records, 256) {
			if err := s.send(topic, part); err != nil {
				return 0, err
			}
		}
	}
	if err := s.newer(); err != nil {
		return 0, err
	}
	if err := s.sealed(chunks); err != nil {
		return 0, err
	}
	s.close()
	size, err := settled(folder)
	return float64(size-base) / float64(t.count()), err
}

// settled compacts a folder, as storage does by itself when more comes: what was logged is in tables then, and what was deleted is gone.
// It returns how many bytes all files have.
func settled(folder string) (int64, error) {
	db, err := pebble.Open(folder, &pebble.Options{Logger: quiet{}})
	if err != nil {
		return 0, err
	}
	err = db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	return diskUsage(folder)
}

// fixedOnDisk is the same for rows of fixed width, 1,024 of a topic compressed with zstd, in a bare pebble.
func fixedOnDisk(dir string, t tape) (float64, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	store := func(folder string, t tape) (int64, error) {
		db, err := pebble.Open(folder, &pebble.Options{Logger: quiet{}})
		if err != nil {
			return 0, err
		}
		for topic, records := range t {
			n := 0
			for part := range slices.Chunk(records, chunk.MaxRecords) {
				var rows []byte
				for _, r := range part {
					rows = append(rows, fixedRow(r)...)
				}
				err = errors.Join(err, db.Set(fmt.Appendf(nil, "%s %d", topic, n), z.EncodeAll(rows, nil), pebble.Sync))
				n++
			}
		}
		if err = errors.Join(err, db.Close()); err != nil {
			return 0, err
		}
		return settled(folder)
	}
	base, err := store(filepath.Join(dir, "fixed-empty"), nil)
	if err != nil {
		return 0, err
	}
	size, err := store(filepath.Join(dir, "fixed"), t)
	return float64(size-base) / float64(t.count()), err
}

// bytesOf are the rows of bytes a record, and the table of what each step gives.
func bytesOf(dir string) (rows []bench.Row, err error) {
	simulated, err := simTape()
	if err != nil {
		return nil, err
	}
	goals := map[string]string{"sim": "<=6", "coinbase": "<=12"}
	tapes := map[string]tape{"sim": simulated}
	cb := coinbase.NewDecoder(0)
	if tapes["coinbase"], err = captureTape("COINBASE.ws.28.0", cb.Apply); err != nil {
		fmt.Fprintln(os.Stderr, "  no captures:", err)
		delete(tapes, "coinbase")
	}
	bn := binance.NewDecoder(0, nil)
	if tapes["binance"], err = captureTape("BINANCE.ws.1.0", bn.Apply); err != nil {
		delete(tapes, "binance")
	}
	fmt.Println("NOTE bytes: of a folder in which all is sealed and compacted to the end, less that of an empty one; the quotes of sim come 10 ms apart. The curve of the disk is of folders as they are, with what waits for compaction.")
	fmt.Println("| bytes a quote | quotes | JSON | + zstd | fixed width | + zstd | deltas | + zstd | chunk | on disk |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, name := range slices.Sorted(maps.Keys(tapes)) {
		t := tapes[name]
		s, err := measureSizes(t)
		if err != nil {
			return rows, err
		}
		disk, err := onDisk(filepath.Join(dir, name), t)
		if err != nil {
			return rows, err
		}
		fmt.Printf("| %s | %d | %.0f | %.1f | %.0f | %.1f | %.1f | %.1f | %.2f | %.2f |\n",
			name, t.count(), s.json, s.jsonZstd, s.fixed, s.fixedZstd, s.delta, s.deltaZstd, s.chunk, disk)
		rows = append(rows, bench.Row{Name: "bytes-" + name, Unit: "B/record", Goal: goals[name], Ours: disk})
		if name == "coinbase" {
			fixed, err := fixedOnDisk(filepath.Join(dir, name), t)
			if err != nil {
				return rows, err
			}
			rows = append(rows, bench.Row{Name: "bytes-coinbase-fixed", Unit: "B/record", Goal: "<=0.6", Ours: disk, Theirs: fixed, Peer: "fixed width + zstd, on disk"})
		}
	}
	return rows, nil
}

// scanEngine reads one topic's chunks from storage by a cursor and decodes them, payloads and all.
func scanEngine(dir string) ([]bench.Row, error) {
	db, err := pebble.Open(filepath.Join(dir, "scan"), &pebble.Options{Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	var e chunk.Encoder
	var d chunk.Decoder
	t := tape{}
	const topic, blocks = quote.Topic("quotes.PETR4"), 100
	at := func(b int) chunk.Address { return chunk.Address{Topic: topic, Epoch: 1, Block: uint64(b)} }
	for b := range blocks {
		var part []chunk.Record
		for i := range uint64(chunk.MaxRecords) {
			seq := uint64(b)*chunk.MaxRecords + i + 1
			var q quote.Quote
			payload := bytes.Replace(record(seq), []byte("PETR0"), []byte("PETR4"), 1)
			if err := json.Unmarshal(payload, &q); err != nil {
				return nil, err
			}
			part = append(part, chunk.Record{Seq: seq, Timestamp: q.Timestamp, Received: q.Received, Payload: payload})
		}
		t[topic] = part
		data, err := e.Append(nil, at(b), part)
		if err == nil {
			err = db.Set(fmt.Appendf(nil, "c%s\x00%08d", topic, b), data, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := db.Flush(); err != nil {
		return nil, err
	}
	var out []chunk.Record
	var text []byte
	var fault error
	got := bench.Interleave(rounds, func() float64 {
		n, began := 0, time.Now()
		for time.Since(began) < length/2 {
			c, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("c"), UpperBound: []byte("d")})
			if fault = err; err != nil {
				return 0
			}
			b := 0
			for ok := c.First(); ok && fault == nil; ok = c.Next() {
				out, text, fault = d.Decode(at(b), c.Value(), out[:0], text[:0])
				n += len(out)
				b++
			}
			if fault = errors.Join(fault, c.Close()); fault != nil || b != blocks {
				return 0
			}
		}
		return float64(n) / time.Since(began).Seconds()
	})
	return []bench.Row{{Name: "scan-engine", Unit: "records/s", Goal: ">=5000000", Ours: got[0].Median(), Spread: got[0].Spread()}}, fault
}

// diskUsage returns the bytes of all files in a folder.
func diskUsage(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
