package dashboard_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// startBrowser starts one chromium for all subtests, without any traffic of its own.
func startBrowser(t *testing.T) context.Context {
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

// A tab is a page with cookies of its own that notes what a visitor must never get: errors, and requests to elsewhere.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu      sync.Mutex
	errors  []string
	outside []string
	denied  bool // the node refused what the visitor asked for, as it should
}

func openTab(t *testing.T, parent context.Context, base string, size [2]int64) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	p := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, p.observe); err != nil {
		t.Fatal("opening a tab:", err)
	}
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithTimeout(ctx, 40*time.Second)
	t.Cleanup(cancel)
	command(p, cdpnet.Enable, cdpnet.EnableParams{})
	command(p, cdplog.Enable, cdp.Empty{})
	command(p, runtime.Enable, cdp.Empty{})
	command(p, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Berlin"})
	p.run(chromedp.EmulateViewport(size[0], size[1]))
	return p
}

// command sends the tab's browser a command that has no action of its own.
func command[P, R any](p *tab, c cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, c, params); err != nil {
		p.t.Fatalf("%s: %v", c.Method, err)
	}
}

// saveTo lets the tab save files in a directory.
func (p *tab) saveTo(dir string) {
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

// prefer sets the colour scheme that the visitor prefers.
func (p *tab) prefer(scheme string) {
	p.t.Helper()
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

func (p *tab) observe(event any) {
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
		if u := e.Request.URL; !strings.HasPrefix(u, p.base+"/") && !strings.HasPrefix(u, "blob:"+p.base+"/") {
			p.outside = append(p.outside, u)
		}
	}
}

func consoleText(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		words = append(words, string(a.Value)+a.Description)
	}
	return strings.Join(words, " ")
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%v\nconsole: %s\npage: %s", err, strings.Join(p.errors, "\n"), p.glance())
	}
}

// glance is what stands on the page, for messages.
func (p *tab) glance() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 2*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 1500)`))
	if err != nil {
		return err.Error()
	}
	return text
}

// visit opens a page and waits until its parts are there.
func (p *tab) visit(hash, ready string) {
	p.t.Helper()
	p.run(chromedp.Navigate(p.base+"/"+hash), chromedp.WaitVisible(chromedp.CSS(ready)))
}

// openForms opens what a page keeps folded to adopt a device.
func (p *tab) openForms() {
	p.t.Helper()
	value[int](p, `[...document.querySelectorAll('.waiting button[aria-expanded=false]')].filter((b) => b.checkVisibility()).slice(0, 1).map((b) => b.click()).length`)
}

// value evaluates an expression on the page.
func value[V any](p *tab, expression string) V {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[V](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%v\nconsole: %s\npage: %s", err, strings.Join(p.errors, "\n"), p.glance())
	}
	return v
}

func (p *tab) text(selector string) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// waitText waits until an element's text holds what is wanted.
func (p *tab) waitText(selector, want string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, want))
}

// wait waits until an expression holds. It looks from inside the page.
func (p *tab) wait(expression string) {
	p.t.Helper()
	value[bool](p, fmt.Sprintf(`new Promise((done) => { const look = () => ((%s) ? done(true) : setTimeout(look, 20)); look(); })`, expression))
}

// set changes what stands in a field, and tells the page as the browser would.
func (p *tab) set(selector, text string) {
	p.t.Helper()
	value[bool](p, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %q;
		return ['input', 'change'].map((kind) => e.dispatchEvent(new Event(kind, { bubbles: true }))).every(Boolean); })()`, selector, text))
}

// clean fails where the visitor got an error or the page asked another host.
func (p *tab) clean() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.errors {
		if !p.denied || !strings.Contains(e, "401") && !strings.Contains(e, "422") {
			p.t.Errorf("error on the console: %s", e)
		}
	}
	if len(p.outside) > 0 {
		p.t.Errorf("requests to elsewhere: %q", p.outside)
	}
}

func (p *tab) shoot(name string) {
	p.t.Helper()
	value[bool](p, `new Promise((done) => setTimeout(() => requestAnimationFrame(() => done(true)), 700))`) // fades end
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screens, name), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
