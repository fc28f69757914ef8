package dir

// Around puts a failing disk under o. Steps are "mkdir", "write", "sync", "rename", "syncdir", "remove".
func (o *Objects) Around(step func(op, name string, do func() error) error) { o.around = step }
