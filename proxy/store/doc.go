// Package store holds blobs and manifests by digest, on any storage driver of distribution (filesystem, s3, gcs,
// azure, inmemory) and in distribution's own blob layout, so that its tools can read what Winnow stored. A cold object
// is fetched once, handed to every reader while it arrives, and enters the store only after its length and its hash
// were verified.
//
// It does not decide who may read what: admission does, and the store serves any digest it is asked for. It promises
// that what it hands out under a digest was verified when it was stored; it does not hash again on every read (GC with
// Verify does, and small objects are hashed whenever they come from storage). It promises no permanence either: an
// object may be evicted or found damaged at any time, Open then says not found, and the caller fetches it again. Links
// are not evicted.
//
// # Durability
//
// On the filesystem driver an object is written to a spool file on the same filesystem, fsynced, and renamed into
// place. The directory is not fsynced: after a power loss an object is there whole or not at all, and one that is
// missing is fetched again. Readers do not wait for the fsync, only Fill.Wait does.
//
// On object stores the spool is a local file without a name, so a killed process leaves nothing behind; it is
// uploaded when it is verified, while its readers go on. Drivers whose unfinished uploads are visible write to a
// temporary key and move. Parts of an S3 upload that a killed process abandoned are invisible, and the driver
// cannot list them: a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes them.
package store
