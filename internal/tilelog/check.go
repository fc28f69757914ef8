package tilelog

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// A Checker compares published files, byte for byte, with what the leaves themselves give. It is told all leaves in order
// and up to which size the log is published.
type Checker struct {
	files     Source
	published int64
	fault     func(path, what string)
	tree      frontier
}

// NewChecker returns a Checker that tells fault what does not fit, and where.
func NewChecker(files Source, published int64, fault func(path, what string)) *Checker {
	c := &Checker{files: files, published: published, fault: fault}
	c.tree.put = c.compare
	return c
}

// Add takes the next leaf. Those that are not published are not looked at.
func (c *Checker) Add(leaf []byte) {
	if c.tree.size >= c.published {
		return
	}
	_ = c.tree.add(leaf) // compare returns no errors
	if c.tree.size == c.published {
		_ = c.tree.flush(0)
	}
}

// Size returns how many leaves were compared, and Root the root over them.
func (c *Checker) Size() int64 { return c.tree.size }

// Root returns the root over the compared leaves.
func (c *Checker) Root() tlog.Hash {
	e := c.tree.edge()
	return e.root()
}

func (c *Checker) compare(t tlog.Tile, want []byte) error {
	have, err := readTile(c.files, t)
	switch {
	case err != nil:
		c.fault(tilePath(t), err.Error())
	case t.W == tileWidth && !bytes.Equal(have, want), !bytes.HasPrefix(have, want):
		c.fault(tilePath(t), fmt.Sprintf("its %d bytes are not the %d that the leaves give", len(have), len(want)))
	}
	return nil
}
