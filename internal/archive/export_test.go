package archive

// AppendResult and DecodeResult are the two directions of an archived result.
var (
	AppendResult = appendResult
	DecodeResult = decodeResult
)
