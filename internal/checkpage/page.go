// Package checkpage is the page on which anybody checks a statement, a receipt or a report in a browser: package audit,
// compiled to WebAssembly, with a page around it, in one HTML file that needs nothing else. A node serves it at /check/;
// the same file with a bill in it can be sent by mail, or kept on a USB stick without one.
//
// It promises that the page asks no server for anything once it has loaded: its own policy forbids it to, also where it
// is opened from a disk. It takes no pin from where the bill came from without saying so, and [Read] says of any page
// whether the checker in it is this program's. It does not promise that a page which somebody else sent is honest: that
// takes a copy of one's own, and the page says so.
//
// Start reading at [Content] and [Content.Page], then static/js/check.js (the page) and wasm/main.go (the checker). The
// checker is kept in the tree as it was built, see make wasm; a test builds it again and compares.
package checkpage

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"html"
	"regexp"
	"strings"
	"sync"

	"github.com/lamppost/lamppost/internal/dashboard"
)

//go:embed static
var files embed.FS

//go:embed check.wasm.gz
var checker []byte // as the page's slot holds it, before base64

// A Content is what a page carries besides the checker.
type Content struct {
	File    []byte // what it checks when it is opened; empty: the visitor brings one
	Pin     string // what whoever makes the page offers as the network's pin; it counts only with a fingerprint from elsewhere
	Version string // of the program, for people
}

// Page returns the page with a content.
func (c Content) Page() []byte {
	return []byte(strings.Join(c.parts(), ""))
}

// parts are the pieces of the page in order: fixed ones, with what fills the slots between them.
func (c Content) parts() []string {
	fixed := literals()
	fill := [...]string{html.EscapeString(c.Version), Checker(), pack([]byte(c.Pin)), pack(c.File), checkerSlot()}
	all := []string{fixed[0]}
	for i, text := range fill {
		all = append(all, text, fixed[i+1])
	}
	return all
}

// Checker returns the SHA-256 of all that is fixed in the page and of the packed checker, in hex: equal numbers, equal checks.
var Checker = sync.OnceValue(func() string {
	h := sha256.New()
	for _, piece := range literals() {
		h.Write([]byte(piece))
		h.Write([]byte{0})
	}
	h.Write(checker)
	return hex.EncodeToString(h.Sum(nil))
})

// slots stand in page.html, in this order, for what differs from page to page.
var slots = [...]string{"{{version}}", "{{checker}}", "{{pin}}", "{{file}}", "{{wasm}}"}

// literals are the pieces of the page between the slots.
var literals = sync.OnceValue(func() []string {
	style := dashboard.Read("app.css") + read("check.css")
	engine := read("wasm_exec.js") + read("js/engine.js")
	script := bundle(dashboard.Read("js/dom.js"), dashboard.Read("js/format.js"), dashboard.Read("js/words.js"),
		read("js/worker.js"), read("js/pin.js"), read("js/bill.js"), read("js/check.js"))
	text := strings.NewReplacer("{{policy}}", policy(style, engine, script), "{{style}}", style, "{{engine}}", engine, "{{script}}", script,
		"{{icon}}", "data:image/svg+xml;base64,"+base64.StdEncoding.EncodeToString([]byte(dashboard.Read("favicon.svg")))).Replace(read("page.html"))
	var pieces []string
	for _, slot := range slots {
		before, after, _ := strings.Cut(text, slot)
		pieces, text = append(pieces, before), after
	}
	return append(pieces, text)
})

func read(name string) string {
	text, err := files.ReadFile("static/" + name)
	if err != nil {
		panic(err) // it was embedded by the build
	}
	return string(text)
}

var (
	importLine = regexp.MustCompile(`(?m)^import .*\n`)
	exportWord = regexp.MustCompile(`(?m)^export `)
)

// bundle puts modules into one script. Their names share one scope, so no two modules may use the same one.
func bundle(modules ...string) string {
	all := exportWord.ReplaceAllString(importLine.ReplaceAllString(strings.Join(modules, "\n"), ""), "")
	return "(() => {\n'use strict';\n" + all + "})();\n"
}

// policy allows the page's own style and scripts by their hashes, a worker made of them, and nothing else: no request to
// any server, none to the one it came from.
func policy(style string, scripts ...string) string {
	var allowed []string
	for _, text := range scripts {
		allowed = append(allowed, "'sha256-"+digest(text)+"'")
	}
	return "default-src 'none'; script-src " + strings.Join(allowed, " ") + " 'wasm-unsafe-eval'; style-src 'sha256-" + digest(style) + "'; " +
		"img-src data:; worker-src blob:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types lamppost"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var checkerSlot = sync.OnceValue(func() string { return base64.StdEncoding.EncodeToString(checker) })

// pack writes what a slot holds: gzip in base64, so that nothing in it is ever markup; nothing for nothing.
func pack(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data) // to memory
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
