package lamppost

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// encMode and decMode are the two directions of the one CBOR form used for anything that is not on the hot path of a
// reading (that one is written by hand in wire.go). They are immutable after start.
var (
	encMode = mustEnc(cbor.EncOptions{
		Sort: cbor.SortCoreDeterministic, ShortestFloat: cbor.ShortestFloat16, NaNConvert: cbor.NaNConvertReject,
		InfConvert: cbor.InfConvertReject, IndefLength: cbor.IndefLengthForbidden, NilContainers: cbor.NilContainerAsEmpty,
	})
	decMode = mustDec(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 16,
		MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 16, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8: cbor.UTF8RejectInvalid, NaN: cbor.NaNDecodeForbidden, Inf: cbor.InfDecodeForbidden,
	})
)

func mustEnc(o cbor.EncOptions) cbor.EncMode {
	m, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}

func mustDec(o cbor.DecOptions) cbor.DecMode {
	m, err := o.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

// Marshal writes v as deterministic CBOR (RFC 8949 §4.2.1). It panics on values that have no CBOR form, which is a
// mistake of the caller and never of input.
func Marshal(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("lamppost.Marshal(%T): %v", v, err))
	}
	return b
}

// Unmarshal reads deterministic CBOR into v and refuses everything else: other encodings of the same value, unknown
// fields, trailing bytes. So Marshal(v) gives the same bytes again, and a digest over them means one thing.
func Unmarshal(data []byte, v any) error {
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading CBOR: %v", err)
	}
	if again, err := encMode.Marshal(v); err != nil || !bytes.Equal(again, data) {
		return fmt.Errorf("reading CBOR: not in deterministic form (RFC 8949 §4.2.1)")
	}
	return nil
}
