package tilelog

import "golang.org/x/mod/sumdb/tlog"

// TilePath lets a test compare paths with those of the specification.
func TilePath(t tlog.Tile) string { return tilePath(t) }

// Around puts a failing disk under d. Steps are "mkdir", "write", "sync", "syncfs", "rename", "syncdir", "trim", "remove".
func (d *DirStorage) Around(step func(op, path string, do func() error) error) { d.around = step }

// Many sets how many files are made durable together.
func (d *DirStorage) Many(n int) { d.many = n }

// RecordHash is compared with tlog's.
var RecordHash = recordHash
