//go:build !linux

package store

// networkFilesystem knows the filesystem types of Linux only.
func networkFilesystem(string) string { return "" }
