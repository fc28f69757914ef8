//go:build js && wasm

// Command wasm is package audit in a browser: the checker of the pages that package checkpage makes. It puts one object
// named lamppost into the global scope of the worker that runs it, with three functions:
//
//	check(file Uint8Array, pin string) string   JSON of [answer]; an empty pin is none
//	readPin(text string) string                 JSON of [pinned], or of [answer] with the error alone
//	selfTest() string                           empty, or what is wrong with this browser
//
// It asks nobody for anything and keeps nothing between two calls.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall/js"

	"github.com/lamppost/lamppost/audit"
)

// An answer is what came of checking a file.
type answer struct {
	Holds    bool           `json:"holds"`
	Finding  *audit.Finding `json:"finding,omitempty"`
	Error    string         `json:"error,omitempty"`
	Faults   []audit.Fault  `json:"faults,omitempty"`
	Proven   bool           `json:"proven"`              // what is not among the faults is true
	NeedsPin bool           `json:"needs_pin,omitempty"` // without one nothing can be said
	Pin      *pinned        `json:"pin,omitempty"`
}

// A pinned is what a page shows of a pin.
type pinned struct {
	Network       string `json:"network"`
	Fingerprint   string `json:"fingerprint"`
	Members       int    `json:"members"`
	Quorum        int    `json:"quorum"`
	Witnesses     int    `json:"witnesses"`
	WitnessQuorum int    `json:"witness_quorum"`
}

func main() {
	debug.SetGCPercent(400) // a check is short, and there is one thread for it and its garbage
	js.Global().Set("lamppost", map[string]any{
		"check": export(func(args []js.Value) any {
			file := make([]byte, args[0].Get("length").Int())
			js.CopyBytesToGo(file, args[0])
			return check(file, args[1].String())
		}),
		"readPin": export(func(args []js.Value) any {
			pin, err := audit.ParsePin(args[0].String())
			if err != nil {
				return answer{Error: err.Error()}
			}
			return describe(pin)
		}),
		"selfTest": js.FuncOf(func(js.Value, []js.Value) any { return selfTest() }),
	})
	select {}
}

// export makes a function of what returns something with a JSON form. A panic would end the checker and leave the page
// waiting: it becomes an answer.
func export(f func(args []js.Value) any) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) (text any) {
		defer func() {
			if r := recover(); r != nil {
				text = encode(answer{Error: fmt.Sprintf("the checker itself failed: %v", r)})
			}
		}()
		return encode(f(args))
	})
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and structs of them
	}
	return string(raw)
}

func check(file []byte, pinText string) answer {
	var a answer
	var pin *audit.Pin
	if pinText != "" {
		var err error
		if pin, err = audit.ParsePin(pinText); err != nil {
			return answer{Error: err.Error()}
		}
		a.Pin = describe(pin)
	}
	finding, err := audit.Verify(file, pin)
	a.Faults, a.Proven = audit.Faults(file, err)
	if err != nil {
		a.Error, a.NeedsPin = err.Error(), errors.Is(err, audit.ErrUnknownMembers)
		return a
	}
	a.Holds, a.Finding = true, finding
	return a
}

func describe(pin *audit.Pin) *pinned {
	return &pinned{pin.Network, pin.Fingerprint(), len(pin.Members), pin.Quorum, len(pin.Witnesses), pin.WitnessQuorum}
}

//go:embed sample/statement.json
var sample []byte

//go:embed sample/network.pin
var samplePin string

// selfTest checks a small statement with signatures of both suites, which must hold, and the same with another digit, which
// must not. It also has the browser compile what a check runs through, so that the first real one is as fast as the next.
func selfTest() string {
	if a := check(sample, samplePin); !a.Holds {
		return "a statement that holds is refused: " + a.Error
	}
	bad := bytes.Clone(sample)
	digit := bytes.Index(bad, []byte(`"total"`)) + len(`"total"`)
	for bad[digit] < '0' || bad[digit] > '9' {
		digit++
	}
	bad[digit] ^= 1
	if a := check(bad, samplePin); a.Holds || len(a.Faults) != 1 || a.Faults[0].Path != "/invoices/0/total" {
		return "a changed total is not noticed"
	}
	return ""
}
