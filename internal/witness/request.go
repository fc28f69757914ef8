package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A Request asks to cosign a checkpoint (C2SP tlog-witness, add-checkpoint).
type Request struct {
	Old        int64          // size of the checkpoint that the witness cosigned last, 0: none
	Proof      tlog.TreeProof // from there to the checkpoint (RFC 6962 §2.1.2)
	Checkpoint []byte         // signed note
}

// Append writes the body of the request:
//
//	old 20852014
//	PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//	…
//
//	example.com/behind-the-sofa
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.com/behind-the-sofa Az3grl…
func (r *Request) Append(b []byte) []byte {
	b = append(strconv.AppendInt(append(b, "old "...), r.Old, 10), '\n')
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.Checkpoint...)
}

// ParseRequest reads exactly what Append writes; the checkpoint is not looked into.
func ParseRequest(body []byte) (*Request, error) {
	if len(body) > MaxRequestBytes {
		return nil, fmt.Errorf("request: %d bytes are over the limit of %d", len(body), MaxRequestBytes)
	}
	head, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return nil, errors.New("request: no empty line before the checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	text, ok := strings.CutPrefix(lines[0], "old ")
	old, err := parseSize(text)
	if !ok || err != nil {
		return nil, errors.New("request: the first line is not \"old\" and a size in plain decimal")
	}
	if len(lines)-1 > MaxProofHashes {
		return nil, fmt.Errorf("request: a proof of %d hashes is over the limit of %d", len(lines)-1, MaxProofHashes)
	}
	r := &Request{Old: old, Checkpoint: checkpoint}
	for i, line := range lines[1:] {
		h, err := parseHash(line)
		if err != nil {
			return nil, fmt.Errorf("request: line %d of the proof is not a hash in base64", i+1)
		}
		r.Proof = append(r.Proof, h)
	}
	return r, nil
}

// A head is what a checkpoint says (C2SP tlog-checkpoint), of any log: unlike lamppost.Checkpoint it takes every origin
// and extension lines, which are cosigned with the rest and mean nothing here.
type head struct {
	origin string
	size   int64
	root   tlog.Hash
}

// parseHead reads a checkpoint's text and refuses other spellings of it: what is signed is what was understood.
func parseHead(text string) (head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return head{}, errors.New("checkpoint: fewer than three lines, or the last does not end")
	}
	h := head{origin: lines[0]}
	var err error
	if h.size, err = parseSize(lines[1]); err != nil {
		return head{}, fmt.Errorf("checkpoint: %w", err)
	}
	if h.root, err = parseHash(lines[2]); err != nil {
		return head{}, fmt.Errorf("checkpoint: %w", err)
	}
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			return head{}, errors.New("checkpoint: an empty line")
		}
	}
	return h, nil
}

func parseSize(text string) (int64, error) {
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || size > MaxLogSize || strconv.FormatInt(size, 10) != text {
		return 0, fmt.Errorf("%.40q is not a size in plain decimal, at most 2^56", text)
	}
	return size, nil
}

func parseHash(text string) (h tlog.Hash, err error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(h) || strings.ContainsAny(text, "\r\n") {
		return h, fmt.Errorf("%.60q is not a hash in base64", text)
	}
	return tlog.Hash(raw), nil
}
