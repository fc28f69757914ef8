package audit_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// changed returns other characters for one of a file: another of its kind, and for letters the other case. In base64 the
// one that differs by a bit will do.
func changed(c byte, inBase64 bool) []byte {
	i := strings.IndexByte(alphabet, c)
	switch {
	case i < 0:
		return nil
	case inBase64:
		return []byte{alphabet[i^1]}
	case '0' <= c && c <= '9':
		return []byte{'0' + (c-'0'+1)%10, '0' + (c-'0'+9)%10}
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return []byte{alphabet[i^1], c ^ 0x20}
	default:
		return []byte{alphabet[i^1]}
	}
}

// unpacked is a file with its proof as it is before it is compressed, in hexadecimal.
func unpacked(t testing.TB, data []byte) string {
	t.Helper()
	words, rest, _ := strings.Cut(string(data), `"proof":"`)
	text, end, _ := strings.Cut(rest, `"`)
	packed, err := base64.StdEncoding.DecodeString(text)
	must(t, err)
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	must(t, err)
	return fmt.Sprintf("%s%x%s", words, raw, end)
}

// Goal: no digit or letter of a file can change unnoticed. Method: change every one, in the words and in the proof's
// base64, and demand a refusal that says something. Whatever the checks do, they must not accept, but for bits with which a
// compressed stream is filled up and that say nothing: then the proof is the same when it is unpacked.
func TestEveryCharacterCounts(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	h.witness("w1.example") // not pinned
	pin, all := h.pin(1), files(t, h)
	all["statement with contracts"] = paidStatement(t)
	for kind, data := range all {
		if _, err := audit.Verify(data, pin); err != nil {
			t.Fatalf("%s: Verify = %v", kind, err)
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			honest := unpacked(t, data)
			words, every := bytes.LastIndex(data, []byte(`"proof":"`))+9, 1
			if kind == "statement with contracts" {
				every = 16 // of what the others have, too; its payments are looked at by themselves
			}
			inParallel(len(data), func(at int) {
				if at%every != 0 {
					return
				}
				for _, c := range changed(data[at], at >= words) {
					bad := bytes.Clone(data)
					bad[at] = c
					if _, err := audit.Verify(bad, pin); err == nil && unpacked(t, bad) != honest || err != nil && err.Error() == "" {
						t.Errorf("%q for %q at %d is accepted: …%s…", c, data[at], at, data[max(0, at-40):min(len(data), at+40)])
					}
				}
			})
		})
	}
}

// inParallel calls f for 0 to n-1 on all processors and returns when all are done.
func inParallel(n int, f func(i int)) {
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	all.Wait()
}

// files are files of every kind.
func files(t testing.TB, h *home) map[string][]byte {
	t.Helper()
	receipt, err := audit.NewReceipt(h.proof(first(lamppost.TxGenesis, lamppost.TxDevice, lamppost.TxSegment), oneReport()), h.pin(1))
	must(t, err)
	control, err := audit.NewReceipt(h.proof(first(lamppost.TxGenesis, lamppost.TxTariff), nil), h.pin(1))
	must(t, err)
	bare, err := audit.NewBareReport(h.reports[0].Report, h.proof(first(lamppost.TxGenesis, lamppost.TxDevice), nil), h.pin(1))
	must(t, err)
	return map[string][]byte{"statement": h.statement(), "receipt of a report": receipt.Encode(),
		"receipt of a transaction": control.Encode(), "report": bare.Encode()}
}

// first keeps the first transaction of each of some types.
func first(types ...lamppost.TxType) func(*logged) bool {
	var seen [256]bool
	return func(p *logged) bool {
		for _, want := range types {
			if p.Type == want && !seen[want] {
				seen[want] = true
				return true
			}
		}
		return false
	}
}

func oneReport() func(reported) bool {
	n := 0
	return func(reported) bool { n++; return n == 1 }
}

// Goal: no field of a proof is spare. Method: walk over every value in an honest proof; give each number its neighbours,
// flip bits in each digest and byte string, cut and lengthen each byte string and list, and swap entries of lists.
func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*home{"": billed(t, nil, "north", "south"), "with a finding": valid(t, nil, "south").home, "with contracts": shared(t, "north", "south")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyFieldCounts(t, h)
		})
	}
}

