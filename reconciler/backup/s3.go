package backup

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// openS3 opens a bucket of an S3-compatible service. Credentials, region and
// endpoint are those of the environment, as the AWS CLI has them; the query can
// name others, as s3blob documents: region, endpoint, use_path_style.
func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	if u.Host == "" || u.User != nil {
		return nil, errors.New("open the backups: want s3://BUCKET; credentials come from the environment, as those of the AWS CLI")
	}
	prefix, query := u.Path, u.Query()
	// Every part of a file is compared with its own hash here. The client's checksum is
	// of the file as a whole: by it one flipped bit would hide which objects are well.
	query.Set("response_checksum_validation", "when_required")
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: query.Encode()}
	b, err := new(s3blob.URLOpener).OpenBucketURL(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("open the backups in s3://%s: %w", u.Host, cause(err))
	}
	if prefix = trimSlashes(prefix); prefix != "" {
		b = blob.PrefixedBucket(b, prefix+"/")
	}
	return b, nil
}
