package log

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// Tessera is a POSIX log of Tessera without antispam, as its users embed it.
type Tessera struct {
	appender *tessera.Appender
	shutdown func(context.Context) error
	reader   tessera.LogReader
}

// A TesseraSetting is what its operators tune.
type TesseraSetting struct {
	Batch      uint          // leaves in a batch
	Age        time.Duration // longest wait for one
	Checkpoint time.Duration // between checkpoints
}

// OpenTessera makes a new log in dir.
func OpenTessera(ctx context.Context, dir string, s TesseraSetting, window int) (*Tessera, error) {
	skey, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, err
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().WithCheckpointSigner(signer).
		WithBatching(s.Batch, s.Age).WithCheckpointInterval(s.Checkpoint).WithPushback(uint(4*window)))
	return &Tessera{appender, shutdown, reader}, err
}

// Add implements Log.
func (t *Tessera) Add(ctx context.Context, leaf []byte) func() error {
	future := t.appender.Add(ctx, tessera.NewEntry(leaf))
	return func() error {
		_, err := future()
		return err
	}
}

// Published implements Log.
func (t *Tessera) Published(ctx context.Context, size uint64) error {
	awaiter := tessera.NewPublicationAwaiter(ctx, t.reader.ReadCheckpoint, 10*time.Millisecond)
	_, _, err := awaiter.Await(ctx, func() (tessera.Index, error) { return tessera.Index{Index: size - 1}, nil })
	return err
}

// Close implements Log.
func (t *Tessera) Close(ctx context.Context) error { return t.shutdown(ctx) }
