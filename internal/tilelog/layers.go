package tilelog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// Layers is a Source that looks in several, one after the other: here first, then where older files went.
type Layers []Source

// Get implements Source.
func (l Layers) Get(path string) (data []byte, err error) {
	err = &fs.PathError{Op: "get", Path: path, Err: fs.ErrNotExist}
	for _, s := range l {
		if data, err = s.Get(path); !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return data, err
}

// An Archived is a Storage whose complete tiles and bundles may be elsewhere: it reads them there, and writes here.
type Archived struct {
	*DirStorage
	Far Source
}

// Get implements Source.
func (a Archived) Get(path string) ([]byte, error) {
	if path == CheckpointPath || path == CosignedPath || path == AgreedPath || strings.Contains(path, ".p/") {
		return a.DirStorage.Get(path) // what still changes is here
	}
	return Layers{a.DirStorage, a.Far}.Get(path)
}

// Web is a Source that a web server shows: the files of a log under an address.
type Web struct {
	URL    string
	Client *http.Client    // nil: the default one
	Ctx    context.Context // ends what is under way; nil: nothing does
}

// webTimeout is how long a file may take to come.
const webTimeout = 20 * time.Second

// Get implements Source.
func (w Web) Get(path string) ([]byte, error) {
	client, ctx := cmp.Or(w.Client, http.DefaultClient), w.Ctx
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, webTimeout)
	defer cancel()
	at := strings.TrimRight(w.URL, "/") + "/" + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("%s answers with status %d", at, res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("%s is longer than %d bytes", at, maxFileBytes)
	}
	return data, err
}
