package tilelog

import "golang.org/x/mod/sumdb/tlog"

// TilePath lets a test compare paths with those of the specification.
func TilePath(t tlog.Tile) string { return tilePath(t) }

// Around puts a failing disk under d. Steps are "mkdir", "write", "sync", "rename", "syncdir", "trim", "remove".
func (d *DirStorage) Around(step func(op, path string, do func() error) error) { d.around = step }
