package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pkg/xattr"
)

// keepGeneration gives an object the generation that it had before it was patched. The fake holds an object's
// metadata in an extended attribute of its file or, where the file system has none, in a file beside it.
func keepGeneration(root, bucket, object string, generation int64) error {
	const attribute, suffix = "user.metadata", ".metadata"
	path := filepath.Join(root, url.PathEscape(bucket), object)
	beside := path + suffix

	encoded, err := os.ReadFile(beside)
	isBeside := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		encoded, err = xattr.Get(path, attribute)
	}
	if err != nil {
		return err
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &metadata); err != nil {
		return err
	}
	metadata["Generation"], _ = json.Marshal(generation)
	encoded, err = json.Marshal(metadata)
	if err != nil {
		return err
	}
	if isBeside {
		return os.WriteFile(beside, encoded, 0o600)
	}
	return xattr.Set(path, attribute, encoded)
}
