package checkpage

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"regexp"
	"strings"

	"github.com/lamppost/lamppost/audit"
)

// IsPage reports whether a file is a page rather than what a page checks.
func IsPage(data []byte) bool {
	const begin = "<!doctype html"
	data = bytes.TrimLeft(data[:min(len(data), 1024)], " \t\r\n\ufeff")
	return len(data) >= len(begin) && strings.EqualFold(string(data[:len(begin)]), begin)
}

var fileSlot = regexp.MustCompile(`<script type="text/plain" id="file">([A-Za-z0-9+/=\s]*)</script>`)

// Read takes the file out of a page that this or another version of the program made, or somebody who pretends that. own
// reports whether all of the page and its checker are what this program makes: then it says what this program says. If
// not, only the file is worth looking at, and c has nothing else.
func Read(page []byte) (c Content, own bool, err error) {
	if c, ok := readOwn(string(page)); ok {
		return c, true, nil
	}
	m := fileSlot.FindSubmatch(page)
	if m == nil {
		return Content{}, false, errors.New("it is not a page that this program makes: no bill is in it")
	}
	c.File, err = unpack(string(m[1]))
	return c, false, err
}

func readOwn(page string) (c Content, ok bool) {
	fixed := literals()
	var fill [len(slots)]string
	page, ok = strings.CutPrefix(page, fixed[0])
	for i := range fill {
		if !ok {
			return c, false
		}
		fill[i], page, ok = strings.Cut(page, fixed[i+1])
	}
	if !ok || page != "" {
		return c, false
	}
	pin, err1 := unpack(fill[2])
	file, err2 := unpack(fill[3])
	if errors.Join(err1, err2) != nil || fill[4] != checkerSlot() || fill[1] != Checker() {
		return c, false
	}
	c = Content{File: file, Pin: string(pin), Version: html.UnescapeString(fill[0])}
	return c, html.EscapeString(c.Version) == fill[0]
}

// unpack is the way back of pack, within the longest file that can be checked.
func unpack(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("what the page carries: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("what the page carries: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(z, audit.MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("what the page carries: %w", err)
	}
	if len(data) > audit.MaxFileBytes {
		return nil, fmt.Errorf("what the page carries is over the limit of %d bytes", audit.MaxFileBytes)
	}
	return data, nil
}
