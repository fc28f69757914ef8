package tilelog

// Around puts a failing disk under d. Steps are "mkdir", "write" (which contains "sync"), "rename", "syncdir", "trim".
func (d *DirStorage) Around(step func(op, path string, do func() error) error) { d.around = step }
