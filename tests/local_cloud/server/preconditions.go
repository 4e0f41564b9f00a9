package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
)

const notMet = "At least one of the pre-conditions you specified did not hold."

// target is the object that a request is about and, for a copy or a rewrite, the object that it reads.
type target struct {
	bucket, object             string
	sourceBucket, sourceObject string
	compose                    bool
}

// isPatch tells whether the request changes the object's metadata and nothing else.
func (t target) isPatch(r *http.Request) bool {
	return r.Method == http.MethodPatch || r.Method == http.MethodPut ||
		(r.Method == http.MethodPost && !t.compose && t.sourceObject == "")
}

// parseTarget finds the object in a request's path; there is none in the paths of buckets, lists and uploads.
func parseTarget(r *http.Request) (target, bool) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/download")
	if !strings.HasPrefix(path, bucketsPath) {
		return target{}, false
	}
	path = strings.TrimPrefix(path, bucketsPath)
	for _, verb := range []string{"/rewriteTo/b/", "/copyTo/b/"} {
		if source, destination, isCopy := strings.Cut(path, verb); isCopy {
			sourceBucket, sourceObject, _ := splitObject(source)
			bucket, object, found := splitObject(destination)
			return target{bucket: bucket, object: object, sourceBucket: sourceBucket, sourceObject: sourceObject}, found
		}
	}
	destination, isCompose := strings.CutSuffix(path, "/compose")
	isCompose = isCompose && r.Method == http.MethodPost
	if !isCompose {
		destination = path
	}
	if strings.HasSuffix(path, "/acl") || strings.Contains(path, "/acl/") {
		return target{}, false
	}
	bucket, object, found := splitObject(destination)
	return target{bucket: bucket, object: object, compose: isCompose}, found
}

// splitObject takes BUCKET/o/OBJECT apart.
func splitObject(path string) (bucket, object string, found bool) {
	bucket, object, found = strings.Cut(path, "/o/")
	bucket, _ = url.PathUnescape(bucket)
	object, _ = url.PathUnescape(object)
	return bucket, object, found && object != ""
}

// checkPreconditions returns the refusal of a request whose preconditions do not hold, or nothing.
func (s *storage) checkPreconditions(r *http.Request, t target, body []byte) *httptest.ResponseRecorder {
	query := r.URL.Query()
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if hasConditions(query, "if") {
		live := s.describe(t.bucket, t.object)
		if !reads || live.Generation != 0 { // A read of what is not there is answered with 404.
			if refusal := compare(query, "if", live, reads); refusal != nil {
				return refusal
			}
		}
	}
	if t.sourceObject != "" && hasConditions(query, "ifSource") {
		if live := s.describe(t.sourceBucket, t.sourceObject); live.Generation != 0 {
			if refusal := compare(query, "ifSource", live, false); refusal != nil {
				return refusal
			}
		}
	}
	if t.compose {
		return s.checkParts(t, body)
	}
	return nil
}

// checkParts looks at the objects that are to be put together: each has to be there, in the generation asked for.
func (s *storage) checkParts(t target, body []byte) *httptest.ResponseRecorder {
	var request struct {
		SourceObjects []struct {
			Name                string
			Generation          json.Number
			ObjectPreconditions struct{ IfGenerationMatch json.Number }
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	for _, part := range request.SourceObjects {
		live := s.describe(t.bucket, part.Name)
		if live.Generation == 0 || !agrees(part.Generation.String(), live.Generation) {
			return failure(http.StatusNotFound, "notFound", "No such object: "+t.bucket+"/"+part.Name)
		}
		if !agrees(part.ObjectPreconditions.IfGenerationMatch.String(), live.Generation) {
			return failure(http.StatusPreconditionFailed, "conditionNotMet", notMet)
		}
	}
	return nil
}

func hasConditions(query url.Values, prefix string) bool {
	for _, kind := range []string{"Generation", "Metageneration"} {
		if query.Has(prefix+kind+"Match") || query.Has(prefix+kind+"NotMatch") {
			return true
		}
	}
	return false
}

func compare(query url.Values, prefix string, live resource, reads bool) *httptest.ResponseRecorder {
	for kind, current := range map[string]int64{"Generation": live.Generation, "Metageneration": live.Metageneration} {
		if !agrees(query.Get(prefix+kind+"Match"), current) {
			return failure(http.StatusPreconditionFailed, "conditionNotMet", notMet)
		}
	}
	for kind, current := range map[string]int64{"Generation": live.Generation, "Metageneration": live.Metageneration} {
		if wanted := query.Get(prefix + kind + "NotMatch"); wanted != "" && agrees(wanted, current) {
			if reads {
				return failure(http.StatusNotModified, "", "")
			}
			return failure(http.StatusPreconditionFailed, "conditionNotMet", notMet)
		}
	}
	return nil
}

// agrees tells whether a number that may have been left out is the current one.
func agrees(wanted string, current int64) bool {
	return wanted == "" || wanted == strconv.FormatInt(current, 10)
}
