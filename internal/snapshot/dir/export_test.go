package dir

// Around puts a failing disk under d. Steps are "write", "sync", "rename", "syncdir", "remove".
func (d *Dir) Around(step func(op, name string, do func() error) error) { d.around = step }
