package replica

// WaitForeseen waits until all blocks that were foreseen are read.
func WaitForeseen(r *Replica) {
	for _, f := range r.ahead.blocks {
		<-f.ready
	}
}