func everyFieldCounts(t *testing.T, h *home) {
	h.witness("w1.example")
	honest := h.customer().Append(nil)
	if h.hears != nil {
		honest = h.payments().Append(nil)
	}
	pin := h.witnessed(2, "w1.example")
	n := 0
	mutate(reflect.ValueOf(decoded(t, honest)).Elem(), "", &n, -1)
	if n < 500 {
		t.Fatalf("only %d mutations: the walk misses fields", n)
	}
	inParallel(n, func(i int) {
		p := decoded(t, honest)
		count := 0
		what := mutate(reflect.ValueOf(p).Elem(), "Proof", &count, i)
		raw := p.Append(nil)
		if bytes.Equal(raw, honest) {
			t.Errorf("%s: nothing changed", what)
		}
		p, err := lamppost.ParseProof(raw)
		if err != nil {
			return
		}
		if e, err := audit.CheckProof(p, pin); err == nil {
			t.Errorf("%s: accepted, evidence at size %d", what, e.Checkpoint.Size)
		}
	})
}

func decoded(t testing.TB, raw []byte) *lamppost.Proof {
	t.Helper()
	p, err := lamppost.ParseProof(bytes.Clone(raw)) // which it refers to
	must(t, err)
	return p
}

// mutate counts the changes it knows for v and makes number target, whose name it returns.
func mutate(v reflect.Value, name string, n *int, target int) string {
	try := func(what string, change func()) string {
		*n++
		if *n-1 != target {
			return ""
		}
		change()
		return name + ": " + what
	}
	var tries []string
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			r, run := v.Interface().(lamppost.RunProof) // which shows either
			f := v.Type().Field(i)
			if run && (r.Run == nil) != (f.Name == "Hash") {
				continue
			}
			if f.IsExported() && f.Name != "Header" { // which is Signed, read
				tries = append(tries, mutate(v.Field(i), name+"."+f.Name, n, target))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			tries = append(tries, mutate(v.Elem(), name, n, target))
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			tries = mutateBytes(v, try)
			break
		}
		for i := range v.Len() {
			tries = append(tries, mutate(v.Index(i), fmt.Sprintf("%s[%d]", name, i), n, target))
		}
		tries = append(tries, mutateList(v, try)...)
	case reflect.String:
		for i := range v.Len() {
			tries = append(tries, try(fmt.Sprintf("byte %d", i), func() {
				b := []byte(v.String())
				b[i] ^= 1
				v.SetString(string(b))
			}))
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		tries = append(tries, try("plus one", func() { v.SetUint(v.Uint() + 1) }), try("minus one", func() { v.SetUint(v.Uint() - 1) }))
	case reflect.Int64:
		tries = append(tries, try("plus one", func() { v.SetInt(v.Int() + 1) }), try("minus one", func() { v.SetInt(v.Int() - 1) }),
			try("negative", func() { v.SetInt(-v.Int() - 1) }))
	default:
		panic("no mutation for " + v.Kind().String())
	}
	return strings.Join(tries, "")
}

func mutateBytes(v reflect.Value, try func(string, func()) string) (tries []string) {
	for _, i := range []int{0, v.Len() / 2, v.Len() - 1} {
		if v.Len() > 0 {
			tries = append(tries, try(fmt.Sprintf("a bit of byte %d", i), func() { v.Index(i).SetUint(v.Index(i).Uint() ^ 4) }))
		}
	}
	if v.Kind() == reflect.Slice {
		if v.Len() > 0 {
			tries = append(tries, try("a byte less", func() { v.SetBytes(v.Bytes()[:v.Len()-1]) }))
		}
		tries = append(tries, try("a byte more", func() { v.SetBytes(append(bytes.Clone(v.Bytes()), 0)) }))
	}
	return tries
}

// mutateList swaps neighbours and puts an entry twice. Leaving one out is not tried: less can be a proof too.
func mutateList(v reflect.Value, try func(string, func()) string) (tries []string) {
	swap := reflect.Swapper(v.Slice(0, v.Len()).Interface())
	for i := range v.Len() {
		tries = append(tries, try(fmt.Sprintf("entry %d twice", i), func() { v.Set(reflect.Append(v, v.Index(i))) }))
	}
	if v.Type().Elem().Kind() == reflect.String {
		return tries // their order says nothing
	}
	for i := 1; i < v.Len(); i++ {
		tries = append(tries, try(fmt.Sprintf("entries %d and %d swapped", i-1, i), func() { swap(i-1, i) }))
	}
	return tries
}
