package shard

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Twins compare what they hold by checksums over blocks of 1,024 positions: block n of an epoch is of the seqs from
// 1024 n + 1 to 1024 n + 1024. A sum is made of the records as anybody reads them, whatever form they are stored in.

// Types of the question and its answer.
const (
	typeReqSums  = "REQ_SUMS"
	typeRespSums = "RESP_SUMS"
)

const maxBlocks = 64 // in one answer

// reqSums asks for the sums of a topic's blocks behind after and before before; the latter may cut a block.
type reqSums struct {
	Topic  quote.Topic `json:"topic"`
	After  quote.Point `json:"after"`
	Before quote.Point `json:"before"`
	Blocks int         `json:"blocks"` // at most so many, 1 to 64; 64
}

// respSums tells of each block that has records, in order of position. With more, further ones follow behind next.
type respSums struct {
	Sums []blockSum  `json:"sums"`
	More bool        `json:"more"`
	Next quote.Point `json:"next"` // everything through here is told of; valid with more
	// Floor is the first position that retention has left of the topic; zero where it has dropped nothing.
	Floor quote.Point `json:"floor,omitzero"`
}

// blockSum is one block's checksum: xxhash64 over seq (8 bytes), length (4 bytes) and payload of each record, in hex.
type blockSum struct {
	Epoch uint64 `json:"epoch"`
	Block uint64 `json:"block"`
	Count int    `json:"count"`
	Sum   string `json:"sum"`
}

// onSums answers REQ_SUMS.
func (s *Shard) onSums(ctx context.Context, f wire.Frame) (wire.Frame, error) {
	var req reqSums
	if err := f.Decode(&req); err != nil {
		return wire.Frame{}, err
	}
	if err := s.checkTopic(req.Topic); err != nil {
		return wire.Frame{}, err
	}
	if req.Blocks < 0 || req.Blocks > maxBlocks {
		return wire.Frame{}, wire.Errorf(wire.BadRequest, "blocks is %d, want 1 to %d", req.Blocks, maxBlocks)
	}
	resp, _, err := s.sums(ctx, req)
	resp.Floor = s.state.floor(req.Topic)
	return wire.Make(typeRespSums, resp), err
}

// sums reads the blocks from disk, whatever is believed to be there; size is how many bytes of payload that took.
func (s *Shard) sums(ctx context.Context, req reqSums) (out respSums, size int, err error) {
	q := query{
		topics: []quote.Topic{req.Topic}, held: map[quote.Topic][]*holding{req.Topic: s.state.holdings(req.Topic)},
		after: map[quote.Topic]quote.Point{req.Topic: req.After}, before: map[quote.Topic]quote.Point{req.Topic: req.Before}, limit: int(s.cfg.block),
	}
	if req.Before.IsZero() {
		q.before = nil
	}
	out.Sums = []blockSum{}
	v := s.engine.View()
	defer func() { _ = v.Close() }()
	records := newReader(v, s.cfg.block)
	sum, hash := blockSum{}, xxhash.New()
	flush := func() {
		if sum.Count > 0 {
			sum.Sum = fmt.Sprintf("%016x", hash.Sum64())
			out.Sums = append(out.Sums, sum)
		}
	}
	for more := true; more; {
		var rows []row
		if rows, more, err = q.find(ctx, records, recordsBytes); err != nil {
			s.readFailed(err)
			return out, size, err
		}
		for i := range rows {
			r := &rows[i]
			if block := s.cfg.block.of(r.point.Seq); sum.Count == 0 || block != sum.Block || r.point.Epoch != sum.Epoch {
				flush()
				if len(out.Sums) >= or(req.Blocks, maxBlocks) {
					out.More = true
					return out, size, nil
				}
				sum = blockSum{Epoch: r.point.Epoch, Block: block}
				hash.Reset()
			}
			var head [12]byte
			binary.BigEndian.PutUint64(head[:], r.point.Seq)
			binary.BigEndian.PutUint32(head[8:], uint32(len(r.payload)))
			_, _ = hash.Write(head[:]) // never fails
			_, _ = hash.Write(r.payload)
			sum.Count++
			size += len(r.payload)
			out.Next = r.point
			q.after[req.Topic] = r.point
		}
		more = more && len(rows) > 0
	}
	flush()
	return out, size, nil
}
