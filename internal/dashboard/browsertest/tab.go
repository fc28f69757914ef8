// Package browsertest opens pages in a headless chromium, for tests: it looks at them as visitors do and notes what they
// must never get, errors and requests to elsewhere. Where there is no chromium, the test is skipped.
//
// Start reading at [Start] and [Open].
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	cdpnet "github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// The sizes every page must work at.
var (
	Phone   = [2]int64{360, 740}
	Desktop = [2]int64{1440, 900}
)

// Start starts one chromium for all subtests, without any traffic of its own.
func Start(t *testing.T) context.Context {
	t.Helper()
	path, err := findChromium()
	if err != nil {
		t.Skip("no chromium on this machine: the pages are not looked at")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, quit := chromedp.NewContext(ctx)
	t.Cleanup(quit)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal("starting chromium:", err)
	}
	return ctx
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// A Tab is a page with cookies of its own that notes what a visitor must never get: errors, and requests to elsewhere.
type Tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	// Denied says that the node refuses what the visitor asks for, as it should: then its answer is no error.
	Denied bool

	mu      sync.Mutex
	errors  []string
	outside []string
	asked   []string // addresses of all requests
}

// Open opens a tab for pages below an address, at a size in CSS pixels.
func Open(t *testing.T, parent context.Context, base string, size [2]int64) *Tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	p := &Tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, p.observe); err != nil {
		t.Fatal("opening a tab:", err)
	}
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithTimeout(ctx, 40*time.Second)
	t.Cleanup(cancel)
	Command(p, cdpnet.Enable, cdpnet.EnableParams{})
	Command(p, cdplog.Enable, cdp.Empty{})
	Command(p, runtime.Enable, cdp.Empty{})
	Command(p, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Berlin"})
	p.Size(size)
	return p
}

// Command sends the tab's browser a command that has no action of its own.
func Command[P, R any](p *Tab, c cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, c, params); err != nil {
		p.t.Fatalf("%s: %v", c.Method, err)
	}
}

// SaveTo lets the tab save files in a directory.
func (p *Tab) SaveTo(dir string) {
	p.t.Helper()
	info, err := chromedp.CallBrowser(p.ctx, target.GetTargetInfo, target.GetTargetInfoParams{TargetID: chromedp.FromContext(p.ctx).Target.TargetID})
	if err == nil {
		_, err = chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: info.TargetInfo.BrowserContextID, DownloadPath: dir})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Size sets the size of the page, in CSS pixels.
func (p *Tab) Size(size [2]int64) {
	p.t.Helper()
	p.Run(chromedp.EmulateViewport(size[0], size[1]))
}

// Prefer sets the colour scheme that the visitor prefers.
func (p *Tab) Prefer(scheme string) {
	p.t.Helper()
	Command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// Medium sets what the page is shown on, "screen" or "print".
func (p *Tab) Medium(name string) {
	p.t.Helper()
	Command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: name})
}

func (p *Tab) observe(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			p.errors = append(p.errors, fmt.Sprintf("console.%s: %s", e.Type, consoleText(e.Args)))
		}
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			p.errors = append(p.errors, fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *cdpnet.EventRequestWillBeSent:
		u := e.Request.URL
		if strings.HasPrefix(u, "blob:") || strings.HasPrefix(u, "data:") {
			return // the page itself
		}
		p.asked = append(p.asked, u)
		if !strings.HasPrefix(u, p.base+"/") {
			p.outside = append(p.outside, u)
		}
	}
}

// Asked returns the addresses of all requests since the tab was opened.
func (p *Tab) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func consoleText(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		words = append(words, string(a.Value)+a.Description)
	}
	return strings.Join(words, " ")
}

// Run does something on the page.
func (p *Tab) Run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%v\nconsole: %s\npage: %s", err, strings.Join(p.errors, "\n"), p.Glance())
	}
}

// Glance is what stands on the page, for messages.
func (p *Tab) Glance() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 2*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 1500)`))
	if err != nil {
		return err.Error()
	}
	return text
}

// Visit opens a page and waits until its parts are there.
func (p *Tab) Visit(hash, ready string) {
	p.t.Helper()
	p.Run(chromedp.Navigate(p.base+"/"+hash), chromedp.WaitVisible(chromedp.CSS(ready)))
}

// Value evaluates an expression on the page.
func Value[V any](p *Tab, expression string) V {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[V](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%v\nconsole: %s\npage: %s", err, strings.Join(p.errors, "\n"), p.Glance())
	}
	return v
}

// Text is what a visitor reads in an element.
func (p *Tab) Text(selector string) string {
	p.t.Helper()
	return Value[string](p, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// WaitText waits until an element's text holds what is wanted.
func (p *Tab) WaitText(selector, want string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, want))
}

// Wait waits until an expression holds. It looks from inside the page.
func (p *Tab) Wait(expression string) {
	p.t.Helper()
	Value[bool](p, fmt.Sprintf(`new Promise((done) => { const look = () => ((%s) ? done(true) : setTimeout(look, 20)); look(); })`, expression))
}

// Set changes what stands in a field, and tells the page as the browser would.
func (p *Tab) Set(selector, text string) {
	p.t.Helper()
	Value[bool](p, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %q;
		return ['input', 'change'].map((kind) => e.dispatchEvent(new Event(kind, { bubbles: true }))).every(Boolean); })()`, selector, text))
}

// Clean fails where the visitor got an error or the page asked another host.
func (p *Tab) Clean() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.errors {
		if !p.Denied || !strings.Contains(e, "401") && !strings.Contains(e, "422") && !strings.Contains(e, "400 (Bad Request)") {
			p.t.Errorf("error on the console: %s", e)
		}
	}
	if len(p.outside) > 0 {
		p.t.Errorf("requests to elsewhere: %q", p.outside)
	}
}

// Shoot writes a picture of what is seen to a file.
func (p *Tab) Shoot(path string) {
	p.t.Helper()
	Value[bool](p, `new Promise((done) => setTimeout(() => requestAnimationFrame(() => done(true)), 700))`) // fades end
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// Overflow lists what stands beyond the right edge of a page that can be scrolled sideways.
const Overflow = `document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]
	.filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className).slice(0, 8)`

// PaleText lists text that has less than 4.5:1 contrast with what is behind it (WCAG 2.2, 1.4.3), 3:1 where it is large.
const PaleText = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255]; };
	const pale = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walker.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility() || e.closest('.sr, .skip, script, style, noscript') || e.getAnimations().length) continue;
		const style = getComputedStyle(e), [a, b] = [light(rgba(style.color)), light(behind(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), large = parseFloat(style.fontSize) >= 24;
		if (ratio < (large ? 3 : 4.5)) pale.push(e.className + ' ' + n.data.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
	}
	return pale.slice(0, 8);
})()`
