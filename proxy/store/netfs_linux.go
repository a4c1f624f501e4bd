package store

import "golang.org/x/sys/unix"

// networkFilesystem names the network filesystem that a directory is on; empty for a local one.
func networkFilesystem(root string) string {
	var stat unix.Statfs_t
	if unix.Statfs(root, &stat) != nil {
		return ""
	}
	switch int64(stat.Type) {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "smb"
	}
	return ""
}
