package audit

// WriteProof writes a proof as it stands in a file.
var WriteProof = writeProof
