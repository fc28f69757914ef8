package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// showProgress writes how far the week is until ctx is done: on a terminal one line that changes, elsewhere a line a second.
func (r *run) showProgress(ctx context.Context) error {
	p := r.screen
	every := progressEvery
	if p.inPlace {
		every = redrawEvery
	}
	defer p.finish()
	for {
		now, err := r.web.status(ctx)
		if err != nil {
			return err
		}
		p.write(r.progress(now))
		if err := pause(ctx, every); err != nil {
			return err
		}
	}
}

// progress puts a status into words that fit a line of 80 characters, which a terminal would otherwise wrap.
func (r *run) progress(s status) string {
	at, left := lamppost.TimeMS(r.clock.Now().UnixMilli()), r.clock.Remaining()
	when, eta := r.w.local(min(at, r.w.to), "Mon 15:04"), fmt.Sprintf("%2.0f s left", left.Seconds())
	if left == 0 {
		eta = "finishing"
	}
	t := r.tally.counts()
	return fmt.Sprintf("%s  %d meters  %s kWh committed  %s %s billed  %s", when, t.meters, t.kWh,
		s.Totals.Billed[currency], currency, eta)
}

// A progressLine is one line that is written again and again, below others that stay. Methods may be called concurrently.
type progressLine struct {
	out     io.Writer
	inPlace bool
	mu      sync.Mutex
	width   int
}

func newScreen(out io.Writer) *progressLine { return &progressLine{out: out, inPlace: isTerminal(out)} }

func (p *progressLine) write(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.inPlace {
		fmt.Fprintln(p.out, line)
		return
	}
	fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// say writes a line that stays, in place of the one that moves.
func (p *progressLine) say(line string) {
	p.write(line)
	p.finish()
}

// finish leaves the line as it is.
func (p *progressLine) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inPlace && p.width > 0 {
		fmt.Fprintln(p.out)
	}
	p.width = 0
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// grouped writes a number in groups of three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a duration of the wall.
func short(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
